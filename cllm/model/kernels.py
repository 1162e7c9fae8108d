"""Fused kernels of a training step: the operations between its matrix products, each in one pass over memory.

PyTorch makes one pass per operation, between which the values leave the nearest caches. All arrays have the dtype of
the matrix products (`scalars.py`), except those said to be float32; sums are float32. Shapes: B texts of T tokens,
N = B T rows, D width, H query heads, K key and value heads, C channels per head, F feed-forward width, V vocabulary.
"""

import math
from typing import NamedTuple

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.model.scalars import ONE, ZERO, exp, from_float, to_float


@compiled
def rms_norm(x: Array, weight: Array, eps: Number, normed: Array, scales: Array) -> None:
    """RMSNorm of rows (N, D) into `normed`; `scales` (N,) float32 receives each row's factor."""
    width = x.shape[1]
    for row in range(x.shape[0]):
        squares = ZERO
        for place in range(width):
            squares += to_float(x[row, place]) * to_float(x[row, place])
        scale = np.float32(ONE / math.sqrt(squares / np.float32(width) + eps))
        scales[row] = scale
        for place in range(width):
            normed[row, place] = from_float(to_float(x[row, place]) * scale * to_float(weight[place]), x[row, place])


@compiled
def rms_norm_backward(gradient: Array, x: Array, weight: Array, scales: Array, d_x: Array, d_weight: Array) -> None:
    """Add the gradient of x (N, D) to `d_x`, and that of the weight to `d_weight` (D,) float32."""
    width = x.shape[1]
    for row in range(x.shape[0]):
        scale, dot = scales[row], ZERO
        for place in range(width):
            normed = to_float(x[row, place]) * scale
            grad = to_float(gradient[row, place])
            d_weight[place] += grad * normed
            dot += grad * to_float(weight[place]) * normed
        dot /= np.float32(width)
        for place in range(width):
            normed = to_float(x[row, place]) * scale
            grad = scale * (to_float(gradient[row, place]) * to_float(weight[place]) - normed * dot)
            d_x[row, place] = from_float(to_float(d_x[row, place]) + grad, d_x[row, place])


class RopeTables(NamedTuple):
    """RMSNorm weights (C,) of queries and keys, `eps`, and the rotary angles' cosines and sines (T, C / 2) float32."""

    q_weight: Array
    k_weight: Array
    eps: float
    cos: Array  # (T, C / 2)
    sin: Array


class Heads(NamedTuple):
    """Queries, keys and values (B, H, T, C); each key and value head is repeated for its H / K query heads."""

    q: Array
    k: Array
    v: Array


