"""Exact index of the text: suffix arrays, two-sided matches, and the provenance of completions."""
