"""Write the report and the pictures of a run."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import yaml
from torch import Tensor

from voxlex.config import dump_config
from voxlex.data.dataset import PreparedDataset
from voxlex.names import counted, resolved, sentence
from voxlex.pages.pictures import quality_captions, reconstruction_sheet, sample_sheet
from voxlex.pages.report import ClosePair, ReportContent, pair_captions, write_report
from voxlex.progress import Phases, silent
from voxlex.rows import evenly_spaced
from voxlex.run_folder import RunFolder
from voxlex.training.journal import read_journal
from voxlex.vocabulary import Vocabulary, load
from voxlex.workflows.evaluate import Evaluation, evaluate
from voxlex.workflows.judge import SHOWN_SAMPLES

SHOWN_RECONSTRUCTIONS = 12
SHOWN_IN_REPORT = 18


def write_run_report(folder: RunFolder, dataset: PreparedDataset, *, phases: Phases = silent) -> dict[str, float]:
    """Evaluate a run on its test images, draw samples, and write `report.html` and the two sheets beside it.

    Args:
        folder: The run folder.
        dataset: The data set that the run was trained on.
        phases: Receives the progress of the work.

    Returns:
        The figures of the evaluation on the test images.
    """
    vocabulary = load(folder.path)
    test = dataset.subset("test")
    evaluation = evaluate(vocabulary, dataset, shown=True, phases=phases)
    rows = evenly_spaced(len(test), SHOWN_RECONSTRUCTIONS)
    originals = test.tensor(rows)
    reconstructions = vocabulary.reconstruct(originals)
    paths = [str(path) for path in test.manifest["path"].iloc[rows]]
    captions = quality_captions(originals, reconstructions, paths)
    reconstruction_sheet(folder.reconstructions_file, originals, reconstructions, captions=captions)
    samples, sample_captions = _shown_samples(evaluation, SHOWN_SAMPLES)
    if samples is not None:
        sample_sheet(folder.samples_file, samples, captions=sample_captions)
    samples, sample_captions = _shown_samples(evaluation, SHOWN_IN_REPORT)
    content = ReportContent(
        title=resolved(folder.path).name,
        figures=evaluation.figures,
        split="test",
        layouts=vocabulary.layouts,
        originals=originals,
        reconstructions=reconstructions,
        paths=paths,
        samples=samples,
        sample_captions=sample_captions,
        features=evaluation.features,
        spectra={} if evaluation.generation is None else evaluation.generation.spectra,
        pairs=_closest_pairs(evaluation, dataset),
        real=test.tensor(evenly_spaced(len(test), SHOWN_IN_REPORT)),
        journal=read_journal(folder.journal_file),
        code_counts=evaluation.reconstruction.counts,
        facts=_facts(vocabulary),
        warnings=_warnings(dataset, evaluation),
    )
    write_report(folder.report_file, content)
    return evaluation.figures


def _shown_samples(evaluation: Evaluation, at_most: int) -> tuple[Tensor | None, list[str] | None]:
    """Return some of the new images, of every label alike, and what each was asked to be."""
    if evaluation.generation is None:
        return None, None
    samples, labels = evaluation.generation.samples, evaluation.generation.labels
    rows = evenly_spaced(len(samples), at_most)
    return samples[rows], labels and [labels[row] for row in rows]


def _closest_pairs(evaluation: Evaluation, dataset: PreparedDataset) -> list[ClosePair]:
    """Return the new images that are most like a training image, beside it."""
    generation = evaluation.generation
    if generation is None or generation.report is None or generation.nearest is None:
        return []
    pairs = generation.report.pairs[: len(generation.nearest)]
    captions = pair_captions(pairs, training=_names(dataset.subset("train").manifest))
    return [
        ClosePair(image, generation.samples[pair.sample], caption)
        for image, pair, caption in zip(generation.nearest, pairs, captions, strict=True)
    ]


def _names(manifest: pd.DataFrame) -> list[str]:
    """Name images by their paths, and slices of volumes by their path and index."""
    of_volume = manifest["path"].duplicated(keep=False)
    return [
        f"{path} slice {number}" if several else str(path)
        for path, number, several in zip(manifest["path"], manifest["slice"], of_volume, strict=True)
    ]


def _facts(vocabulary: Vocabulary) -> dict[str, dict[str, str]]:
    metadata = vocabulary.metadata
    facts = {"Data": _flat(metadata.get("data", {}))}
    facts |= {f"Stage: {name}": _flat(stage) for name, stage in metadata.get("stages", {}).items()}
    facts["Software"] = _flat(metadata.get("versions", {}))
    facts |= {f"Settings: {name}": _flat(part) for name, part in yaml.safe_load(dump_config(vocabulary.config)).items()}
    return facts


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat


def _warnings(dataset: PreparedDataset, evaluation: Evaluation) -> list[str]:
    nobody = not (dataset.manifest["subject"] != "").any()  # which the evaluation says, too
    notes = [note for note in dataset.notes if not (nobody and note.startswith("subjects: unknown for"))]
    left_out = [f"{counted(len(dataset.skipped), 'source image')} could not be read, and left out"] * bool(
        dataset.skipped
    )
    return [sentence(text) for text in (*evaluation.warnings, *notes, *left_out)]
