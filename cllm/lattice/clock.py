"""The clock lattice: integers on four concentric rings of 12, 60, 60 and 100 places.

The first 12 lie on the innermost ring, the next 60 on the second, and so on; each 232 integers make one turn. Angles
are clockwise from the top.
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
    """Places of N integers, (N,) each: turn, ring (0 is the innermost), place on the ring, and angle in radians."""

    turn: Integers
    ring: Integers
    place: Integers
    angle: Floats

    @property
    def positions(self) -> Floats:
        """Coordinates (N, 2): x to the right and y up, on rings of radius 1 to 4."""
        directions: Floats = np.stack([np.sin(self.angle), np.cos(self.angle)], 1)
        return (self.ring + 1.0)[:, None] * directions


def clock_places(indices: Integers) -> ClockPlaces:
    """Places of the integers with these indices (N,), which begin at 0."""
    turn, within = np.divmod(indices, NUM_PLACES)
    starts = np.cumsum([0, *RINGS])
    ring = np.searchsorted(starts, within, "right") - 1
    place = within - starts[ring]
    return ClockPlaces(turn, ring, place, 2 * np.pi * place / np.array(RINGS)[ring])


def prime_places(count: int) -> tuple[Integers, ClockPlaces]:
    """The first `count` primes (count,) int64, and the places of their indices."""
    return first_primes(count), clock_places(np.arange(count))


def clock_periods() -> Floats:
    """Periods (4,), in steps, of the hands of a clock with these rings, the fastest first."""
    return np.cumprod(RINGS[::-1]).astype(np.float64)
