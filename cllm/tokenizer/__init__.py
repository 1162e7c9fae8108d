"""Lossless byte-level BPE tokenizer, trained on the repository itself."""

from cllm.tokenizer.tokenizer import SPECIAL_TOKENS, Tokenizer

__all__ = ["SPECIAL_TOKENS", "Tokenizer"]
