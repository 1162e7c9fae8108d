"""Ablations: cllm's network with another output head or one additional component."""
