"""What a step computes between its matrix products, each in one pass over its numbers.

PyTorch takes a pass for each operation, and the numbers leave the nearest caches in between. Numbers are float32, or
bfloat16 as PyTorch keeps them, seen as uint16: `wide` and `narrow` go between, and all sums are float32. Kernels of a
Transformer: N tokens, D width, H query heads and K heads of keys and values, C channels a head, F feed-forward width.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from cllm.compiled import Array, Number, compiled, inlined

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
# exp(x) = 2^n exp(r), with n ln 2 + r = x, ln 2 in two parts and exp(r) a polynomial: Cephes' expf (Moshier 1992).
LEAST_EXPONENT, MOST_EXPONENT = np.float32(-87), np.float32(88)
LOG2_E, LN_2, LN_2_REST = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
P0, P1, P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
P3, P4, P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
WORD, INTEGER, FLOAT = ir.IntType(16), ir.IntType(32), ir.FloatType()


@intrinsic
def _wide(_: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if number == types.float32:
            return arguments[0]
        bits = builder.shl(builder.zext(arguments[0], INTEGER), ir.Constant(INTEGER, 16))
        return builder.bitcast(bits, FLOAT)

    return types.float32(number), generate


@intrinsic
def _narrow(_: Any, number: Any, like: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if like == types.float32:
            return arguments[0]
        bits = builder.bitcast(arguments[0], INTEGER)
        odd = builder.and_(builder.lshr(bits, ir.Constant(INTEGER, 16)), ir.Constant(INTEGER, 1))
        rounded = builder.add(bits, builder.add(odd, ir.Constant(INTEGER, 0x7FFF)))
        return builder.trunc(builder.lshr(rounded, ir.Constant(INTEGER, 16)), WORD)

    return like(types.float32, like), generate


@intrinsic
def _power_of_two(_: Any, exponent: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = builder.fptosi(arguments[0], INTEGER)
        bits = builder.shl(builder.add(whole, ir.Constant(INTEGER, 127)), ir.Constant(INTEGER, 23))
        return builder.bitcast(bits, FLOAT)

    return types.float32(types.float32), generate


# A number of an array as float32.
wide = cast(Callable[[Number], Number], _wide)
# A float32 as a number of the same kind as another, to the nearest, of two equally near to the even one.
narrow = cast(Callable[[Number, Number], Number], _narrow)
# 2^n of a whole n from -126 to 127, as float32s.
power_of_two = cast(Callable[[Number], Number], _power_of_two)


@inlined
def exp(x: Number) -> Number:
    """To within 3e-7 of itself; of what is less than -87, that of -87."""
    x = min(max(x, LEAST_EXPONENT), MOST_EXPONENT)
    whole = np.floor(x * LOG2_E + HALF)
    rest = x - whole * LN_2 - whole * LN_2_REST
    power = ((((P0 * rest + P1) * rest + P2) * rest + P3) * rest + P4) * rest + P5
    return (power * rest * rest + rest + ONE) * power_of_two(whole)


@compiled
def normalise(x: Array, weight: Array, eps: Number, normed: Array, scales: Array) -> None:
    """RMSNorm of rows (N, D); `scales` (N,) float32 are what each row was multiplied by."""
    width = x.shape[1]
    for row in range(x.shape[0]):
        squares = ZERO
        for place in range(width):
            squares += wide(x[row, place]) * wide(x[row, place])
        scale = np.float32(ONE / math.sqrt(squares / np.float32(width) + eps))
        scales[row] = scale
        for place in range(width):
            normed[row, place] = narrow(wide(x[row, place]) * scale * wide(weight[place]), x[row, place])


@compiled
def normalise_backward(gradient: Array, x: Array, weight: Array, scales: Array, onto: Array, d_weight: Array) -> None:
    """Add the gradient of x (N, D) to `onto`, and that of the weight to `d_weight` (D,) float32."""
    width = x.shape[1]
    for row in range(x.shape[0]):
        scale, along = scales[row], ZERO
        for place in range(width):
            normed = wide(x[row, place]) * scale
            change = wide(gradient[row, place])
            d_weight[place] += change * normed
            along += change * wide(weight[place]) * normed
        along /= np.float32(width)
        for place in range(width):
            normed = wide(x[row, place]) * scale
            change = scale * (wide(gradient[row, place]) * wide(weight[place]) - normed * along)
            onto[row, place] = narrow(wide(onto[row, place]) + change, onto[row, place])


@compiled
def split_heads(
    qkv: Array,
    q_weight: Array,
    k_weight: Array,
    eps: Number,
    cos: Array,
    sin: Array,
    q: Array,
    k: Array,
    v: Array,
    scales: Array,
) -> None:
    """Queries, keys and values of rows (N, (H + 2 K) C) by head: q (B, H, T, C), k and v (B, K, T, C).

    Queries and keys are normalised, turned by `cos` and `sin` (T, C / 2) float32, and queries divided by sqrt(C), so
    that scores need not be. `scales` (N, H + K) as in `normalise`.
    """
    num_texts, heads, num_tokens, channels = q.shape
    kv_heads, half = k.shape[1], channels // 2
    shrink = np.float32(ONE / math.sqrt(channels))
    for text in range(num_texts):
        for token in range(num_tokens):
            row = text * num_tokens + token
            for head in range(heads + kv_heads):
                begin = head * channels
                squares = ZERO
                for place in range(channels):
                    squares += wide(qkv[row, begin + place]) * wide(qkv[row, begin + place])
                scale = np.float32(ONE / math.sqrt(squares / np.float32(channels) + eps))
                scales[row, head] = scale
                if head < heads:
                    scale *= shrink
                    _turn(qkv, row, begin, q_weight, scale, cos, sin, q[text, head], token, half)
                else:
                    _turn(qkv, row, begin, k_weight, scale, cos, sin, k[text, head - heads], token, half)
            for head in range(kv_heads):
                begin = (heads + kv_heads + head) * channels
                for place in range(channels):
                    v[text, head, token, place] = qkv[row, begin + place]


@inlined
def _turn(
    qkv: Array,
    row: Number,
    begin: Number,
    weight: Array,
    scale: Number,
    cos: Array,
    sin: Array,
    turned: Array,
    token: Number,
    half: Number,
) -> None:
    """Scale a head and turn it, in row `token` of `turned` (T, C)."""
    for place in range(half):
        one = wide(qkv[row, begin + place]) * scale * wide(weight[place])
        other = wide(qkv[row, begin + half + place]) * scale * wide(weight[half + place])
        turned[token, place] = narrow(one * cos[token, place] - other * sin[token, place], qkv[row, begin])
        turned[token, half + place] = narrow(other * cos[token, place] + one * sin[token, place], qkv[row, begin])


@compiled
def split_heads_backward(
    d_q: Array,
    d_k: Array,
    d_v: Array,
    qkv: Array,
    q_weight: Array,
    k_weight: Array,
    cos: Array,
    sin: Array,
    scales: Array,
    d_q_weight: Array,
    d_k_weight: Array,
    back: Array,
) -> None:
    """Replace `qkv` by its gradient; add those of the weights to float32 arrays (C,). `back` (C,) float32 is room."""
    num_texts, heads, num_tokens, channels = d_q.shape
    kv_heads, half = d_k.shape[1], channels // 2
    shrink = np.float32(ONE / math.sqrt(channels))
    for text in range(num_texts):
        for token in range(num_tokens):
            row = text * num_tokens + token
            for head in range(heads + kv_heads):
                scale = scales[row, head]
                if head < heads:
                    _turn_back(d_q[text, head], token, cos, sin, shrink, half, back)
                    _head_backward(back, qkv, row, head * channels, q_weight, scale, d_q_weight)
                else:
                    _turn_back(d_k[text, head - heads], token, cos, sin, ONE, half, back)
                    _head_backward(back, qkv, row, head * channels, k_weight, scale, d_k_weight)
            for head in range(kv_heads):
                begin = (heads + kv_heads + head) * channels
                for place in range(channels):
                    qkv[row, begin + place] = d_v[text, head, token, place]


@inlined
def _turn_back(
    gradient: Array, token: Number, cos: Array, sin: Array, scale: Number, half: Number, back: Array
) -> None:
    for place in range(half):
        one, other = wide(gradient[token, place]) * scale, wide(gradient[token, half + place]) * scale
        back[place] = one * cos[token, place] + other * sin[token, place]
        back[half + place] = other * cos[token, place] - one * sin[token, place]


@inlined
def _head_backward(
    gradient: Array, qkv: Array, row: Number, begin: Number, weight: Array, scale: Number, d_weight: Array
) -> None:
    """Replace a head of a row by its gradient, which its normalisation had as `gradient` (C,)."""
    channels, along = len(gradient), ZERO
    for place in range(channels):
        normed = wide(qkv[row, begin + place]) * scale
        d_weight[place] += gradient[place] * normed
        along += gradient[place] * wide(weight[place]) * normed
    along /= np.float32(channels)
    for place in range(channels):
        normed = wide(qkv[row, begin + place]) * scale
        change = scale * (gradient[place] * wide(weight[place]) - normed * along)
        qkv[row, begin + place] = narrow(change, qkv[row, begin])


@compiled
def causal_softmax(scores: Array) -> None:
    """Softmax in place of a block of queries' scores (G, Q, S): the last query sees all, the one before one less."""
    groups, queries, keys = scores.shape
    for group in range(groups):
        for query in range(queries):
            visible = keys - queries + query + 1
            most = wide(scores[group, query, 0])
            for key in range(visible):
                most = max(most, wide(scores[group, query, key]))
            total = ZERO
            for key in range(visible):
                total += exp(wide(scores[group, query, key]) - most)
            share = ONE / total
            for key in range(visible):
                chance = exp(wide(scores[group, query, key]) - most) * share
                scores[group, query, key] = narrow(chance, scores[group, query, key])
            for key in range(visible, keys):
                scores[group, query, key] = narrow(ZERO, scores[group, query, key])


