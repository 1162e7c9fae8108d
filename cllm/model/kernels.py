"""What a step computes between its matrix products, each in one pass over its numbers.

PyTorch takes a pass for each operation, and the numbers leave the nearest caches in between. All arrays but those said
to be float32 are of what the products read (`scalars.py`); sums are float32. B texts of T tokens, N = B T rows, D
width, H heads of queries and K of keys and values, C channels a head, F feed-forward width, V words.
"""

import math
from typing import NamedTuple

import numpy as np

from cllm.compiled import Array, Number, compiled, inlined
from cllm.model.scalars import ONE, ZERO, exp, narrow, wide


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


class Turning(NamedTuple):
    """How queries and keys are normalised and turned: weights (C,), what is added to a mean square, angles float32."""

    q_weight: Array
    k_weight: Array
    eps: float
    cos: Array  # (T, C / 2)
    sin: Array


class Heads(NamedTuple):
    """Queries, keys and values (B, H, T, C) by head; one of keys and values is there for each of its H / K queries."""

    q: Array
    k: Array
    v: Array


@compiled
def split_heads(qkv: Array, turning: Turning, parts: Heads, scales: Array) -> None:
    """From rows (N, (H + 2 K) C) to heads; queries are divided by sqrt(C), so that scores need not be.

    `scales` (N, H + K) as in `normalise`.
    """
    num_texts, heads, num_tokens, channels = parts.q.shape
    kv_heads = (qkv.shape[1] // channels - heads) // 2
    group = heads // kv_heads
    for text in range(num_texts):
        for token in range(num_tokens):
            row = text * num_tokens + token
            for head in range(heads + kv_heads):
                squares = ZERO
                for place in range(head * channels, (head + 1) * channels):
                    squares += wide(qkv[row, place]) * wide(qkv[row, place])
                scale = np.float32(ONE / math.sqrt(squares / np.float32(channels) + turning.eps))
                scales[row, head] = scale
                if head < heads:
                    scale *= np.float32(ONE / math.sqrt(channels))
                    _turn(qkv, row, head, turning.q_weight, scale, turning, parts.q[text, head], token)
                else:
                    first = (head - heads) * group
                    for copy in range(first, first + group):
                        _turn(qkv, row, head, turning.k_weight, scale, turning, parts.k[text, copy], token)
            for head in range(heads):
                begin = (heads + kv_heads + head // group) * channels
                for place in range(channels):
                    parts.v[text, head, token, place] = qkv[row, begin + place]


@inlined
def _turn(
    qkv: Array,
    row: Number,
    head: Number,
    weight: Array,
    scale: Number,
    turning: Turning,
    turned: Array,
    token: Number,
) -> None:
    """Scale a head of a row and turn it, in row `token` of `turned` (T, C)."""
    half = turned.shape[1] // 2
    begin = head * 2 * half
    for place in range(half):
        cos, sin = turning.cos[token, place], turning.sin[token, place]
        one = wide(qkv[row, begin + place]) * scale * wide(weight[place])
        other = wide(qkv[row, begin + half + place]) * scale * wide(weight[half + place])
        turned[token, place] = narrow(one * cos - other * sin, qkv[row, begin])
        turned[token, half + place] = narrow(other * cos + one * sin, qkv[row, begin])


@compiled
def split_heads_backward(
    gradients: Heads, qkv: Array, turning: Turning, scales: Array, d_weights: Array, back: Array
) -> None:
    """Replace `qkv` by its gradient; add those of the two weights to `d_weights` (2, C) float32.

    `back` (C,) float32 is room.
    """
    num_texts, heads, num_tokens, channels = gradients.q.shape
    kv_heads = (qkv.shape[1] // channels - heads) // 2
    group = heads // kv_heads
    for text in range(num_texts):
        for token in range(num_tokens):
            row = text * num_tokens + token
            for head in range(heads + kv_heads):
                for place in range(channels):
                    back[place] = ZERO
                if head < heads:
                    shrink = np.float32(ONE / math.sqrt(channels))
                    _turn_back(gradients.q[text, head], token, turning, shrink, back)
                    _head_backward(back, qkv, row, head, turning.q_weight, scales[row, head], d_weights[0])
                else:
                    first = (head - heads) * group
                    for copy in range(first, first + group):
                        _turn_back(gradients.k[text, copy], token, turning, ONE, back)
                    _head_backward(back, qkv, row, head, turning.k_weight, scales[row, head], d_weights[1])
            for head in range(kv_heads):
                begin = (heads + kv_heads + head) * channels
                for place in range(channels):
                    total = ZERO
                    for copy in range(head * group, (head + 1) * group):
                        total += wide(gradients.v[text, copy, token, place])
                    qkv[row, begin + place] = narrow(total, qkv[row, begin])


@inlined
def _turn_back(gradient: Array, token: Number, turning: Turning, scale: Number, back: Array) -> None:
    """Add row `token` of a head's gradient (T, C), turned back and scaled, to `back`."""
    half = gradient.shape[1] // 2
    for place in range(half):
        cos, sin = turning.cos[token, place], turning.sin[token, place]
        one, other = wide(gradient[token, place]) * scale, wide(gradient[token, half + place]) * scale
        back[place] += one * cos + other * sin
        back[half + place] += other * cos - one * sin


@inlined
def _head_backward(
    gradient: Array, qkv: Array, row: Number, head: Number, weight: Array, scale: Number, d_weight: Array
) -> None:
    """Replace a head of a row by its gradient, which its normalisation had as `gradient` (C,)."""
    channels, along = len(gradient), ZERO
    begin = head * channels
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
            change, sigmoid = wide(gradient[row, place]), ONE / (ONE + exp(-gate))
            d_gate = change * up * sigmoid * (ONE + gate * (ONE - sigmoid))
            gate_up[row, place] = narrow(d_gate, gate_up[row, place])
            gate_up[row, inner + place] = narrow(change * gate * sigmoid, gate_up[row, place])


@inlined
def _kept(key: Number, number: Number, threshold: Number) -> Number:
    """Whether a number of a matrix is kept: a hash of both is at least the threshold (MurmurHash3's last steps)."""
    mixed = np.uint32(key + np.uint32(number) * np.uint32(0x9E3779B1))
    mixed = np.uint32((mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    mixed = np.uint32((mixed ^ (mixed >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(mixed ^ (mixed >> np.uint32(16))) >= threshold


@compiled
def add_kept(x: Array, added: Array, key: Number, dropout: Number, out: Array) -> None:
    """x (N, D) and of what is added a share of 1 - dropout, which `key` chooses, made up for the rest."""
    width, threshold = x.shape[1], np.uint32(dropout * np.float32(2.0**32))
    grown = ONE / (ONE - dropout)
    for row in range(x.shape[0]):
        for place in range(width):
            kept = grown if _kept(key, row * width + place, threshold) else ZERO
            out[row, place] = narrow(wide(x[row, place]) + wide(added[row, place]) * kept, x[row, place])


@compiled
def keep(gradient: Array, key: Number, dropout: Number, kept: Array) -> None:
    """The gradient (N, D) of what `add_kept` added, given that of the sum."""
    width, threshold = gradient.shape[1], np.uint32(dropout * np.float32(2.0**32))
    grown = ONE / (ONE - dropout)
    for row in range(gradient.shape[0]):
        for place in range(width):
            share = grown if _kept(key, row * width + place, threshold) else ZERO
            kept[row, place] = narrow(wide(gradient[row, place]) * share, gradient[row, place])


class Softmax(NamedTuple):
    """What is known of the chances of V words after N rows; all float32.

    The chance of a word is exp(its logit - the row's shift) times the row's share.
    """

    mass: Array  # (V,): each word's chances, summed over the rows, and one for each time that it is a target
    powers: Array  # (V,): room
    shifts: Array  # (N,), of rows that have a target
    shares: Array  # (N,)


@compiled
def softmax(logits: Array, targets: Array, found: Softmax) -> Number:
    """The summed loss in nats of targets (N,) after rows with logits (N, V); a target below zero costs nothing."""
    num_words, nats = logits.shape[1], 0.0
    mass, powers = found.mass, found.powers
    mass[:] = ZERO
    for row in range(logits.shape[0]):
        target = targets[row]
        if target < 0:
            continue
        shift = wide(logits[row, 0])
        for word in range(num_words):
            shift = max(shift, wide(logits[row, word]))
        total = ZERO
        for word in range(num_words):
            power = exp(wide(logits[row, word]) - shift)
            powers[word] = power
            total += power
        share = ONE / total
        for word in range(num_words):
            mass[word] += powers[word] * share
        mass[target] += ONE
        nats += math.log(total) - (wide(logits[row, target]) - shift)
        found.shifts[row], found.shares[row] = shift, share
    return nats


class Drawn(NamedTuple):
    """Words that take part in a gradient."""

    words: Array  # (at least V,) int64: their numbers, ascending
    weights: Array  # (at least V,) float32: how often each counts
    places: Array  # (V,) int32: where in `words` a word stands that takes part


@compiled
def draw_words(mass: Array, ticket: Number, lot: Number, drawn: Drawn) -> Number:
    """How many words take part: those of a ticket's mass (V,) or more, and one for each ticket that the others hold.

    Of the others, laid end to end, those take part in which a ticket begins, the first after `lot` of 0 to 1 tickets.
    """
    count, place = 0, lot
    for word in range(len(mass)):
        weight = ONE
        if mass[word] < ticket:
            tickets = mass[word] / ticket
            place += tickets
            if place < 1:
                continue
            place -= 1
            weight = np.float32(ONE / tickets)
        drawn.words[count], drawn.weights[count], drawn.places[word] = word, weight, count
        count += 1
    return count


@compiled
def drawn_gradient(
    logits: Array, targets: Array, found: Softmax, drawn: Drawn, count: Number, scale: Number, gradient: Array
) -> None:
    """The gradient (N, at least `count`), times `scale`, of the logits of the words drawn; beyond them it is 0."""
    for row in range(gradient.shape[0]):
        if targets[row] < 0:
            for place in range(gradient.shape[1]):
                gradient[row, place] = narrow(ZERO, logits[row, 0])
            continue
        shift, share = found.shifts[row], found.shares[row] * scale
        for place in range(count):
            power = exp(wide(logits[row, drawn.words[place]]) - shift)
            gradient[row, place] = narrow(power * share * drawn.weights[place], logits[row, 0])
        for place in range(count, gradient.shape[1]):
            gradient[row, place] = narrow(ZERO, logits[row, 0])
        aim = exp(wide(logits[row, targets[row]]) - shift)
        gradient[row, drawn.places[targets[row]]] = narrow(aim * share - scale, logits[row, 0])


@compiled
def add_rows(rows: Array, numbers: Array, table: Array) -> None:
    """Add rows (N, D) to those of a table (V, D) that have these numbers (N,)."""
    for row in range(rows.shape[0]):
        number = numbers[row]
        for place in range(rows.shape[1]):
            table[number, place] = narrow(wide(table[number, place]) + wide(rows[row, place]), table[number, place])
