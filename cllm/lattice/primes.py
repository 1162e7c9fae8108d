"""Prime numbers, by a segmented sieve whose segments fit into the processor's cache (Bays and Hudson 1977)."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

SEGMENT_SIZE = 1 << 20  # odd numbers per segment


def primes_below(limit: int) -> npt.NDArray[np.int64]:
    """All primes below `limit`, (N,) int64, ascending."""
    return np.concatenate([np.zeros(0, np.int64), *prime_segments(limit)])


def prime_segments(limit: int) -> Iterator[npt.NDArray[np.int64]]:
    """All primes below `limit`, ascending, in arrays (n,) int64, one per segment."""
    if limit > 2:
        yield np.array([2], np.int64)
    factors = _odd_primes(math.isqrt(max(limit - 1, 0)) + 1)
    for begin in range(3, limit, 2 * SEGMENT_SIZE):
        end = min(begin + 2 * SEGMENT_SIZE, limit)
        is_prime = np.ones((end - begin + 1) // 2, np.bool_)  # of begin, begin + 2, ...
        for factor in factors[: np.searchsorted(factors, math.isqrt(end - 1), "right")].tolist():
            # From the square on: smaller multiples have a smaller factor. Odd multiples are 2 * factor apart.
            first = max(factor * factor, -(-begin // factor) * factor)
            first += factor * (first % 2 == 0)
            is_prime[(first - begin) // 2 :: factor] = False
        yield begin + 2 * np.flatnonzero(is_prime)


def _odd_primes(limit: int) -> npt.NDArray[np.int64]:
    """Odd primes below `limit`, sieved in one segment."""
    is_prime = np.ones(max(limit, 3), np.bool_)
    is_prime[:3] = False
    is_prime[4::2] = False
    for factor in range(3, math.isqrt(max(limit - 1, 0)) + 1, 2):
        if is_prime[factor]:
            is_prime[factor * factor :: 2 * factor] = False
    return np.flatnonzero(is_prime[:limit])


def first_primes(count: int) -> npt.NDArray[np.int64]:
    """The first `count` primes, (count,) int64."""
    # p(n) < n (ln n + ln ln n) from n = 6 on (Rosser 1941).
    limit = 14 if count < 6 else math.ceil(count * (math.log(count) + math.log(math.log(count)))) + 1
    return primes_below(limit)[:count]
