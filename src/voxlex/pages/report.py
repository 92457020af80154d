"""The report of a run: one HTML file with its figures, pictures, curves and settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.codes import CodeLayout
from voxlex.evaluation.generation.memorisation import Pair
from voxlex.pages import generation_measures, label_measures, measures
from voxlex.pages.curves import Journal, spectra_plot, training_curves, usage_plots
from voxlex.pages.page import render_page, write_page
from voxlex.pages.pictures import (
    DIFFERENCE_COLOURS,
    DIFFERENCE_LIMIT,
    HEADINGS,
    data_uri,
    quality_captions,
    to_picture,
    triptych,
)

_PAGE_WIDTH = 792  # CSS pixels; room for three images of 128 pixels at twice their size
_FEW = 8  # so many images are shown larger
_TILE_WIDTH = 128


class ClosePair(NamedTuple):
    """A sample, the training image nearest to it, and a caption."""

    training: Float[Tensor, "c *space"]
    sample: Float[Tensor, "c *space"]
    caption: str


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """All that a report shows.

    Attributes:
        title: Heading of the report.
        figures: The figures of the evaluation, by keys such as `reconstruction.ssim`. Figures of the prior are missing
            if there is no prior. `measures.MEASURES` lists the known figures; others are shown by their key.
        split: The split that was evaluated, "test" or "all".
        layouts: Layout of the codes of each level.
        originals: Some of the evaluated images, in [0, 1].
        reconstructions: The reconstructions of these images.
        paths: The paths of these images.
        samples: Images drawn from the prior.
        sample_captions: Caption of each sample, such as its class.
        features: Name of the features by which samples were compared with real images.
        spectra: Mean radial power spectrum of real images, reconstructions and samples, by name.
        real: Real images to show beside the samples.
        pairs: The samples that are most similar to a training image, each with that image.
        journal: Rows of the run's `metrics.csv`.
        code_counts: How often each codeword of each codebook is used, for each level.
        facts: Settings and other facts, by section and name.
        warnings: What a reader must know to judge the figures, such as a collapsed codebook.
    """

    title: str
    figures: Mapping[str, float | int]
    split: str
    layouts: Sequence[CodeLayout]
    originals: Float[Tensor, "n c *space"]
    reconstructions: Float[Tensor, "n c *space"]
    paths: Sequence[str]
    samples: Float[Tensor, "s c *space"] | None = None
    sample_captions: Sequence[str] | None = None
    features: str = "default"
    spectra: Mapping[str, Float[Tensor, " rings"]] = field(default_factory=dict)
    real: Float[Tensor, "r c *space"] | None = None
    pairs: Sequence[ClosePair] = ()
    journal: Journal = ()
    code_counts: Sequence[Int64[Tensor, "_ _"]]
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    warnings: Sequence[str] = ()


class Illustration(NamedTuple):
    """A picture on the page, with its data URI, its description and its caption."""

    uri: str
    alt: str
    caption: str = ""


class Cell(NamedTuple):
    """A value and its confidence interval; each may be empty."""

    value: str = ""
    interval: str = ""


class Row(NamedTuple):
    """A row of the table of figures."""

    name: str
    cell: Cell
    unit: str
    better: str | None
    meaning: str


class ComparedRow(NamedTuple):
    """A row of the table that compares samples with other images, with a value for each column of the table."""

    name: str
    better: str | None
    meaning: str
    cells: list[Cell]


class LabelRow(NamedTuple):
    """A row of the table of labels, with a value for each measure."""

    fitted: str
    tested: str
    meaning: str
    cells: list[Cell]


def pair_captions(pairs: Sequence[Pair], *, training: Sequence[str]) -> list[str]:
    """Return "sub-01.png · sample 3 · distance 0.012" for each pair.

    Args:
        pairs: Samples and the training images nearest to them.
        training: The name of every training image.
    """
    return [f"{training[pair.training]} · sample {pair.sample} · distance {pair.distance:.3f}" for pair in pairs]


def write_report(path: str | Path, content: ReportContent) -> None:
    """Write a report as one HTML file that needs no other file, no network and no script.

    Raises:
        DataError: If the file cannot be written.
    """
    write_page(path, render_report(content))


def render_report(content: ReportContent) -> str:
    """Return the HTML of a report."""
    room = _PAGE_WIDTH if len(content.originals) <= _FEW else _PAGE_WIDTH // 2
    triptych_width = max(1, room // (3 * content.originals.shape[-1])) * triptych(*content.originals[[0, 0]]).width
    tile = to_picture(content.originals[0]).width
    return render_page(
        "report.html.j2",
        content=content,
        summary=_summary(content),
        rows=_rows(content.figures, pixel="pixel" if content.originals.ndim == 4 else "voxel"),
        notes=measures.notes(content.figures, split=content.split, spatial_dims=content.originals.ndim - 2),
        volumes=content.originals.ndim == 5,
        headings=HEADINGS,
        triptychs=_triptychs(content),
        triptych_width=triptych_width,
        triptych_columns=max(1, _PAGE_WIDTH // triptych_width),
        difference_limit=DIFFERENCE_LIMIT,
        difference_gradient=", ".join(f"rgb{colour}" for colour in DIFFERENCE_COLOURS),
        panels=_panels(content),
        generation_rows=_generation_rows(content.figures),
        compared=list(_columns(content.figures).values()),
        textured="generation.c2st_textured" in content.figures,
        features=measures.FEATURES.get(content.features, content.features),
        label_rows=_label_rows(content.figures),
        label_heads=[measure.name for measure in label_measures.MEASURES],
        label_sentence=label_measures.sentence(content.figures) if "label.n_images" in content.figures else "",
        pairs=_pairs(content),
        tile_width=-(-_TILE_WIDTH // tile) * tile,
        curves=_curves(content),
    )


def _summary(content: ReportContent) -> list[str]:
    storage = measures.storage_sentence(
        content.figures, shape=tuple(content.originals.shape[1:]), layouts=content.layouts
    )
    quality = measures.quality_sentence(content.figures, spatial_dims=content.originals.ndim - 2)
    sentences = (storage, quality, measures.prior_sentence(content.figures))
    found = [sentence for sentence in sentences if sentence is not None]
    return found + (generation_measures.sentences(content.figures) if _is_judged(content.figures) else [])


def _is_judged(figures: measures.Figures) -> bool:
    return "generation.c2st" in figures


def _rows(figures: measures.Figures, *, pixel: str) -> list[Row]:
    measured = measures.measured(figures)
    rows = [
        Row(
            name=measure.name if level is None else f"{measure.name}, level {level}",
            cell=_cell(measure, figures, key),
            unit=measure.unit.replace("pixel", pixel),
            better=measure.better,
            meaning=measure.meaning,
        )
        for key, measure, level in measured
    ]
    known = {f"{key}{end}" for key, _, _ in measured for end in ("", "_low", "_high")}
    known |= generation_measures.KEYS | label_measures.KEYS
    return rows + [Row(key, Cell(f"{value:.4g}"), "", None, "") for key, value in figures.items() if key not in known]


def _columns(figures: measures.Figures) -> dict[str, str]:
    """Return the heads of the columns that compare images, by the ends of the keys of their figures."""
    ends = {"": "Samples", "_reconstructed": "Recon\u00adstructions", "_textured": "Textured", "_floor": "Real"}
    return {end: head for end, head in ends.items() if any(f"generation.c2st{end}" == key for key in figures)}


def _generation_rows(figures: measures.Figures) -> list[ComparedRow]:
    return [
        ComparedRow(
            name=measure.name,
            better=measure.better,
            meaning=measure.meaning,
            cells=[_cell(measure, figures, f"{measure.key}{end}") for end in _columns(figures)],
        )
        for measure in generation_measures.MEASURES
        if measure.key in figures
    ]


def _label_rows(figures: measures.Figures) -> list[LabelRow]:
    return [
        LabelRow(
            fitted=reader.fitted,
            tested=reader.tested,
            meaning=reader.meaning,
            cells=[_cell(measure, figures, f"label.{reader.key}.{measure.key}") for measure in label_measures.MEASURES],
        )
        for reader in label_measures.readers(figures)
    ]


def _cell(measure: measures.Measure, figures: measures.Figures, key: str) -> Cell:
    value, low, high = (
        measure.write(figures[name]) if name in figures else "" for name in (key, f"{key}_low", f"{key}_high")
    )
    return Cell(value, f"{low.rstrip('%')} to {high}" if low and high else "")


def _pairs(content: ReportContent) -> list[Illustration]:
    return [
        Illustration(data_uri(triptych(pair.training, pair.sample)), pair.caption, pair.caption)
        for pair in content.pairs
    ]


def _triptychs(content: ReportContent) -> list[Illustration]:
    captions = quality_captions(content.originals, content.reconstructions, content.paths)
    return [
        Illustration(data_uri(triptych(original, reconstruction)), f"{', '.join(HEADINGS)} of {caption}", caption)
        for original, reconstruction, caption in zip(content.originals, content.reconstructions, captions, strict=True)
    ]


def _panels(content: ReportContent) -> dict[str, list[Illustration]]:
    if content.samples is None:
        return {}
    captions = content.sample_captions or [""] * len(content.samples)
    samples = [
        Illustration(data_uri(to_picture(image)), f"Sample {number} {caption}".rstrip(), caption)
        for number, (image, caption) in enumerate(zip(content.samples, captions, strict=True), start=1)
    ]
    if content.real is None:
        return {"Samples": samples}
    real = [
        Illustration(data_uri(to_picture(image)), f"Image {number} of the data")
        for number, image in enumerate(content.real, start=1)
    ]
    return {"Samples": samples, "From the data": real}


def _curves(content: ReportContent) -> list[Illustration]:
    lines = {"uniform": "prior.uniform_bits_per_code", "marginal": "prior.marginal_bits_per_code"}
    references = {label: float(content.figures[key]) for label, key in lines.items() if key in content.figures}
    plots = [spectra_plot(content.spectra)] if content.spectra else []
    plots += [*training_curves(content.journal, references=references), *usage_plots(content.code_counts)]
    return [Illustration(plot.data_uri, plot.alt, plot.caption) for plot in plots]
