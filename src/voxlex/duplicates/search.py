"""Find the few pairs of images that can be near-duplicates, by a bound on their correlation under all flips.

The details of an image are a unit vector of frequencies, which fall into four classes. A flip changes only the signs of
classes (`parity_classes`). With `P` a projection of each class onto some orthonormal axes, and `r` the length of what
the projection loses of an image,

    correlation(i, j) = Σ_c s_c ⟨d_ic, d_jc⟩ ≤ Σ_c s_c ⟨P d_ic, P d_jc⟩ + r_i r_j    for each flip, with its signs `s`,

by the inequality of Cauchy and Schwarz. The bound holds for any axes. The principal axes of a sample of the images make
it tight: heads are so similar that 144 numbers contain nearly all information of 1,088.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from voxlex.duplicates.components import Components
from voxlex.duplicates.details import details_of, parity_classes
from voxlex.rows import evenly_spaced

Candidates = tuple[np.ndarray, np.ndarray]
"""Numbers `(p,)` of the first and the second images of pairs, the first smaller than the second."""

_AXES = 144  # in all four classes together
_SAMPLE = 1024  # images from which principal axes are computed; fewer images are compared in full instead
_BATCH = 256  # images whose details fit into a processor's cache
_TILE = (256, 1024)
_SLACK = 1e-4  # rounding in float32, many times over


@dataclass(frozen=True, eq=False)
class Sketch:
    """The data about images that the bound needs. Images without contrast are left out.

    Attributes:
        steady: Projections of the class of even frequencies, then `r`, then those of the class of odd frequencies.
        turning: Projections of the two classes in between.
        signs: -1 for the columns of `steady` that belong to odd frequencies, and 1 for the others.
        turning_signs: 1 for the columns of the first class in `turning`, and -1 for those of the other.
        images: Index of each image.
    """

    steady: Float[np.ndarray, "n k"]
    turning: Float[np.ndarray, "n l"]
    signs: Float[np.ndarray, " k"]
    turning_signs: Float[np.ndarray, " l"]
    images: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, thumbnails: Float[np.ndarray, "n 32 34"]) -> "Sketch":
        """Compute the sketch of images from their thumbnails."""
        axes = _principal_axes(thumbnails)
        steady, turning, images = [], [], []
        for start in range(0, max(len(thumbnails), 1), _BATCH):
            details = details_of(thumbnails[start : start + _BATCH])
            shows = np.flatnonzero(details.any(axis=(1, 2)))
            classes = parity_classes(details[shows])
            even, across, down, odd = (classes[:, number] @ axes[number] for number in range(4))
            kept = sum(np.square(part).sum(axis=1, keepdims=True) for part in (even, across, down, odd))
            lost = np.sqrt((1 - kept).clip(0) + 1e-6)  # the root of what rounding may hide
            steady.append(np.hstack([even, lost, odd]))
            turning.append(np.hstack([across, down]))
            images.append(shows + start)
        signs = np.repeat(np.array([1, -1], np.float32), [axes[0].shape[1] + 1, axes[3].shape[1]])
        turning_signs = np.repeat(np.array([1, -1], np.float32), [axes[1].shape[1], axes[2].shape[1]])
        return cls(np.concatenate(steady), np.concatenate(turning), signs, turning_signs, np.concatenate(images))

    def bounds(self, rows: slice, columns: slice) -> Float[np.ndarray, "rows columns"]:
        """Return an upper bound of the correlations of some images with others, for the best of the flips."""
        steady, turning = self.steady[rows], self.turning[rows]
        # Two of the flips keep the sign of the odd class, and change the signs of both classes in between or of
        # neither. The other two change the sign of the odd class, and of one of the classes in between.
        unturned = _highest(steady, turning, self.steady[columns], self.turning[columns])
        steady, turning = steady * self.signs, turning * self.turning_signs
        turned = _highest(steady, turning, self.steady[columns], self.turning[columns])
        return np.maximum(unturned, turned, out=unturned)


def candidates(sketch: Sketch, *, correlation: float, components: Components | None = None) -> Iterator[Candidates]:
    """Yield the pairs of images that may correlate at `correlation` or more, in portions of bounded size.

    Args:
        sketch: Sketch of the images.
        correlation: Smallest upper bound on the correlation of a pair.
        components: Components of images. Pairs within a component are left out.
    """
    count, (rows, columns) = len(sketch.images), _TILE
    for top in range(0, count, rows):
        for start in range(top, count, columns):
            band, across = slice(top, min(top + rows, count)), slice(start, min(start + columns, count))
            if components is not None and components.all_one(sketch.images[band], sketch.images[across]):
                continue
            close = np.flatnonzero(sketch.bounds(band, across) >= correlation - _SLACK)
            first, second = np.divmod(close, across.stop - start)
            first, second = first + top, second + start
            above = second > first
            first, second = sketch.images[first[above]], sketch.images[second[above]]
            if components is not None:
                apart = components.apart(first, second)
                first, second = first[apart], second[apart]
            if len(first):
                yield first, second


def _highest(steady: np.ndarray, turning: np.ndarray, others: np.ndarray, others_turning: np.ndarray) -> np.ndarray:
    """Return the larger of two inner products, which differ in the sign of the classes in between."""
    either = turning @ others_turning.T
    highest: np.ndarray = steady @ others.T
    highest += np.abs(either, out=either)
    return highest


def _principal_axes(thumbnails: np.ndarray) -> list[np.ndarray]:
    """Return orthonormal axes `(272, k)` for each class: the principal axes of a sample of the images."""
    if len(thumbnails) <= _SAMPLE:
        size = thumbnails.shape[1] * thumbnails.shape[2] // 4
        return [np.eye(size, dtype=np.float32)] * 4
    sample = parity_classes(details_of(thumbnails[evenly_spaced(len(thumbnails), _SAMPLE)]))
    spreads, axes = np.linalg.eigh(sample.transpose(1, 2, 0) @ sample.transpose(1, 0, 2))
    least = np.sort(spreads, axis=None)[-_AXES]
    return [of_class[:, spread >= least] for spread, of_class in zip(spreads, axes, strict=True)]
