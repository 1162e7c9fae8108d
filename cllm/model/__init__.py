"""The network: ids in, hidden states or loss out."""
