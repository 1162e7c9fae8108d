"""Code a text as a sequence of binary decisions, and train on it.

All decisions of a token are predicted before any of them is trained on, as in generation.
"""

import math

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.memory.mixer.arrays import MemoryArrays
from cllm.memory.mixer.contexts import byte_at
from cllm.memory.mixer.decisions import (
    HIGH_BIT,
    LOW_NIBBLE,
    MARK_END,
    MARK_INSIDE,
    NUM_DECISIONS,
    TOKEN_BEGINS,
    ZERO,
    Decision,
    first_decision,
    next_decision,
)
from cllm.memory.mixer.indirect import (
    BYTE_PAIR,
    LAST_WORD,
    SLOT,
    TABLE,
    VALUE,
    byte_pair_slot,
    learn_indirect,
    word_slot,
)
from cllm.memory.mixer.journal import Journal
from cllm.memory.mixer.matches import find_matches, follow_matches
from cllm.memory.mixer.prediction import clamp_probability, learn, predict
from cllm.memory.mixer.runs import learn_runs, learn_token_end, look_up_contexts, record_runs
from cllm.memory.mixer.slots import find_slots, prefetch_slots, slot_key_of
from cllm.memory.mixer.state import (
    NUM_INDIRECT_UPDATES,
    NUM_TRACED,
    TRACE_BIT,
    TRACE_DECISION,
    TRACE_PARTIAL,
    MixerState,
    PredictionTrace,
)
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
from cllm.memory.mixer.trie import TokenDistributions, Trie, is_open, network_p_one

HIGH_BIT_RATE = np.float32(0.02)
END_RATE = np.float32(0.002)
NO_SLOT_KEY, NO_TOKEN = np.int64(-1), np.int64(-1)


@compiled
def code_span(
    memory: MemoryArrays,
    journal: Journal,
    trie: Trie,
    text_state: TextState,
    begin: Number,
    end: Number,
    network_probs: TokenDistributions,
    is_learning: bool,
) -> float:
    """Cost in bits of the text from `begin` to `end`; `text_state` must be at a token's begin and advances to `end`.

    The span ends where its last token ends, or with a placeholder byte that has MARK_END. `network_probs` has a row for
    each token, MARK_END included, or none. With `is_learning`, each token is trained on after all of it was predicted,
    and the journal records changed slots; without, the state does not change.
    """
    state, context_state, trace, text, token_marks = memory
    bits, token, confidence_bin = 0.0, NO_TOKEN, ZERO
    trace.counts[:] = 0
    for position in range(begin, end + 1):
        is_end = position == end
        if is_end and token_marks[position - 1] == MARK_END:
            return bits
        begins_token = 1 if is_end or token_marks[position] != MARK_INSIDE else 0
        byte: Number = 0 if is_end else np.int64(text[position])
        look_up_contexts(state, context_state, text, position, text_state)
        find_matches(state.match_slots, text_state, text, position, is_learning and not is_end)
        prefetch_slots(state, context_state, slot_key_of(LOW_NIBBLE, (2 | begins_token) << 4 | byte >> 4))
        decision, slot_key = first_decision(), NO_SLOT_KEY
        while decision.index < NUM_DECISIONS:
            node = text_state.numbers[NODE]
            bit = begins_token if decision.index == TOKEN_BEGINS else (byte >> (8 - decision.index)) & 1
            if is_open(trie, node, decision):
                if decision.index != HIGH_BIT:
                    key = slot_key_of(decision.index, decision.partial)
                    slot_key = find_slots(state, journal, context_state, key, slot_key, is_learning)
                network_p = network_p_one(network_probs, token, trie, node, decision)
                bits += _code(memory, text_state, position, decision, bit, network_p, confidence_bin)
            if decision.index == TOKEN_BEGINS and begins_token:
                _end_last_token(memory, journal, text_state, is_learning)
                if is_end:
                    return bits
                # The end of the token has changed the token contexts, and training the runs.
                look_up_contexts(state, context_state, text, position, text_state)
                slot_key = NO_SLOT_KEY
                token += 1
                ends = 1 if token_marks[position] == MARK_END else 0
                bits += _code_end(memory, text_state, position, ends, is_learning)
                if ends:
                    return bits
                if len(network_probs.confidence):
                    confidence_bin = 1 + network_probs.confidence[token]
            decision = next_decision(decision, bit)
        _advance(memory, trie, text_state, position, begins_token, is_learning)
    return bits


@inlined
def _code(
    memory: MemoryArrays,
    text_state: TextState,
    position: Number,
    decision: Decision,
    bit: Number,
    network_p: Number,
    confidence_bin: Number,
) -> float:
    """Cost in bits of an open decision, which is `bit`; it is appended to the trace."""
    trace = memory.trace
    traced = trace.counts[NUM_TRACED]
    if decision.index == HIGH_BIT:
        p_one = predict_high_bit(memory, text_state, position, traced, decision.partial)
    else:
        p_one = predict(memory, text_state, position, traced, decision, network_p, confidence_bin)
    trace.decisions[traced, TRACE_BIT] = bit
    trace.counts[NUM_TRACED] = traced + 1
    return -math.log2(p_one if bit else 1 - p_one)


