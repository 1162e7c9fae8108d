"""The stages of `cllm train`; `cllm.operations.pipeline` defines their order."""