@compiled
def softmax_backward(gradient: Array, chances: Array) -> None:
    """Replace the gradient of chances (G, Q, S) by that of the scores."""
    groups, queries, keys = chances.shape
    for group in range(groups):
        for query in range(queries):
            visible = keys - queries + query + 1
            along = ZERO
            for key in range(visible):
                along += wide(gradient[group, query, key]) * wide(chances[group, query, key])
            for key in range(visible):
                change = (wide(gradient[group, query, key]) - along) * wide(chances[group, query, key])
                gradient[group, query, key] = narrow(change, chances[group, query, key])
            for key in range(visible, keys):
                gradient[group, query, key] = narrow(ZERO, chances[group, query, key])


@compiled
def join_heads(attended: Array, joined: Array) -> None:
    """(B, H, T, C) to rows (N, H C)."""
    num_texts, heads, num_tokens, channels = attended.shape
    for text in range(num_texts):
        for token in range(num_tokens):
            for head in range(heads):
                for place in range(channels):
                    joined[text * num_tokens + token, head * channels + place] = attended[text, head, token, place]


@compiled
def part_heads(joined: Array, attended: Array) -> None:
    """Rows (N, H C) to (B, H, T, C)."""
    num_texts, heads, num_tokens, channels = attended.shape
    for text in range(num_texts):
        for token in range(num_tokens):
            for head in range(heads):
                for place in range(channels):
                    attended[text, head, token, place] = joined[text * num_tokens + token, head * channels + place]


