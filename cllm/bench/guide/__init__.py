"""`cllm bench guide`: real text that the guide refuses."""
