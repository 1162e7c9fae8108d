"""Runs: for contexts that were always followed by the same byte, that byte and its count, in 24 bits.

A run is kept in 4 bytes, of which the high one is always 0 and is not saved.

Most contexts are followed by one byte only, once or repeatedly. A run then holds the same information as bit histories
in an eighth of the space; when another byte follows, the run is written to slots of histories (`slots`), where the
context is looked up from then on.

A run has 12 bits of hash check, 3 bits of count, 1 bit for whether a token begins, and the byte. A bucket has 16 runs,
which are one cache line.
"""

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.jit.prefetch import prefetch
from cllm.memory.mixer.contexts import FIRST_TOKEN_CONTEXT, NUM_CONTEXTS, set_contexts
from cllm.memory.mixer.decisions import HIGH_BIT, NUM_DECISIONS
from cllm.memory.mixer.hashing import combine
from cllm.memory.mixer.histories import history_tables, run_histories
from cllm.memory.mixer.journal import Journal, record
from cllm.memory.mixer.slots import bucket_start, find_slot, history_in_slot, slot_key_of
from cllm.memory.mixer.state import (
    NON_DETERMINISTIC,
    NUM_BYTES,
    RUNS_PER_ROW,
    UNKNOWN,
    ContextState,
    MixerState,
    PredictionTrace,
    num_slots,
)
from cllm.memory.mixer.text_state import TextState

NEXT_HISTORY, _HISTORY_COUNTS, _INITIAL_P_ONE = history_tables()
RUN_HISTORY = run_histories()  # the history of a run's length and bit
SYMBOL_MASK = np.uint32(511)  # bits of a run that hold the byte, and above it whether a token begins
COUNT_ONE = np.uint32(512)
COUNT_SHIFT, CHECK_SHIFT = np.uint32(9), np.uint32(12)
MAX_RUN_COUNT = 6  # a limit of 40, with five more check bits, was no better
NON_DETERMINISTIC_COUNT = 7  # the count where several bytes have followed
HASH_SHIFT = np.uint64(52)  # of a hash, to its check
RUNS_PER_BUCKET = 16


@inlined
def run_count(run: Number) -> Number:
    return np.int64((run >> COUNT_SHIFT) & np.uint32(NON_DETERMINISTIC_COUNT))


@inlined
def run_bucket_start(runs: Array, hash_: Number) -> Number:
    """Index in runs (M,) of the first of the sixteen runs in the bucket of a hash."""
    return np.int64(hash_ & np.uint64(len(runs) - 1)) & ~(RUNS_PER_BUCKET - 1)


@inlined
def row_of_run(state: MixerState, run: Number) -> Number:
    """Row of a run in the slot table, in which the runs come after all slots."""
    return num_slots(state) + run // RUNS_PER_ROW


@compiled
def look_up_contexts(
    state: MixerState, context_state: ContextState, text: Array, position: Number, text_state: TextState
) -> None:
    """Set the contexts of the byte of `text` (N,) at `position`, and look up their runs."""
    set_contexts(context_state.contexts, state.indirect, text, position, text_state)
    find_runs(state, context_state)


@compiled
def find_runs(state: MixerState, context_state: ContextState) -> None:
    """Set `runs`, `expected` and `counts` of the contexts."""
    for number in range(NUM_CONTEXTS):
        prefetch(state.slots, row_of_run(state, run_bucket_start(state.runs, context_state.contexts[number])))
    for number in range(NUM_CONTEXTS):
        run = find_run(state.runs, context_state.contexts[number])
        context_state.runs[number] = run
        context_state.expected[number] = UNKNOWN
        if run >= 0:
            value = state.runs[run]
            count = run_count(value)
            context_state.counts[number] = count
            if count == NON_DETERMINISTIC_COUNT:
                context_state.expected[number] = NON_DETERMINISTIC
                prefetch(state.slots, bucket_start(state, context_state.contexts[number]))
            else:
                context_state.expected[number] = np.int64(value & SYMBOL_MASK) | 512


@inlined
def find_run(runs: Array, hash_: Number) -> Number:
    """Index in runs (M,) of the run of a hash; -1 if there is none."""
    first: Number = run_bucket_start(runs, hash_)
    check = np.uint32(hash_ >> HASH_SHIFT)
    for run in range(first, first + RUNS_PER_BUCKET):
        if runs[run] >> CHECK_SHIFT == check and run_count(runs[run]):
            return run
        if runs[run] == 0:
            return -1
    return -1


