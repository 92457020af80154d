"""What the figures of generated images mean, in words; each belongs beside its floor."""

from voxlex.pages.measures import Figures, Measure

MEASURES = (
    Measure(
        key="generation.swd",
        name="Sliced Wasserstein",
        form=".3f",
        better="lower",
        meaning="Distance between patches of samples and of real images, over all scales.",
    ),
    Measure(
        key="generation.frechet",
        name="Fréchet distance",
        form=".3g",
        better="lower",
        meaning="Distance between the features of samples and of real images.",
    ),
    Measure(
        key="generation.precision",
        name="Precision",
        form=".1%",
        better="higher",
        meaning="Samples that lie among real images.",
    ),
    Measure(
        key="generation.recall",
        name="Recall",
        form=".1%",
        better="higher",
        meaning="Real images that lie among samples.",
    ),
    Measure(
        key="generation.density",
        name="Density",
        form=".2f",
        better="higher",
        meaning="How densely real images lie around samples; 1 is as densely as around each other.",
    ),
    Measure(
        key="generation.coverage",
        name="Coverage",
        form=".1%",
        better="higher",
        meaning="Real images that have a sample near them.",
    ),
    Measure(
        key="generation.c2st",
        name="Classifier",
        form=".1%",
        better="lower",
        meaning="How often a classifier tells a sample from a real image; 50% is guessing.",
    ),
    Measure(
        key="generation.ms_ssim",
        name="Likeness of pairs",
        form=".3f",
        meaning="MS-SSIM of random pairs of samples; above that of real pairs, variety is missing.",
    ),
    Measure(
        key="generation.copies",
        name="Near copies",
        form=".1%",
        better="lower",
        meaning="Samples less than half as far from a training image as the median held-out image.",
    ),
    Measure(
        key="generation.closer_than_p1",
        name="Closer than 1%",
        form=".1%",
        better="lower",
        meaning="Samples closer to training than all but 1% of the held-out images.",
    ),
    Measure(
        key="generation.closer_than_p5",
        name="Closer than 5%",
        form=".1%",
        better="lower",
        meaning="Samples closer to training than all but 5% of the held-out images.",
    ),
    Measure(
        key="generation.closer_than_median",
        name="Closer than half",
        form=".1%",
        meaning="Samples closer to training than half of the held-out images.",
    ),
    Measure(
        key="generation.memorisation_auc",
        name="Closer than held-out",
        form=".3f",
        meaning="Chance that a sample is closer to training than a held-out image; towards 1 is memorised.",
    ),
)
"""In the order of a table; the floor of each has the same key followed by `_floor`."""

KEYS = frozenset(
    [measure.key for measure in MEASURES]
    + [f"{measure.key}_floor" for measure in MEASURES]
    + [f"generation.{name}" for name in ("c2st_p_value", "n_samples", "n_compared")]
)
"""Of all figures that a table of `MEASURES`, with its floors, and the sentences about them make use of."""

_LEAKING = 0.02  # more held-out images than this among training are not a coincidence


def sentences(figures: Figures) -> list[str]:
    """Say in two sentences how samples compare with real images, and whether they are copies."""
    likeness = (
        f"A classifier tells samples from real images in {figures['generation.c2st']:.0%} of cases "
        f"(real from real: {figures['generation.c2st_floor']:.0%}; 50% is guessing)."
    )
    samples = figures["generation.n_samples"]
    copies = round(figures["generation.copies"] * samples)
    are_copies = "are near copies of training images" if copies > 1 else "is a near copy of a training image"
    memory = f"{copies or 'None'} of {samples:,.0f} samples {are_copies}."
    return [likeness, memory]


def warnings(figures: Figures) -> list[str]:
    """Say what a reader must know before trusting the samples."""
    found = []
    floor = figures["generation.copies_floor"]
    if figures["generation.copies"] > 0:
        found.append("Some samples are near copies of training images; see the closest pairs before sharing any.")
    if floor > _LEAKING:
        found.append(
            f"{floor:.0%} of the held-out images are near copies of training images themselves, so the data set leaks "
            "and every comparison with held-out images flatters."
        )
    return found
