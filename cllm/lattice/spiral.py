"""The golden-angle spiral: any number of points, evenly spread on a disc or a sphere."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # 137.5 degrees: its multiples stay farthest apart


def disc_points(count: int) -> Floats:
    """N = `count` points (N, 2) of the unit disc, from the centre outwards (Vogel 1979, sunflower seeds)."""
    number = np.arange(count)
    radius, angle = np.sqrt((number + 0.5) / max(1, count)), number * GOLDEN_ANGLE
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)  # type: ignore[no-any-return]


def sphere_points(count: int) -> Floats:
    """N = `count` points (N, 3) of the unit sphere, from north pole to south pole (Swinbank and Purser 2006)."""
    number = np.arange(count)
    z = 1 - (2 * number + 1) / max(1, count)
    radius, angle = np.sqrt(1 - z * z), number * GOLDEN_ANGLE
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], 1)
