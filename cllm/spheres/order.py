"""In which order twelve are summed, whoever holds them: pairs, pairs of pairs, then the three fours.

    ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)) + ((8 + 9) + (10 + 11))

Floating-point sums depend on their order, so there is one, and it belongs to the plan and not to the processes. In this
one neighbours can be summed by whoever has them before anything travels: of three machines with four positions each,
one sum from each is the same bits as twelve gradients that travel, and a quarter of the bytes.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol, Self, TypeVar

FANOUT = 12  # of a sphere in a step, one for each that touches its control node
FOUR = 4

Block = tuple[int, int]  # positions from the first to before the second


class Addable(Protocol):
    """What can be summed; `+` makes a new one."""

    def __add__(self, other: Self, /) -> Self: ...


T = TypeVar("T", bound=Addable)


def blocks(first: int, end: int) -> list[Block]:
    """The fewest sums that hold positions `first` to before `end`, and may be done before those beside them are there.

    All twelve are one; else fours, pairs and single positions that begin where the order has them begin.
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
    """The sum in the one order, of blocks that are beside each other and make twelve, or one of `blocks` again."""
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
    """Twelve positions for at most as many machines, by their speeds: neighbours for each, and for all
    `min_per_peer`, 0 or 1.

    Each next one goes to whoever would be done with it first.
    """
    assert 1 <= len(speeds) <= FANOUT and min(speeds) > 0
    counts = [min_per_peer] * len(speeds)
    for _ in range(FANOUT - sum(counts)):
        counts[min(range(len(speeds)), key=lambda rank: (counts[rank] + 1) / speeds[rank])] += 1
    ends = list(accumulate(counts))
    return [(end - count, end) for end, count in zip(ends, counts, strict=True)]
