"""Kissing spheres: at most 12 equal spheres touch one of the same size (Schütte and van der Waerden 1953).

Two arrangements of the 12, and a tree of spheres of any depth, in which each touches its parent and none overlaps
another. In the tree a child has about a sixth of its parent's radius: equal spheres leave no room for another level.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

KISSING_NUMBER = 12
# For a ratio s up to 0.165, trees of any depth do not overlap. A child's parent (radius 1) is on the axis of a hole, 45
# degrees from the nearest of the child's own 12; the subtree of one of these is within s^2 (1 + 2 s / (1 - s)) of its
# centre, whose distance from the parent's centre, (1 + s) sqrt(1 + s^2 - sqrt(2) s), is at least 1 more up to 0.165.
CHILD_RADIUS_RATIO = 0.16


def face_centred_cubic() -> Floats:
    """Centres (12, 3) of spheres of diameter 1 that touch one at the origin, in face-centred cubic packing.

    Each touches four of the others.
    """
    in_a_plane = np.array([(0, one, other) for one in (1, -1) for other in (1, -1)], np.float64)
    corners: Floats = np.concatenate([np.roll(in_a_plane, shift, 1) for shift in range(3)])
    return corners / math.sqrt(2)


def icosahedral() -> Floats:
    """Centres (12, 3) of spheres of diameter 1 that touch one at the origin, at the corners of an icosahedron.

    They do not touch each other: neighbours are 1.0515 apart. There is still no room for a thirteenth.
    """
    golden = (1 + math.sqrt(5)) / 2
    in_a_plane = np.array([(0, one, other * golden) for one in (1, -1) for other in (1, -1)], np.float64)
    corners: Floats = np.concatenate([np.roll(in_a_plane, shift, 1) for shift in range(3)])
    return corners / math.sqrt(1 + golden**2)


@dataclass(frozen=True)
class SphereTree:
    """N spheres in order of level, the root first: `centres` (N, 3), `radii` (N,), `parents` (N,), -1 for the root."""

    centres: Floats
    radii: Floats
    parents: Integers


def sphere_tree(depth: int) -> SphereTree:
    """A sphere of radius 1 at the origin, 12 that touch it, 12 that touch each of those, and so on, `depth` times."""
    centres, axes = np.zeros((1, 3)), np.eye(3)[None]  # of one level, and the axes x, y and z of its children
    levels, radius = [centres], 1.0
    for _ in range(depth):
        directions = face_centred_cubic() @ axes  # (n, 12, 3)
        centres = (centres[:, None] + (radius + radius * CHILD_RADIUS_RATIO) * directions).reshape(-1, 3)
        axes = frames(directions.reshape(-1, 3))
        radius *= CHILD_RADIUS_RATIO
        levels.append(centres)
    radii = np.repeat(CHILD_RADIUS_RATIO ** np.arange(depth + 1), [len(level) for level in levels])
    parents = np.arange(-1, len(radii) - 1) // KISSING_NUMBER  # -1, then twelve of each number: levels are in order
    return SphereTree(np.concatenate(levels), radii, parents)


def frames(directions: Floats) -> Floats:
    """Orthonormal axes (N, 3, 3), in rows, for unit vectors (N, 3); the first axis is the vector itself.

    The face-centred cubic arrangement has a hole on every axis, between four spheres, which thus faces the parent.
    """
    helper_axis = np.eye(3)[np.abs(directions).argmin(1)]
    second = np.cross(directions, helper_axis)
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([directions, second, np.cross(directions, second)], 1)
