"""A few tokens through the network, written out as one kernel: the slow twin is `model.Transformer`.

A token's products are small, and a framework spends more time between them than in them: 3.5 ms a token for a network
of 0.95 million parameters, 0.23 ms here (EPYC Zen 3, one core, 2026-11-25); 0.1 ms for 4.5 million (Zen 5, 2026-11-27).

Its matrices are rounded to 8 bits, row by row (`products`); keys and values are of the cache's kind, all else float32.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from cllm.compiled import Array, Number, compiled, inlined
from cllm.generation.attention import attend
from cllm.generation.products import Matrix, multiply, packed
from cllm.model.cache import KVCache
from cllm.model.scalars import ONE, exp, narrow
from cllm.model.transformer import Transformer


class Weights(NamedTuple):
    """A network's parameters by kind, those of the L blocks stacked; letters as in `model.config`."""

    embedding: Array  # (V, D)
    attention_norm: Array  # (L, D)
    qkv: Matrix  # (L, (H + 2 K) C, D)
    q_norm: Array  # (L, C)
    k_norm: Array  # (L, C)
    out: Matrix  # (L, D, H C)
    feed_forward_norm: Array  # (L, D)
    gate_up: Matrix  # (L, 2 F, D)
    down: Matrix  # (L, D, F)
    norm: Array  # (D,)
    head: Matrix  # (V, D)
    frequencies: Array  # (C/2,) float64, of rotary positions
    heads: int  # H
    inner: int  # F
    eps: float


class Room(NamedTuple):
    """What lies between the products, for T tokens and up to N positions."""

    x: Array  # (T, D)
    normed: Array  # (T, D)
    qkv: Array  # (T, (H + 2 K) C), and what makes it a multiple of `ROWS`
    attended: Array  # (T, H C)
    gate_up: Array  # (T, 2 F), likewise
    scores: Array  # (N,)
    numbers: Array  # (T, the widest)
    sizes: Array  # (T,)
    turns: Array  # (T, 2, C/2), cosines and sines of rotary positions


