"""Files to save or to look at: codes, pictures, volumes. They are made in memory or in a folder that goes at once."""

from pathlib import Path

import nibabel
import numpy as np
from torch.nn import functional

from voxlex.code_table import write_code_table
from voxlex.codes import from_levels
from voxlex.errors import DataError
from voxlex.explorer.drawing import as_png
from voxlex.explorer.exhibit import Exhibit, UnknownError
from voxlex.explorer.jobs import drawn_by, job_of
from voxlex.explorer.replies import Binary, Question, edited
from voxlex.explorer.requests import DecodeRequest, parsed
from voxlex.files import workplace
from voxlex.images.cube import cube_as_scan
from voxlex.run_folder import AUTOENCODER, TEXTURE

_PARQUET = "application/vnd.apache.parquet"


def codes(exhibit: Exhibit, question: Question) -> Binary:
    """Return the codes of a scan, some of them exchanged, as a file that `voxlex decode` takes."""
    row = exhibit.row(question.path["row"])
    levels = edited(exhibit, row, parsed(DecodeRequest, question.body).edits)
    manifest = exhibit.images().manifest.iloc[[row]].reset_index(drop=True)
    with workplace() as folder:
        file = folder / "codes.parquet"
        write_code_table(file, from_levels(list(levels)), manifest, autoencoder=exhibit.loaded().autoencoder)
        content = file.read_bytes()
    return Binary(content, kind=_PARQUET, name=f"{_stem(exhibit, row)}-codes.parquet")


def picture(exhibit: Exhibit, question: Question) -> Binary:
    """Return what the codes of a scan decode to, some of them exchanged, as PNG."""
    row = exhibit.row(question.path["row"])
    request = parsed(DecodeRequest, question.body)
    levels = edited(exhibit, row, request.edits)
    image = exhibit.loaded().decode(from_levels(list(levels)), decoding=request.decoding, seed=request.seed)
    return Binary(as_png(image[0]), kind="image/png", name=f"{_stem(exhibit, row)}-decoded.png")


def drawn(exhibit: Exhibit, question: Question) -> Binary:
    """Return an image that a job has drawn as PNG or NIfTI, with what it was made with."""
    job = job_of(exhibit, question)
    found = drawn_by(job, question)
    made_with = {"run": exhibit.name, "kind": job.kind, **job.request, "seed": found["seed"], "count": 1}
    made_with.pop("mask", None)
    name = f"{job.kind}-{found['seed']}"
    image = found["image"]
    if image.ndim == 3:
        return Binary(as_png(image, made_with=made_with), kind="image/png", name=f"{name}.png")
    content = _nifti(image[0].numpy(), spacing_mm=exhibit.loaded().config.data.spacing_mm)
    shown = question.query.get("show") == "1"
    return Binary(content, name=None if shown else f"{name}.nii", kept=shown)


def volume(exhibit: Exhibit, question: Question) -> Binary:
    """Return a volume, its reconstruction, their difference or the bits of its codes as NIfTI."""
    row, kind = exhibit.row(question.path["row"]), question.path["kind"]
    x = exhibit.images().tensor([row])
    if x.ndim != 5:
        raise DataError("expected a run of volumes, got one of images")
    spacing_mm = exhibit.loaded().config.data.spacing_mm
    if kind == "original":
        return Binary(_nifti(x[0, 0].numpy(), spacing_mm=spacing_mm), kept=True)
    levels = exhibit.codes_of(row)
    if kind in ("reconstruction", "difference"):
        x_hat = exhibit.loaded().decode(from_levels(list(levels))).cpu()
        shown = x_hat if kind == "reconstruction" else (x_hat - x).abs()
        return Binary(_nifti(shown[0, 0].numpy(), spacing_mm=spacing_mm), kept=True)
    if kind == "bits":
        survey = exhibit.surveyed()
        if not survey.has_scores:
            raise DataError("the run has no prior for codes of this size")
        finest = survey.bits_of(levels, row)[-1].sum(dim=1, keepdim=True)
        grown = functional.interpolate(finest, size=x.shape[2:], mode="nearest")
        return Binary(_nifti(grown[0, 0].numpy(), spacing_mm=spacing_mm, scale=False), kept=True)
    raise UnknownError("expected original, reconstruction, difference or bits")


def training_picture(exhibit: Exhibit, question: Question) -> Binary:
    """Return one of the pictures of a run, or those of its validations."""
    folder = exhibit.folder
    validations = [folder.validations_file(stage) for stage in (AUTOENCODER, TEXTURE)]
    pictures = {file.stem: file for file in (folder.reconstructions_file, folder.samples_file, *validations)}
    file = pictures.get(question.path["name"])
    if file is None or not file.is_file():
        raise UnknownError("the run has no such picture yet")
    return Binary(file.read_bytes(), kind="image/png")


def _nifti(cube: np.ndarray, *, spacing_mm: float | None, scale: bool = True) -> bytes:
    """Return a cube `(z, y, x)` as NIfTI in the order that scans have."""
    values = np.round(cube * 65535).clip(0, 65535).astype(np.uint16) if scale else cube.astype(np.float32)
    scan = cube_as_scan(values, spacing_mm=spacing_mm or 1.0)
    image = nibabel.Nifti1Image(scan.voxels, scan.affine)
    image.header.set_xyzt_units("mm")
    if scale:
        image.header.set_slope_inter(1 / 65535, 0)
    return image.to_bytes()


def _stem(exhibit: Exhibit, row: int) -> str:
    return Path(str(exhibit.images().manifest["path"].iloc[row])).stem
