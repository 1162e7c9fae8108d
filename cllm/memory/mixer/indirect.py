"""Indirect contexts, as in the PAQ series: what last followed the same two bytes, or the same word.

They help where a pair of words was never seen: what followed the first word before still predicts what comes.
"""

import numpy as np

from cllm.jit.compiled import Array, Number, inlined

BYTE_PAIR, LAST_WORD = 0, 1  # tables
NUM_INDIRECT_TABLES = 2
NUM_INDIRECT_SLOTS = 1 << 16  # in each
# Columns of indirect updates, which are kept until a token is trained on.
TABLE, SLOT, VALUE = 0, 1, 2
INDIRECT_UPDATES_PER_BYTE = 2


@inlined
def word_slot(hash_: Number) -> Number:
    """Slot of a word's hash in its table."""
    return np.int64(hash_ & np.uint64(NUM_INDIRECT_SLOTS - 1))


@inlined
def byte_pair_slot(one: Number, two: Number) -> Number:
    """Slot of the last byte and the one before it."""
    return np.int64(one) | np.int64(two) << 8


@inlined
def learn_indirect(indirect: Array, indirect_updates: Array, count: Number) -> None:
    """Apply `count` updates (N, 3) to the tables (2, 2^16) uint32: the last bytes and this one, or the word."""
    for number in range(count):
        table, slot = indirect_updates[number, TABLE], indirect_updates[number, SLOT]
        value = np.uint32(indirect_updates[number, VALUE])
        if table != LAST_WORD:
            value |= indirect[table, slot] << np.uint32(8)
        indirect[table, slot] = value
