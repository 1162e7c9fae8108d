"""The clock lattice: numbers on four rings of 12, 60, 60 and 100 places, as on a clock's face.

The first twelve lie on the innermost ring, the next sixty on the second, and so on; after 232 the face is full, and the
next turn begins. Angles are those of a clock: 0 points up, and they grow to the right.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cllm.lattice.primes import first_primes

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

RINGS = (12, 60, 60, 100)
NUM_PLACES = sum(RINGS)


@dataclass(frozen=True)
class ClockPlaces:
    """Of N numbers (N,): the turn, the ring (0 is the innermost), the place on it, and its angle in radians."""

    turn: Integers
    ring: Integers
    place: Integers
    angle: Floats

    @property
    def positions(self) -> Floats:
        """(N, 2): x to the right and y up, on rings of radius 1 to 4."""
        directions: Floats = np.stack([np.sin(self.angle), np.cos(self.angle)], 1)
        return (self.ring + 1.0)[:, None] * directions


def clock_places(indices: Integers) -> ClockPlaces:
    """Where the numbers with these indices (N,), from 0 on, lie."""
    turn, within = np.divmod(indices, NUM_PLACES)
    starts = np.cumsum([0, *RINGS])
    ring = np.searchsorted(starts, within, "right") - 1
    place = within - starts[ring]
    return ClockPlaces(turn, ring, place, 2 * np.pi * place / np.array(RINGS)[ring])


def prime_places(count: int) -> tuple[Integers, ClockPlaces]:
    """The first primes, and their places."""
    return first_primes(count), clock_places(np.arange(count))


def clock_periods() -> Floats:
    """(4,): how many steps each hand of a clock with these rings takes for a turn, the fastest first."""
    return np.cumprod(RINGS[::-1]).astype(np.float64)
