"""The clock lattice: places of integers and primes on its rings."""

import numpy as np
import pytest

from cllm.lattice.clock import NUM_PLACES, RINGS, clock_periods, clock_places, prime_places


def test_each_turn_visits_every_place_once() -> None:
    places = clock_places(np.arange(3 * NUM_PLACES))
    found = list(zip(places.turn.tolist(), places.ring.tolist(), places.place.tolist(), strict=True))
    expected = [(turn, ring, place) for turn in range(3) for ring, size in enumerate(RINGS) for place in range(size)]
    assert found == expected


def test_positions_are_clockwise_from_the_top() -> None:
    places = clock_places(np.array([0, 3, 6, 9, 12 + 15, 72 + 30, 132 + 75]))
    assert places.ring.tolist() == [0, 0, 0, 0, 1, 2, 3]
    expected = [[0, 1], [1, 0], [0, -1], [-1, 0], [2, 0], [0, -3], [-4, 0]]
    assert places.positions == pytest.approx(np.array(expected), abs=1e-12)


def test_places_of_a_turn_are_distinct_points() -> None:
    positions = clock_places(np.arange(NUM_PLACES)).positions
    distances = np.linalg.norm(positions[:, None] - positions, axis=2)
    assert distances[~np.eye(NUM_PLACES, dtype=bool)].min() > 0.2


def test_primes_take_consecutive_places() -> None:
    primes, places = prime_places(13)
    assert primes.tolist() == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41]
    assert places.place.tolist() == [*range(12), 0] and places.ring.tolist() == [0] * 12 + [1]


def test_clock_periods_are_cumulative_products_of_the_rings() -> None:
    assert clock_periods().tolist() == [100, 6_000, 360_000, 4_320_000]
