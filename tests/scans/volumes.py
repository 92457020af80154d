"""A head with a mark in its left front top corner, for tests that nothing is ever flipped."""

import numpy as np

ORIENTATIONS = ("RAS", "LAS", "LPS", "PSR", "IRP", "ASL", "oblique")

_DIRECTIONS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


def affine_of(orientation: str, *, spacing_mm: tuple[float, float, float] = (0.8, 1.0, 1.5)) -> np.ndarray:
    """`(4, 4)` from indices to RAS+ mm; "oblique" is LPS turned by 20° about two axes."""
    names = "LPS" if orientation == "oblique" else orientation
    affine = np.eye(4)
    affine[:3, :3] = np.array([_DIRECTIONS[name] for name in names], float).T * spacing_mm
    if orientation == "oblique":
        cos, sin = np.cos(np.radians(20)), np.sin(np.radians(20))
        about_x = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        about_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        affine[:3, :3] = about_x @ about_z @ affine[:3, :3]
    affine[:3, 3] = (-31.25, 12.5, 40.0)
    return affine


def marked(affine: np.ndarray, shape: tuple[int, int, int] = (12, 16, 9), *, dtype: type = np.int16) -> np.ndarray:
    """Grey values in the order of `affine`: a gradient along each axis, and 1000 in the left front top corner."""
    grid = np.indices(shape).reshape(3, -1)
    places = affine[:3, :3] @ grid
    corner = np.argmax(-places[0] + places[1] + places[2])  # left, front, top
    values = (grid * np.array([[3], [5], [7]])).sum(0)
    values[corner] = 1000
    return values.reshape(shape).astype(dtype)


def is_marked_left_front_top(voxels: np.ndarray) -> bool:
    """Whether the brightest voxel of a canonical volume lies at x = 0, y = last, z = last, and nowhere else."""
    brightest = np.argwhere(voxels == voxels.max())
    return brightest.tolist() == [[0, voxels.shape[1] - 1, voxels.shape[2] - 1]]
