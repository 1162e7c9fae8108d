"""Measure a model on held-out files, and judge what it writes."""
