"""`cllm bench valid`: validity of completions."""
