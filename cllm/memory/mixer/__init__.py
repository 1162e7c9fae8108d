"""The context-mixing model of the memory: contexts, histories, runs, matches, mixers, and next-token search."""
