"""Code a text as a sequence of binary decisions, and train on it.

All decisions of a token are predicted before any of them is trained on, as in generation.
"""

import math

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.memory.mixer.contexts import append_byte_update, append_word_update, byte_at
from cllm.memory.mixer.decisions import HIGH_BIT, LOW_NIBBLE, MARK_END, MARK_INSIDE, NUM_DECISIONS, TOKEN_BEGINS
from cllm.memory.mixer.indirect import learn_indirect
from cllm.memory.mixer.journal import Journal
from cllm.memory.mixer.matches import find_matches, follow_matches
from cllm.memory.mixer.predictor import BIT, DECISION, PARTIAL, clamp_probability, learn, predict
from cllm.memory.mixer.runs import learn_runs, learn_token_end, look_up_contexts, record_runs
from cllm.memory.mixer.slots import find_slots, prefetch_slots, slot_key_of
from cllm.memory.mixer.state import ContextState, MixerState, PredictionTrace
from cllm.memory.mixer.text_state import (
    DEPTH,
    NODE,
    TEXT_START,
    TOKEN_1,
    TOKEN_2,
    TOKEN_3,
    WORD,
    WORD_1,
    TextState,
    advance,
)
from cllm.memory.mixer.trie import Trie

HIGH_BIT_RATE = np.float32(0.02)
END_RATE = np.float32(0.002)
MIN_NETWORK_PROBABILITY = np.float32(1e-7)
NO_NETWORK_P = np.float32(-1)
# Numba compiles a kernel again when it is called with a literal; as NumPy scalars these are typed like variables.
ZERO, ONE, NO_SLOT_KEY, NO_TOKEN, ALL_BYTES = np.int64(0), np.int64(1), np.int64(-1), np.int64(-1), np.int64(256)


