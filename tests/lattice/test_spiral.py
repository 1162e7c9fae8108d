"""Points of the golden-angle spiral on a disc and a sphere."""

import numpy as np
import pytest

from cllm.lattice.spiral import GOLDEN_ANGLE, disc_points, sphere_points


def test_golden_angle_divides_a_turn_by_the_golden_ratio() -> None:
    golden = (1 + np.sqrt(5)) / 2
    assert (2 * np.pi - GOLDEN_ANGLE) / GOLDEN_ANGLE == pytest.approx(golden)
    assert np.degrees(GOLDEN_ANGLE) == pytest.approx(137.5077640500378)


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_points_have_the_right_shape_and_norm(count: int) -> None:
    assert disc_points(count).shape == (count, 2) and (np.linalg.norm(disc_points(count), axis=1) < 1).all()
    assert sphere_points(count).shape == (count, 3) and np.linalg.norm(sphere_points(count), axis=1) == pytest.approx(
        np.ones(count)
    )


def test_disc_points_are_evenly_spread() -> None:
    """Rings of equal area have equally many points; the minimum distance is near that of the densest packing."""
    points = disc_points(2000)
    assert (np.histogram(np.linalg.norm(points, axis=1) ** 2, 10, (0, 1))[0] == 200).all()
    assert nearest_distances(points).min() > 0.8 * np.sqrt(np.pi / 2000)


def test_sphere_points_are_evenly_spread() -> None:
    points = sphere_points(2000)
    # Slices of equal height have equal area (Archimedes).
    assert (np.histogram(points[:, 2], 10, (-1, 1))[0] == 200).all()
    assert np.abs(points.sum(0)).max() < 3
    assert nearest_distances(points).min() > 0.8 * np.sqrt(4 * np.pi / 2000)


def nearest_distances(points: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    return distances.min(1)
