"""One 64-bit hash for contexts: multiply, add, fold (the finalizer's constants are those of splitmix64)."""

import numpy as np

from cllm.jit.compiled import Number, inlined

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FACTOR_1, FACTOR_2, FACTOR_3 = (
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
    np.uint64(0xD6E8FEB86659FD93),
)
FOLD = np.uint64(31)


@inlined
def combine(one: Number, other: Number) -> Number:
    """64-bit hash of an ordered pair of numbers."""
    mixed = (np.uint64(one) + GOLDEN) * FACTOR_1 ^ (np.uint64(other) + GOLDEN) * FACTOR_2
    mixed ^= mixed >> FOLD
    return mixed * FACTOR_3
