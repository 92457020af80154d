"""Small heads with a mark on the right, in front, on top, written the ways that files hold volumes."""

from pathlib import Path

import nibabel
import numpy as np

RAS, LAS, PSR = (np.diag([1, 1, 1, 1.0]), np.diag([-1, 1, 1, 1.0]), np.eye(4)[:, [1, 2, 0, 3]] * [-1, 1, 1, 1])
"""Affines of 1 mm: axes of the file to the right, front and top; left, front, top; back, top, right."""

OBLIQUE = np.array([[0.9, 0.2, -0.1, 5], [-0.15, 1.1, 0.25, -7], [0.1, -0.2, 1.9, 11], [0, 0, 0, 1]])


def head(shape: tuple[int, int, int] = (40, 48, 32), *, seed: int = 0) -> np.ndarray:
    """A smooth head `(x, y, z)` in canonical order, 0 to 1000, with a mark on the right, in front, on top."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*(np.linspace(-1.25, 1.25, n) for n in shape), indexing="ij"))
    radius = np.linalg.norm(places, axis=0)
    waves = sum(np.sin(places[axis] * rng.uniform(4, 8) + rng.uniform(0, 6)) for axis in range(3))
    volume = np.where(radius < 1, 400 + 80 * waves, 0)
    mark = np.linalg.norm(places - np.array([0.5, 0.4, 0.45])[:, None, None, None], axis=0) < 0.2
    return np.where(mark, 1000, volume).astype(np.int16)


def write_volume(path: Path, canonical: np.ndarray, affine: np.ndarray = RAS) -> Path:
    """Write a volume given in canonical order the way that `affine` says files hold it."""
    codes = nibabel.orientations.axcodes2ornt(nibabel.aff2axcodes(affine))
    turn = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), codes)
    stored = nibabel.orientations.apply_orientation(canonical, turn)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(stored, affine), path)
    return path
