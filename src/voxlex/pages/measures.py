"""Explanations of the figures of an evaluation, for readers who did not train the model."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from voxlex.codes import CodeLayout

Figures = Mapping[str, float | int]
"""Figures of an evaluation, by keys such as `reconstruction.ssim`."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure and its explanation.

    Attributes:
        key: The key of the figure.
        name: The name of the figure in a table.
        form: The format specification for the value.
        unit: The unit after the value, if it has one.
        better: The direction that is better; None for a figure that only serves as a comparison.
        meaning: One line of explanation.
    """

    key: str
    name: str
    form: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    meaning: str

    def write(self, value: float | int) -> str:
        """Format a value without its unit."""
        if math.isnan(value):
            return "not measured"
        return "∞" if math.isinf(value) else format(value, self.form)


MEASURES = (
    Measure(
        key="reconstruction.ssim",
        name="SSIM",
        form=".4f",
        better="higher",
        meaning="Structural similarity to the original; 1 means equal.",
    ),
    Measure(
        key="reconstruction.psnr_db",
        name="PSNR",
        form=".2f",
        unit="dB",
        better="higher",
        meaning="Peak signal-to-noise ratio: the intensity range relative to the error.",
    ),
    Measure(
        key="reconstruction.l1",
        name="L1 error",
        form=".4f",
        better="lower",
        meaning="Mean absolute error; 1 is the full intensity range.",
    ),
    Measure(
        key="reconstruction.high_pass_energy",
        name="Fine detail",
        form=".2f",
        meaning="Energy of fine detail in reconstructions, in shares of that in the images; below 1 they are smooth.",
    ),
    Measure(
        key="reconstruction.high_pass_correlation",
        name="Fine detail, correlation",
        form=".2f",
        better="higher",
        meaning="Correlation of fine detail with that of the original; 1 means the same detail.",
    ),
    Measure(
        key="texture.ssim",
        name="SSIM, textured",
        form=".4f",
        better="higher",
        meaning="The same for the textured decoder, which also draws detail that codes do not contain.",
    ),
    Measure(key="texture.psnr_db", name="PSNR, textured", form=".2f", unit="dB", better="higher", meaning=""),
    Measure(key="texture.l1", name="L1 error, textured", form=".4f", better="lower", meaning=""),
    Measure(
        key="texture.high_pass_energy",
        name="Fine detail, textured",
        form=".2f",
        meaning="1 means as much fine detail as the images have.",
    ),
    Measure(
        key="texture.high_pass_correlation",
        name="Fine detail, textured, correlation",
        form=".2f",
        better="higher",
        meaning="",
    ),
    Measure(
        key="rate_bpp",
        name="Code rate",
        form=".3f",
        unit="bit/pixel",
        better="lower",
        meaning="Size of the codes when each is stored at full length.",
    ),
    Measure(
        key="codebook.perplexity",
        name="Codebook perplexity",
        form=",.1f",
        better="higher",
        meaning="Effective number of codewords in use, from 1 to K.",
    ),
    Measure(
        key="codebook.usage",
        name="Codebook usage",
        form=".1%",
        better="higher",
        meaning="Share of the codewords that occur in these images.",
    ),
    Measure(
        key="codebook.dead",
        name="Dead codewords",
        form=",d",
        better="lower",
        meaning="Number of codewords that do not occur in these images.",
    ),
    Measure(
        key="codebook.norm_shortest",
        name="Shortest codeword",
        form=".3f",
        meaning="Length of the shortest code vector.",
    ),
    Measure(
        key="codebook.norm_median",
        name="Median codeword",
        form=".3f",
        meaning="Length of a typical code vector.",
    ),
    Measure(
        key="codebook.norm_longest",
        name="Longest codeword",
        form=".3f",
        meaning="Length of the longest code vector; if it is far above the median, codewords have diverged.",
    ),
    Measure(
        key="prior.bits_per_code",
        name="Prior",
        form=".3f",
        unit="bit/code",
        better="lower",
        meaning="Bits that a code needs if the prior knows the codes before it.",
    ),
    Measure(
        key="prior.bits_per_code_at_most",
        name="Prior, at most",
        form=".3f",
        unit="bit/code",
        better="lower",
        meaning="Upper bound of the bits that a code needs; this kind of prior does not have an exact likelihood.",
    ),
    Measure(
        key="prior.marginal_bits_per_code",
        name="Marginal",
        form=".3f",
        unit="bit/code",
        meaning="For comparison: bits that a code needs if only the frequencies of the codewords are known.",
    ),
    Measure(
        key="prior.uniform_bits_per_code",
        name="Uniform",
        form=".3f",
        unit="bit/code",
        meaning="For comparison: bits that a code needs if every codeword is equally likely.",
    ),
    Measure(
        key="prior.rate_bpp",
        name="Code rate with prior",
        form=".3f",
        unit="bit/pixel",
        better="lower",
        meaning="Size of the codes when the prior compresses them.",
    ),
    Measure(key="n_images", name="Images", form=",d", meaning="Number of images that were measured."),
)


FEATURES = {
    "default": "brightness, texture and its arrangement at four scales, by fixed wavelets (Bruna and Mallat, 2013)",
    "deep": "features of EfficientNet-Lite0, a network for natural images (Tan and Le, 2019)",
    "inception": "features of the Inception network of the Fréchet Inception distance",
}
"""Descriptions of the features by which new images are compared, by their names."""

_LEVEL = re.compile(r"(?<=\.)(\d+)\.")


def measured(figures: Figures) -> list[tuple[str, Measure, int | None]]:
    """Return the measures that figures hold, in the order of `MEASURES`.

    Returns:
        The key, its measure, and its level, which is None for a figure of all levels together. For example,
        `codebook.0.usage` is the measure `codebook.usage` of level 0.
    """
    order = {measure.key: place for place, measure in enumerate(MEASURES)}
    found = []
    for key in figures:
        level, measure = _LEVEL.search(key), _LEVEL.sub("", key)
        if measure in order:
            found.append((order[measure], -1 if level is None else int(level[1]), key))
    return [(key, MEASURES[place], None if level < 0 else level) for place, level, key in sorted(found)]


def storage_sentence(figures: Figures, *, shape: tuple[int, ...], layouts: Sequence[CodeLayout]) -> str:
    """Return a sentence about how an image is stored.

    Args:
        figures: Figures with `rate_bpp`.
        shape: Number of channels, followed by the sides of an image or a volume.
        layouts: Layout of the codes of each level.
    """
    channels, *space = shape
    image, pixel = ("image", "pixel") if len(space) == 2 else ("volume", "voxel")
    smaller = 8 * channels / figures["rate_bpp"]
    first, *others = [(f"{layout.codes_per_image:,}", f"{layout.num_embeddings:,} codewords") for layout in layouts]
    codes = [f"{first[0]} codes from a vocabulary of {first[1]}"] + [f"{count} from one of {k}" for count, k in others]
    return (
        f"Each {'×'.join(map(str, space))} {image} is stored as {' and '.join(codes)}: {figures['rate_bpp']:.3g} bits "
        f"per {pixel}, {smaller:.3g} times smaller than as 8-bit {pixel}s."
    )


def quality_sentence(figures: Figures, *, spatial_dims: int = 2) -> str:
    """Return a sentence about how close the reconstructions are to the images."""
    pixels = "pixels" if spatial_dims == 2 else "voxels"
    return (
        f"{counted(figures['n_images'], spatial_dims)} were reconstructed from their codes, with a mean SSIM of "
        f"{figures['reconstruction.ssim']:.3f} and a PSNR of {figures['reconstruction.psnr_db']:.1f} dB; {pixels} are "
        f"off by {figures['reconstruction.l1']:.1%} of the intensity range on average."
    )


def prior_sentence(figures: Figures) -> str | None:
    """Return a sentence about the bits that the prior needs for a code; None if there is no prior."""
    if "prior.uniform_bits_per_code" not in figures:
        return None
    uniform, exact = figures["prior.uniform_bits_per_code"], "prior.bits_per_code" in figures
    found = figures["prior.bits_per_code" if exact else "prior.bits_per_code_at_most"]
    return (
        f"The prior, from which new images are drawn, needs {'' if exact else 'at most '}{found:.2f} bits for a code. "
        f"Without a prior, a code needs {uniform:.2f} bits."
    )


def notes(figures: Figures, *, split: str, spatial_dims: int = 2) -> list[str]:
    """Return sentences about how the figures were measured, and what they do not show."""
    window = "×".join(["11"] * spatial_dims) + (" pixels" if spatial_dims == 2 else " voxels")
    images = counted(figures["n_images"], spatial_dims)
    origin = {
        "test": f"Measured on the test split: {images} that were not used to train or to choose the model.",
        "all": f"Measured on all {images} of the source. Images from training make the figures look better.",
    }
    lines = [
        origin.get(split, f"Measured on the {split} split: {images}."),
        f"SSIM, PSNR and L1 are computed for each image and then averaged. SSIM: Gaussian window of {window}, "
        "σ = 1.5, data range 1. PSNR: intensities in [0, 1], peak 1.",
        "Intervals contain the mean with a confidence of 95%. They come from resampling subjects, or groups of similar "
        "images if subjects are unknown.",
        "Fine detail is what changes within less than 8 " + ("pixels." if spatial_dims == 2 else "voxels."),
        "SSIM and PSNR measure similarity, not diagnostic value: they hardly change if a small lesion disappears. "
        "Reconstructions and samples are for research only.",
    ]
    if spatial_dims == 3:
        lines.append(
            "Some figures of new volumes are computed from slices. The similarity of pairs uses middle axial slices. "
            "The classifier, the Fréchet distance, precision, recall, density and coverage use axial slices. The other "
            "figures use whole volumes."
        )
    if any(level is not None for _, _, level in measured(figures)):
        lines.append("The codes have several levels. Level 0 is the coarsest.")
    if "prior.uniform_bits_per_code" not in figures:
        lines.append("This run does not have a prior yet, so the report does not show new images.")
    return lines


def counted(images: float | int, spatial_dims: int = 2) -> str:
    """Return "1 image", "1,234 images", or as many volumes."""
    return f"{images:,.0f} {'image' if spatial_dims == 2 else 'volume'}{'' if images == 1 else 's'}"
