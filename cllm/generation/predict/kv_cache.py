"""Cache of keys and values of earlier tokens, so that each token is computed once.

Keys are stored after rotation, at their absolute positions. Rotary attention depends only on differences of positions,
so the oldest entries can be dropped (`keep_last`) without changing the others, and a text may be longer than the
context length.
"""

from copy import copy
from typing import Any

import numpy as np

from cllm.jit.compiled import Array
from cllm.model.config import TransformerConfig

BFLOAT16 = np.uint16  # bfloat16 viewed as uint16


class KVCache:
    """Keys and values (n_layer, B, n_kv_head, capacity, C) of at most `capacity` tokens of each of B texts.

    A cache holds one of the B texts, its `batch_index`; those of the same batch share their arrays (`split`).
    """

    def __init__(self, config: TransformerConfig, batch_size: int, capacity: int, dtype: Any = BFLOAT16) -> None:
        shape = (config.n_layer, batch_size, config.n_kv_head, capacity, config.head_dim)
        self.keys, self.values = np.empty(shape, dtype), np.empty(shape, dtype)
        self.batch_index = 0
        self.length = 0  # tokens held
        self.position = 0  # absolute position of the next token

    @property
    def capacity(self) -> int:
        return int(self.keys.shape[3])

    def copy(self) -> "KVCache":
        """A copy with its own arrays."""
        other = copy(self)
        other.keys, other.values = np.empty_like(self.keys), np.empty_like(self.values)
        other.copy_from(self)
        return other

    def split(self) -> "list[KVCache]":
        """One cache for each text of the batch, in the same arrays."""
        parts = [copy(self) for _ in range(self.keys.shape[1])]
        for batch_index, part in enumerate(parts):
            part.batch_index = batch_index
        return parts

    def copy_from(self, other: "KVCache") -> None:
        """Copy the text of another cache, whose length must fit the capacity."""
        for target, source in zip(self._arrays, other._arrays, strict=True):
            target[:, :, : other.length] = source[:, :, : other.length]
        self.length, self.position = other.length, other.position

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
            for array in self._arrays:
                array[:, :, :num_tokens] = array[:, :, drop : self.length].copy()
            self.length = num_tokens

    @property
    def _arrays(self) -> tuple[Array, Array]:
        """Keys and values of this text, each (n_layer, n_kv_head, capacity, C)."""
        return self.keys[:, self.batch_index], self.values[:, self.batch_index]
