"""The page of a run that is passed on: what it is, what it learned from, how good it is, and what it cannot do."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from voxlex.codes import CodeLayout
from voxlex.names import printable
from voxlex.pages import generation_measures
from voxlex.pages.measures import Figures, Measure, measured

_LIMITS = (
    "It is not a medical device.",
    "Codes keep a part of an image: fine texture is lost first, and a small lesion can disappear with hardly any "
    "effect on SSIM.",
    "Textured images and samples show detail that is likely, and not true.",
    "Images from other scanners, contrasts, ages or diseases than those of the data may be strange to it. Measure the "
    "SSIM on your own images first: `voxlex evaluate`.",
)


def card(
    *,
    name: str,
    use: Sequence[str],
    source: str,
    metadata: Mapping[str, Any],
    layouts: Sequence[CodeLayout],
    space: Sequence[int],
    decoders: Sequence[str],
    prior: str | None,
    figures: Figures,
    licence: str | None = None,
) -> str:
    """Return the card of a run in Markdown, with the header that the Hub reads.

    Args:
        name: Name of the run.
        use: Lines of Python that show its use.
        source: What a reader should cite for the weights.
        metadata: Metadata of the run.
        layouts: Layout of the codes of each level, coarsest first.
        space: Sides of an image.
        decoders: Names of its decodings.
        prior: Kind of the prior; None if there is none.
        figures: Figures of an evaluation; empty if there are none.
        licence: Identifier of the licence; None leaves it to the reader to ask.
    """
    new = f"New images: a {prior} prior." if prior else "It has no prior."
    lines = [
        *_header(licence),
        f"# {name}",
        "",
        f"A discrete vocabulary of medical images, trained with voxlex: images of {_sides(space)} become "
        f"{_codes(layouts)}. Decodings: {', '.join(decoders)}. {new}",
        "",
        "```python",
        *use,
        "```",
        *_section("Data", _data(metadata)),
        *_section("Figures", _figures(figures)),
        *_section("Limits", [f"- {limit}" for limit in _LIMITS]),
        *_section("How to cite", _citation(source, metadata)),
    ]
    if not licence:
        lines += ["", "The licence of the weights was not said; ask their owner before you use them."]
    return "\n".join(lines) + "\n"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _sides(sides: Sequence[int]) -> str:
    return "×".join(map(str, sides))


def _codes(layouts: Sequence[CodeLayout]) -> str:
    return " and ".join(
        f"{_sides(level.grid)} cells of "
        + ("one code" if level.num_codebooks == 1 else f"{level.num_codebooks} codes")
        + f" out of {level.num_embeddings:,}"
        for level in layouts
    )


def _citation(source: str, metadata: Mapping[str, Any]) -> list[str]:
    version = metadata.get("versions", {}).get("voxlex", "of an unknown version")
    return [
        "A. van den Oord, O. Vinyals, K. Kavukcuoglu. Neural Discrete Representation Learning. 2017. arXiv 1711.00937.",
        "",
        f"Weights: {source}. voxlex {version}.",
    ]


def _header(licence: str | None) -> list[str]:
    named = [f"license: {json.dumps(licence)}"] if licence else []
    return ["---", "library_name: voxlex", *named, "tags:", "- vq-vae", "- medical-imaging", "---", ""]


def _data(metadata: Mapping[str, Any]) -> list[str]:
    data = metadata.get("data", {})
    counts = data.get("images", {})
    splits = ", ".join(f"{count:,} for {split}" for split, count in counts.items())
    known = "The subjects are known: none lies in two splits." if data.get("subjects_known") else (
        "The subjects are not known, so images of one person may lie in several splits, and figures may be too good."
    )  # fmt: skip
    conditions = [
        printable(f"- {column['name']}: ")
        + (printable(", ".join(column["values"])) if "values" in column else f"{column['low']:g} to {column['high']:g}")
        for column in metadata.get("conditions", [])
    ]
    asked = ["", "New images can be asked for by:", "", *conditions] if conditions else []
    return [f"Images: {splits or 'not said'}. {known}", *asked]


def _figures(figures: Figures) -> list[str]:
    """Return a table of figures; those of new images stand beside their floors."""
    known = {key: value for key, value in figures.items() if value is not None and not math.isnan(value)}
    if not known:
        return ["Not measured. `voxlex evaluate` measures them on held-out images."]
    rows = ["| figure | value | meaning |", "|---|---|---|"]
    for key, measure, level in measured(known):
        name = measure.name if level is None else f"{measure.name}, level {level}"
        rows.append(f"| {name} | {_written(measure, known[key])} | {measure.meaning} |")
    judged = [measure for measure in generation_measures.MEASURES if measure.key in known]
    if judged:
        rows += ["", "New images, beside the same figure of real images, which is the best that can be expected:", ""]
        rows += ["| figure | new images | real images | meaning |", "|---|---|---|---|"]
    for measure in judged:
        floor = known.get(f"{measure.key}_floor")
        real = "" if floor is None else _written(measure, floor)
        rows.append(f"| {measure.name} | {_written(measure, known[measure.key])} | {real} | {measure.meaning} |")
    return rows


def _written(measure: Measure, value: float | int) -> str:
    number = int(value) if measure.form.endswith("d") else value
    return f"{measure.write(number)} {measure.unit}".strip()