@compiled
def code_span(
    state: MixerState,
    journal: Journal,
    context_state: ContextState,
    trace: PredictionTrace,
    text_state: TextState,
    trie: Trie,
    text: Array,
    token_marks: Array,
    begin: Number,
    end: Number,
    network_cumulative: Array,
    confidence: Array,
    is_learning: bool,
) -> float:
    """Cost in bits of `text` (N,) from `begin` to `end`; `text_state` must be at a token's begin and advances to `end`.

    `token_marks` (N,) uint8 mark the tokens; the span ends where its last token ends, or with a placeholder byte that
    has MARK_END. `network_cumulative` (tokens, V + 1) holds for each token, MARK_END included, cumulative sums of the
    network's distribution over the sorted vocabulary, `confidence` (tokens,) its largest probability in eighths; both
    are empty without a network. With `is_learning`, each token is trained on after all of it was predicted, and
    `journal` records changed slots; without, `state` does not change.
    """
    bits = 0.0
    token = NO_TOKEN
    trace_length, num_indirect_updates, num_bytes = ZERO, ZERO, ZERO
    confidence_bin = ZERO
    for position in range(begin, end + 1):
        closing = position == end
        if closing and token_marks[position - 1] == MARK_END:
            return bits
        begins_token = 1 if closing or token_marks[position] != MARK_INSIDE else 0
        byte: Number = 0 if closing else np.int64(text[position])
        look_up_contexts(state, context_state, text, position, text_state)
        find_matches(state, text_state, text, position, is_learning and not closing)
        slot_key = NO_SLOT_KEY
        partial, low, high = ONE, ZERO, ALL_BYTES
        prefetch_slots(state, context_state, slot_key_of(LOW_NIBBLE, (2 | begins_token) << 4 | byte >> 4))
        for decision in range(NUM_DECISIONS):
            node = text_state.numbers[NODE]
            bit = begins_token if decision == TOKEN_BEGINS else (byte >> (8 - decision)) & 1
            if is_open(trie, node, decision, low, high):
                if decision != HIGH_BIT:
                    slot_key = find_slots(
                        state, journal, context_state, slot_key_of(decision, partial), slot_key, is_learning
                    )
                network_p = network_p_one(network_cumulative, token, trie, node, decision, low, high)
                if decision == HIGH_BIT:
                    p_one = predict_high_bit(state, trace, trace_length, text_state, text, position, partial)
                else:
                    p_one = predict(
                        state,
                        context_state,
                        trace,
                        trace_length,
                        text_state,
                        text,
                        token_marks,
                        position,
                        decision,
                        partial,
                        network_p,
                        confidence_bin,
                    )
                bits -= math.log2(p_one if bit else 1 - p_one)
                trace.decisions[trace_length, BIT] = bit
                trace_length += 1
            partial = partial * 2 + bit
            if decision > TOKEN_BEGINS:
                low, high = narrow_range(low, high, bit)
            elif begins_token:
                if is_learning and node:  # at the begin of the text no token has ended
                    learn_token(state, trace, trace_length)
                    learn_indirect(state.indirect, trace.indirect_updates, num_indirect_updates)
                    learn_runs(state, journal, trace, num_bytes)
                    learn_token_end(state, journal, context_state)
                trace_length, num_indirect_updates, num_bytes = ZERO, ZERO, ZERO
                end_token(text_state, node)
                if closing:
                    return bits
                token += 1
                look_up_contexts(
                    state, context_state, text, position, text_state
                )  # again: training on the last token may have changed them
                slot_key = NO_SLOT_KEY
                ends = 1 if token_marks[position] == MARK_END else 0
                index = end_context(text_state, text, position)
                p_one = clamp_probability(state.end_probability[index])
                bits -= math.log2(p_one if ends else 1 - p_one)
                if is_learning:
                    state.end_probability[index] += END_RATE * (np.float32(ends) - p_one)
                if ends:
                    return bits
                if len(network_cumulative):
                    confidence_bin = 1 + confidence[token]
        text_state.numbers[NODE] = trie.children[text_state.numbers[NODE], byte]
        follow_matches(text_state, text, position)
        word, before = text_state.hashes[WORD], text_state.hashes[WORD_1]
        advance(text_state, byte, position)
        if is_learning:
            num_bytes = record_runs(context_state, trace, num_bytes, np.int64(begins_token << 8) | byte)
            num_indirect_updates = append_byte_update(
                trace.indirect_updates, num_indirect_updates, text, position, text_state.numbers[TEXT_START]
            )
            num_indirect_updates = append_word_update(
                trace.indirect_updates, num_indirect_updates, text_state, word, before
            )
    return bits


@inlined
def learn_token(state: MixerState, trace: PredictionTrace, trace_length: Number) -> None:
    """Train on the `trace_length` decisions of a token; shapes as in `PredictionTrace`."""
    for number in range(trace_length):
        if trace.decisions[number, DECISION] == HIGH_BIT:
            index, bit = trace.decisions[number, PARTIAL], trace.decisions[number, BIT]
            p_one = state.high_bit_p_one[index >> 1, index & 1]
            state.high_bit_p_one[index >> 1, index & 1] += HIGH_BIT_RATE * (np.float32(bit) - p_one)
        else:
            learn(state, trace, number)


@compiled
def predict_p_one(
    state: MixerState,
    context_state: ContextState,
    trace: PredictionTrace,
    number: Number,
    text_state: TextState,
    text: Array,
    token_marks: Array,
    position: Number,
    decision: Number,
    partial: Number,
    network_p: Number,
    confidence_bin: Number,
) -> Number:
    """Probability of a one of an open decision, whose slots were found, traced in row `number` of `trace`.

    `text` and `token_marks` (N,) uint8. `code_span` inlines the same code, which gains a tenth of its speed and takes
    6 s of compiling per kernel; here it is called.
    """
    if decision == HIGH_BIT:
        return predict_high_bit(state, trace, number, text_state, text, position, partial)
    return predict(
        state,
        context_state,
        trace,
        number,
        text_state,
        text,
        token_marks,
        position,
        decision,
        partial,
        network_p,
        confidence_bin,
    )


