"""The gcd similarity kernel, and residues with their inverse by the Chinese remainder theorem."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.lattice.divisors import from_residues, gcd_similarity, residues


def test_gcd_similarity_matches_the_formula() -> None:
    numbers = np.arange(1, 61)
    found = gcd_similarity(numbers[:, None], numbers)
    reference = [[math.gcd(a, b) ** 2 / (a * b) for b in range(1, 61)] for a in range(1, 61)]
    assert found == pytest.approx(np.array(reference))
    assert (np.diag(found) == 1).all() and (found == found.T).all()


def test_gcd_similarity_is_positive_definite() -> None:
    numbers = np.arange(1, 200)
    assert np.linalg.eigvalsh(gcd_similarity(numbers[:, None], numbers)).min() > 0


@given(st.lists(st.integers(0, 12 * 5 * 7 * 11 - 1), max_size=20))
def test_from_residues_inverts_residues(numbers: list[int]) -> None:
    moduli = (12, 5, 7, 11)
    found = residues(np.array(numbers, np.int64), moduli)
    assert found.tolist() == [[number % modulus for modulus in moduli] for number in numbers]
    assert from_residues(found, moduli).tolist() == numbers


@given(st.integers(0, (1 << 31) - 2))
def test_large_moduli_do_not_overflow(number: int) -> None:
    assert from_residues(residues(np.array([number]), ((1 << 31) - 1,)), ((1 << 31) - 1,)).tolist() == [number]


@pytest.mark.parametrize("moduli", [(12, 60), (2, 2), (1 << 16, (1 << 16) + 1)])
def test_invalid_moduli_are_rejected(moduli: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        from_residues(np.zeros((1, len(moduli)), np.int64), moduli)
