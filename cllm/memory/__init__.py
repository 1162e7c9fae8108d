"""A context-mixing model of the repository's own text: contexts, matches, and their mixing with the network.

    text --> contexts --> runs, or slots of histories --+
      |                                                 +--> mixers --> APMs --> probability of each decision
      +----> matches in earlier text -------------------+
    network: a distribution over tokens ----> trie -----+

The model is trained online: each decision of each byte is predicted (`mixer/prediction.py`) before it is trained on.
"""
