import numpy as np
import pytest

from cllm.lattice.spiral import GOLDEN_ANGLE, disc_points, sphere_points


def test_the_golden_angle_divides_a_turn_by_the_golden_ratio() -> None:
    golden = (1 + np.sqrt(5)) / 2
    assert (2 * np.pi - GOLDEN_ANGLE) / GOLDEN_ANGLE == pytest.approx(golden)
    assert np.degrees(GOLDEN_ANGLE) == pytest.approx(137.5077640500378)


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_points_are_in_their_place(count: int) -> None:
    assert disc_points(count).shape == (count, 2) and (np.linalg.norm(disc_points(count), axis=1) < 1).all()
    assert sphere_points(count).shape == (count, 3) and np.linalg.norm(sphere_points(count), axis=1) == pytest.approx(
        np.ones(count)
    )


def test_a_disc_is_filled_evenly() -> None:
    """As many points in every ring of the same area; the nearest are hardly nearer than in the best of all packings."""
    points = disc_points(2000)
    assert (np.histogram(np.linalg.norm(points, axis=1) ** 2, 10, (0, 1))[0] == 200).all()
    assert nearest(points).min() > 0.8 * np.sqrt(np.pi / 2000)


def test_a_sphere_is_filled_evenly() -> None:
    points = sphere_points(2000)
    assert (np.histogram(points[:, 2], 10, (-1, 1))[0] == 200).all()  # Archimedes: slices of a height have one area
    assert np.abs(points.sum(0)).max() < 3
    assert nearest(points).min() > 0.8 * np.sqrt(4 * np.pi / 2000)


def nearest(points: np.ndarray) -> np.ndarray:
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(apart, np.inf)
    return apart.min(1)
