"""`cllm bench train`: cllm's trainer and nanoGPT's recipe."""