@inlined
def _code_end(memory: MemoryArrays, text_state: TextState, position: Number, ends: Number, is_learning: bool) -> float:
    """Cost in bits of whether the text ends before the token that begins at `position`."""
    end_probability = memory.state.end_probability
    index = end_context(text_state, memory.text, position)
    p_one = clamp_probability(end_probability[index])
    if is_learning:
        end_probability[index] += END_RATE * (np.float32(ends) - p_one)
    return -math.log2(p_one if ends else 1 - p_one)


@inlined
def _end_last_token(memory: MemoryArrays, journal: Journal, text_state: TextState, is_learning: bool) -> None:
    """Train on the traced token, which has ended, clear the trace, and enter the token into the text state.

    Without `is_learning`, the token is not trained on.
    """
    state, trace = memory.state, memory.trace
    node = text_state.numbers[NODE]
    if is_learning and node:  # at the begin of the text no token has ended
        learn_token(state, trace)
        learn_indirect(state.indirect, trace.indirect_updates, trace.counts[NUM_INDIRECT_UPDATES])
        learn_runs(state, journal, trace)
        learn_token_end(state, journal, memory.context_state)
    trace.counts[:] = 0
    end_token(text_state, node)


@inlined
def _advance(
    memory: MemoryArrays, trie: Trie, text_state: TextState, position: Number, begins_token: Number, is_learning: bool
) -> None:
    """Advance past the byte at `position`; with `is_learning`, what follows its contexts is traced."""
    byte = np.int64(memory.text[position])
    text_state.numbers[NODE] = trie.children[text_state.numbers[NODE], byte]
    follow_matches(text_state, memory.text, position)
    word, word_1 = text_state.hashes[WORD], text_state.hashes[WORD_1]
    advance(text_state, byte, position)
    if is_learning:
        trace, start = memory.trace, text_state.numbers[TEXT_START]
        record_runs(memory.context_state, trace, np.int64(begins_token << 8) | byte)
        one, two = byte_at(memory.text, position - 1, start), byte_at(memory.text, position - 2, start)
        _record_indirect(trace, BYTE_PAIR, byte_pair_slot(one, two), byte)
        if word != 0 and text_state.hashes[WORD] == 0:  # it has just ended
            _record_indirect(trace, LAST_WORD, word_slot(word_1), np.int64(word & np.uint64(0xFFFFFFFF)))


@inlined
def _record_indirect(trace: PredictionTrace, table: Number, slot: Number, value: Number) -> None:
    """Append an update of the indirect contexts to the trace."""
    update = trace.indirect_updates[trace.counts[NUM_INDIRECT_UPDATES]]
    update[TABLE], update[SLOT], update[VALUE] = table, slot, value
    trace.counts[NUM_INDIRECT_UPDATES] += 1


@inlined
def learn_token(state: MixerState, trace: PredictionTrace) -> None:
    """Train on the traced decisions."""
    for traced in range(trace.counts[NUM_TRACED]):
        if trace.decisions[traced, TRACE_DECISION] == HIGH_BIT:
            index, bit = trace.decisions[traced, TRACE_PARTIAL], trace.decisions[traced, TRACE_BIT]
            p_one = state.high_bit_p_one[index >> 1, index & 1]
            state.high_bit_p_one[index >> 1, index & 1] += HIGH_BIT_RATE * (np.float32(bit) - p_one)
        else:
            learn(state, trace, traced)


@compiled
def predict_p_one(
    memory: MemoryArrays,
    text_state: TextState,
    position: Number,
    decision: Decision,
    network_p: Number,
    confidence_bin: Number,
) -> Number:
    """Probability of a one of an open decision, whose slots were found; row 0 of the trace is overwritten.

    Inlining in `code_span` makes it 10% faster and adds 6 s of compilation per kernel; a search calls this instead.
    """
    if decision.index == HIGH_BIT:
        return predict_high_bit(memory, text_state, position, ZERO, decision.partial)
    return predict(memory, text_state, position, ZERO, decision, network_p, confidence_bin)


@inlined
def predict_high_bit(
    memory: MemoryArrays, text_state: TextState, position: Number, traced: Number, partial: Number
) -> Number:
    """Probability that a byte is not ASCII, by the byte before it and whether a token begins."""
    decisions = memory.trace.decisions
    before = np.int64(byte_at(memory.text, position - 1, text_state.numbers[TEXT_START]))
    decisions[traced, TRACE_DECISION], decisions[traced, TRACE_PARTIAL] = HIGH_BIT, before << 1 | partial & 1
    return clamp_probability(memory.state.high_bit_p_one[before, partial & 1])


@inlined
def end_context(text_state: TextState, text: Array, position: Number) -> Number:
    """Context (0 to 3) of the end of `text` (N,): whether a line has just ended, and whether a bracket is open."""
    after_line = byte_at(text, position - 1, text_state.numbers[TEXT_START]) == 10
    return (1 if after_line else 0) + (2 if text_state.numbers[DEPTH] > 0 else 0)


@inlined
def end_token(text_state: TextState, node: Number) -> None:
    """Enter the token of a node, which has ended, into the text state; no effect at the root, where none has."""
    if node == 0:
        return
    hashes = text_state.hashes
    hashes[TOKEN_3], hashes[TOKEN_2], hashes[TOKEN_1] = hashes[TOKEN_2], hashes[TOKEN_1], np.uint64(node)
    text_state.numbers[NODE] = 0
