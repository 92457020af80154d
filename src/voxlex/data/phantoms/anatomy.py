"""The shape of one pseudo-subject, given by a smooth map from its own space to that of the template."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

CENTRE_MM = (0.0, -17.0, 8.0)
"""Center of the brain in MNI152 coordinates, about which heads are rotated and scaled."""

_VENTRICLES_MM = (0.0, -16.0, 14.0)
_VENTRICLES_REACH_MM = (24.0, 34.0, 20.0)


@dataclass(frozen=True, eq=False)
class SmoothField:
    """A smooth random function of space, a sum of plane waves that is defined at every point.

    Attributes:
        wavevectors: Wave vectors `(k, 3)` in radians per mm.
        phases: Phases `(k,)` in radians.
        amplitudes: Amplitudes `(k, c)` in the unit of the field.
    """

    wavevectors: Float[Tensor, "k 3"]
    phases: Float[Tensor, " k"]
    amplitudes: Float[Tensor, "k c"]

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        *,
        waves: int,
        wavelengths_mm: tuple[float, float],
        deviation: float,
        channels: int,
    ) -> "SmoothField":
        """Draw a field with a given standard deviation in each channel and wavelengths between two bounds."""
        directions = rng.normal(size=(waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        low, high = wavelengths_mm
        wavelengths = low * (high / low) ** rng.random((waves, 1))
        # The amplitude is proportional to the wavelength. So all waves cause a similar strain, and the map does not
        # fold.
        amplitudes = rng.normal(size=(waves, channels)) * wavelengths
        amplitudes *= deviation * np.sqrt(2 / np.sum(wavelengths**2))
        phases = rng.uniform(0, 2 * np.pi, waves)
        parts = (2 * np.pi * directions / wavelengths, phases, amplitudes)
        return cls(*(torch.from_numpy(part).float() for part in parts))

    def __call__(self, points_mm: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape c"]:
        """Evaluate the field at points."""
        return torch.sin(points_mm @ self.wavevectors.T + self.phases) @ self.amplitudes


@dataclass(frozen=True, eq=False)
class Anatomy:
    """How one pseudo-subject differs from the template.

    Attributes:
        linear: Rotation, scale and shear about the center of the brain, `(3, 3)`.
        shift_mm: Position of the head in mm, `(3,)`.
        warps: Smooth displacements in mm, from the shape of the whole head to the course of single gyri.
        ventricles: Growth of the ventricles, from -0.4 (slits) to 0.5 (wide).
    """

    linear: Float[Tensor, "3 3"]
    shift_mm: Float[Tensor, "3"]
    warps: tuple[SmoothField, ...]
    ventricles: float

    @classmethod
    def draw(cls, rng: np.random.Generator, *, variety: float = 1.0) -> "Anatomy":
        """Draw a subject. `variety` scales all differences from the template, and 0 gives the template itself."""
        tilt, turn = rng.normal(0, np.deg2rad(3.0) * variety, 3), rng.normal(0, 0.02 * variety, (3, 3))
        scale = 1 + rng.normal(0, 0.035 * variety) + rng.normal(0, 0.025 * variety, 3)
        linear = _rotation(tilt) @ (np.eye(3) + np.triu(turn, k=1)) @ np.diag(1 / scale)
        return cls(
            linear=torch.from_numpy(linear).float(),
            shift_mm=torch.from_numpy(rng.normal(0, 2.0 * variety, 3)).float(),
            warps=(
                SmoothField.draw(rng, waves=16, wavelengths_mm=(70.0, 180.0), deviation=2.2 * variety, channels=3),
                SmoothField.draw(rng, waves=40, wavelengths_mm=(22.0, 55.0), deviation=1.3 * variety, channels=3),
            ),
            ventricles=float(np.clip(rng.normal(0.08, 0.24) * variety, -0.4, 0.5)),
        )

    def to_template(self, points_mm: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
        """Map points of the subject to the points of the template that have the same anatomy, both in mm."""
        centre = torch.tensor(CENTRE_MM)
        points_mm = (points_mm - centre - self.shift_mm) @ self.linear.T + centre
        points_mm = points_mm + sum(warp(points_mm) for warp in self.warps)
        offset = points_mm - torch.tensor(_VENTRICLES_MM)
        nearness = torch.exp(-0.5 * (offset / torch.tensor(_VENTRICLES_REACH_MM)).square().sum(-1, keepdim=True))
        # Points are mapped closer to the center of the ventricles, which enlarges the ventricles.
        return points_mm - self.ventricles * nearness * offset


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Return the rotation about x, then y, then z, by angles in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x
