"""A few tokens through the network, written out as one kernel: the slow twin is `model.Transformer`.

A token's products are small, and a framework spends more time between them than in them: 3.5 ms a token for a network
of 0.95 million parameters, 0.23 ms here (EPYC Zen 3, one core, 2026-11-25).

Its matrices are rounded to bfloat16, and computed with in float32: fetching them is what takes the time (4.2 million
parameters, Zen 5: 0.13 ms instead of 0.31; as int8 0.12, which would need scales).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from cllm.compiled import Array, Number, compiled, inlined
from cllm.model.cache import KVCache
from cllm.model.transformer import Transformer


class Weights(NamedTuple):
    """A network's parameters by kind, those of the L blocks stacked; letters as in `model.config`."""

    embedding: Array  # (V, D)
    attention_norm: Array  # (L, D)
    qkv: Array  # (L, (H + 2 K) C, D)
    q_norm: Array  # (L, C)
    k_norm: Array  # (L, C)
    out: Array  # (L, D, H C)
    feed_forward_norm: Array  # (L, D)
    gate_up: Array  # (L, 2 F, D)
    down: Array  # (L, D, F)
    norm: Array  # (D,)
    head: Array  # (V, D)
    frequencies: Array  # (C/2,) float64, of rotary positions
    eps: float


class Room(NamedTuple):
    """What lies between the products, for T tokens and up to N positions."""

    x: Array  # (T, D)
    normed: Array  # (T, D)
    qkv: Array  # (T, (H + 2 K) C)
    attended: Array  # (T, H C)
    gate_up: Array  # (T, 2 F)
    scores: Array  # (N,)


class Decoder:
    """Reads tokens as they come; holds a copy of the blocks' weights, which must be fp32."""

    def __init__(self, model: Transformer) -> None:
        config, state = model.config, model.state_dict()
        assert model.embedding.weight.dtype == torch.float32, "the kernel is written for fp32"

        def stacked(name: str) -> Array:
            return np.stack([state[f"blocks.{layer}.{name}.weight"].numpy() for layer in range(config.n_layer)])

        def matrices(name: str) -> Array:
            return halves(torch.from_numpy(stacked(name)))

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
            head=halves(model.head_weight.detach()),
            frequencies=config.rope_theta ** (np.arange(0, config.head_dim, 2) / -config.head_dim),
            eps=config.norm_eps,
        )

    def read(self, tokens: Sequence[int], cache: KVCache) -> Array:
        """Read tokens (T,) behind what a cache of one text holds; the logits (T, V) of what comes after each."""
        weights, count = self._weights, len(tokens)
        width = weights.embedding.shape[1]
        widths = width, width, weights.qkv.shape[1], weights.out.shape[2], weights.gate_up.shape[1]
        x, normed, qkv, attended, gate_up = (np.empty((count, each), np.float32) for each in widths)
        room = Room(x, normed, qkv, attended, gate_up, np.empty(cache.capacity, np.float32))
        logits = np.empty((count, len(weights.head)), np.float32)
        keys, values = cache.keys[:, 0].numpy(), cache.values[:, 0].numpy()
        assert cache.length + len(tokens) <= cache.capacity, "there is no room for the tokens"
        _read(weights, keys, values, cache.length, cache.position, np.array(tokens, np.int64), room, logits)
        cache.advance(len(tokens))
        return logits


def halves(weights: torch.Tensor) -> Array:
    """Numbers rounded to bfloat16, as the upper halves (uint16) of float32's bits."""
    bits: Array = weights.to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    return bits


@compiled
def _read(
    weights: Weights,
    keys: Array,
    values: Array,
    length: Number,
    position: Number,
    tokens: Array,
    room: Room,
    logits: Array,
) -> None:
    num_layers, kv_heads, _, channels = keys.shape
    inner, count = weights.down.shape[2], len(tokens)
    heads = weights.out.shape[2] // channels
    x, normed, qkv, attended, gate_up, scores = room
    for number in range(count):
        _copy(weights.embedding[tokens[number]], x[number])
    for layer in range(num_layers):
        for number in range(count):
            _normalise(x[number], weights.attention_norm[layer], weights.eps, normed[number])
        _multiply(weights.qkv[layer], normed, qkv)
        for number in range(count):
            for head in range(heads + kv_heads):
                part = qkv[number, head * channels : (head + 1) * channels]
                _normalise(part, weights.q_norm[layer] if head < heads else weights.k_norm[layer], weights.eps, part)
                _rotate(part, weights.frequencies, position + number)
            for head in range(kv_heads):
                begin = (heads + head) * channels
                _copy(qkv[number, begin : begin + channels], keys[layer, head, length + number])
                begin += kv_heads * channels
                _copy(qkv[number, begin : begin + channels], values[layer, head, length + number])
            for head in range(heads):
                place, of = head * channels, head // (heads // kv_heads)
                _attend(
                    qkv[number, place : place + channels],
                    keys[layer, of, : length + number + 1],
                    values[layer, of, : length + number + 1],
                    scores,
                    attended[number, place : place + channels],
                )
        _multiply(weights.out[layer], attended, normed)
        _add(normed, x)
        for number in range(count):
            _normalise(x[number], weights.feed_forward_norm[layer], weights.eps, normed[number])
        _multiply(weights.gate_up[layer], normed, gate_up)
        for number in range(count):
            for place in range(inner):
                gate = gate_up[number, place]
                gate_up[number, place] = gate / (np.float32(1) + np.exp(-gate)) * gate_up[number, inner + place]
        _multiply(weights.down[layer], gate_up, normed)
        _add(normed, x)
    for number in range(count):
        _normalise(x[number], weights.norm, weights.eps, normed[number])
    _multiply(weights.head, normed, logits)


@inlined
def _copy(vector: Array, result: Array) -> None:
    for place in range(len(vector)):
        result[place] = vector[place]


@inlined
def _add(vectors: Array, result: Array) -> None:
    for number in range(len(vectors)):
        for place in range(vectors.shape[1]):
            result[number, place] += vectors[number, place]


@inlined
def _multiply(matrix: Array, vectors: Array, products: Array) -> None:
    """Each row of the matrix (N, D), in `halves`, with the first D numbers of each vector: (T, N).

    A row is fetched once for all.
    """
    for row in range(len(matrix)):
        for number in range(len(vectors)):
            total = np.float32(0)
            for place in range(matrix.shape[1]):
                weight = np.uint32(np.uint32(matrix[row, place]) << np.uint32(16)).view(np.float32)
                total += weight * vectors[number, place]
            products[number, row] = total


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
def _rotate(part: Array, frequencies: Array, position: Number) -> None:
    half = len(frequencies)
    for place in range(half):
        angle = position * frequencies[place]
        cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        one, other = part[place], part[half + place]
        part[place] = one * cos - other * sin
        part[half + place] = other * cos + one * sin


@inlined
def _attend(query: Array, keys: Array, values: Array, scores: Array, attended: Array) -> None:
    """Softmax of the query's products with the keys, and the values' sum weighed by it."""
    scale = np.float32(1 / math.sqrt(len(query)))
    most = np.float32(-3e38)
    for key in range(len(keys)):
        score = np.float32(0)
        for place in range(len(query)):
            score += query[place] * keys[key, place]
        scores[key] = score * scale
        most = max(most, scores[key])
    total = np.float32(0)
    attended[:] = 0
    for key in range(len(keys)):
        weight = np.exp(scores[key] - most)
        total += weight
        for place in range(len(query)):
            attended[place] += weight * values[key, place]
    for place in range(len(query)):
        attended[place] /= total
