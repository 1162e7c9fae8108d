"""`cllm bench seed`: the predecessor's task."""
