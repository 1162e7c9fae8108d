"""Greatest common divisors and residues."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def gcd_similarity(one: Integers, other: Integers) -> Floats:
    """gcd(a, b)^2 / (a b) of positive integers (any shape, broadcast): 1 if equal, 1 / (a b) if coprime.

    A positive definite kernel: the product over the primes p of p^-|e - f|, with the exponents e in a and f in b.
    """
    common = np.gcd(one, other).astype(np.float64)
    return common * common / (one.astype(np.float64) * other)


def residues(numbers: Integers, moduli: Sequence[int]) -> Integers:
    """Residues (..., M) of each number (any shape) by each of M moduli."""
    remainders: Integers = numbers[..., None] % np.array(moduli)
    return remainders


def from_residues(remainders: Integers, moduli: Sequence[int]) -> Integers:
    """Smallest non-negative integers (...,) with these residues (..., M) by coprime moduli.

    By the Chinese remainder theorem. ValueError: two moduli share a divisor, or their product exceeds 2^31.
    """
    product = 1
    for modulus in moduli:
        if np.gcd(product, modulus) != 1:
            raise ValueError(f"the moduli {tuple(moduli)} share a divisor")
        product *= modulus
    if product > 1 << 31:
        raise ValueError(f"the moduli's product {product} is beyond 2^31")
    number = np.zeros(remainders.shape[:-1], np.int64)
    for index, modulus in enumerate(moduli):
        others = product // modulus
        number += remainders[..., index] * (others * pow(others, -1, modulus) % product)
        number %= product
    return number
