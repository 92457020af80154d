"""Turn tissue into gray values, with the contrast, coil shading, blur and noise of one pseudo-scan."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from voxlex.config.options import Contrast
from voxlex.data.phantoms.anatomy import CENTRE_MM, SmoothField

_LEVELS: dict[str, tuple[float, float, float, float]] = {
    # Means of cerebrospinal fluid, gray and white matter, and the sign and strength of the T1 texture.
    "t1": (0.16, 0.52, 0.80, 1.0),
    "t2": (0.92, 0.50, 0.32, -0.7),
    "pd": (0.66, 0.78, 0.58, -0.5),
}


@dataclass(frozen=True, eq=False)
class Scanner:
    """The settings of one pseudo-scan.

    Attributes:
        levels: Weights of cerebrospinal fluid, gray matter, white matter and texture, `(4,)`.
        bias: Logarithm of the smooth shading by the receive coil.
        blur: Standard deviation of the point spread in pixels.
        noise: Standard deviation of the noise in each of the two receive channels, relative to full scale.
    """

    levels: Float[Tensor, "4"]
    bias: SmoothField
    blur: float
    noise: float

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, contrast: Contrast, variety: float = 1.0, noise: float = 1.0
    ) -> "Scanner":
        """Draw settings. `variety` scales the differences between scans, and `noise` scales the noise."""
        levels = np.array(_LEVELS[contrast])
        levels[:3] *= 1 + rng.normal(0, 0.03 * variety, 3)
        levels *= 1 + rng.normal(0, 0.06 * variety)
        return cls(
            levels=torch.from_numpy(levels).float(),
            bias=SmoothField.draw(rng, waves=6, wavelengths_mm=(250.0, 500.0), deviation=0.09 * variety, channels=1),
            blur=float(rng.uniform(0.25, 0.25 + 0.4 * variety)),
            noise=float(rng.uniform(0.006, 0.016) * noise),
        )

    def signal(self, maps: Float[Tensor, "4 *shape"], points_mm: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape"]:
        """Return the signal, before noise, of the tissue `maps` of a template at the points of a subject."""
        tissue = torch.tensordot(self.levels, maps, dims=1).clamp_min(0)
        # Shading relative to the center makes one side brighter than the other, but not the whole scan.
        shading = self.bias(points_mm) - self.bias(torch.tensor(CENTRE_MM))
        return tissue * torch.exp(shading.squeeze(-1))

    def detect(self, slices: Float[Tensor, "n h w"], rng: np.random.Generator) -> Float[Tensor, "n h w"]:
        """Blur slices, add Rician noise (the magnitude of a complex signal with normal noise), and clip to [0, 1]."""
        blurred = _blur(slices, self.blur)
        real, imaginary = (torch.from_numpy(rng.normal(0, self.noise, slices.shape)).float() for _ in range(2))
        return torch.hypot(blurred + real, imaginary).clamp(0, 1)


def _blur(slices: Float[Tensor, "n h w"], deviation: float) -> Float[Tensor, "n h w"]:
    taps = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / deviation).square())
    taps = taps / taps.sum()
    rows = torch.nn.functional.conv2d(slices[:, None], taps.reshape(1, 1, 5, 1), padding=(2, 0))
    return torch.nn.functional.conv2d(rows, taps.reshape(1, 1, 1, 5), padding=(0, 2))[:, 0]
