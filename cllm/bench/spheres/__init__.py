"""`cllm bench spheres`: the cost model and all-reduce."""
