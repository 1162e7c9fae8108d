"""Evaluation: bits per byte on held-out files, and validity and accuracy of completions."""