@compiled
def swiglu(gate_up: Array, active: Array) -> None:
    """silu(gate) * up of rows (N, 2 F), in rows (N, F)."""
    inner = active.shape[1]
    for row in range(active.shape[0]):
        for place in range(inner):
            gate = wide(gate_up[row, place])
            value = gate / (ONE + exp(-gate)) * wide(gate_up[row, inner + place])
            active[row, place] = narrow(value, gate_up[row, place])


@compiled
def swiglu_backward(gradient: Array, gate_up: Array) -> None:
    """Replace rows (N, 2 F) by their gradient, given that of (N, F)."""
    inner = gradient.shape[1]
    for row in range(gradient.shape[0]):
        for place in range(inner):
            gate, up = wide(gate_up[row, place]), wide(gate_up[row, inner + place])
            change, open_ = wide(gradient[row, place]), ONE / (ONE + exp(-gate))
            d_gate = change * up * open_ * (ONE + gate * (ONE - open_))
            gate_up[row, place] = narrow(d_gate, gate_up[row, place])
            gate_up[row, inner + place] = narrow(change * gate * open_, gate_up[row, place])


@compiled
def cross_entropy(logits: Array, targets: Array, scale: Number) -> Number:
    """The summed loss in nats of rows (N, V) with targets (N,); the rows become its gradient, times `scale`.

    A target below zero costs nothing.
    """
    num_words, nats = logits.shape[1], 0.0
    for row in range(logits.shape[0]):
        target = targets[row]
        if target < 0:
            for word in range(num_words):
                logits[row, word] = narrow(ZERO, logits[row, word])
            continue
        most = wide(logits[row, 0])
        for word in range(num_words):
            most = max(most, wide(logits[row, word]))
        total = ZERO
        for word in range(num_words):
            total += exp(wide(logits[row, word]) - most)
        aim = wide(logits[row, target]) - most
        nats += math.log(total) - aim
        share = scale / total
        for word in range(num_words):
            logits[row, word] = narrow(exp(wide(logits[row, word]) - most) * share, logits[row, word])
        logits[row, target] = narrow((np.float32(math.exp(aim)) / total - ONE) * scale, logits[row, target])
    return nats


@compiled
def add_rows(rows: Array, numbers: Array, table: Array) -> None:
    """Add rows (N, D) to those of a table (V, D) that have these numbers (N,)."""
    for row in range(rows.shape[0]):
        number = numbers[row]
        for place in range(rows.shape[1]):
            table[number, place] = narrow(wide(table[number, place]) + wide(rows[row, place]), table[number, place])
