"""What a context has seen as long as it was always the same: a byte and how often, in 24 bits.

Most contexts are followed by one byte only, again and again or never more. Such a run tells everything that its bit
histories would, in an eighth of the room; where another byte comes, it is told to lines of histories (`lines`), and
the context is looked up there from then on.

A run is 12 bits that check its hash, three of a count, one whether a token begins, and the byte. Sixteen of them, which
the processor fetches at once, share a place.
"""

import numpy as np

from cllm.compiled import Array, Number, compiled, inlined
from cllm.memory.contexts import FIRST_OF_TOKENS, NUM_CONTEXTS, set_contexts
from cllm.memory.decisions import HIGH_BIT, NUM_DECISIONS
from cllm.memory.hashing import combine
from cllm.memory.histories import pure_runs, tables
from cllm.memory.journal import Journal, keep
from cllm.memory.lines import find_line, first_of, line_key, node_in_line
from cllm.memory.prefetch import prefetch
from cllm.memory.state import ROW_RUNS, SEVERAL, UNKNOWN, Decided, Learned, Work, num_lines
from cllm.memory.text import Cursor

NEXT, _SEEN, _GUESS = tables()
RUN = pure_runs()  # the history of a run's length and bit
SYMBOL = np.uint32(511)  # bits of a run that hold the byte, and above it whether a token begins
ONE_MORE = np.uint32(512)
COUNT_SHIFT, CHECK_SHIFT = np.uint32(9), np.uint32(12)
MOST = 6  # that is counted: 40, and five bits more of the check, made it no better
VARIED = 7  # the count where several bytes have followed
HASH_SHIFT = np.uint64(52)  # of a hash, to its check
PLACE_RUNS = 16


@inlined
def count_of(run: Number) -> Number:
    return np.int64((run >> COUNT_SHIFT) & np.uint32(VARIED))


@inlined
def first_run(runs: Array, hash_: Number) -> Number:
    """The first of the sixteen runs among which that of a hash is."""
    return np.int64(hash_ & np.uint64(len(runs) - 1)) & ~(PLACE_RUNS - 1)


@inlined
def row_of(learned: Learned, run: Number) -> Number:
    """The row of the table in which a run lies: runs come after all lines."""
    return num_lines(learned) + run // ROW_RUNS


@compiled
def look_up(learned: Learned, work: Work, text: Array, position: Number, cursor: Cursor) -> None:
    """Set the contexts of the byte at `position`, and find what they have seen."""
    set_contexts(work.contexts, learned.followers, text, position, cursor)
    find_runs(learned, work)


@compiled
def find_runs(learned: Learned, work: Work) -> None:
    """Find what the contexts have seen."""
    for number in range(NUM_CONTEXTS):
        prefetch(learned.lines, row_of(learned, first_run(learned.runs, work.contexts[number])))
    for number in range(NUM_CONTEXTS):
        run = find_run(learned.runs, work.contexts[number])
        work.runs[number] = run
        work.expected[number] = UNKNOWN
        if run >= 0:
            value = learned.runs[run]
            count = count_of(value)
            work.counts[number] = count
            if count == VARIED:
                work.expected[number] = SEVERAL
                prefetch(learned.lines, first_of(learned, work.contexts[number]))
            else:
                work.expected[number] = np.int64(value & SYMBOL) | 512


@inlined
def find_run(runs: Array, hash_: Number) -> Number:
    """Number of the run of a hash; -1 where there is none."""
    first: Number = first_run(runs, hash_)
    check = np.uint32(hash_ >> HASH_SHIFT)
    for run in range(first, first + PLACE_RUNS):
        if runs[run] >> CHECK_SHIFT == check and count_of(runs[run]):
            return run
        if runs[run] == 0:
            return -1
    return -1


@inlined
def claim_run(learned: Learned, journal: Journal, hash_: Number) -> Number:
    """A run for a hash that has none: a free one or one of the least seen, emptied."""
    runs = learned.runs
    first: Number = first_run(runs, hash_)
    start: Number = np.int64(hash_ >> np.uint64(40))
    least: Number = first
    least_count: Number = VARIED + 1
    for place in range(PLACE_RUNS):
        run = first + place
        if runs[run] == 0:
            least = run
            break
        run = first + ((start + place) & (PLACE_RUNS - 1))
        count = count_of(runs[run])
        if count < least_count:
            least, least_count = run, count
    keep(journal, learned.lines, row_of(learned, least))
    runs[least] = np.uint32(hash_ >> HASH_SHIFT) << CHECK_SHIFT
    return least


@inlined
def note_runs(work: Work, decided: Decided, count: Number, symbol: Number) -> Number:
    """Keep in mind what followed a byte's contexts; how many bytes of the token there are then."""
    for number in range(NUM_CONTEXTS):
        decided.contexts[count, number] = work.contexts[number]
        decided.runs[count, number] = work.runs[number]
    decided.symbols[count] = symbol
    return count + 1


@compiled
def learn_runs(learned: Learned, journal: Journal, decided: Decided, count: Number) -> None:
    """Learn what followed the contexts of a token's bytes."""
    for byte in range(count):
        for number in range(NUM_CONTEXTS):
            learn_run(
                learned, journal, decided.contexts[byte, number], decided.runs[byte, number], decided.symbols[byte]
            )


@compiled
def learn_token_end(learned: Learned, journal: Journal, work: Work) -> None:
    """Learn that a token has ended, from the contexts that are no more when that is known."""
    for number in range(FIRST_OF_TOKENS, NUM_CONTEXTS):
        learn_run(learned, journal, work.contexts[number], work.runs[number], 256)


@inlined
def learn_run(learned: Learned, journal: Journal, hash_: Number, run: Number, symbol: Number) -> None:
    """Learn a byte that followed a context, whose run was found or is -1."""
    runs = learned.runs
    # It may have been claimed since, for this hash or for another one, by an earlier byte of the same token.
    if run < 0 or runs[run] >> CHECK_SHIFT != np.uint32(hash_ >> HASH_SHIFT):
        run = find_run(runs, hash_)
        if run < 0:
            run = claim_run(learned, journal, hash_)
    value = runs[run]
    count = count_of(value)
    if count == VARIED:  # its lines learn decision by decision
        return
    keep(journal, learned.lines, row_of(learned, run))
    if count == 0:
        runs[run] = value | ONE_MORE | np.uint32(symbol)
    elif np.int64(value & SYMBOL) == symbol:
        if count < MOST:
            runs[run] = value + ONE_MORE
    else:
        runs[run] = value >> CHECK_SHIFT << CHECK_SHIFT | np.uint32(VARIED) << COUNT_SHIFT
        tell_lines(learned, journal, hash_, np.int64(value & SYMBOL), count)
        tell_lines(learned, journal, hash_, symbol, 0)


@compiled
def tell_lines(learned: Learned, journal: Journal, hash_: Number, symbol: Number, count: Number) -> None:
    """Enter a run into the lines of its context; or, with a count of 0, one more byte."""
    path: Number = 1
    key: Number = -1
    line: Number = -1
    for decision in range(NUM_DECISIONS):
        bit = (symbol >> (8 - decision)) & 1
        if decision != HIGH_BIT:
            needed = line_key(decision, path)
            if needed != key:
                key = needed
                line = find_line(learned, journal, hash_ if key == 0 else combine(hash_, key), True)
            node = node_in_line(decision, path)
            history = learned.lines[line, node]
            if count == 0:
                learned.lines[line, node] = NEXT[history, bit]
            elif history == 0:
                learned.lines[line, node] = RUN[count, bit]
        path = path * 2 + bit
