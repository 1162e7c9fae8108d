"""What lines were before they were changed, so that a text can be learned for a while and then forgotten.

A text changes few of the lines; to put those back takes less time and memory than a copy of them all.
"""

from typing import NamedTuple

import numpy as np

from cllm.compiled import Array, Number, compiled, inlined
from cllm.memory.prefetch import prefetch

AHEAD = 16  # lines are sent for before they are put back


class Journal(NamedTuple):
    """`kept` (N / 8,) uint8: a bit for each line that is in the journal; `size` (1,) int64 of them; their `numbers`
    (room,) int32 and `contents` (room, 16) uint8. A journal without room keeps nothing.
    """

    kept: Array
    size: Array
    numbers: Array
    contents: Array


def new_journal(lines: Array, room: int) -> Journal:
    """An empty journal for so many lines; what it does not come to use takes no memory."""
    room = min(room, len(lines))
    kept = np.zeros(len(lines) // 8 if room else 0, np.uint8)
    return Journal(kept, np.zeros(1, np.int64), np.empty(room, np.int32), np.empty((room, lines.shape[1]), np.uint8))


@inlined
def keep(journal: Journal, lines: Array, line: Number) -> None:
    """Note a line that is about to be changed, the first time."""
    if len(journal.kept):
        bit = np.uint8(1 << (line & 7))
        if not journal.kept[line >> 3] & bit:
            journal.kept[line >> 3] |= bit
            count = journal.size[0]
            journal.numbers[count] = line
            for place in range(lines.shape[1]):
                journal.contents[count, place] = lines[line, place]
            journal.size[0] = count + 1


@compiled
def undo(journal: Journal, lines: Array) -> None:
    """Put all lines back, and be empty."""
    for number in range(journal.size[0]):
        prefetch(lines, journal.numbers[min(number + AHEAD, journal.size[0] - 1)])
        line = journal.numbers[number]
        for place in range(lines.shape[1]):
            lines[line, place] = journal.contents[number, place]
        journal.kept[line >> 3] = 0
    journal.size[0] = 0
