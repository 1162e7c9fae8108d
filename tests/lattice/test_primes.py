"""The segmented sieve against trial division and known counts."""

import numpy as np
import pytest

from cllm.lattice.primes import SEGMENT_SIZE, first_primes, prime_segments, primes_below

# pi(10^n), A006880.
COUNTS = {1: 4, 2: 25, 3: 168, 4: 1229, 5: 9592, 6: 78498, 7: 664579, 8: 5761455}


@pytest.mark.parametrize("power", COUNTS)
def test_number_of_primes_matches_known_counts(power: int) -> None:
    assert sum(map(len, prime_segments(10**power))) == COUNTS[power]


def is_prime(number: int) -> bool:
    """By trial division."""
    return number > 1 and all(number % factor for factor in range(2, int(number**0.5) + 1))


@pytest.mark.parametrize("limit", [-5, 0, 1, 2, 3, 4, 5, 9, 10, 25, 26, 49, 50, 121, 122, 500])
def test_primes_below_match_trial_division(limit: int) -> None:
    assert primes_below(limit).tolist() == [number for number in range(limit) if is_prime(number)]


@pytest.mark.parametrize("limit", [3 + 2 * SEGMENT_SIZE + k for k in range(-3, 4)])
def test_segments_join_without_a_gap(limit: int) -> None:
    found = primes_below(limit)
    around = range(2 * SEGMENT_SIZE - 50, limit)
    assert found[found >= around[0]].tolist() == [number for number in around if is_prime(number)]
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 7, 100, 10_000])
def test_first_primes_returns_the_requested_number(count: int) -> None:
    found = first_primes(count)
    assert len(found) == count and (found == primes_below(200_000)[:count]).all()


def test_ten_thousandth_prime() -> None:
    assert first_primes(10_000)[-1] == 104_729
