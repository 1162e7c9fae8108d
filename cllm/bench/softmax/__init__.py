"""`cllm bench softmax`: output heads and vocabulary sizes."""
