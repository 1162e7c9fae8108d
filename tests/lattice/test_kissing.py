import numpy as np
import pytest

from cllm.lattice.kissing import (
    CHILD_RADIUS_RATIO,
    KISSING_NUMBER,
    SphereTree,
    face_centred_cubic,
    frames,
    icosahedral,
    sphere_tree,
)


@pytest.mark.parametrize(("centres", "neighbours"), [(face_centred_cubic(), 4), (icosahedral(), 0)])
def test_all_twelve_touch_the_centre_and_none_overlaps(centres: np.ndarray, neighbours: int) -> None:
    assert centres.shape == (KISSING_NUMBER, 3)
    assert np.linalg.norm(centres, axis=1) == pytest.approx(1)
    apart = np.linalg.norm(centres[:, None] - centres, axis=2)[~np.eye(12, dtype=bool)].reshape(12, 11)
    assert apart.min() >= 1 - 1e-12
    assert (np.isclose(apart, 1).sum(1) == neighbours).all()
    assert np.abs(centres.sum(0)).max() < 1e-12, "they hold each other in balance"


def test_the_cubic_ones_are_a_root_system() -> None:
    """D3: the reflection in any of them maps them onto themselves."""
    centres = face_centred_cubic()
    for root in centres:
        mirrored = centres - 2 * np.outer(centres @ root, root)
        assert (np.linalg.norm(mirrored[:, None] - centres, axis=2).min(1) < 1e-9).all()


def test_the_icosahedral_ones_are_as_far_apart_as_twelve_can_be() -> None:
    """Fejes Tóth 1943: of n points of a sphere two are at most sqrt(4 - csc^2(pi n / (6 (n - 2)))) apart."""
    centres = icosahedral()
    apart = np.linalg.norm(centres[:, None] - centres, axis=2)[~np.eye(12, dtype=bool)]
    assert apart.min() == pytest.approx(np.sqrt(4 - 1 / np.sin(np.pi * 12 / (6 * 10)) ** 2))


def closest(tree: SphereTree) -> float:
    """The least distance between the surfaces of two spheres."""
    min_gap, size = np.inf, 500
    for begin in range(0, len(tree.radii), size):
        apart = np.linalg.norm(tree.centres[begin : begin + size, None] - tree.centres, axis=2)
        apart -= tree.radii[begin : begin + size, None] + tree.radii
        apart[np.arange(len(apart)), begin + np.arange(len(apart))] = np.inf
        min_gap = min(min_gap, float(apart.min()))
    return min_gap


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_every_sphere_of_the_tree_touches_its_parent_and_none_overlaps(depth: int) -> None:
    tree = sphere_tree(depth)
    assert len(tree.radii) == sum(12**level for level in range(depth + 1))
    assert tree.parents[0] == -1 and (tree.parents[1:] < np.arange(1, len(tree.parents))).all()
    if depth:
        assert (np.bincount(tree.parents[1:]) == KISSING_NUMBER).all()
        to_parents = np.linalg.norm(tree.centres[1:] - tree.centres[tree.parents[1:]], axis=1)
        assert to_parents == pytest.approx(tree.radii[1:] + tree.radii[tree.parents[1:]])
        assert closest(tree) > -1e-12


def test_deeper_trees_do_not_overlap_either() -> None:
    """A sphere with all that is below it is in a ball.

    Those of its grandchildren are clear of it, those of its children of each other: so nothing overlaps, at any depth.
    """
    ball = 1 + 2 * CHILD_RADIUS_RATIO / (
        1 - CHILD_RADIUS_RATIO
    )  # around a sphere of radius 1: twice a child, twice a grandchild, ...
    tree = sphere_tree(2)
    grandchildren = np.linalg.norm(tree.centres[13:], axis=1)
    assert grandchildren.min() - CHILD_RADIUS_RATIO**2 * ball > 1
    nearest = (1 + CHILD_RADIUS_RATIO) * np.sqrt(1 + CHILD_RADIUS_RATIO**2 - np.sqrt(2) * CHILD_RADIUS_RATIO)
    assert grandchildren.min() == pytest.approx(nearest), "however the twelve are turned around the axis"
    assert 2 * CHILD_RADIUS_RATIO * ball < 1 + CHILD_RADIUS_RATIO, "children are 60 degrees apart"


def test_frames_are_orthonormal() -> None:
    directions = icosahedral()
    made = frames(directions)
    assert made @ made.transpose(0, 2, 1) == pytest.approx(np.broadcast_to(np.eye(3), (12, 3, 3)), abs=1e-12)
    assert made[:, 0] == pytest.approx(directions)
