"""KV cache: keys and values of earlier tokens, so that each token is computed once.

Keys are stored after rotation, at their absolute positions. Rotary attention depends only on differences of positions,
so the oldest entries can be dropped (`keep_last`) without changing the others, and a text may be longer than the
context length.
"""

from copy import copy

import numpy as np
import torch
from torch import Tensor

from cllm.jit.compiled import Array
from cllm.model.config import TransformerConfig


class KVCache:
    """Keys and values (n_layer, B, n_kv_head, capacity, C) of at most `capacity` tokens of B = `batch_size` texts."""

    def __init__(self, config: TransformerConfig, batch_size: int, capacity: int, dtype: torch.dtype) -> None:
        shape = (config.n_layer, batch_size, config.n_kv_head, capacity, config.head_dim)
        self._set_tensors(torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype))
        self.length = 0  # tokens held
        self.position = 0  # absolute position of the next token

    def copy(self) -> "KVCache":
        """A deep copy."""
        other = copy(self)
        other._set_tensors(self.keys.clone(), self.values.clone())
        return other

    def split(self) -> "list[KVCache]":
        """One cache per text, each a view of this one's memory."""
        parts = [copy(self) for _ in range(self.keys.size(1))]
        for batch_index, part in enumerate(parts):
            part.keys, part.values, part.batch_index = (
                self.keys[:, batch_index : batch_index + 1],
                self.values[:, batch_index : batch_index + 1],
                self.batch_index + batch_index,
            )
        return parts

    def copy_from(self, other: "KVCache") -> None:
        """Copy the content of another cache of as many texts, whose length must fit the capacity."""
        held = slice(0, other.length)
        self.keys[:, :, :, held], self.values[:, :, :, held] = other.keys[:, :, :, held], other.values[:, :, :, held]
        self.length, self.position = other.length, other.position

    def _set_tensors(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values
        self.arrays = _as_array(keys), _as_array(values)  # for kernels; of the whole batch, also after `split`
        self.batch_index = 0  # index of the first text in `arrays`

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

    def drop_last(self, num_tokens: int) -> None:
        """Drop the last `num_tokens`."""
        self.length -= num_tokens
        self.position -= num_tokens

    def keep_last(self, num_tokens: int) -> None:
        """Drop all but the last `num_tokens`; `position` is unchanged."""
        drop = self.length - num_tokens
        if drop > 0:
            self.keys[:, :, :, :num_tokens] = self.keys[:, :, :, drop : self.length].clone()
            self.values[:, :, :, :num_tokens] = self.values[:, :, :, drop : self.length].clone()
            self.length = num_tokens


def _as_array(tensor: Tensor) -> Array:
    """NumPy view of a tensor; bfloat16 is viewed as uint16."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    array: Array = tensor.numpy()
    return array
