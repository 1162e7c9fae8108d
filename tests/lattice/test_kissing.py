"""The two arrangements of twelve kissing spheres, and the tree of spheres."""

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
def test_twelve_spheres_touch_the_centre_and_do_not_overlap(centres: np.ndarray, neighbours: int) -> None:
    assert centres.shape == (KISSING_NUMBER, 3)
    assert np.linalg.norm(centres, axis=1) == pytest.approx(1)
    distances = np.linalg.norm(centres[:, None] - centres, axis=2)[~np.eye(12, dtype=bool)].reshape(12, 11)
    assert distances.min() >= 1 - 1e-12
    assert (np.isclose(distances, 1).sum(1) == neighbours).all()
    assert np.abs(centres.sum(0)).max() < 1e-12, "the centroid is the origin"


def test_face_centred_cubic_arrangement_is_a_root_system() -> None:
    """Root system D3: the reflection in any of the vectors maps the set onto itself."""
    centres = face_centred_cubic()
    for root in centres:
        mirrored = centres - 2 * np.outer(centres @ root, root)
        assert (np.linalg.norm(mirrored[:, None] - centres, axis=2).min(1) < 1e-9).all()


def test_icosahedral_arrangement_maximizes_the_minimum_distance() -> None:
    """Some two of n points on a unit sphere are at most sqrt(4 - csc^2(pi n / (6 (n - 2)))) apart (Fejes Tóth 1943)."""
    centres = icosahedral()
    distances = np.linalg.norm(centres[:, None] - centres, axis=2)[~np.eye(12, dtype=bool)]
    assert distances.min() == pytest.approx(np.sqrt(4 - 1 / np.sin(np.pi * 12 / (6 * 10)) ** 2))


def min_gap_between_surfaces(tree: SphereTree) -> float:
    """The smallest distance between the surfaces of two spheres of the tree."""
    min_gap, size = np.inf, 500
    for begin in range(0, len(tree.radii), size):
        distances = np.linalg.norm(tree.centres[begin : begin + size, None] - tree.centres, axis=2)
        distances -= tree.radii[begin : begin + size, None] + tree.radii
        distances[np.arange(len(distances)), begin + np.arange(len(distances))] = np.inf
        min_gap = min(min_gap, float(distances.min()))
    return min_gap


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_tree_spheres_touch_their_parents_and_do_not_overlap(depth: int) -> None:
    tree = sphere_tree(depth)
    assert len(tree.radii) == sum(12**level for level in range(depth + 1))
    assert tree.parents[0] == -1 and (tree.parents[1:] < np.arange(1, len(tree.parents))).all()
    if depth:
        assert (np.bincount(tree.parents[1:]) == KISSING_NUMBER).all()
        to_parents = np.linalg.norm(tree.centres[1:] - tree.centres[tree.parents[1:]], axis=1)
        assert to_parents == pytest.approx(tree.radii[1:] + tree.radii[tree.parents[1:]])
        assert min_gap_between_surfaces(tree) > -1e-12


def test_bounding_balls_prove_that_deeper_trees_do_not_overlap() -> None:
    """Each subtree lies in a ball around its root.

    The balls of its grandchildren do not reach the root, and those of its children do not intersect each other. So no
    two spheres overlap, at any depth.
    """
    # Around a sphere of radius 1: its radius and the diameters of a child, a grandchild, and so on.
    ball = 1 + 2 * CHILD_RADIUS_RATIO / (1 - CHILD_RADIUS_RATIO)
    tree = sphere_tree(2)
    grandchildren = np.linalg.norm(tree.centres[13:], axis=1)
    assert grandchildren.min() - CHILD_RADIUS_RATIO**2 * ball > 1
    nearest = (1 + CHILD_RADIUS_RATIO) * np.sqrt(1 + CHILD_RADIUS_RATIO**2 - np.sqrt(2) * CHILD_RADIUS_RATIO)
    assert grandchildren.min() == pytest.approx(nearest), "independent of the rotation of the twelve around the axis"
    assert 2 * CHILD_RADIUS_RATIO * ball < 1 + CHILD_RADIUS_RATIO, "children are 60 degrees apart"


def test_frames_are_orthonormal() -> None:
    directions = icosahedral()
    axes = frames(directions)
    assert axes @ axes.transpose(0, 2, 1) == pytest.approx(np.broadcast_to(np.eye(3), (12, 3, 3)), abs=1e-12)
    assert axes[:, 0] == pytest.approx(directions)
