"""What lines were before they were changed, so that a text can be learned for a while and then forgotten.

A text changes few of the lines; to put those back takes less time and memory than a copy of them all.
"""

from typing import NamedTuple

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.jit.prefetch import prefetch

PREFETCH_DISTANCE = 16  # lines are sent for before they are put back


class Journal(NamedTuple):
    """`is_recorded` (N / 8,) uint8: a bit for each line that is in the journal; `size` (1,) int64 of them; their
    `numbers`
    (room,) int32 and `contents` (room, 16) uint8. A journal without room keeps nothing.
    """

    is_recorded: Array
    size: Array
    numbers: Array
    contents: Array


def new_journal(slots: Array, capacity: int) -> Journal:
    """An empty journal for so many lines; what it does not come to use takes no memory."""
    capacity = min(capacity, len(slots))
    is_recorded = np.zeros(len(slots) // 8 if capacity else 0, np.uint8)
    return Journal(
        is_recorded, np.zeros(1, np.int64), np.empty(capacity, np.int32), np.empty((capacity, slots.shape[1]), np.uint8)
    )


@inlined
def record(journal: Journal, slots: Array, slot: Number) -> None:
    """Note a line that is about to be changed, the first time."""
    if len(journal.is_recorded):
        bit = np.uint8(1 << (slot & 7))
        if not journal.is_recorded[slot >> 3] & bit:
            journal.is_recorded[slot >> 3] |= bit
            count = journal.size[0]
            journal.numbers[count] = slot
            for column in range(slots.shape[1]):
                journal.contents[count, column] = slots[slot, column]
            journal.size[0] = count + 1


@compiled
def rollback(journal: Journal, slots: Array) -> None:
    """Put all lines back, and be empty."""
    for number in range(journal.size[0]):
        prefetch(slots, journal.numbers[min(number + PREFETCH_DISTANCE, journal.size[0] - 1)])
        slot = journal.numbers[number]
        for column in range(slots.shape[1]):
            slots[slot, column] = journal.contents[number, column]
        journal.is_recorded[slot >> 3] = 0
    journal.size[0] = 0
