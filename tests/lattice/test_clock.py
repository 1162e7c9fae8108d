import numpy as np
import pytest

from cllm.lattice.clock import NUM_PLACES, RINGS, clock_periods, clock_places, prime_places


def test_every_place_of_the_face_is_taken_once_a_turn() -> None:
    places = clock_places(np.arange(3 * NUM_PLACES))
    found = list(zip(places.turn.tolist(), places.ring.tolist(), places.place.tolist(), strict=True))
    expected = [(turn, ring, place) for turn in range(3) for ring, size in enumerate(RINGS) for place in range(size)]
    assert found == expected


def test_angles_are_those_of_a_clock() -> None:
    places = clock_places(np.array([0, 3, 6, 9, 12 + 15, 72 + 30, 132 + 75]))
    assert places.ring.tolist() == [0, 0, 0, 0, 1, 2, 3]
    expected = [[0, 1], [1, 0], [0, -1], [-1, 0], [2, 0], [0, -3], [-4, 0]]
    assert places.positions == pytest.approx(np.array(expected), abs=1e-12)


def test_no_two_places_of_a_turn_are_the_same_point() -> None:
    positions = clock_places(np.arange(NUM_PLACES)).positions
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)
    assert apart[~np.eye(NUM_PLACES, dtype=bool)].min() > 0.2


def test_the_primes_come_one_after_another() -> None:
    primes, places = prime_places(13)
    assert primes.tolist() == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41]
    assert places.place.tolist() == [*range(12), 0] and places.ring.tolist() == [0] * 12 + [1]


def test_a_clocks_hands() -> None:
    assert clock_periods().tolist() == [100, 6_000, 360_000, 4_320_000]
