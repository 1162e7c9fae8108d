"""What `cllm train` does in each stage; `cllm.pipeline` knows their order."""
