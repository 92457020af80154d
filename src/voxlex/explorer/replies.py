"""What the explorer answers: each function takes the exhibit and a question, and returns plain values or bytes."""

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch.nn import functional

from voxlex import metrics
from voxlex.codes import from_levels
from voxlex.errors import DataError, RunError
from voxlex.explorer import words as codewords
from voxlex.explorer.exhibit import Exhibit, UnknownError, as_uint16
from voxlex.explorer.requests import DecodeRequest, Edit, parsed
from voxlex.explorer.survey import FIGURES
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_EXTRAS
from voxlex.names import printable
from voxlex.priors.conditions import Categorical
from voxlex.types import Levels

THUMB_BLOCK = 64
_THUMB_SIDE = 96
_HIDDEN = {*ORIGIN_COLUMNS, *ORIGIN_EXTRAS, "group", "nan_voxels"} - {"bit_depth", "height", "width", "view"}


@dataclass(frozen=True)
class Question:
    """A request.

    Attributes:
        path: The parts of its address.
        query: What follows the question mark.
        body: What it sends.
        client: Who asks.
    """

    path: Mapping[str, Any]
    query: Mapping[str, str]
    body: bytes
    client: str


@dataclass(frozen=True)
class Binary:
    """An answer in bytes.

    Attributes:
        content: The bytes.
        kind: Their media type.
        kept: Whether the browser may keep them, because the address says which version they are of.
        figures: Figures about them.
        name: Name of the file to save them as; None to show them.
    """

    content: bytes
    kind: str = "application/octet-stream"
    kept: bool = False
    figures: dict[str, float] | None = None
    name: str | None = None


Answer = Callable[[Exhibit, Question], "Binary | dict[str, Any] | list[Any]"]


