"""Decoding of a few tokens in one compiled kernel; the reference implementation is `model.Transformer`.

The matrix products of one token are small, so a framework's overhead dominates: 3.5 ms per token in PyTorch for a
network of 0.95 million parameters, 0.23 ms here (EPYC Zen 3, one core, 2026-11-25); 0.1 ms for 4.5 million parameters
(Zen 5, 2026-11-27).

Matrices are quantized to 8 bits per weight, with one scale per row (`int8_matmul`). Keys and values have the dtype of
the cache; everything else is float32.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from cllm.generation.predict.attention import attend
from cllm.generation.predict.int8_matmul import QuantizedMatrix, matmul, quantize
from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.model.cache import KVCache
from cllm.model.scalars import ONE, exp, from_float
from cllm.model.transformer import Transformer


class Weights(NamedTuple):
    """A network's parameters, those of the L blocks stacked; dimension letters as in `model.config`."""

    embedding: Array  # (V, D)
    attention_norm: Array  # (L, D)
    qkv: QuantizedMatrix  # (L, (H + 2 K) C, D)
    q_norm: Array  # (L, C)
    k_norm: Array  # (L, C)
    out: QuantizedMatrix  # (L, D, H C)
    feed_forward_norm: Array  # (L, D)
    gate_up: QuantizedMatrix  # (L, 2 F, D)
    down: QuantizedMatrix  # (L, D, F)
    norm: Array  # (D,)
    head: QuantizedMatrix  # (V, D)
    rope_frequencies: Array  # (C/2,) float64
    num_heads: int  # H
    num_inner: int  # F
    eps: float


class Buffers(NamedTuple):
    """Intermediate results for T tokens and a cache of up to N positions."""

    x: Array  # (T, D)
    normed: Array  # (T, D)
    qkv: Array  # (T, (H + 2 K) C), padded to a multiple of `TILE_ROWS`
    attended: Array  # (T, H C)
    gate_up: Array  # (T, 2 F), padded likewise
    scores: Array  # (N,)
    quantized: Array  # (T, the largest width) int16
    vector_scales: Array  # (T,)
    rotations: Array  # (T, 2, C/2), cosines and sines of the rotary embedding