@compiled
def split_heads(qkv: Array, rope: RopeTables, parts: Heads, scales: Array) -> None:
    """Split rows (N, (H + 2 K) C) into heads, with RMSNorm and rotary embedding of queries and keys.

    Queries are divided by sqrt(C), so that scores need not be. `scales` (N, H + K) as in `rms_norm`.
    """
    batch_size, num_heads, num_tokens, head_dim = parts.q.shape
    num_kv_heads = (qkv.shape[1] // head_dim - num_heads) // 2
    group_size = num_heads // num_kv_heads
    for text in range(batch_size):
        for token in range(num_tokens):
            row = text * num_tokens + token
            for head in range(num_heads + num_kv_heads):
                squares = ZERO
                for place in range(head * head_dim, (head + 1) * head_dim):
                    squares += to_float(qkv[row, place]) * to_float(qkv[row, place])
                scale = np.float32(ONE / math.sqrt(squares / np.float32(head_dim) + rope.eps))
                scales[row, head] = scale
                if head < num_heads:
                    scale *= np.float32(ONE / math.sqrt(head_dim))
                    _rotate(qkv, row, head, rope.q_weight, scale, rope, parts.q[text, head], token)
                else:
                    first = (head - num_heads) * group_size
                    for copy in range(first, first + group_size):
                        _rotate(qkv, row, head, rope.k_weight, scale, rope, parts.k[text, copy], token)
            for head in range(num_heads):
                begin = (num_heads + num_kv_heads + head // group_size) * head_dim
                for place in range(head_dim):
                    parts.v[text, head, token, place] = qkv[row, begin + place]


@inlined
def _rotate(
    qkv: Array,
    row: Number,
    head: Number,
    weight: Array,
    scale: Number,
    rope: RopeTables,
    rotated: Array,
    token: Number,
) -> None:
    """Scale a head of a row and apply the rotary embedding, into row `token` of `rotated` (T, C)."""
    half = rotated.shape[1] // 2
    begin = head * 2 * half
    for place in range(half):
        cos, sin = rope.cos[token, place], rope.sin[token, place]
        one = to_float(qkv[row, begin + place]) * scale * to_float(weight[place])
        other = to_float(qkv[row, begin + half + place]) * scale * to_float(weight[half + place])
        rotated[token, place] = from_float(one * cos - other * sin, qkv[row, begin])
        rotated[token, half + place] = from_float(other * cos + one * sin, qkv[row, begin])


@compiled
def split_heads_backward(
    gradients: Heads, qkv: Array, rope: RopeTables, scales: Array, d_weights: Array, head_gradient: Array
) -> None:
    """Replace `qkv` by its gradient; add those of the two norm weights to `d_weights` (2, C) float32.

    `head_gradient` (C,) float32 is scratch space.
    """
    batch_size, num_heads, num_tokens, head_dim = gradients.q.shape
    num_kv_heads = (qkv.shape[1] // head_dim - num_heads) // 2
    group_size = num_heads // num_kv_heads
    for text in range(batch_size):
        for token in range(num_tokens):
            row = text * num_tokens + token
            for head in range(num_heads + num_kv_heads):
                for place in range(head_dim):
                    head_gradient[place] = ZERO
                if head < num_heads:
                    query_scale = np.float32(ONE / math.sqrt(head_dim))
                    _rotate_backward(gradients.q[text, head], token, rope, query_scale, head_gradient)
                    _head_norm_backward(head_gradient, qkv, row, head, rope.q_weight, scales[row, head], d_weights[0])
                else:
                    first = (head - num_heads) * group_size
                    for copy in range(first, first + group_size):
                        _rotate_backward(gradients.k[text, copy], token, rope, ONE, head_gradient)
                    _head_norm_backward(head_gradient, qkv, row, head, rope.k_weight, scales[row, head], d_weights[1])
            for head in range(num_kv_heads):
                begin = (num_heads + num_kv_heads + head) * head_dim
                for place in range(head_dim):
                    total = ZERO
                    for copy in range(head * group_size, (head + 1) * group_size):
                        total += to_float(gradients.v[text, copy, token, place])
                    qkv[row, begin + place] = from_float(total, qkv[row, begin])


@inlined
def _rotate_backward(gradient: Array, token: Number, rope: RopeTables, scale: Number, head_gradient: Array) -> None:
    """Add row `token` of a head's gradient (T, C), rotated back and scaled, to `head_gradient` (C,)."""
    half = gradient.shape[1] // 2
    for place in range(half):
        cos, sin = rope.cos[token, place], rope.sin[token, place]
        one, other = to_float(gradient[token, place]) * scale, to_float(gradient[token, half + place]) * scale
        head_gradient[place] += one * cos + other * sin
        head_gradient[half + place] += other * cos - one * sin


@inlined
def _head_norm_backward(
    gradient: Array, qkv: Array, row: Number, head: Number, weight: Array, scale: Number, d_weight: Array
) -> None:
    """Replace a head of a row by its gradient, given the gradient (C,) of its RMSNorm's output."""
    head_dim, dot = len(gradient), ZERO
    begin = head * head_dim
    for place in range(head_dim):
        normed = to_float(qkv[row, begin + place]) * scale
        d_weight[place] += gradient[place] * normed
        dot += gradient[place] * to_float(weight[place]) * normed
    dot /= np.float32(head_dim)
    for place in range(head_dim):
        normed = to_float(qkv[row, begin + place]) * scale
        grad = scale * (gradient[place] * to_float(weight[place]) - normed * dot)
        qkv[row, begin + place] = from_float(grad, qkv[row, begin])


@compiled
def causal_softmax(scores: Array) -> None:
    """In-place causal softmax of scores (G, Q, S): the last query sees all S keys, the one before it one key less."""
    groups, queries, keys = scores.shape
    for group in range(groups):
        for query in range(queries):
            num_visible = keys - queries + query + 1
            max_score = to_float(scores[group, query, 0])
            for key in range(num_visible):
                max_score = max(max_score, to_float(scores[group, query, key]))
            total = ZERO
            for key in range(num_visible):
                total += exp(to_float(scores[group, query, key]) - max_score)
            inverse_sum = ONE / total
            for key in range(num_visible):
                probability = exp(to_float(scores[group, query, key]) - max_score) * inverse_sum
                scores[group, query, key] = from_float(probability, scores[group, query, key])
            for key in range(num_visible, keys):
                scores[group, query, key] = from_float(ZERO, scores[group, query, key])


@compiled
def softmax_backward(gradient: Array, probabilities: Array) -> None:
    """Replace the gradient of probabilities (G, Q, S) by that of the scores."""
    groups, queries, keys = probabilities.shape
    for group in range(groups):
        for query in range(queries):
            num_visible = keys - queries + query + 1
            dot = ZERO
            for key in range(num_visible):
                dot += to_float(gradient[group, query, key]) * to_float(probabilities[group, query, key])
            for key in range(num_visible):
                grad = (to_float(gradient[group, query, key]) - dot) * to_float(probabilities[group, query, key])
                gradient[group, query, key] = from_float(grad, probabilities[group, query, key])
            for key in range(num_visible, keys):
                gradient[group, query, key] = from_float(ZERO, probabilities[group, query, key])


@compiled
def swiglu(gate_up: Array, activations: Array) -> None:
    """silu(gate) * up of rows (N, 2 F), into rows (N, F)."""
    inner = activations.shape[1]
    for row in range(activations.shape[0]):
        for place in range(inner):
            gate = to_float(gate_up[row, place])
            value = gate / (ONE + exp(-gate)) * to_float(gate_up[row, inner + place])
            activations[row, place] = from_float(value, gate_up[row, place])


@compiled
def swiglu_backward(gradient: Array, gate_up: Array) -> None:
    """Replace rows (N, 2 F) by their gradient, given that (N, F) of the activations."""
    inner = gradient.shape[1]
    for row in range(gradient.shape[0]):
        for place in range(inner):
            gate, up = to_float(gate_up[row, place]), to_float(gate_up[row, inner + place])
            grad, sigmoid = to_float(gradient[row, place]), ONE / (ONE + exp(-gate))
            d_gate = grad * up * sigmoid * (ONE + gate * (ONE - sigmoid))
            gate_up[row, place] = from_float(d_gate, gate_up[row, place])
            gate_up[row, inner + place] = from_float(grad * gate * sigmoid, gate_up[row, place])


@inlined
def _is_kept(dropout_key: Number, number: Number, threshold: Number) -> Number:
    """Whether dropout keeps element `number`: a hash of it and the key (MurmurHash3's finalizer) is >= threshold."""
    mixed = np.uint32(dropout_key + np.uint32(number) * np.uint32(0x9E3779B1))
    mixed = np.uint32((mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    mixed = np.uint32((mixed ^ (mixed >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(mixed ^ (mixed >> np.uint32(16))) >= threshold


@compiled
def dropout_add(x: Array, projection: Array, dropout_key: Number, dropout: Number, out: Array) -> None:
    """out = x + dropout(projection), (N, D) each; the mask is a function of `dropout_key`."""
    width, threshold = x.shape[1], np.uint32(dropout * np.float32(2.0**32))
    keep_scale = ONE / (ONE - dropout)
    for row in range(x.shape[0]):
        for place in range(width):
            multiplier = keep_scale if _is_kept(dropout_key, row * width + place, threshold) else ZERO
            out[row, place] = from_float(
                to_float(x[row, place]) + to_float(projection[row, place]) * multiplier, x[row, place]
            )


@compiled
def dropout_backward(gradient: Array, dropout_key: Number, dropout: Number, d_projection: Array) -> None:
    """Gradient (N, D) of the projection in `dropout_add`, given that of the sum."""
    width, threshold = gradient.shape[1], np.uint32(dropout * np.float32(2.0**32))
    keep_scale = ONE / (ONE - dropout)
    for row in range(gradient.shape[0]):
        for place in range(width):
            multiplier = keep_scale if _is_kept(dropout_key, row * width + place, threshold) else ZERO
            d_projection[row, place] = from_float(to_float(gradient[row, place]) * multiplier, gradient[row, place])


class SoftmaxStats(NamedTuple):
    """Softmax statistics of V words after N rows; all float32.

    The probability of a word is exp(logit - max_logit) * inverse_sum of the row.
    """

    mass: Array  # (V,): each word's probability summed over the rows, plus 1 for each row of which it is the target
    exp_logits: Array  # (V,): scratch space
    max_logits: Array  # (N,), set for rows that have a target
    inverse_sums: Array  # (N,)


@compiled
def softmax_cross_entropy(logits: Array, targets: Array, stats: SoftmaxStats) -> Number:
    """Summed cross-entropy in nats of targets (N,), given logits (N, V); negative targets are ignored."""
    vocab_size, nats = logits.shape[1], 0.0
    mass, exp_logits = stats.mass, stats.exp_logits
    mass[:] = ZERO
    for row in range(logits.shape[0]):
        target = targets[row]
        if target < 0:
            continue
        max_logit = to_float(logits[row, 0])
        for word in range(vocab_size):
            max_logit = max(max_logit, to_float(logits[row, word]))
        total = ZERO
        for word in range(vocab_size):
            exp_logit = exp(to_float(logits[row, word]) - max_logit)
            exp_logits[word] = exp_logit
            total += exp_logit
        inverse_sum = ONE / total
        for word in range(vocab_size):
            mass[word] += exp_logits[word] * inverse_sum
        mass[target] += ONE
        nats += math.log(total) - (to_float(logits[row, target]) - max_logit)
        stats.max_logits[row], stats.inverse_sums[row] = max_logit, inverse_sum
    return nats


class SampledWords(NamedTuple):
    """The sampled words of a gradient."""

    words: Array  # (at least V,) int64: token ids, ascending
    weights: Array  # (at least V,) float32: inverse inclusion probability of each
    columns: Array  # (V,) int32: index in `words` of each sampled token id


@compiled
def sample_words(mass: Array, sample_threshold: Number, offset: Number, sampled: SampledWords) -> Number:
    """Fill `sampled` with the words of a gradient, given their mass (V,); returns their number.

    Words with a mass of at least `sample_threshold` are always included; of the others, systematic sampling takes one
    per `sample_threshold` of cumulative mass, with weight `sample_threshold` / mass. `offset` (0 to 1) is random.
    """
    count, position = 0, offset
    for word in range(len(mass)):
        weight = ONE
        if mass[word] < sample_threshold:
            inclusion_probability = mass[word] / sample_threshold
            position += inclusion_probability
            if position < 1:
                continue
            position -= 1
            weight = np.float32(ONE / inclusion_probability)
        sampled.words[count], sampled.weights[count], sampled.columns[word] = word, weight, count
        count += 1
    return count


@compiled
def sampled_gradient(
    logits: Array,
    targets: Array,
    stats: SoftmaxStats,
    sampled: SampledWords,
    count: Number,
    scale: Number,
    gradient: Array,
) -> None:
    """Gradient (N, M) of the logits (N, V) of the `count` <= M sampled words, times `scale`; 0 in further columns."""
    for row in range(gradient.shape[0]):
        if targets[row] < 0:
            for place in range(gradient.shape[1]):
                gradient[row, place] = from_float(ZERO, logits[row, 0])
            continue
        max_logit, inverse_sum = stats.max_logits[row], stats.inverse_sums[row] * scale
        for place in range(count):
            exp_logit = exp(to_float(logits[row, sampled.words[place]]) - max_logit)
            gradient[row, place] = from_float(exp_logit * inverse_sum * sampled.weights[place], logits[row, 0])
        for place in range(count, gradient.shape[1]):
            gradient[row, place] = from_float(ZERO, logits[row, 0])
        exp_target = exp(to_float(logits[row, targets[row]]) - max_logit)
        gradient[row, sampled.columns[targets[row]]] = from_float(exp_target * inverse_sum - scale, logits[row, 0])


@compiled
def add_rows(rows: Array, numbers: Array, table: Array) -> None:
    """Add rows (N, D) to the rows of a table (V, D) with indices `numbers` (N,)."""
    for row in range(rows.shape[0]):
        number = numbers[row]
        for place in range(rows.shape[1]):
            table[number, place] = from_float(
                to_float(table[number, place]) + to_float(rows[row, place]), table[number, place]
            )
