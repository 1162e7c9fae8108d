"""Keys and values of the tokens already seen, so that each token is computed once.

Keys are kept as they were rotated, at their absolute positions. Rotary attention depends on differences of positions
alone, so the oldest entries can be dropped (`keep_last`) without touching the others, and a text may be longer than any
context.
"""

from copy import copy

import numpy as np
import torch
from torch import Tensor

from cllm.jit.compiled import Array
from cllm.model.config import TransformerConfig


class KVCache:
    """Room for `capacity` tokens of `batch_size` texts: keys and values (n_layer, B, n_kv_head, capacity, C)."""

    def __init__(self, config: TransformerConfig, batch_size: int, capacity: int, dtype: torch.dtype) -> None:
        shape = (config.n_layer, batch_size, config.n_kv_head, capacity, config.head_dim)
        self._set_tensors(torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype))
        self.length = 0  # tokens held
        self.position = 0  # absolute position of the next token

    def copy(self) -> "KVCache":
        """Another one that holds the same."""
        other = copy(self)
        other._set_tensors(self.keys.clone(), self.values.clone())
        return other

    def split(self) -> "list[KVCache]":
        """A cache for each of the texts, in the memory of this one."""
        parts = [copy(self) for _ in range(self.keys.size(1))]
        for batch_index, part in enumerate(parts):
            part.keys, part.values, part.batch_index = (
                self.keys[:, batch_index : batch_index + 1],
                self.values[:, batch_index : batch_index + 1],
                self.batch_index + batch_index,
            )
        return parts

    def copy_from(self, other: "KVCache") -> None:
        """Hold what another one of as many texts holds, which fits into it."""
        held = slice(0, other.length)
        self.keys[:, :, :, held], self.values[:, :, :, held] = other.keys[:, :, :, held], other.values[:, :, :, held]
        self.length, self.position = other.length, other.position

    def _set_tensors(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values
        self.arrays = _as_array(keys), _as_array(values)  # as kernels see them, with those it was split from
        self.batch_index = 0  # which of those is its first

    @property
    def capacity(self) -> int:
        return self.keys.size(3)

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new tokens' k and v (B, n_kv_head, T, C) in a layer; give all of that layer's up to them."""
        end = self.length + k.size(2)
        assert end <= self.capacity, f"{end} tokens do not fit into a cache of {self.capacity}"
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, num_tokens: int) -> None:
        """Count the tokens that every layer has stored."""
        self.length += num_tokens
        self.position += num_tokens

    def rewind(self, num_tokens: int) -> None:
        """Take back the last `num_tokens`."""
        self.length -= num_tokens
        self.position -= num_tokens

    def keep_last(self, num_tokens: int) -> None:
        """Forget all but the last `num_tokens`."""
        drop = self.length - num_tokens
        if drop > 0:
            self.keys[:, :, :, :num_tokens] = self.keys[:, :, :, drop : self.length].clone()
            self.values[:, :, :, :num_tokens] = self.values[:, :, :, drop : self.length].clone()
            self.length = num_tokens


def _as_array(tensor: Tensor) -> Array:
    """The same memory as an array of float32s, or of bfloat16s seen as uint16."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    array: Array = tensor.numpy()
    return array
