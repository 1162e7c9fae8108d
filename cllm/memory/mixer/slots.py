"""Hash table of bit histories: slots of 16 bytes, in buckets of four.

A slot holds a check byte and 15 histories: those of "does a token begin here" and the first half of a byte, or those of
its second half. So a byte touches two slots of each context, and consecutive decisions are in the same cache line.
"""

import numpy as np

from cllm.jit.compiled import Number, compiled, inlined
from cllm.jit.prefetch import prefetch
from cllm.memory.mixer.contexts import NUM_CONTEXTS
from cllm.memory.mixer.decisions import LOW_NIBBLE, TOKEN_BEGINS
from cllm.memory.mixer.hashing import combine
from cllm.memory.mixer.histories import history_tables
from cllm.memory.mixer.journal import Journal, record
from cllm.memory.mixer.state import NON_DETERMINISTIC, SLOT_BYTES, ContextState, MixerState, num_slots

_NEXT_HISTORY, HISTORY_COUNTS, _INITIAL_P_ONE = history_tables()
assert SLOT_BYTES == 16


@inlined
def slot_key_of(decision: Number, partial: Number) -> Number:
    """Key of the slot that holds the history of a decision other than HIGH_BIT.

    0 for whether a token begins and the first half of an ASCII byte, 1 for the first half of another byte; for the
    second half the partial byte before it.
    """
    if decision == TOKEN_BEGINS:
        return 0
    if decision >= LOW_NIBBLE:
        return partial if decision == LOW_NIBBLE else partial >> (decision - LOW_NIBBLE)
    return 0 if (partial >> (decision - 2)) & 1 == 0 else 1


@compiled
def find_slots(
    state: MixerState, journal: Journal, context_state: ContextState, key: Number, current: Number, is_learning: bool
) -> Number:
    """Set `context_state.slots` for a key, unless it is the current one; returns the key.

    Slots are set for contexts that were followed by several bytes (NON_DETERMINISTIC); for others they are -1.
    """
    if key != current:
        for number in range(NUM_CONTEXTS):
            if context_state.expected[number] == NON_DETERMINISTIC:
                hash_ = context_state.contexts[number] if key == 0 else combine(context_state.contexts[number], key)
                context_state.hashes[number] = hash_
                prefetch(state.slots, bucket_start(state, hash_))
        for number in range(NUM_CONTEXTS):
            context_state.slots[number] = -1
            if context_state.expected[number] == NON_DETERMINISTIC:
                context_state.slots[number] = find_slot(state, journal, context_state.hashes[number], is_learning)
    return key


@inlined
def prefetch_slots(state: MixerState, context_state: ContextState, key: Number) -> None:
    """Prefetch the slots of a key that will be needed: in training the byte is known before it is predicted."""
    for number in range(NUM_CONTEXTS):
        if context_state.expected[number] == NON_DETERMINISTIC:
            prefetch(state.slots, bucket_start(state, combine(context_state.contexts[number], key)))


@inlined
def bucket_start(state: MixerState, hash_: Number) -> Number:
    """Index of the first of the four slots in the bucket of a hash."""
    return np.int64(hash_ & np.uint64(num_slots(state) - 1)) & ~3


@compiled
def find_slot(state: MixerState, journal: Journal, hash_: Number, is_learning: bool) -> Number:
    """Index of the slot of a hash, in a bucket of four (64 bytes, a cache line).

    If there is none: a free one, or the least used one, cleared; without `is_learning`, -1.
    """
    slots = state.slots
    first: Number = bucket_start(state, hash_)
    check = np.uint8(hash_ >> np.uint64(56)) | np.uint8(1)
    victim: Number = first
    victim_seen: Number = 256
    for slot in range(first, first + 4):
        if slots[slot, 0] == check:
            if is_learning:
                record(journal, slots, slot)
            return slot
        if slots[slot, 0] == 0:
            if not is_learning:
                return -1
            record(journal, slots, slot)
            slots[slot, 0] = check
            return slot
        seen = (
            np.int64(HISTORY_COUNTS[slots[slot, 1]])
            + np.int64(HISTORY_COUNTS[slots[slot, 2]])
            + np.int64(HISTORY_COUNTS[slots[slot, 3]])
        )
        if seen < victim_seen:
            victim, victim_seen = slot, seen
    if not is_learning:
        return -1
    record(journal, slots, victim)
    for column in range(SLOT_BYTES):
        slots[victim, column] = 0
    slots[victim, 0] = check
    return victim


@inlined
def history_in_slot(decision: Number, partial: Number) -> Number:
    """Index of a decision's history in its slot, 1 to 15."""
    if decision == TOKEN_BEGINS:
        return 1
    if decision >= LOW_NIBBLE:
        depth = decision - LOW_NIBBLE
        return (1 << depth) | (partial & ((1 << depth) - 1))
    depth = decision - 2  # bits of the byte before this one, the high bit left out
    begins_token = (partial >> (decision - 1)) & 1
    return (2 << depth) | (begins_token << depth) | (partial & ((1 << depth) - 1))