@inlined
def implied_bit(trie: Trie, node: Number, decision: Number, low: Number, high: Number) -> Number:
    """The bit that the vocabulary implies for a decision that is not open, inside a token."""
    if decision == TOKEN_BEGINS:
        return 1 if trie.is_token[node] else 0
    return 1 if trie.range_starts[node, high] > trie.range_starts[node, (low + high) >> 1] else 0


@inlined
def predict_high_bit(
    state: MixerState,
    trace: PredictionTrace,
    number: Number,
    text_state: TextState,
    text: Array,
    position: Number,
    partial: Number,
) -> Number:
    """Probability that a byte of `text` (N,) is not ASCII, by the byte before it and whether a token begins."""
    before = np.int64(byte_at(text, position - 1, text_state.numbers[TEXT_START]))
    trace.decisions[number, DECISION], trace.decisions[number, PARTIAL] = HIGH_BIT, before << 1 | partial & 1
    return clamp_probability(state.high_bit_p_one[before, partial & 1])


@inlined
def end_context(text_state: TextState, text: Array, position: Number) -> Number:
    """Context (0 to 3) of the end of `text` (N,): whether a line has just ended, and whether a bracket is open."""
    after_line = byte_at(text, position - 1, text_state.numbers[TEXT_START]) == 10
    return (1 if after_line else 0) + (2 if text_state.numbers[DEPTH] > 0 else 0)


@inlined
def is_open(trie: Trie, node: Number, decision: Number, low: Number, high: Number) -> bool:
    """Whether the vocabulary leaves a decision open at a node, for a byte in [`low`, `high`)."""
    range_starts = trie.range_starts[node]
    if decision == TOKEN_BEGINS:
        return bool(trie.is_token[node] and range_starts[256] > range_starts[0])
    middle = range_starts[(low + high) >> 1]
    return bool(range_starts[low] < middle < range_starts[high])


@inlined
def narrow_range(low: Number, high: Number, bit: Number) -> tuple[Number, Number]:
    """The range [low, high) of a byte after one more of its bits."""
    middle = (low + high) >> 1
    return (middle if bit else low), (high if bit else middle)


@inlined
def network_p_one(
    network_cumulative: Array, token: Number, trie: Trie, node: Number, decision: Number, low: Number, high: Number
) -> Number:
    """The network's probability of a one of an open decision, from row `token` of (tokens, V + 1) cumulative sums.

    NO_NETWORK_P without a network. A node's own token is the first of its range of the sorted vocabulary.
    """
    if len(network_cumulative) == 0:
        return NO_NETWORK_P
    range_starts = trie.range_starts[node]
    if decision == TOKEN_BEGINS:
        after = network_cumulative[token, range_starts[0]]
        return _normalized_p_one(
            after - network_cumulative[token, range_starts[0] - 1], network_cumulative[token, range_starts[256]] - after
        )
    middle = network_cumulative[token, range_starts[(low + high) >> 1]]
    return _normalized_p_one(
        network_cumulative[token, range_starts[high]] - middle, middle - network_cumulative[token, range_starts[low]]
    )


@inlined
def _normalized_p_one(ones: Number, zeros: Number) -> Number:
    """ones / (ones + zeros), of probabilities that are differences of sums and may be slightly below 0."""
    ones = max(ones, np.float32(0)) + MIN_NETWORK_PROBABILITY
    return ones / (ones + max(zeros, np.float32(0)) + MIN_NETWORK_PROBABILITY)


@inlined
def end_token(text_state: TextState, node: Number) -> None:
    """Enter the token of a node, which has ended, into the text state; no effect at the root, where none has."""
    if node == 0:
        return
    hashes = text_state.hashes
    hashes[TOKEN_3], hashes[TOKEN_2], hashes[TOKEN_1] = hashes[TOKEN_2], hashes[TOKEN_1], np.uint64(node)
    text_state.numbers[NODE] = 0
