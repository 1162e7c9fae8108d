import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cllm.spheres.order import FANOUT, blocks, ordered_sum, spans
from cllm.training.learner import sum_rows


def in_words(micro_batches: list[str]) -> str:
    """The order as the header of `order` writes it."""
    p = micro_batches
    fours = [f"(({p[n]} + {p[n + 1]}) + ({p[n + 2]} + {p[n + 3]}))" for n in (0, 4, 8)]
    return f"(({fours[0]} + {fours[1]}) + {fours[2]})"


class SymbolicSum(str):
    """A sum as it is written, smaller names first: addition does commute."""

    def __add__(self, other: str) -> "SymbolicSum":
        return SymbolicSum(f"({self} + {other})")


cuts = st.sets(st.integers(1, FANOUT - 1)).map(lambda inner: [0, *sorted(inner), FANOUT])


@given(cuts)
def test_blocks_of_any_spans_are_summed_in_the_one_order(ends: list[int]) -> None:
    names = [chr(ord("a") + number) for number in range(FANOUT)]
    held = {}
    for first, end in pairwise(ends):
        for block in blocks(first, end):
            values = {(n, n + 1): SymbolicSum(names[n]) for n in range(*block)}
            held[block] = ordered_sum(values)
    assert ordered_sum(held) == in_words(names)
    assert sorted(held) == sorted(block for first, end in pairwise(ends) for block in blocks(first, end))


@given(cuts)
def test_blocks_cover_a_span_and_are_few(ends: list[int]) -> None:
    for first, end in pairwise(ends):
        found = blocks(first, end)
        assert [n for block in found for n in range(*block)] == list(range(first, end))
        assert len(found) <= 5 and (len(found) == 1) == (end - first in (1, 2, 4, 12) and first % (end - first) == 0)


def test_whoever_sums_finds_the_same_bits() -> None:
    rows = torch.randn(FANOUT, 1, 1000, generator=torch.Generator().manual_seed(0))
    whole = sum_rows(rows, 0)
    for ends in ([0, 12], [0, 6, 12], [0, 4, 8, 12], [0, 3, 5, 7, 10, 12], list(range(13))):
        held = {}
        for first, end in pairwise(ends):
            for block in blocks(first, end):
                held[block] = ordered_sum({(n, n + 1): rows[n, 0].numpy() for n in range(*block)})
        assert np.array_equal(ordered_sum(held), whole.numpy()), ends
    naive = rows[:, 0].sum(0)
    assert not torch.equal(naive, whole) and torch.allclose(naive, whole, atol=1e-5)  # so the order is one of many


speeds_of = st.lists(st.floats(0.01, 100), min_size=1, max_size=FANOUT)


@given(speeds_of)
def test_spans_are_neighbours_and_no_other_dealing_would_end_earlier(speeds: list[float]) -> None:
    found = spans(speeds)
    assert [n for span in found for n in range(*span)] == list(range(FANOUT))
    slowest = max((end - first) / speed for (first, end), speed in zip(found, speeds, strict=True))
    earlier = slowest * (1 - 1e-9)  # by then, all of them together are done with fewer than twelve
    assert sum(math.floor(Fraction(speed) * Fraction(earlier)) for speed in speeds) < FANOUT


@given(speeds_of)
def test_everybody_has_one_as_long_as_speeds_are_not_known(speeds: list[float]) -> None:
    found = spans(speeds, min_per_peer=1)
    assert all(end > first for first, end in found)
    assert [n for span in found for n in range(*span)] == list(range(FANOUT))


def test_equal_machines_have_equal_spans() -> None:
    for number in (1, 2, 3, 4, 6, 12):
        assert spans([1.0] * number) == [(n * 12 // number, (n + 1) * 12 // number) for n in range(number)]
    assert spans([1.0, 3.0]) == [(0, 3), (3, 12)]
    assert spans([30.0, 1.0]) == [(0, 12), (12, 12)] and spans([30.0, 1.0], min_per_peer=1) == [(0, 11), (11, 12)]
    with pytest.raises(AssertionError):
        spans([1.0] * 13)
