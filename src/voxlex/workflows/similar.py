"""Find the scans most like a given one among scans that are stored as codes."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from voxlex.code_table import read_code_table
from voxlex.codes import take
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import DataError
from voxlex.evaluation.code_features import ScanIndex, pooled_latents
from voxlex.files import atomic_file
from voxlex.models.batches import encode_dataset
from voxlex.outputs import check_folder, mark_results
from voxlex.pages.pictures import sample_sheet
from voxlex.progress import Phases, silent
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.results import output_folder

SHEET, TABLE = "similar.png", "similar.csv"


def find_similar(
    vocabulary: Vocabulary,
    scan: PreparedDataset,
    *,
    codes: Path,
    out: Path,
    count: int = 8,
    overwrite: bool = False,
    phases: Phases = silent,
) -> pd.DataFrame:
    """Write a table and a sheet of the scans most like a given one.

    Scans are described by their mean latents in a few places (see `pooled_latents`), and a scan of several images by
    the mean over its images. The sheet shows what the codes decode to: the scan first, then the others, of a volume
    its middle slice.

    Args:
        vocabulary: The vocabulary that made the codes.
        scan: The images of one scan, in the size of the vocabulary.
        codes: File of codes among which to search, from `voxlex encode`.
        out: Folder for the results.
        count: Number of scans to find.
        overwrite: Write into a folder that is not empty.
        phases: Receives the progress of the work.

    Returns:
        A row for each scan that was found, the most similar first: `path`, `similarity` from −1 to 1, and `subject` and
        `label` as the file of codes has them.

    Raises:
        CodesError: If the file cannot be read, or holds the codes of another run.
        DataError: If the folder cannot be used, or there are several scans.
        ValueError: If the count is below 1.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    if (scans := scan.manifest["path"].nunique()) > 1:
        raise DataError(f"scan: expected one scan to compare others with, got {scans}; give the path of one of them")
    check_folder(out, overwrite=overwrite, reads=[codes])
    with phases("reading codes"):
        table = read_code_table(codes, autoencoder=vocabulary.autoencoder, space=vocabulary.space)
        paths = table.rows["path"].astype(str)
        names, members = np.unique(paths, return_inverse=True)
        index = ScanIndex(_means(pooled_latents(vocabulary.autoencoder, table.codes), members, len(names)))
    with phases("encoding") as progress:
        own = encode_dataset(vocabulary, scan, progress=progress)
    described = pooled_latents(vocabulary.autoencoder, own).mean(axis=0)
    best, similarity = index.nearest(described, count)
    rows = [np.flatnonzero(members == scan_number) for scan_number in best]
    first = [int(of_scan[len(of_scan) // 2]) for of_scan in rows]
    known = [column for column in ("subject", "label") if column in table.rows]
    found = pd.DataFrame({"path": names[best], "similarity": similarity.round(4)})
    found = found.join(table.rows.iloc[first][known].reset_index(drop=True))
    out = output_folder(out, overwrite=overwrite)
    with atomic_file(out / TABLE) as building:
        found.to_csv(building, index=False)
    middle = len(scan) // 2
    pictures = [vocabulary.decode(take(own, slice(middle, middle + 1))), vocabulary.decode(take(table.codes, first))]
    captions = [f"{path} {value:.2f}" for path, value in zip(found["path"], found["similarity"], strict=True)]
    sample_sheet(out / SHEET, torch.cat(pictures).cpu(), captions=["the scan", *captions])
    mark_results(out)
    return found


def _means(features: Float[np.ndarray, "n f"], members: np.ndarray, count: int) -> Float[np.ndarray, "s f"]:
    """Return the mean description of the images of each scan."""
    if count == len(features):
        return features[np.argsort(members, kind="stable")]
    sums = np.zeros((count, features.shape[1]), np.float64)
    np.add.at(sums, members, features)
    return (sums / np.bincount(members, minlength=count)[:, None]).astype(np.float32)
