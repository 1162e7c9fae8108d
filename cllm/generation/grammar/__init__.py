"""Grammars that a whole completion must match."""
