"""KV cache of the reference network: keys and values of earlier tokens, so that each token is computed once.

Keys are stored after rotation, at their absolute positions. Rotary attention depends only on differences of positions,
so the oldest entries can be dropped (`keep_last`) without changing the others, and a text may be longer than the
context length.
"""

import torch
from torch import Tensor

from cllm.model.config import TransformerConfig


class KVCache:
    """Keys and values (n_layer, B, n_kv_head, capacity, C) of at most `capacity` tokens of B = `batch_size` texts."""

    def __init__(self, config: TransformerConfig, batch_size: int, capacity: int, dtype: torch.dtype) -> None:
        shape = (config.n_layer, batch_size, config.n_kv_head, capacity, config.head_dim)
        self.keys, self.values = torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype)
        self.length = 0  # tokens held
        self.position = 0  # absolute position of the next token

    @property
    def capacity(self) -> int:
        return self.keys.size(3)

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store the keys and values (B, n_kv_head, T, C) of T new tokens in a layer.

        Returns the layer's keys and values (B, n_kv_head, length + T, C).
        """
        end = self.length + k.size(2)
        assert end <= self.capacity, f"{end} tokens do not fit into a cache of {self.capacity}"
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, num_tokens: int) -> None:
        """Advance by `num_tokens`, after all layers have stored them."""
        self.length += num_tokens
        self.position += num_tokens

    def keep_last(self, num_tokens: int) -> None:
        """Drop all but the last `num_tokens`; `position` is unchanged."""
        drop = self.length - num_tokens
        if drop > 0:
            self.keys[:, :, :, :num_tokens] = self.keys[:, :, :, drop : self.length].clone()
            self.values[:, :, :, :num_tokens] = self.values[:, :, :, drop : self.length].clone()
            self.length = num_tokens
