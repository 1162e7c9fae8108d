"""Journal of the slot table: the former content of changed slots, to roll back the training on a text.

A text changes few of the slots; restoring those takes less time and memory than a copy of the table. A journal can be
divided into sections, so that the training on the end of a text alone can be rolled back.
"""

from typing import NamedTuple

import numpy as np

from cllm.jit.compiled import Array, Number, compiled, inlined
from cllm.jit.prefetch import prefetch

PREFETCH_DISTANCE = 16  # slots that are prefetched ahead of the one that is restored


class Journal(NamedTuple):
    """Changed slots of a table of N slots, at most C = `capacity` of them; with a capacity of 0 nothing is recorded.

    `is_recorded` (N / 8,) uint8: a bit for each slot that is in the last section. `size` (1,) int64: the number of
    entries. `numbers` (C,) int32: indices of slots. `contents` (C, 16) uint8: their former content.
    """

    is_recorded: Array
    size: Array
    numbers: Array
    contents: Array


def new_journal(slots: Array, capacity: int, *, has_sections: bool = False) -> Journal:
    """An empty journal of slots (N, 16) with room for `capacity` of them; pages that are not used take no memory.

    `has_sections`: a slot may be recorded more than once.
    """
    capacity = capacity if has_sections else min(capacity, len(slots))
    is_recorded = np.zeros(len(slots) // 8 if capacity else 0, np.uint8)
    return Journal(
        is_recorded, np.zeros(1, np.int64), np.empty(capacity, np.int32), np.empty((capacity, slots.shape[1]), np.uint8)
    )


@inlined
def record(journal: Journal, slots: Array, slot: Number) -> None:
    """Record a slot of slots (N, 16) that is about to change, unless it is recorded."""
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
def begin_section(journal: Journal) -> int:
    """Record slots again from here on, also those that are in the journal; return its size."""
    for number in range(journal.size[0]):
        journal.is_recorded[journal.numbers[number] >> 3] = 0
    return int(journal.size[0])


@compiled
def rollback(journal: Journal, slots: Array, size: int) -> None:
    """Restore the slots (N, 16) that were recorded after the first `size` entries, and drop those entries.

    `size` is the journal's at the begin of a section, 0 for all.
    """
    for number in range(journal.size[0] - 1, size - 1, -1):  # of a slot in several sections, the oldest content is last
        prefetch(slots, journal.numbers[max(number - PREFETCH_DISTANCE, size)])
        slot = journal.numbers[number]
        for column in range(slots.shape[1]):
            slots[slot, column] = journal.contents[number, column]
        journal.is_recorded[slot >> 3] = 0
    journal.size[0] = size
