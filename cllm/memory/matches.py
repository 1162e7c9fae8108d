"""Matches: where the last bytes were seen before, and what followed them there."""

import numpy as np

from cllm.compiled import Array, Number, compiled, inlined
from cllm.memory.contexts import NUM_CONTEXTS
from cllm.memory.decisions import INSIDE, TOKEN_BEGINS
from cllm.memory.hashing import combine
from cllm.memory.mixing import CONFIDENCE, stretch
from cllm.memory.state import MATCH_SLOTS, NUM_MATCHES, Learned
from cllm.memory.text import TEXT_START, Cursor

MIN_MATCH = (6, 14)  # bytes, of the two matches
LONGEST_MATCH = 400


@compiled
def find_matches(learned: Learned, cursor: Cursor, text: Array, position: Number, learning: bool) -> None:
    """Where nothing is being matched, look up where the last bytes were seen; if learning, note that they are here."""
    for number in range(NUM_MATCHES):
        least = MIN_MATCH[number]
        if position - cursor.numbers[TEXT_START] < least:
            continue
        slot = _slot(text, position, number)
        candidate: Number = np.int64(learned.match_slots[number, slot])
        if learning:
            learned.match_slots[number, slot] = position
        if cursor.match_length[number] == 0 and candidate > 0:
            length = 0
            while (
                length < min(candidate, LONGEST_MATCH) and text[candidate - 1 - length] == text[position - 1 - length]
            ):
                length += 1
            if length >= least:
                cursor.match_at[number] = candidate
                cursor.match_length[number] = length


@inlined
def _slot(text: Array, position: Number, number: Number) -> Number:
    """Where it is noted for a match where the bytes before a position were seen last."""
    hash_ = np.uint64(0)
    least: Number = MIN_MATCH[number]
    for back in range(1, least + 1):
        hash_ = hash_ * np.uint64(0x2F0B4C47) + np.uint64(text[position - back]) + np.uint64(1)
    return np.int64(combine(hash_, number) & np.uint64(MATCH_SLOTS - 1))


@compiled
def note_places(learned: Learned, text: Array, begin: Number, end: Number) -> None:
    """Let a text be found by matches from here on."""
    for number in range(NUM_MATCHES):
        for position in range(begin + MIN_MATCH[number], end):
            learned.match_slots[number, _slot(text, position, number)] = position


@compiled
def follow_matches(cursor: Cursor, text: Array, position: Number) -> None:
    """Go on with the matches that were right, end the others."""
    for number in range(NUM_MATCHES):
        if cursor.match_length[number]:
            if text[cursor.match_at[number]] == text[position]:
                cursor.match_at[number] += 1
                cursor.match_length[number] += 1
            else:
                cursor.match_length[number] = 0


@inlined
def match_inputs(
    learned: Learned,
    inputs: Array,
    places: Array,
    cursor: Cursor,
    text: Array,
    marks: Array,
    decision: Number,
    path: Number,
) -> Number:
    """Set what the matches say; 0 where the longer of them says nothing, 1 for a zero, 2 for a one."""
    kind = 0 if decision == TOKEN_BEGINS else 1
    longer = 0 if cursor.match_length[0] >= cursor.match_length[1] else 1
    says = 0
    for number in range(NUM_MATCHES):
        at = 2 * NUM_CONTEXTS + 2 * number
        inputs[at] = np.float32(0)
        inputs[at + 1] = np.float32(0)
        places[number] = -1
        length = cursor.match_length[number]
        if length == 0:
            continue
        found = cursor.match_at[number]
        mark = 0 if marks[found] == INSIDE else 1
        bit = mark
        if decision != TOKEN_BEGINS:
            expected = np.int64(text[found]) | 256
            # The path is a 1, the mark and the bits so far; the byte's bits so far must agree, and the mark.
            if (2 | mark) << (decision - 1) | ((expected >> (9 - decision)) & ((1 << (decision - 1)) - 1)) != path:
                continue
            bit = (expected >> (8 - decision)) & 1
        place = 2 * _length_class(length) + bit
        places[number] = place
        chance = learned.match_chance[number, kind, place >> 1, bit]
        inputs[at] = stretch(chance)
        inputs[at + 1] = (chance - np.float32(0.5)) * CONFIDENCE
        if number == longer:
            says = 1 + bit
    return says


@inlined
def _length_class(length: Number) -> Number:
    """0 to 60: single lengths up to 15, then eights up to 143, then steps of 32."""
    if length < 16:
        return length
    if length < 144:
        return 16 + ((length - 16) >> 3)
    return min(32 + ((length - 144) >> 5), 60)