class Decoder:
    """Reads tokens as they come; holds a copy of the blocks' weights, which must be fp32."""

    def __init__(self, model: Transformer) -> None:
        config, state = model.config, model.state_dict()
        assert model.embedding.weight.dtype == torch.float32, "the kernel is written for fp32"

        def stacked(name: str) -> Array:
            return np.stack([state[f"blocks.{layer}.{name}.weight"].numpy() for layer in range(config.n_layer)])

        def matrices(name: str) -> Matrix:
            return packed(stacked(name))

        self._weights = Weights(
            embedding=state["embedding.weight"].numpy(),
            attention_norm=stacked("attention_norm"),
            qkv=matrices("attention.qkv"),
            q_norm=stacked("attention.q_norm"),
            k_norm=stacked("attention.k_norm"),
            out=matrices("attention.out"),
            feed_forward_norm=stacked("feed_forward_norm"),
            gate_up=matrices("feed_forward.gate_up"),
            down=matrices("feed_forward.down"),
            norm=state["norm.weight"].numpy(),
            head=packed(model.head_weight.detach().numpy()),
            frequencies=config.rope_theta ** (np.arange(0, config.head_dim, 2) / -config.head_dim),
            heads=config.n_head,
            inner=config.n_inner,
            eps=config.norm_eps,
        )

    def read(self, tokens: Sequence[int], cache: KVCache) -> Array:
        """Read tokens (T,) behind what a cache of one text holds; the logits (T, V) of what comes after each."""
        logits = self._read(tokens, [cache] * len(tokens), range(len(tokens)))
        cache.advance(len(tokens))
        return logits

    def read_each(self, tokens: Sequence[int], caches: Sequence[KVCache]) -> Array:
        """Read a token of each of several texts (B,), whose caches are parts of one; the logits (B, V) after them."""
        logits = self._read(tokens, caches, [0] * len(tokens))
        for cache in caches:
            cache.advance(1)
        return logits

    def _read(self, tokens: Sequence[int], caches: Sequence[KVCache], behind: Sequence[int]) -> Array:
        """Each token goes so many places behind what its cache holds."""
        weights, count = self._weights, len(tokens)
        assert count > 0, "there is nothing to read"
        width, wide = weights.embedding.shape[1], [len(matrix.scales[0]) for matrix in (weights.qkv, weights.gate_up)]
        channels = 2 * len(weights.frequencies)
        x, attended, qkv, gate_up = (
            np.empty((count, each), np.float32) for each in (width, weights.heads * channels, *wide)
        )
        normed = np.zeros((count, len(weights.out.scales[0])), np.float32)
        numbers = np.empty((count, max(*wide, attended.shape[1], normed.shape[1])), np.int16)
        scores, sizes = np.empty(caches[0].capacity, np.float32), np.empty(count, np.float32)
        turns = np.empty((count, 2, channels // 2), np.float32)
        room = Room(x, normed, qkv, attended, gate_up, scores, numbers, sizes, turns)
        logits = np.empty((count, len(weights.head.scales)), np.float32)
        places = np.empty((count, 3), np.int64)
        for number, (cache, more) in enumerate(zip(caches, behind, strict=True)):
            assert cache.length + more < cache.capacity, "there is no room for the tokens"
            places[number] = cache.text, cache.length + more, cache.position + more
        keys, values = caches[0].arrays
        _read(weights, keys, values, places, np.array(tokens, np.int64), room, logits)
        return logits[:, : len(weights.embedding)]


@compiled
def _read(
    weights: Weights,
    keys: Array,
    values: Array,
    places: Array,
    tokens: Array,
    room: Room,
    logits: Array,
) -> None:
    """Tokens (T,) to logits (T, V); `places` (T, 3): of each its text, its place in the cache, and its position."""
    num_layers, _, kv_heads, _, channels = keys.shape
    heads, inner, count = weights.heads, weights.inner, len(tokens)
    x, normed, qkv, attended, gate_up, scores, numbers, sizes, turns = room
    for number in range(count):
        _copy(weights.embedding[tokens[number]], x[number])
        for place in range(channels // 2):
            angle = places[number, 2] * weights.frequencies[place]
            turns[number, 0, place], turns[number, 1, place] = math.cos(angle), math.sin(angle)
    for layer in range(num_layers):
        for number in range(count):
            _normalise(x[number], weights.attention_norm[layer], weights.eps, normed[number])
        multiply(weights.qkv.weights[layer], weights.qkv.scales[layer], normed, numbers, sizes, qkv)
        for number in range(count):
            text, here = places[number, 0], places[number, 1]
            for head in range(heads + kv_heads):
                part = qkv[number, head * channels : (head + 1) * channels]
                _normalise(part, weights.q_norm[layer] if head < heads else weights.k_norm[layer], weights.eps, part)
                _rotate(part, turns[number])
            for head in range(kv_heads):
                begin = (heads + head) * channels
                _copy(qkv[number, begin : begin + channels], keys[layer, text, head, here])
                begin += kv_heads * channels
                _copy(qkv[number, begin : begin + channels], values[layer, text, head, here])
            for head in range(heads):
                place, of = head * channels, head // (heads // kv_heads)
                attend(
                    qkv[number, place : place + channels],
                    keys[layer, text, of, : here + 1],
                    values[layer, text, of, : here + 1],
                    scores,
                    attended[number, place : place + channels],
                )
        multiply(weights.out.weights[layer], weights.out.scales[layer], attended, numbers, sizes, normed)
        _add(normed, x)
        for number in range(count):
            _normalise(x[number], weights.feed_forward_norm[layer], weights.eps, normed[number])
        multiply(weights.gate_up.weights[layer], weights.gate_up.scales[layer], normed, numbers, sizes, gate_up)
        for number in range(count):
            for place in range(inner):
                gate = gate_up[number, place]
                gate_up[number, place] = gate / (ONE + exp(-gate)) * gate_up[number, inner + place]
            for place in range(inner, 2 * weights.down.weights.shape[2]):  # one more column, if their number is odd
                gate_up[number, place] = 0
        multiply(weights.down.weights[layer], weights.down.scales[layer], gate_up, numbers, sizes, normed)
        _add(normed, x)
    for number in range(count):
        _normalise(x[number], weights.norm, weights.eps, normed[number])
    multiply(weights.head.weights, weights.head.scales, normed, numbers, sizes, logits)


@inlined
def _copy(vector: Array, result: Array) -> None:
    for place in range(len(vector)):
        result[place] = narrow(vector[place], result[place])


@inlined
def _add(vectors: Array, result: Array) -> None:
    for number in range(len(result)):
        for place in range(result.shape[1]):
            result[number, place] += vectors[number, place]


@inlined
def _normalise(vector: Array, weight: Array, eps: Number, normed: Array) -> None:
    """RMSNorm; `normed` may be the vector itself."""
    squares = np.float32(0)
    for place in range(len(vector)):
        squares += vector[place] * vector[place]
    scale = np.float32(1 / math.sqrt(squares / len(vector) + eps))
    for place in range(len(vector)):
        normed[place] = vector[place] * scale * weight[place]


@inlined
def _rotate(part: Array, turn: Array) -> None:
    half = len(part) // 2
    for place in range(half):
        one, other = part[place], part[half + place]
        part[place] = one * turn[0, place] - other * turn[1, place]
        part[half + place] = other * turn[0, place] + one * turn[1, place]
