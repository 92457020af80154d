"""The folder for results, and the writer of pictures and volumes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from numpy import ndarray

from voxlex.errors import DataError
from voxlex.files import remove
from voxlex.images.cube import cube_as_scan
from voxlex.images.intensity import IntensityMap
from voxlex.outputs import SUFFIXES, check_folder, is_own_file, mark_results
from voxlex.scans.read_write import write_samples, write_scan
from voxlex.scans.samples import Samples
from voxlex.scans.scan import Scan


@dataclass(frozen=True)
class Written:
    """How many scans were written, and sentences about them that a user should read."""

    count: int
    notes: list[str]


@dataclass
class ResultWriter:
    """Writes results into a folder: pictures as PNG, volumes as NIfTI, and a hidden mark beside them.

    Attributes:
        folder: The folder to write to. It is created if necessary.
        ending: Text between the name and the suffix of each file.
        written: Number of files that have been written.
    """

    folder: Path
    ending: str = ""
    written: int = 0

    def write(self, name: str, scan: Scan) -> None:
        """Write a scan as `<name>.png` or `<name>.nii.gz`, with unchanged numbers.

        Raises:
            DataError: If the file cannot be written, or PNG cannot hold the numbers of a picture; see `write_unit`.
        """
        write_scan(self.folder / f"{name}{self.ending}{SUFFIXES[scan.voxels.ndim]}", scan)
        self._count()

    def write_samples(self, name: str, samples: Samples) -> None:
        """Write samples as they are into a file of this name, with its suffix.

        Raises:
            DataError: If the file cannot be written.
        """
        write_samples(self.folder / name, samples)
        self._count()

    def write_unit(
        self, name: str, image: Float[ndarray, "*space"], intensity: IntensityMap, *, spacing_mm: float | None = None
    ) -> None:
        """Write an image in [0, 1] with its original grey values: a picture `(h, w)` or a cube `(z, y, x)`.

        Args:
            name: See `write`.
            image: The image.
            intensity: The map back to grey values. If PNG cannot hold the grey values of a picture, they are scaled to
                16 bits instead.
            spacing_mm: Distance between the voxels of a cube; 1 mm by default.

        Raises:
            DataError: If the file cannot be written.
        """
        if image.ndim == 3:
            self.write(name, cube_as_scan(intensity.from_unit(image), spacing_mm=spacing_mm or 1.0))
            return
        held = intensity.dtype.name in ("uint8", "uint16")
        printed = intensity if held else IntensityMap(low=0, high=65535, bit_depth=16)
        self.write(name, Scan(voxels=printed.from_unit(image)))

    def _count(self) -> None:
        if not self.written:
            mark_results(self.folder)
        self.written += 1


def output_folder(path: Path, *, overwrite: bool, reads: Iterable[Path] = ()) -> Path:
    """Return a folder for results, made if need be; see `outputs.check_folder`.

    Raises:
        DataError: If results must not be written into it, or it cannot be made.
    """
    check_folder(path, overwrite=overwrite, reads=reads)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise DataError(f"{path}: cannot be created: {cause.strerror}") from cause
    return path


def remove_numbered(folder: Path, name: str, *, start: int, suffix: str) -> None:
    """Remove numbered results of an earlier call, such as NAME-0012, that do not belong to this call.

    Args:
        folder: The folder of the results.
        name: The text before the numbers.
        start: The first number to remove. Files with smaller numbers have just been written.
        suffix: The text after the numbers.

    Raises:
        DataError: If a file cannot be removed.
    """
    numbered = re.compile(rf"{re.escape(name)}-(\d{{4,}}){re.escape(suffix)}")
    for path in sorted(folder.iterdir()):
        found = numbered.fullmatch(path.name)
        if found is not None and int(found[1]) >= start and path.is_file() and is_own_file(path):
            remove(path)
