"""The golden-angle spiral: points that fill a disc or a sphere evenly, however many there are."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # 137.5 degrees: the turn whose multiples come nearest to each other least


def disc_points(count: int) -> Floats:
    """(N, 2): so many points of the unit disc, from the middle on (Vogel 1979, as a sunflower's seeds)."""
    number = np.arange(count)
    radius, angle = np.sqrt((number + 0.5) / max(1, count)), number * GOLDEN_ANGLE
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)  # type: ignore[no-any-return]


def sphere_points(count: int) -> Floats:
    """(N, 3): so many points of the unit sphere, from the north pole to the south (Swinbank and Purser 2006)."""
    number = np.arange(count)
    z = 1 - (2 * number + 1) / max(1, count)
    radius, angle = np.sqrt(1 - z * z), number * GOLDEN_ANGLE
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], 1)
