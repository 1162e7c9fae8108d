"""What `cllm train` does in each stage; `cllm.operations.pipeline` knows their order."""
