"""Explanations of the figures of generated images. Each figure is shown beside its floor."""

import math

from voxlex.pages.measures import Figures, Measure

MEASURES = (
    Measure(
        key="generation.coverage",
        name="Coverage",
        form=".1%",
        better="higher",
        meaning="Share of the real images that have a sample near them.",
    ),
    Measure(
        key="generation.precision",
        name="Precision",
        form=".1%",
        better="higher",
        meaning="Share of the samples that lie among real images.",
    ),
    Measure(
        key="generation.density",
        name="Density",
        form=".2f",
        better="higher",
        meaning="How densely real images surround the samples; 1 means as densely as they surround each other.",
    ),
    Measure(
        key="generation.c2st",
        name="Classifier",
        form=".1%",
        better="lower",
        meaning="How often a classifier is right about which images are samples; 50% is guessing.",
    ),
    Measure(
        key="generation.frechet",
        name="Fréchet distance",
        form=".3g",
        better="lower",
        meaning="Distance between the features of samples and those of real images.",
    ),
    Measure(
        key="generation.swd",
        name="Sliced Wasserstein",
        form=".3f",
        better="lower",
        meaning="Distance between patches of samples and patches of real images, over all scales.",
    ),
    Measure(
        key="generation.ms_ssim",
        name="Similarity of pairs",
        form=".3f",
        meaning="MS-SSIM of random pairs of samples; if it is above that of real pairs, samples vary too little.",
    ),
    Measure(
        key="generation.copies",
        name="Near copies",
        form=".1%",
        better="lower",
        meaning="Samples that are less than half as far from a training image as the median held-out image.",
    ),
    Measure(
        key="generation.closer_than_p1",
        name="Closer than 1%",
        form=".1%",
        better="lower",
        meaning="Samples that are closer to a training image than all but 1% of the held-out images.",
    ),
    Measure(
        key="generation.closer_than_p5",
        name="Closer than 5%",
        form=".1%",
        better="lower",
        meaning="Samples that are closer to a training image than all but 5% of the held-out images.",
    ),
    Measure(
        key="generation.closer_than_median",
        name="Closer than half",
        form=".1%",
        meaning="Samples that are closer to a training image than half of the held-out images.",
    ),
    Measure(
        key="generation.memorisation_auc",
        name="Closer than held-out",
        form=".3f",
        meaning="Probability that a sample is closer to training than a held-out image; near 1, samples are copies.",
    ),
    Measure(
        key="generation.recall",
        name="Recall",
        form=".1%",
        better="higher",
        meaning="Share of the real images that lie among samples; beware, it can rise when samples vary less.",
    ),
)
"""Measures in the order of the table. The floor of a measure has the key of the measure followed by `_floor`, and its
value for reconstructions the key followed by `_reconstructed`, or `_textured` for textured ones."""

KEYS = frozenset(
    [
        f"{measure.key}{end}{limit}"
        for measure in MEASURES
        for end in ("", "_floor", "_reconstructed", "_textured")
        for limit in ("", "_low", "_high")
    ]
    + [f"generation.{name}" for name in ("c2st_p_value", "n_samples", "n_compared")]
)
"""Keys of all figures that the table of `MEASURES`, its floors and intervals, and the sentences about them use."""

_LEAKING = 0.02  # if more held-out images than this are near copies of training images, the split leaks


def sentences(figures: Figures) -> list[str]:
    """Return two sentences: how samples compare with real images, and how many are near copies."""
    likeness = (
        f"{figures['generation.coverage']:.0%} of the real images have a sample near them, and "
        f"{figures['generation.precision']:.0%} of the samples lie among real images."
    )
    if not math.isnan(figures["generation.c2st"]):
        likeness = f"{_classifier_sentence(figures)} {likeness}"
    samples = figures["generation.n_samples"]
    copies = round(figures["generation.copies"] * samples)
    are_copies = "are near copies of training images" if copies > 1 else "is a near copy of a training image"
    memory = f"{copies or 'None'} of {samples:,.0f} samples {are_copies}."
    return [likeness, memory]


def _classifier_sentence(figures: Figures) -> str:
    others = f"real images from other real images: {figures['generation.c2st_floor']:.0%}; guessing: 50%"
    for end, name in (("_textured", "textured reconstructions"), ("_reconstructed", "reconstructions of real images")):
        if f"generation.c2st{end}" in figures:
            others = f"{name}: {figures[f'generation.c2st{end}']:.0%}; {others}"
    return f"A classifier can tell samples from real images in {figures['generation.c2st']:.0%} of cases ({others})."


def warnings(figures: Figures) -> list[str]:
    """Return what a reader must know before trusting the samples."""
    found = []
    floor = figures["generation.copies_floor"]
    if figures["generation.copies"] > 0:
        found.append("Some samples are near copies of training images; see the closest pairs before sharing any.")
    if floor > _LEAKING:
        found.append(
            f"{floor:.0%} of the held-out images are near copies of training images. So the data set leaks, and every "
            "comparison with held-out images looks better than it is."
        )
    return found
