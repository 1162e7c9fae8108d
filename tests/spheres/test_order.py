"""The fixed order of summation: blocks, spans, and bit-identical sums for any division among machines."""

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


def reference_order(micro_batches: list[str]) -> str:
    """The fixed order as in the docstring of `cllm.spheres.order`, as text."""
    p = micro_batches
    fours = [f"(({p[n]} + {p[n + 1]}) + ({p[n + 2]} + {p[n + 3]}))" for n in (0, 4, 8)]
    return f"(({fours[0]} + {fours[1]}) + {fours[2]})"


class SymbolicSum(str):
    """Text that records the order of additions with parentheses."""

    def __add__(self, other: str) -> "SymbolicSum":
        return SymbolicSum(f"({self} + {other})")


CUTS = st.sets(st.integers(1, FANOUT - 1)).map(lambda inner: [0, *sorted(inner), FANOUT])


@given(CUTS)
def test_partial_sums_of_any_spans_keep_the_fixed_order(ends: list[int]) -> None:
    names = [chr(ord("a") + number) for number in range(FANOUT)]
    partial_sums = {}
    for first, end in pairwise(ends):
        for block in blocks(first, end):
            values = {(n, n + 1): SymbolicSum(names[n]) for n in range(*block)}
            partial_sums[block] = ordered_sum(values)
    assert ordered_sum(partial_sums) == reference_order(names)
    assert sorted(partial_sums) == sorted(block for first, end in pairwise(ends) for block in blocks(first, end))


@given(CUTS)
def test_blocks_cover_a_span_with_at_most_five_blocks(ends: list[int]) -> None:
    for first, end in pairwise(ends):
        found = blocks(first, end)
        assert [n for block in found for n in range(*block)] == list(range(first, end))
        assert len(found) <= 5 and (len(found) == 1) == (end - first in (1, 2, 4, 12) and first % (end - first) == 0)


def test_sums_are_bit_identical_for_any_division() -> None:
    rows = torch.randn(FANOUT, 1, 1000, generator=torch.Generator().manual_seed(0))
    expected = sum_rows(rows, 0)
    for ends in ([0, 12], [0, 6, 12], [0, 4, 8, 12], [0, 3, 5, 7, 10, 12], list(range(13))):
        partial_sums = {}
        for first, end in pairwise(ends):
            for block in blocks(first, end):
                partial_sums[block] = ordered_sum({(n, n + 1): rows[n, 0].numpy() for n in range(*block)})
        assert np.array_equal(ordered_sum(partial_sums), expected.numpy()), ends
    naive = rows[:, 0].sum(0)
    # Another order gives other bits.
    assert not torch.equal(naive, expected) and torch.allclose(naive, expected, atol=1e-5)


SPEEDS = st.lists(st.floats(0.01, 100), min_size=1, max_size=FANOUT)


@given(SPEEDS)
def test_spans_are_contiguous_and_optimal(speeds: list[float]) -> None:
    found = spans(speeds)
    assert [n for span in found for n in range(*span)] == list(range(FANOUT))
    slowest = max((end - first) / speed for (first, end), speed in zip(found, speeds, strict=True))
    earlier_end = slowest * (1 - 1e-9)  # until then, fewer than twelve positions can be done
    assert sum(math.floor(Fraction(speed) * Fraction(earlier_end)) for speed in speeds) < FANOUT


@given(SPEEDS)
def test_min_per_peer_gives_every_machine_a_position(speeds: list[float]) -> None:
    found = spans(speeds, min_per_peer=1)
    assert all(end > first for first, end in found)
    assert [n for span in found for n in range(*span)] == list(range(FANOUT))


def test_spans_of_equal_and_unequal_machines() -> None:
    for number in (1, 2, 3, 4, 6, 12):
        assert spans([1.0] * number) == [(n * 12 // number, (n + 1) * 12 // number) for n in range(number)]
    assert spans([1.0, 3.0]) == [(0, 3), (3, 12)]
    assert spans([30.0, 1.0]) == [(0, 12), (12, 12)] and spans([30.0, 1.0], min_per_peer=1) == [(0, 11), (11, 12)]
    with pytest.raises(AssertionError):
        spans([1.0] * 13)