class Decoder:
    """Compiled decoder; holds a quantized copy of the model's weights, which must be float32."""

    def __init__(self, model: Transformer) -> None:
        config, state = model.config, model.state_dict()
        assert model.embedding.weight.dtype == torch.float32, "the kernel is written for fp32"

        def stacked(name: str) -> Array:
            return np.stack([state[f"blocks.{layer}.{name}.weight"].numpy() for layer in range(config.n_layer)])

        def matrices(name: str) -> QuantizedMatrix:
            return quantize(stacked(name))

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
            head=quantize(model.head_weight.detach().numpy()),
            rope_frequencies=config.rope_theta ** (np.arange(0, config.head_dim, 2) / -config.head_dim),
            num_heads=config.n_head,
            num_inner=config.n_inner,
            eps=config.norm_eps,
        )

    def decode(self, tokens: Sequence[int], cache: KVCache) -> Array:
        """Append tokens (T,) to a cache of one sequence; return the logits (T, V) float32 after each."""
        logits = self._forward(tokens, [cache] * len(tokens), range(len(tokens)))
        cache.advance(len(tokens))
        return logits

    def decode_batch(self, tokens: Sequence[int], caches: Sequence[KVCache]) -> Array:
        """Append one token to each of B sequences, whose caches are slices of one cache.

        `tokens` (B,). Returns the logits (B, V) float32 after them.
        """
        logits = self._forward(tokens, caches, [0] * len(tokens))
        for cache in caches:
            cache.advance(1)
        return logits

    def _forward(self, tokens: Sequence[int], caches: Sequence[KVCache], offsets: Sequence[int]) -> Array:
        """Decode tokens (T,), each at its offset after the end of its cache; return logits (T, V)."""
        weights, count = self._weights, len(tokens)
        assert count > 0, "there are no tokens to decode"
        width, wide = weights.embedding.shape[1], [len(matrix.scales[0]) for matrix in (weights.qkv, weights.gate_up)]
        head_dim = 2 * len(weights.rope_frequencies)
        x, attended, qkv, gate_up = (
            np.empty((count, each), np.float32) for each in (width, weights.num_heads * head_dim, *wide)
        )
        normed = np.zeros((count, len(weights.out.scales[0])), np.float32)
        quantized = np.empty((count, max(*wide, attended.shape[1], normed.shape[1])), np.int16)
        scores, vector_scales = np.empty(caches[0].capacity, np.float32), np.empty(count, np.float32)
        rotations = np.empty((count, 2, head_dim // 2), np.float32)
        buffers = Buffers(x, normed, qkv, attended, gate_up, scores, quantized, vector_scales, rotations)
        logits = np.empty((count, len(weights.head.scales)), np.float32)
        token_locations = np.empty((count, 3), np.int64)
        for row, (cache, offset) in enumerate(zip(caches, offsets, strict=True)):
            assert cache.length + offset < cache.capacity, "the cache has no room for the tokens"
            token_locations[row] = cache.batch_index, cache.length + offset, cache.position + offset
        keys, values = caches[0].arrays
        _forward(weights, keys, values, token_locations, np.array(tokens, np.int64), buffers, logits)
        return logits[:, : len(weights.embedding)]


@compiled
def _forward(
    weights: Weights,
    keys: Array,
    values: Array,
    token_locations: Array,
    tokens: Array,
    buffers: Buffers,
    logits: Array,
) -> None:
    """Compute logits (T, padded V) of tokens (T,).

    `token_locations` (T, 3) int64: for each token its sequence, its index in the cache, and its position.
    """
    num_layers, head_dim, count = keys.shape[0], keys.shape[4], len(tokens)
    x, normed, qkv, attended, gate_up, _, quantized, vector_scales, rotations = buffers
    for row in range(count):
        _copy(weights.embedding[tokens[row]], x[row])
        for index in range(head_dim // 2):
            angle = token_locations[row, 2] * weights.rope_frequencies[index]
            rotations[row, 0, index], rotations[row, 1, index] = math.cos(angle), math.sin(angle)
    for layer in range(num_layers):
        for row in range(count):
            _normalise(x[row], weights.attention_norm[layer], weights.eps, normed[row])
        matmul(weights.qkv.weights[layer], weights.qkv.scales[layer], normed, quantized, vector_scales, qkv)
        for row in range(count):
            _attend(weights, layer, keys[layer], values[layer], token_locations[row], buffers, row)
        matmul(weights.out.weights[layer], weights.out.scales[layer], attended, quantized, vector_scales, normed)
        _add(normed, x)
        for row in range(count):
            _normalise(x[row], weights.feed_forward_norm[layer], weights.eps, normed[row])
        matmul(weights.gate_up.weights[layer], weights.gate_up.scales[layer], normed, quantized, vector_scales, gate_up)
        _swiglu(gate_up, weights.num_inner, 2 * weights.down.weights.shape[2])
        matmul(weights.down.weights[layer], weights.down.scales[layer], gate_up, quantized, vector_scales, normed)
        _add(normed, x)
    for row in range(count):
        _normalise(x[row], weights.norm, weights.eps, normed[row])
    matmul(weights.head.weights, weights.head.scales, normed, quantized, vector_scales, logits)


@inlined
def _attend(
    weights: Weights, layer: Number, keys: Array, values: Array, location: Array, buffers: Buffers, row: Number
) -> None:
    """Attention of the token in row `row`: from `buffers.qkv` to `buffers.attended`, with its key and value cached.

    `keys` and `values` of the layer: (B, K, N, C). `location` (3,) as in `_forward`.
    """
    _, num_kv_heads, _, head_dim = keys.shape
    num_heads, qkv = weights.num_heads, buffers.qkv[row]
    sequence, cache_index = location[0], location[1]
    for head in range(num_heads + num_kv_heads):
        head_vector = qkv[head * head_dim : (head + 1) * head_dim]
        norm_weight = weights.q_norm[layer] if head < num_heads else weights.k_norm[layer]
        _normalise(head_vector, norm_weight, weights.eps, head_vector)
        _rotate(head_vector, buffers.rotations[row])
    for head in range(num_kv_heads):
        begin = (num_heads + head) * head_dim
        _copy(qkv[begin : begin + head_dim], keys[sequence, head, cache_index])
        begin += num_kv_heads * head_dim
        _copy(qkv[begin : begin + head_dim], values[sequence, head, cache_index])
    for head in range(num_heads):
        index, kv_head = head * head_dim, head // (num_heads // num_kv_heads)
        attend(
            qkv[index : index + head_dim],
            keys[sequence, kv_head, : cache_index + 1],
            values[sequence, kv_head, : cache_index + 1],
            buffers.scores,
            buffers.attended[row, index : index + head_dim],
        )


@inlined
def _swiglu(gate_up: Array, num_inner: Number, width: Number) -> None:
    """SiLU of the gates times the other halves of `gate_up` (T, 2 F), into its first F columns; zeros up to `width`."""
    for row in range(len(gate_up)):
        for index in range(num_inner):
            gate = gate_up[row, index]
            gate_up[row, index] = gate / (ONE + exp(-gate)) * gate_up[row, num_inner + index]
        for index in range(num_inner, width):  # the padding column, if F is odd
            gate_up[row, index] = 0


@inlined
def _copy(vector: Array, result: Array) -> None:
    for index in range(len(vector)):
        result[index] = from_float(vector[index], result[index])


@inlined
def _add(vectors: Array, result: Array) -> None:
    for row in range(len(result)):
        for index in range(result.shape[1]):
            result[row, index] += vectors[row, index]


@inlined
def _normalise(vector: Array, weight: Array, eps: Number, normed: Array) -> None:
    """RMSNorm of a vector (D,) into `normed` (D,), which may be the vector itself."""
    sum_of_squares = np.float32(0)
    for index in range(len(vector)):
        sum_of_squares += vector[index] * vector[index]
    scale = np.float32(1 / math.sqrt(sum_of_squares / len(vector) + eps))
    for index in range(len(vector)):
        normed[index] = vector[index] * scale * weight[index]


@inlined
def _rotate(head_vector: Array, rotation: Array) -> None:
    half = len(head_vector) // 2
    for index in range(half):
        one, other = head_vector[index], head_vector[half + index]
        head_vector[index] = one * rotation[0, index] - other * rotation[1, index]
        head_vector[half + index] = other * rotation[0, index] + one * rotation[1, index]
