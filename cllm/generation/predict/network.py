"""The network as compiled kernels: prefill and decoding without PyTorch; `model.Transformer` is the reference.

The matrix products of one token are small, so a framework's overhead dominates: 3.5 ms per token in PyTorch for a
network of 0.95 million parameters, 0.23 ms here (EPYC Zen 3, one core, 2026-11-25); 0.1 ms for 4.5 million parameters
(Zen 5, 2026-11-27).

Matrices are quantized to 8 bits per weight, with one scale per row (`int8_matmul`). Keys and values have the dtype of
the cache; everything else is float32.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from cllm.generation.predict.attention import attend
from cllm.generation.predict.int8_matmul import QuantizedMatrix, matmul, quantize
from cllm.generation.predict.kv_cache import KVCache
from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.model import weights as model_weights
from cllm.model.config import TransformerConfig
from cllm.model.scalars import ONE, exp, from_float


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


class Network:
    """A network's quantized weights, and what it computes for tokens after those in a cache."""

    def __init__(self, config: TransformerConfig, weights: model_weights.Weights) -> None:
        """`weights`: the float32 parameters by name, of shapes as in `parameter_shapes`."""
        self.config = config

        def stacked(name: str) -> Array:
            return np.stack([weights[f"blocks.{layer}.{name}.weight"] for layer in range(config.n_layer)])

        def matrices(name: str) -> QuantizedMatrix:
            return quantize(stacked(name))

        embedding = np.ascontiguousarray(weights["embedding.weight"])
        self._weights = Weights(
            embedding=embedding,
            attention_norm=stacked("attention_norm"),
            qkv=matrices("attention.qkv"),
            q_norm=stacked("attention.q_norm"),
            k_norm=stacked("attention.k_norm"),
            out=matrices("attention.out"),
            feed_forward_norm=stacked("feed_forward_norm"),
            gate_up=matrices("feed_forward.gate_up"),
            down=matrices("feed_forward.down"),
            norm=weights["norm.weight"],
            head=quantize(embedding if config.tied else weights["head.weight"]),
            rope_frequencies=config.rope_theta ** (np.arange(0, config.head_dim, 2) / -config.head_dim),
            num_heads=config.n_head,
            num_inner=config.n_inner,
            eps=config.norm_eps,
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Load the network of a model directory, which is verified."""
        return cls(*model_weights.load_weights(directory))

    def hidden_states(self, tokens: Sequence[int], cache: KVCache) -> Array:
        """Append tokens (T,) to a cache; return the final hidden states (T, D, padded) float32 after each."""
        hidden = self._forward(tokens, [cache] * len(tokens), range(len(tokens)))
        cache.advance(len(tokens))
        return hidden

    def decode(self, tokens: Sequence[int], cache: KVCache) -> Array:
        """Append tokens (T,) to a cache; return the logits (T, V) float32 after each."""
        return self.logits(self.hidden_states(tokens, cache))

    def decode_batch(self, tokens: Sequence[int], caches: Sequence[KVCache]) -> Array:
        """Append one token to each of B caches of one batch; `tokens` (B,). Return the logits (B, V) float32."""
        hidden = self._forward(tokens, caches, [0] * len(tokens))
        for cache in caches:
            cache.advance(1)
        return self.logits(hidden)

    def logits(self, hidden: Array) -> Array:
        """Logits (T, V) float32 of the tokens after hidden states (T, D, padded)."""
        head, count = self._weights.head, len(hidden)
        found = np.empty((count, len(head.scales)), np.float32)
        quantized, scales = np.empty((count, hidden.shape[1]), np.int16), np.empty(count, np.float32)
        matmul(head.weights, head.scales, hidden, quantized, scales, found)
        return np.ascontiguousarray(found[:, : self.config.vocab_size])

    def _forward(self, tokens: Sequence[int], caches: Sequence[KVCache], offsets: Sequence[int]) -> Array:
        """Compute hidden states (T, D, padded) of tokens (T,), each at its offset after the end of its cache."""
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
        token_locations = np.empty((count, 3), np.int64)
        for row, (cache, offset) in enumerate(zip(caches, offsets, strict=True)):
            assert cache.length + offset < cache.capacity, "the cache has no room for the tokens"
            token_locations[row] = cache.batch_index, cache.length + offset, cache.position + offset
        keys, values = caches[0].keys, caches[0].values
        _run_blocks(weights, keys, values, token_locations, np.array(tokens, np.int64), buffers)
        return normed


@compiled
def _run_blocks(
    weights: Weights,
    keys: Array,
    values: Array,
    token_locations: Array,
    tokens: Array,
    buffers: Buffers,
) -> None:
    """Compute the final hidden states of tokens (T,), into `buffers.normed`.

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


@inlined
def _attend(
    weights: Weights, layer: Number, keys: Array, values: Array, location: Array, buffers: Buffers, row: Number
) -> None:
    """Attention of the token in row `row`: from `buffers.qkv` to `buffers.attended`, with its key and value cached.

    `keys` and `values` of the layer: (B, K, N, C). `location` (3,) as in `_run_blocks`.
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
