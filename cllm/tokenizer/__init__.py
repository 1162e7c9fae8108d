"""Text to ids and back without loss: a byte-level BPE learned from the repository itself."""

from cllm.tokenizer.tokenizer import SPECIAL_TOKENS, Tokenizer

__all__ = ["SPECIAL_TOKENS", "Tokenizer"]
