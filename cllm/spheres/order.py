"""The fixed order in which the 12 gradients of a step are summed: pairs, pairs of pairs, then the three fours.

    ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)) + ((8 + 9) + (10 + 11))

A step of a sphere has twelve positions, 0 to 11, each a micro-batch or the twelve of a sphere below. Floating-point
addition is not associative, so the order is fixed and does not depend on which process holds which position.
Neighbouring positions can be summed locally before they are sent: with three machines of four positions each, three
sums give the same bits as twelve gradients, with a quarter of the bytes sent.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol, Self, TypeVar

FANOUT = 12  # positions of a sphere in a step, and the maximum number of its workers
FOUR = 4

Block = tuple[int, int]  # (first, end): positions first to end - 1


class Addable(Protocol):
    """A type with `+` that returns a new object."""

    def __add__(self, other: Self, /) -> Self: ...


T = TypeVar("T", bound=Addable)


def blocks(first: int, end: int) -> list[Block]:
    """The fewest blocks that cover positions `first` to `end` - 1 and that the fixed order sums independently.

    All twelve are one block; otherwise aligned blocks of four, two and one.
    """
    if (first, end) == (0, FANOUT):
        return [(first, end)]
    found = []
    while first < end:
        size = next(size for size in (FOUR, 2, 1) if first % size == 0 and first + size <= end)
        found.append((first, first + size))
        first += size
    return found


def ordered_sum(values: Mapping[Block, T]) -> T:
    """The sum of adjacent blocks in the fixed order; together they cover all twelve positions or one of `blocks`."""
    values = dict(values)
    for size in (1, 2):
        for begin in range(0, FANOUT, 2 * size):
            left, right = (begin, begin + size), (begin + size, begin + 2 * size)
            if left in values and right in values:
                values[begin, begin + 2 * size] = values.pop(left) + values.pop(right)
    total, *others = [values[block] for block in sorted(values)]
    for other in others:
        total = total + other
    return total


def spans(speeds: Sequence[float], min_per_peer: int = 0) -> list[Block]:
    """Divide the twelve positions among at most 12 machines by their speeds: a contiguous block for each.

    Each machine gets at least `min_per_peer` (0 or 1) positions. Greedy: the next position goes to the machine that
    would finish it first.
    """
    assert 1 <= len(speeds) <= FANOUT and min(speeds) > 0
    counts = [min_per_peer] * len(speeds)
    for _ in range(FANOUT - sum(counts)):
        counts[min(range(len(speeds)), key=lambda rank: (counts[rank] + 1) / speeds[rank])] += 1
    ends = list(accumulate(counts))
    return [(end - count, end) for end, count in zip(ends, counts, strict=True)]
