"""The repository's own text as a predictor: contexts, matches, and their mixing with the network.

    text --> contexts --> runs, or lines of histories --+
      |                                                 +--> mixers --> maps --> chance of each decision
      +----> matches in what was read before -----------+
    network: a distribution over tokens ----> trie -----+

Byte by byte, decision by decision (`predictor.py`), everything is predicted before it is learned.
"""
