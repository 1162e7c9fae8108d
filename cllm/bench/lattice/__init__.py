"""`cllm bench lattice`: effect of the lattice components."""
