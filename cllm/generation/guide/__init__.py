"""Syntactic guides: search for completions that are valid at the cursor."""