@inlined
def claim_run(state: MixerState, journal: Journal, hash_: Number) -> Number:
    """Index of a cleared run for a hash that has none: a free one, or one with the lowest count."""
    runs = state.runs
    first: Number = run_bucket_start(runs, hash_)
    start: Number = np.int64(hash_ >> np.uint64(40))
    victim: Number = first
    victim_count: Number = NON_DETERMINISTIC_COUNT + 1
    for place in range(RUNS_PER_BUCKET):
        run = first + place
        if runs[run] == 0:
            victim = run
            break
        run = first + ((start + place) & (RUNS_PER_BUCKET - 1))
        count = run_count(runs[run])
        if count < victim_count:
            victim, victim_count = run, count
    record(journal, state.slots, row_of_run(state, victim))
    runs[victim] = np.uint32(hash_ >> HASH_SHIFT) << CHECK_SHIFT
    return victim


@inlined
def record_runs(context_state: ContextState, trace: PredictionTrace, symbol: Number) -> None:
    """Append a byte's contexts and the symbol that followed to `trace`."""
    count = trace.counts[NUM_BYTES]
    for number in range(NUM_CONTEXTS):
        trace.contexts[count, number] = context_state.contexts[number]
        trace.runs[count, number] = context_state.runs[number]
    trace.symbols[count] = symbol
    trace.counts[NUM_BYTES] = count + 1


@compiled
def learn_runs(state: MixerState, journal: Journal, trace: PredictionTrace) -> None:
    """Train the runs of the contexts of the bytes in `trace`."""
    for byte in range(trace.counts[NUM_BYTES]):
        for number in range(NUM_CONTEXTS):
            learn_run(state, journal, trace.contexts[byte, number], trace.runs[byte, number], trace.symbols[byte])


@compiled
def learn_token_end(state: MixerState, journal: Journal, context_state: ContextState) -> None:
    """Train the token contexts on the end of a token, after which they change."""
    for number in range(FIRST_TOKEN_CONTEXT, NUM_CONTEXTS):
        learn_run(state, journal, context_state.contexts[number], context_state.runs[number], 256)


@inlined
def learn_run(state: MixerState, journal: Journal, hash_: Number, run: Number, symbol: Number) -> None:
    """Train the run of a context, or its slots, on the symbol that followed; `run` is its index, or -1 if not found."""
    runs = state.runs
    # It may have been claimed since, for this hash or for another one, by an earlier byte of the same token.
    if run < 0 or runs[run] >> CHECK_SHIFT != np.uint32(hash_ >> HASH_SHIFT):
        run = find_run(runs, hash_)
        if run < 0:
            run = claim_run(state, journal, hash_)
    value = runs[run]
    count = run_count(value)
    if count == NON_DETERMINISTIC_COUNT:  # its slots are trained decision by decision
        return
    record(journal, state.slots, row_of_run(state, run))
    if count == 0:
        runs[run] = value | COUNT_ONE | np.uint32(symbol)
    elif np.int64(value & SYMBOL_MASK) == symbol:
        if count < MAX_RUN_COUNT:
            runs[run] = value + COUNT_ONE
    else:
        runs[run] = value >> CHECK_SHIFT << CHECK_SHIFT | np.uint32(NON_DETERMINISTIC_COUNT) << COUNT_SHIFT
        write_run_to_slots(state, journal, hash_, np.int64(value & SYMBOL_MASK), count)
        write_run_to_slots(state, journal, hash_, symbol, 0)


@compiled
def write_run_to_slots(state: MixerState, journal: Journal, hash_: Number, symbol: Number, count: Number) -> None:
    """Write a run to the slots of its context; or, with a count of 0, update them with one more byte."""
    partial: Number = 1
    key: Number = -1
    slot: Number = -1
    for decision in range(NUM_DECISIONS):
        bit = (symbol >> (8 - decision)) & 1
        if decision != HIGH_BIT:
            needed = slot_key_of(decision, partial)
            if needed != key:
                key = needed
                slot = find_slot(state, journal, hash_ if key == 0 else combine(hash_, key), True)
            history_index = history_in_slot(decision, partial)
            history = state.slots[slot, history_index]
            if count == 0:
                state.slots[slot, history_index] = NEXT_HISTORY[history, bit]
            elif history == 0:
                state.slots[slot, history_index] = RUN_HISTORY[count, bit]
        partial = partial * 2 + bit