def run(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Describe the run and the one beside it, and say how far they are open."""
    exhibit.refresh()
    return _described(exhibit) | {"beside": None if exhibit.beside is None else _described(exhibit.beside)}


def _described(exhibit: Exhibit) -> dict[str, Any]:
    opening, vocabulary, folder = exhibit.opening, exhibit.vocabulary, exhibit.folder
    found: dict[str, Any] = {
        "name": exhibit.name,
        "version": str(exhibit.version),
        "opening": {"phase": opening.phase, "done": opening.done, "total": opening.total},
        "problems": dict(opening.problems),
        "loaded": vocabulary is not None,
        "scans": None if exhibit.dataset is None else len(exhibit.dataset),
        "source": None if exhibit.dataset is None else exhibit.dataset.name,
        "stages": folder.metadata().get("stages", {}),
        "notes": exhibit.notes(),
    }
    if vocabulary is None:
        return found
    autoencoder = vocabulary.autoencoder
    return found | {
        "space": list(vocabulary.space),
        "levels": [
            {"k": layout.num_embeddings, "q": layout.num_codebooks, "grid": list(layout.grid)}
            for layout in vocabulary.layouts
        ],
        "downsampling": autoencoder.downsampling,
        "prior": vocabulary.prior is not None,
        "exact": vocabulary.prior is not None and vocabulary.prior.exact,
        "texture": vocabulary.texture is not None,
        "spacing_mm": vocabulary.config.data.spacing_mm,
        "conditions": [
            {"name": column.name, "values": list(column.values)}
            if isinstance(column, Categorical)
            else {"name": column.name, "low": column.low, "high": column.high}
            for column in vocabulary.conditions.columns
        ],
    }


def scans(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Return the table of the scans, column by column. Columns that say nothing are left out."""
    images = exhibit.images()
    manifest = images.manifest
    columns = []
    for name in manifest.columns:
        if name in _HIDDEN:
            continue
        values = manifest[name]
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        listed = [_plain(value, numeric=numeric) for value in values]
        if name != "path" and len({*listed}) < 2:
            continue
        columns.append({"name": printable(str(name)), "numeric": numeric, "values": listed})
    return {
        "rows": len(images),
        "columns": columns,
        "fingerprint": images.fingerprint,
        "thumb": {"side": _thumb_side(images.size), "block": THUMB_BLOCK},
    }


def figures(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Return the figures of scans that have become known since `encoded` and `scored`."""
    if exhibit.survey is None:
        return {"rows": [], "encoded": 0, "scored": 0, "total": 0, "scores": False, "failure": "", "figures": {}}
    survey = exhibit.survey
    encoded, scored = survey.encoded, survey.scored
    since = {name: _number(question.query.get(name, "0")) for name in ("encoded", "scored")}
    spans = {name: slice(since["encoded"], encoded) for name in FIGURES[:2]}
    spans |= {name: slice(since["scored"], scored) for name in FIGURES[2:]}
    return {
        "encoded": encoded,
        "scored": scored,
        "total": len(survey),
        "scores": survey.has_scores,
        "failure": printable(survey.failure),
        "rows": survey.order.tolist() if since["encoded"] == 0 else [],
        "figures": {
            name: [_short(value) for value in survey.figures[name][span].tolist()] for name, span in spans.items()
        },
    }


def thumbs(exhibit: Exhibit, question: Question) -> Binary:
    """Return small forms of `THUMB_BLOCK` scans one after another, uint8; of volumes their middle plane."""
    images = exhibit.images()
    first = _number(question.path["block"]) * THUMB_BLOCK
    if first >= len(images):
        raise UnknownError("there is no such block of scans")
    side = _thumb_side(images.size)
    pixels = np.asarray(_middle(images.images[first : first + THUMB_BLOCK]))
    scale = 255 / np.iinfo(pixels.dtype).max
    x = torch.from_numpy(pixels.astype(np.float32))
    if x.shape[-1] != side:
        x = functional.interpolate(x, size=(side, side), mode="area")
    return Binary(x.mul(scale).round().byte().numpy().tobytes(), kept=True)


def _middle(images: np.ndarray) -> UInt8[np.ndarray, "n 1 h w"] | np.ndarray:
    return images if images.ndim == 4 else images[:, :, images.shape[2] // 2]


def _thumb_side(size: int) -> int:
    return min(size, _THUMB_SIDE)


def scan(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Return what is known of a scan, with its codes."""
    row = exhibit.row(question.path["row"])
    manifest = exhibit.images().manifest
    known = {printable(str(name)): _plain(manifest[name].iloc[row]) for name in manifest.columns if name not in _HIDDEN}
    found: dict[str, Any] = {
        "row": row,
        "facts": {name: value for name, value in known.items() if value not in (None, "")},
        "shape": list(exhibit.images().images.shape[2:]),
        "codes": [],
    }
    if exhibit.vocabulary is not None:
        found["codes"] = [level[0].flatten().tolist() for level in exhibit.codes_of(row)]
        found["layouts"] = [
            {"k": layout.num_embeddings, "q": layout.num_codebooks, "grid": list(layout.grid)}
            for layout in exhibit.vocabulary.autoencoder.layouts(exhibit.images().images.shape[2:])
        ]
    return found


def original(exhibit: Exhibit, question: Question) -> Binary:
    """Return a scan as the model sees it, uint16."""
    row = exhibit.row(question.path["row"])
    return Binary(as_uint16(exhibit.images().tensor([row])[0]), kept=True)


def edited(exhibit: Exhibit, row: int, edits: tuple[Edit, ...]) -> Levels:
    """Return the codes of a scan with other codewords in some cells.

    Raises:
        ValueError: If there is no such level, codebook or cell.
    """
    levels = tuple(level.clone() for level in exhibit.codes_of(row))
    quantizers = exhibit.loaded().autoencoder.quantizers
    for edit in edits:
        if edit.level >= len(levels):
            raise ValueError(f"level: expected 0 to {len(levels) - 1}, got {edit.level}")
        flat = levels[edit.level].flatten(2)
        for name, value, end in (
            ("codebook", edit.codebook, flat.shape[1]),
            ("cell", edit.cell, flat.shape[2]),
            ("codeword", edit.code, quantizers[edit.level].num_embeddings),
        ):
            if value >= end:
                raise ValueError(f"{name}: expected 0 to {end - 1}, got {value}")
        flat[0, edit.codebook, edit.cell] = edit.code
    return levels


def decode(exhibit: Exhibit, question: Question) -> Binary:
    """Decode the codes of a scan, some of them exchanged, and compare the result with the scan."""
    row = exhibit.row(question.path["row"])
    request = parsed(DecodeRequest, question.body)
    levels = edited(exhibit, row, request.edits)
    vocabulary = exhibit.loaded()
    x_hat = vocabulary.decode(from_levels(list(levels)), decoding=request.decoding, seed=request.seed).cpu()
    x = exhibit.images().tensor([row])
    measured = {"ssim": float(metrics.ssim(x_hat, x)[0]), "psnr_db": float(metrics.psnr_db(x_hat, x)[0])}
    return Binary(as_uint16(x_hat[0]), figures={name: _short(value) or 0.0 for name, value in measured.items()})


def measures(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Return how close the reconstruction of a scan is, and how many bits its codes take, with and without the prior.

    `bits` are None if the run has no prior for codes of this size.
    """
    row = exhibit.row(question.path["row"])
    levels, survey = exhibit.codes_of(row), exhibit.surveyed()
    x, x_hat = exhibit.images().tensor([row]), exhibit.loaded().decode(from_levels(list(levels))).cpu()
    scored = survey.bits_of(levels, row) if survey.has_scores else ()
    return {
        "ssim": _short(float(metrics.ssim(x_hat, x)[0])),
        "psnr_db": _short(float(metrics.psnr_db(x_hat, x)[0])),
        "codes": sum(level.numel() for level in levels),
        "raw_bits": _short(sum(layout.codes_per_image * log2(layout.num_embeddings) for layout in survey.layouts)),
        "bits": _short(float(sum(level.sum() for level in scored))) if scored else None,
        "pixels": x.numel(),
    }


def bits(exhibit: Exhibit, question: Question) -> Binary:
    """Return the bits of each code of a scan under the prior, float32, one level after another."""
    row = exhibit.row(question.path["row"])
    survey = exhibit.surveyed()
    if not survey.has_scores:
        raise RunError("the run has no prior for codes of this size; train it with --stage prior --resume")
    levels = edited(exhibit, row, parsed(DecodeRequest, question.body).edits)
    found = survey.bits_of(levels, row)
    return Binary(b"".join(level[0].numpy().astype("<f4").tobytes() for level in found))


def one_word(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Describe a codeword."""
    level, codebook, code = (_number(question.path[name]) for name in ("level", "codebook", "code"))
    survey = exhibit.surveyed()
    autoencoder = exhibit.loaded().autoencoder
    return dict(codewords.word(survey, exhibit.images(), autoencoder, level=level, codebook=codebook, code=code))


def _map(exhibit: Exhibit, question: Question) -> codewords.WordMap:
    level, codebook = (_number(question.path[name]) for name in ("level", "codebook"))
    survey = exhibit.surveyed()
    codewords.check_codebook(survey, level, codebook)
    if not survey.encoded:
        raise DataError("the scans are still being encoded")
    with exhibit.mapping:  # a map takes seconds, and everybody who waits gets the same one
        key = (exhibit.version, level, codebook, survey.whole or int(8 * log2(survey.encoded)))
        found = exhibit.maps.get(key)
        if found is None:
            found = codewords.word_map(survey, exhibit.loaded().autoencoder, level=level, codebook=codebook)
            exhibit.maps.put(key, found)
        return found


def words(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Return the map of a codebook, with its patches in base64."""
    found = _map(exhibit, question)
    return {
        "codes": found.codes.tolist(),
        "uses": found.uses.tolist(),
        "places": [[round(value, 5) for value in place] for place in found.places.tolist()],
        "side": found.patches.shape[-1],
        "patches": base64.b64encode(found.patches.tobytes()).decode("ascii"),
        "dead": found.dead,
        "total": found.total,
        "surveyed": found.surveyed,
        "of": len(exhibit.surveyed()),
    }


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise UnknownError(f"expected a number, got {printable(text)[:40]!r}")
    return int(text)


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _plain(value: Any, *, numeric: bool | None = None) -> Any:
    """Return a cell of a table as JSON can hold it."""
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if (
        numeric is not False
        and isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
    ):
        number = value.item() if isinstance(value, np.generic) else value
        return number if math.isfinite(number) else None
    return printable(str(value))
