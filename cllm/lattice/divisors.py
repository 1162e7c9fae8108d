"""What numbers have in common: greatest common divisors and residues."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def gcd_similarity(one: Integers, other: Integers) -> Floats:
    """gcd(a, b)^2 / (a b) of numbers from 1 on, broadcast: 1 of equals, 1 / (a b) where nothing divides both.

    A positive definite kernel: it is the product over the primes of p^-|e - f|, of the exponents e of a and f of b.
    """
    common = np.gcd(one, other).astype(np.float64)
    return common * common / (one.astype(np.float64) * other)


def residues(numbers: Integers, moduli: Sequence[int]) -> Integers:
    """(..., M): what each number leaves by each modulus."""
    remainders: Integers = numbers[..., None] % np.array(moduli)
    return remainders


def from_residues(remainders: Integers, moduli: Sequence[int]) -> Integers:
    """(...,): the least numbers that leave these residues (..., M), by moduli that share no divisor.

    The Chinese remainder theorem; ValueError where two moduli share a divisor, or where their product is beyond 2^31.
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
