"""Where a context's bit histories lie: in lines of 16 bytes, found by hash.

A line holds a check byte and the histories of 15 nodes: of "does a token begin here" with the first half of a byte, or
of its second half. So a byte touches two lines of each context, and what is decided one after another lies together.
"""

import numpy as np

from cllm.compiled import Number, compiled, inlined
from cllm.memory.contexts import NUM_CONTEXTS
from cllm.memory.decisions import SECOND_HALF, TOKEN_BEGINS
from cllm.memory.hashing import combine
from cllm.memory.histories import tables
from cllm.memory.journal import Journal, keep
from cllm.memory.prefetch import prefetch
from cllm.memory.state import LINE_BYTES, SEVERAL, Learned, Work, num_lines

_NEXT, SEEN, _GUESS = tables()
assert LINE_BYTES == 16


@inlined
def line_key(decision: Number, path: Number) -> Number:
    """Which of a context's lines holds a decision: 0 for the first half of ASCII bytes, the path for others."""
    if decision == TOKEN_BEGINS:
        return 0
    if decision >= SECOND_HALF:
        return path if decision == SECOND_HALF else path >> (decision - SECOND_HALF)
    return 0 if (path >> (decision - 2)) & 1 == 0 else 1


@compiled
def find_lines(learned: Learned, journal: Journal, work: Work, key: Number, current: Number, learning: bool) -> Number:
    """Find the lines of contexts that have seen several bytes for a key, unless they are the current ones; the key.

    They are -1 for other contexts.
    """
    if key != current:
        for number in range(NUM_CONTEXTS):
            if work.expected[number] == SEVERAL:
                hash_ = work.contexts[number] if key == 0 else combine(work.contexts[number], key)
                work.hashes[number] = hash_
                prefetch(learned.lines, first_of(learned, hash_))
        for number in range(NUM_CONTEXTS):
            work.lines[number] = -1
            if work.expected[number] == SEVERAL:
                work.lines[number] = find_line(learned, journal, work.hashes[number], learning)
    return key


@inlined
def expect_lines(learned: Learned, work: Work, key: Number) -> None:
    """Have the lines for a key brought near, which will be needed: what is read is known before it is predicted."""
    for number in range(NUM_CONTEXTS):
        if work.expected[number] == SEVERAL:
            prefetch(learned.lines, first_of(learned, combine(work.contexts[number], key)))


@inlined
def first_of(learned: Learned, hash_: Number) -> Number:
    """The first of the four lines among which that of a hash is."""
    return np.int64(hash_ & np.uint64(num_lines(learned) - 1)) & ~3


@compiled
def find_line(learned: Learned, journal: Journal, hash_: Number, learning: bool) -> Number:
    """Number of the line of a hash, among four neighbours (64 bytes, what the processor fetches at once).

    Where there is none: a free one or the least used, cleared; without `learning`, -1.
    """
    lines = learned.lines
    first: Number = first_of(learned, hash_)
    check = np.uint8(hash_ >> np.uint64(56)) | np.uint8(1)
    least: Number = first
    least_seen: Number = 256
    for line in range(first, first + 4):
        if lines[line, 0] == check:
            if learning:
                keep(journal, lines, line)
            return line
        if lines[line, 0] == 0:
            if not learning:
                return -1
            keep(journal, lines, line)
            lines[line, 0] = check
            return line
        seen = np.int64(SEEN[lines[line, 1]]) + np.int64(SEEN[lines[line, 2]]) + np.int64(SEEN[lines[line, 3]])
        if seen < least_seen:
            least, least_seen = line, seen
    if not learning:
        return -1
    keep(journal, lines, least)
    for place in range(LINE_BYTES):
        lines[least, place] = 0
    lines[least, 0] = check
    return least


@inlined
def node_in_line(decision: Number, path: Number) -> Number:
    """The place of a decision's history in its line, 1 to 15."""
    if decision == TOKEN_BEGINS:
        return 1
    if decision >= SECOND_HALF:
        depth = decision - SECOND_HALF
        return (1 << depth) | (path & ((1 << depth) - 1))
    depth = decision - 2  # bits of the byte before this one, the high bit left out
    starts = (path >> (decision - 1)) & 1
    return (2 << depth) | (starts << depth) | (path & ((1 << depth) - 1))
