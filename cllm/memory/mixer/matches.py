"""Match model: finds an earlier occurrence of the last bytes, and predicts what followed it."""

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.memory.mixer.arrays import MemoryArrays
from cllm.memory.mixer.contexts import NUM_CONTEXTS
from cllm.memory.mixer.decisions import MARK_INSIDE, TOKEN_BEGINS, Decision
from cllm.memory.mixer.hashing import combine
from cllm.memory.mixer.mixing import LINEAR_INPUT_SCALE, stretch
from cllm.memory.mixer.state import MATCH_SLOTS, NUM_MATCHES
from cllm.memory.mixer.text_state import TEXT_START, TextState

MIN_MATCH_BYTES = (6, 14)  # of the two matches
MAX_MATCH_BYTES = 400


@compiled
def find_matches(match_slots: Array, text_state: TextState, text: Array, position: Number, is_learning: bool) -> None:
    """Look up the last bytes of `text` (N,) for matches of length 0; with `is_learning`, insert the position.

    `match_slots` as in `MixerState`.
    """
    for number in range(NUM_MATCHES):
        min_length = MIN_MATCH_BYTES[number]
        if position - text_state.numbers[TEXT_START] < min_length:
            continue
        slot = _slot(text, position, number)
        candidate: Number = np.int64(match_slots[number, slot])
        if is_learning:
            match_slots[number, slot] = position
        if text_state.match_length[number] == 0 and candidate > 0:
            length = 0
            while (
                length < min(candidate, MAX_MATCH_BYTES) and text[candidate - 1 - length] == text[position - 1 - length]
            ):
                length += 1
            if length >= min_length:
                text_state.match_at[number] = candidate
                text_state.match_length[number] = length


@inlined
def _slot(text: Array, position: Number, number: Number) -> Number:
    """Slot, for a match, of the last position at which the bytes before `position` occurred."""
    hash_ = np.uint64(0)
    min_length: Number = MIN_MATCH_BYTES[number]
    for back in range(1, min_length + 1):
        hash_ = hash_ * np.uint64(0x2F0B4C47) + np.uint64(text[position - back]) + np.uint64(1)
    return np.int64(combine(hash_, number) & np.uint64(MATCH_SLOTS - 1))


@compiled
def insert_matches(match_slots: Array, text: Array, begin: Number, end: Number) -> None:
    """Insert the positions of `text` (N,) from `begin` to `end` into `match_slots` (2, 2^20)."""
    for number in range(NUM_MATCHES):
        for position in range(begin + MIN_MATCH_BYTES[number], end):
            match_slots[number, _slot(text, position, number)] = position


@compiled
def follow_matches(text_state: TextState, text: Array, position: Number) -> None:
    """Extend the matches that predicted the byte of `text` (N,) at `position`, and end the others."""
    for number in range(NUM_MATCHES):
        if text_state.match_length[number]:
            if text[text_state.match_at[number]] == text[position]:
                text_state.match_at[number] += 1
                text_state.match_length[number] += 1
            else:
                text_state.match_length[number] = 0


@inlined
def match_inputs(memory: MemoryArrays, text_state: TextState, traced: Number, decision: Decision) -> Number:
    """Set the matches' inputs in row `traced` of the trace, and their places in `match_p_one`, or -1.

    Returns the prediction of the longer match: 0 for none, 1 for a zero, 2 for a one.
    """
    state, text, token_marks = memory.state, memory.text, memory.token_marks
    inputs, places = memory.trace.inputs[traced], memory.trace.matches[traced]
    index, partial = decision.index, decision.partial
    kind = 0 if index == TOKEN_BEGINS else 1
    longer = 0 if text_state.match_length[0] >= text_state.match_length[1] else 1
    match_bit = 0
    for number in range(NUM_MATCHES):
        at = 2 * NUM_CONTEXTS + 2 * number
        inputs[at] = np.float32(0)
        inputs[at + 1] = np.float32(0)
        places[number] = -1
        length = text_state.match_length[number]
        if length == 0:
            continue
        found = text_state.match_at[number]
        token_mark = 0 if token_marks[found] == MARK_INSIDE else 1
        bit = token_mark
        if index != TOKEN_BEGINS:
            expected = np.int64(text[found]) | 256
            # The partial byte is a 1, the mark and the bits so far; mark and bits must agree with the match's.
            if (2 | token_mark) << (index - 1) | ((expected >> (9 - index)) & ((1 << (index - 1)) - 1)) != partial:
                continue
            bit = (expected >> (8 - index)) & 1
        place = 2 * _length_class(length) + bit
        places[number] = place
        p_one = state.match_p_one[number, kind, place >> 1, bit]
        inputs[at] = stretch(p_one)
        inputs[at + 1] = (p_one - np.float32(0.5)) * LINEAR_INPUT_SCALE
        if number == longer:
            match_bit = 1 + bit
    return match_bit


@inlined
def _length_class(length: Number) -> Number:
    """Bin (0 to 60) of a match length in bytes: one per byte up to 15, then steps of 8 up to 143, then of 32."""
    if length < 16:
        return length
    if length < 144:
        return 16 + ((length - 16) >> 3)
    return min(32 + ((length - 144) >> 5), 60)
