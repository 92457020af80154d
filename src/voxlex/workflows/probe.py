"""Measure what the codes of scans tell of a column of their table, beside what simpler descriptions tell."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from voxlex.codes import Codes, levels_of
from voxlex.data.dataset import COLUMNS, PreparedDataset
from voxlex.errors import DataError
from voxlex.evaluation.code_features import codeword_shares, described_codes
from voxlex.evaluation.probe import READERS, Target, confusions, probe, shuffled, weights_of
from voxlex.evaluation.simple_features import grey_shares, small_pixels
from voxlex.files import write_json
from voxlex.images.origin import ORIGIN_EXTRAS
from voxlex.models.batches import encode_dataset
from voxlex.outputs import check_folder
from voxlex.pages.probe_pictures import codeword_sheet, confusion_picture
from voxlex.progress import Phases, silent
from voxlex.rows import batches
from voxlex.types import Levels
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.results import output_folder

CONFUSIONS, CODEWORDS = "confusions.png", "codewords.png"

_CODEWORDS = 12  # shown for each class


@dataclass(frozen=True)
class Probed:
    """What was read.

    Attributes:
        figures: For each description the figures of each reader; see `evaluation.probe.Reading`.
        classes: The names of the classes; empty for numbers.
        images: Number of images that have a value.
        groups: Number of groups among them.
    """

    figures: dict[str, dict[str, dict[str, float]]]
    classes: tuple[str, ...]
    images: int
    groups: int


def probe_column(
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    column: str,
    out: Path | None = None,
    overwrite: bool = False,
    phases: Phases = silent,
) -> Probed:
    """Read a column of the table from the codes, and from what is simpler than codes.

    The descriptions are:

    - "codes": mean latents in 4 places along each axis, the shares of the codewords, and the mean and the deviation of
      the surprise of the prior, if there is one;
    - "pixels": a small version of the image;
    - "grey values": their histogram alone, which tells scanners and contrasts;
    - "shuffled": the codes, with the values of other images; what is read here is chance.

    Args:
        vocabulary: The vocabulary.
        dataset: Images with the table, in the size of the vocabulary.
        column: Column of the table. Images without a value are left out.
        out: Folder for pictures of the confusions, and of the codewords that weigh most; None for no pictures.
        overwrite: Write into a folder that is not empty.
        phases: Receives the progress of the work.

    Raises:
        DataError: If there is no such column, it has too few values or groups, or the folder cannot be used.
    """
    rows, target = _target(dataset, column)
    groups = [str(dataset.manifest["group"].iloc[row]) for row in rows]
    if out is not None:
        check_folder(out, overwrite=overwrite)
    with phases("encoding") as progress:
        codes = levels_of(encode_dataset(vocabulary, dataset, progress=progress))
    codes = tuple(level[torch.from_numpy(rows)] for level in codes)
    pixels, greys = _pixels_and_greys(dataset, rows)
    described = _described(vocabulary, codes, phases)
    descriptions = {"codes": described, "pixels": pixels, "grey values": greys, "shuffled": described}
    figures: dict[str, dict[str, dict[str, float]]] = {name: {} for name in descriptions}
    predictions = np.zeros(0)
    try:
        with phases("probing") as progress:
            for number, (name, features) in enumerate(descriptions.items()):
                wanted = shuffled(target, groups) if name == "shuffled" else target
                for reader in READERS:
                    reading = probe(features, wanted, groups, reader=reader)
                    figures[name][reader] = reading.figures
                    if (name, reader) == ("codes", "linear"):
                        predictions = reading.predictions
                progress(number + 1, len(descriptions))
    except ValueError as cause:
        raise DataError(str(cause)) from cause
    if out is not None:
        folder = output_folder(out, overwrite=overwrite)
        if target.classes:
            confusion_picture(folder / CONFUSIONS, confusions(target, predictions), target.classes)
        _show_codewords(folder / CODEWORDS, vocabulary, codes, target)
    return Probed(figures, target.classes, len(rows), len(set(groups)))


def write_probe(path: Path, probed: Probed, *, column: str) -> None:
    """Write the figures as JSON.

    Raises:
        DataError: If the file cannot be written.
    """
    about = {"column": column, "classes": list(probed.classes), "images": probed.images, "groups": probed.groups}
    write_json(path, {**about, "figures": probed.figures})


def _target(dataset: PreparedDataset, column: str) -> tuple[np.ndarray, Target]:
    """Return the rows that have a value, and their values."""
    if column not in dataset.manifest:
        known = ["label", *(str(name) for name in dataset.manifest if name not in {*COLUMNS, *ORIGIN_EXTRAS})]
        raise DataError(f"target: expected one of the columns {', '.join(known)}, got {column!r}")
    values = dataset.manifest[column]
    texts = values.astype(str)
    rows = np.flatnonzero((values.notna() & (texts != "") & (texts != "nan")).to_numpy())
    try:
        return rows, Target.of(column, list(texts.iloc[rows]))
    except ValueError as cause:
        raise DataError(f"target: {cause}") from cause


def _described(vocabulary: Vocabulary, codes: Levels, phases: Phases) -> Float[np.ndarray, "n f"]:
    """Return the description of images by their codes."""
    parts = [described_codes(vocabulary.autoencoder, codes, vocabulary.layouts)]
    if vocabulary.prior is not None:
        surprise = []
        with phases("scoring codes") as progress:
            for rows in batches(len(codes[0]), pixels_per_image=codes[-1][0].numel(), at_most=64):
                own = levels_of(vocabulary.prior.surprise(tuple(level[rows] for level in codes)))
                flat = torch.cat([level.flatten(1) for level in own], dim=1)
                surprise.append(torch.stack([flat.mean(dim=1), flat.std(dim=1)], dim=1).cpu().numpy())
                progress(rows.stop, len(codes[0]))
        parts.append(np.concatenate(surprise))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _pixels_and_greys(dataset: PreparedDataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of small images, and the shares of their grey values."""
    pixels, greys = [], []
    for some in batches(len(rows), pixels_per_image=dataset.images[0].size, at_most=256):
        x = dataset.tensor(rows[some])
        pixels.append(small_pixels(x).numpy())
        greys.append(grey_shares(x).numpy())
    return np.concatenate(pixels), np.concatenate(greys)


def _show_codewords(path: Path, vocabulary: Vocabulary, codes: Levels, target: Target) -> None:
    """Write a sheet of the codewords that weigh most, each decoded in a field of its own; only for one codebook."""
    layout, *others = vocabulary.layouts
    if others or layout.num_codebooks > 1:
        return
    weights = weights_of(codeword_shares(codes, vocabulary.layouts), target)
    names = target.classes or (f"higher {target.name}",)
    best = [np.argsort(-own)[:_CODEWORDS] for own in weights]
    chosen: Codes = torch.from_numpy(np.concatenate(best)).view(-1, 1, *[1] * len(layout.grid))
    multiple = vocabulary.autoencoder.multiple_of // vocabulary.autoencoder.downsampling
    pictures = vocabulary.autoencoder.decode(chosen.expand(-1, -1, *[4 * multiple] * len(layout.grid))).cpu()
    codeword_sheet(path, pictures, names=names, each=len(best[0]))
