"""The network: maps token ids to hidden states, logits or a loss."""
