"""Draw curves of training and of codebook use as small SVG pictures, for light and dark pages."""

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from jaxtyping import Float, Int64
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter
from torch import Tensor

Journal = Sequence[Mapping[str, str]]
"""Rows of `metrics.csv` with stage, step, elapsed_s, name and value."""

_TERM = "train/loss/"  # what the names of loss terms begin with
_COLOURS = ("#3f7fd6", "#e0762b", "#3f9a5f", "#b05fc0", "#c05050", "#8a8a3a")  # legible on white and on black
_INK = "#010203"  # placeholder for the text color of the page
_SIZE_INCHES = (5.4, 3.2)  # at 72 points an inch, 389×230 CSS pixels
_MARGINS = {"left": 0.15, "right": 0.985, "bottom": 0.16, "top": 0.965}  # fitting them takes longer than drawing
_FEW_POINTS = 25  # fewer points are marked one by one
_MOST_POINTS = 150  # more points are not visible in such a small picture

_FEW_DECADES = 10**2.5
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_STYLE = {
    "svg.fonttype": "none",  # text stays text, which is smaller, sharper and searchable
    "svg.hashsalt": "voxlex",  # the same curves give the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@dataclass(frozen=True)
class Plot:
    """A picture of curves.

    Attributes:
        svg: The picture as one `<svg>` element.
        alt: Description of what the picture shows.
        caption: Explanation of how to read the picture.
    """

    svg: str
    alt: str
    caption: str

    @property
    def data_uri(self) -> str:
        """The picture as a data URI."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode("ascii")


@dataclass(frozen=True)
class Series:
    """One curve, with its values and the times in seconds since the stage began."""

    label: str
    seconds: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, journal: Journal, *, stage: str, name: str, label: str) -> "Series":
        """Collect the finite values of one name from a journal, in order of time."""
        rows = [row for row in journal if row["stage"] == stage and row["name"] == name]
        points = sorted((float(row["elapsed_s"]), float(row["value"])) for row in rows)
        finite = [point for point in points if math.isfinite(point[1])]
        seconds, values = np.array(finite, float).reshape(-1, 2).T
        return cls(label, seconds, values)

    def thinned(self) -> "Series":
        """Average neighboring points, so that no more remain than a picture can show."""
        if len(self.values) <= _MOST_POINTS:
            return self
        parts = np.array_split(np.arange(len(self.values)), _MOST_POINTS)
        return Series(
            self.label,
            np.array([self.seconds[part].mean() for part in parts]),
            np.array([self.values[part].mean() for part in parts]),
        )


def training_curves(journal: Journal, *, references: Mapping[str, float] | None = None) -> list[Plot]:
    """Draw the curves of a journal: loss terms, SSIM, PSNR, codebook use, and bits per code of the prior.

    Args:
        journal: Rows of `metrics.csv`. A figure that is missing there gets no picture.
        references: Bits per code for comparison with the prior, by name, such as "uniform".
    """
    plots = (
        _losses(journal),
        _ssim(journal),
        _psnr(journal),
        _codebook(journal),
        _prior(journal, references or {}),
    )
    return [plot for plot in plots if plot is not None]


def spectra_plot(spectra: Mapping[str, Float[Tensor, " r"]]) -> Plot:
    """Draw radial power spectra, with logarithmic power.

    Args:
        spectra: Mean power in rings of equal width, from the lowest to the highest frequency, by name.
    """
    with rc_context(_STYLE):
        figure, axes = _axes(ylabel="Power")
        for (name, power), colour in zip(spectra.items(), cycle(_COLOURS)):
            frequencies = (np.arange(len(power)) + 0.5) / (2 * len(power))
            axes.plot(frequencies, power.numpy(), color=colour, label=name)
        axes.set_xlabel("Spatial frequency (cycles per pixel)")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_power_of_ten))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend()
        return Plot(
            _svg(figure),
            f"Power against spatial frequency, of {', '.join(spectra)}.",
            "Power at each spatial frequency. Where a curve lies below that of the images, fine detail is missing.",
        )


def usage_plots(levels: Sequence[Int64[Tensor, "_ _"]]) -> list[Plot]:
    """Draw how often each codeword is used, most frequent first.

    Args:
        levels: Counts of each codeword in each codebook, `(q, k)`, for each level. Each level has a picture of its own,
            and in it each codebook a curve.
    """
    if len(levels) == 1:
        return [_usage_plot(levels[0], of="")]
    return [_usage_plot(counts, of=f" of level {number}") for number, counts in enumerate(levels)]


def _usage_plot(counts: Int64[Tensor, "q k"], *, of: str) -> Plot:
    k = counts.shape[1]
    with rc_context(_STYLE):
        figure, axes = _axes(ylabel="Share of all codes (%)")
        for number, (row, colour) in enumerate(zip(counts.cpu().double(), cycle(_COLOURS)), start=1):
            shares = 100 * (row / row.sum().clamp_min(1)).sort(descending=True).values.numpy()
            used = shares[shares > 0]
            axes.step(np.arange(1, len(used) + 1), used, where="mid", color=colour, label=f"codebook {number}")
        axes.axhline(100 / k, color=_INK, linewidth=1, linestyle=(0, (4, 3)), label="equal use")
        axes.legend(loc="lower left")
        axes.set_xlabel("Codewords, most used first")
        axes.set_xlim(0, k)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        _scale_by_logarithm(axes)
        in_use = int((counts > 0).sum())
        return Plot(
            _svg(figure),
            f"Share of all codes{of} against codewords sorted by use; {in_use:,} of {counts.numel():,} are used.",
            f"How often each codeword{of} is used. A flat curve near the dashed line is best. A curve that ends early "
            "leaves codewords unused.",
        )


def _losses(journal: Journal) -> Plot | None:
    noted = dict.fromkeys(row["name"] for row in journal if row["stage"] == "autoencoder")
    terms = [name for name in noted if name.startswith(_TERM)]
    labels = {"train/loss": "sum"} | {name: _term_label(name) for name in terms}
    curves = [Series.of(journal, stage="autoencoder", name=name, label=label) for name, label in labels.items()]
    positive = [curve for curve in curves if len(curve.values) and curve.values.min() > 0]
    return _plot(
        positive, ylabel="Loss (weighted terms)", caption="The loss that training minimizes. Lower is better.", log=True
    )


def _ssim(journal: Journal) -> Plot | None:
    curve = Series.of(journal, stage="autoencoder", name="validation/ssim", label="validation images")
    return _plot(
        [curve],
        ylabel="SSIM of validation images",
        caption="Structural similarity of reconstructions. Higher is better, and 1 means equal.",
    )


def _psnr(journal: Journal) -> Plot | None:
    curves = [
        Series.of(journal, stage="autoencoder", name=f"{split}/psnr_db", label=label)
        for split, label in (("validation", "validation images"), ("train", "training images"))
    ]
    caption = "Peak signal-to-noise ratio of reconstructions. Higher is better. A widening gap indicates overfitting."
    return _plot(curves, ylabel="PSNR (dB)", caption=caption)


def _codebook(journal: Journal) -> Plot | None:
    noted = dict.fromkeys(row["name"] for row in journal if row["stage"] == "autoencoder")
    levels = {name: found[1] for name in noted if (found := re.fullmatch(r"validation/(?:(\d+)\.)?perplexity", name))}
    curves = [
        Series.of(
            journal,
            stage="autoencoder",
            name=name,
            label="validation images" if level is None else f"validation images, level {level}",
        )
        for name, level in levels.items()
    ]
    caption = "Perplexity: the number of equally used codewords that would carry the same information."
    return _plot(curves, ylabel="Perplexity (codewords)", caption=caption)


def _prior(journal: Journal, references: Mapping[str, float]) -> Plot | None:
    curves = [
        Series.of(journal, stage="prior", name=f"{split}/bits_per_code", label=label)
        for split, label in (("validation", "validation images"), ("train", "training images"))
    ]
    caption = "Bits that the prior needs per code. Lower is better. The horizontal lines show the bits without a prior."
    return _plot(curves, ylabel="Prior (bits per code)", caption=caption, references=references)


def _plot(
    curves: Sequence[Series],
    *,
    ylabel: str,
    caption: str,
    log: bool = False,
    references: Mapping[str, float] | None = None,
) -> Plot | None:
    curves = [curve for curve in curves if len(curve.values)]
    if not curves:
        return None
    with rc_context(_STYLE):
        figure, axes = _axes(ylabel=ylabel)
        _draw(axes, curves)
        for (label, value), dashes in zip((references or {}).items(), cycle(((4, 3), (1, 2)))):
            axes.axhline(value, color=_INK, linewidth=1, linestyle=(0, dashes), label=label)
        if log:
            _scale_by_logarithm(axes)
        if len(curves) > 1 or references:
            axes.legend()
        last = "; ".join(f"{curve.label} {curve.values[-1]:.4g}" for curve in curves)
        return Plot(_svg(figure), f"{ylabel} against training time, at the end: {last}.", caption)


def _draw(axes: Axes, curves: Sequence[Series]) -> None:
    unit, length = _time_unit(max(curve.seconds[-1] for curve in curves))
    for curve, colour in zip(curves, cycle(_COLOURS)):
        thin = curve.thinned()
        marker = "o" if len(thin.values) < _FEW_POINTS else None
        axes.plot(thin.seconds / length, thin.values, color=colour, label=thin.label, marker=marker, markersize=3)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"Training time ({unit})")


def _time_unit(seconds: float) -> tuple[str, float]:
    for unit, length in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return unit, length
    return "seconds", 1.0


def _term_label(name: str) -> str:
    term = name.removeprefix(_TERM)
    return {"l1": "L1", "l2": "L2", "ssim": "1 − SSIM"}.get(term, term.replace("_", " "))


def _axes(*, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_INCHES)
    figure.subplots_adjust(**_MARGINS)
    axes = figure.add_subplot()
    figure.patch.set_visible(False)  # the page shows through
    axes.patch.set_visible(False)
    axes.set_ylabel(ylabel)
    axes.grid(axis="y", color=_INK, alpha=0.12, linewidth=0.8)
    return figure, axes


def _power_of_ten(value: float, _: int | None) -> str:
    """Write a power of ten without the typesetting of formulas, which takes long."""
    return "10" + str(round(math.log10(value))).translate(_RAISED)


def _scale_by_logarithm(axes: Axes) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks: tuple[float, ...] = (1, 2, 5) if high < _FEW_DECADES * low else (1,)  # more would cover one another
    axes.yaxis.set_major_locator(LogLocator(subs=ticks))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    element = buffer.getvalue()[buffer.getvalue().index("<svg") :]  # the prolog refers to another server
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL).replace(_INK, "currentColor")
    element = re.sub(r"font-family: [^;]+", "font-family: system-ui, sans-serif", element)  # the page's own font
    style = "<style>svg{color:#222}@media screen and (prefers-color-scheme:dark){svg{color:#ddd}}</style>"
    return element.replace(">", f">{style}", 1)
