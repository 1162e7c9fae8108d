"""`cllm bench complete`: speed of tokens and lines."""
