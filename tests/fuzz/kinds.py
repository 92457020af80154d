"""Every kind of file that is read: an intact one, made by code or stored with the tests, and what reads it."""

import gzip
import io
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
from PIL import Image

from hostile.builders import AFFINE, volume
from scans.dicom_files import make_dicom_series
from scans.pictures import picture
from voxlex.code_table import read_code_table
from voxlex.config import read_config
from voxlex.data.dataset import PreparedDataset
from voxlex.models.weights import load_weights
from voxlex.run_folder import RunFolder
from voxlex.scans.read_write import read_scan, write_scan
from voxlex.scans.scan import Scan
from voxlex.tables.manifest import index_source
from voxlex.training.checkpoint import load_state, players_of, resuming, set_random_state
from voxlex.vocabulary import Vocabulary, load
from voxlex.workflows.decode import decode

GOLDEN = Path(__file__).parent.parent / "golden"

Read = Callable[[Path], object]


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes:
        make: Writes an intact file into an empty folder, and returns it.
        read: Reads it, as the library does.
        inside: Whether to mutate what a gzip file holds, instead of the compressed bytes.
    """

    make: Callable[[Path], Path]
    read: Read
    inside: bool = False


def _nifti(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        nibabel.save(nibabel.Nifti1Image(volume(), AFFINE), folder / name)
        return folder / name

    return make


def _written(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        scan = Scan(voxels=volume(), affine=np.diag([2.0, 2.0, 2.0, 1.0]), spacing_mm=(2.0, 2.0, 2.0))
        write_scan(folder / name, scan)
        return folder / name

    return make


def _dicom(compression: str | None) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        values = volume()[:, :, :1].astype(np.uint16)
        (path,) = make_dicom_series(folder, values, AFFINE, names="scan.dcm", compression=compression)
        return path

    return make


def _picture(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        Image.fromarray(picture(1)).save(folder / name)
        return folder / name

    return make


def _numpy(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        if name.endswith(".npy"):
            np.save(folder / name, picture(0))
        else:
            np.savez(folder / name, voxels=volume(), affine=AFFINE)
        return folder / name

    return make


def _mgh(folder: Path) -> Path:
    nibabel.save(nibabel.MGHImage(volume().astype(np.float32), AFFINE), folder / "scan.mgh")
    return folder / "scan.mgh"


def _of_run(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return Path(shutil.copytree(GOLDEN / "masked", folder / "run")) / name

    return make


def _of_set(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return Path(shutil.copytree(GOLDEN / "prepared", folder / "set")) / name

    return make


def _codes(folder: Path) -> Path:
    return Path(shutil.copy(GOLDEN / "codes" / "transformer.parquet", folder / "codes.parquet"))


def _state(folder: Path) -> Path:
    return Path(shutil.copy(GOLDEN / "unfinished" / "prior.state.pt", folder / "prior.state.pt"))


def _table(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for number in range(4):
            Image.fromarray(picture(number)).save(folder / f"{number}.png")
        between = "\t" if name.endswith("tsv") else ","
        rows = ["path subject age label", "0.png p1 20 a", "1.png p2 30.5 b", "2.png p1 20 a", "3.png p3 n/a b"]
        (folder / name).write_text("\n".join(row.replace(" ", between) for row in rows) + "\n")
        return folder / name

    return make


def _parquet(folder: Path) -> Path:
    index_source(_table("scans.csv")(folder)).table.to_parquet(folder / "scans.parquet")
    return folder / "scans.parquet"


_VOCABULARY: list[Vocabulary] = []


def _transformer() -> Vocabulary:
    if not _VOCABULARY:
        _VOCABULARY.append(load(GOLDEN / "transformer"))
    return _VOCABULARY[0]


def _read_codes(path: Path) -> object:
    vocabulary = _transformer()
    table = read_code_table(path, autoencoder=vocabulary.autoencoder, space=vocabulary.space, max_gigabytes=0.2)
    decode(vocabulary, path, out=path.parent / "out")
    return table


def _read_state(path: Path) -> object:
    state = load_state(path)
    with resuming(path):
        players = players_of(state, ("prior",), where=path)
        module = load(GOLDEN / "unfinished").autoencoder if not players else torch.nn.Linear(1, 1)
        before = torch.get_rng_state()
        set_random_state(state["random"])
        torch.set_rng_state(before)
    return module


def _read_weights(path: Path) -> object:
    module = _masked_autoencoder()
    return load_weights(path, module)


def _masked_autoencoder() -> torch.nn.Module:
    return load(GOLDEN / "masked").autoencoder


def _read_set(path: Path) -> object:
    dataset = PreparedDataset.open(path.parent)
    return dataset.tensor(slice(0, 2)), dataset.labels


KINDS: dict[str, FileKind] = {
    "nifti": FileKind(_nifti("scan.nii"), read_scan),
    "nifti, gzipped": FileKind(_nifti("scan.nii.gz"), read_scan),
    "nifti, in gzip": FileKind(_nifti("scan.nii.gz"), read_scan, inside=True),
    "mgh": FileKind(_mgh, read_scan),
    "dicom": FileKind(_dicom(None), read_scan),
    "dicom, rle": FileKind(_dicom("rle"), read_scan),
    "dicom, jpeg": FileKind(_dicom("lossless jpeg"), read_scan),
    "dicom, jpeg 2000": FileKind(_dicom("jpeg 2000"), read_scan),
    "png": FileKind(_picture("scan.png"), read_scan),
    "jpeg": FileKind(_picture("scan.jpg"), read_scan),
    "tiff": FileKind(_picture("scan.tif"), read_scan),
    "nrrd": FileKind(_written("scan.nrrd"), read_scan),
    "mha": FileKind(_written("scan.mha"), read_scan),
    "npy": FileKind(_numpy("scan.npy"), read_scan),
    "npz": FileKind(_numpy("scan.npz"), read_scan),
    "codes": FileKind(_codes, _read_codes),
    "prepared, images": FileKind(_of_set("images.npy"), _read_set),
    "prepared, manifest": FileKind(_of_set("manifest.parquet"), _read_set),
    "prepared, description": FileKind(_of_set("prepared.json"), _read_set),
    "weights": FileKind(_of_run("autoencoder.safetensors"), _read_weights),
    "settings": FileKind(_of_run("config.yaml"), lambda path: (read_config(path), load(path.parent))),
    "metadata": FileKind(_of_run("metadata.json"), lambda path: (RunFolder.open(path.parent), load(path.parent))),
    "state": FileKind(_state, _read_state),
    "csv": FileKind(_table("scans.csv"), index_source),
    "tsv": FileKind(_table("scans.tsv"), index_source),
    "parquet": FileKind(_parquet, index_source),
}


def unpacked(kind: FileKind, content: bytes) -> bytes:
    """Return the bytes to mutate."""
    return gzip.decompress(content) if kind.inside else content


def packed(kind: FileKind, content: bytes) -> bytes:
    """Return the bytes of a file with these contents; a fast and always equal compression."""
    if not kind.inside:
        return content
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=zlib.Z_BEST_SPEED, mtime=0) as file:
        file.write(content)
    return stream.getvalue()
