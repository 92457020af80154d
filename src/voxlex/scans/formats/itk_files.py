"""Read and write NRRD and MetaImage files with SimpleITK."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxlex.errors import DataError, naming
from voxlex.files import atomic_file, move, remove
from voxlex.scans.grid import StoredGrid, affine_from_lps, affine_to_lps, spacing_of
from voxlex.scans.scan import Scan, as_voxels, choose_volume

if TYPE_CHECKING:
    from SimpleITK import Image

_READERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}


def read_itk(path: Path, *, volume: int | None = None) -> Scan:
    """Read a `.nrrd`, `.nhdr`, `.mha` or `.mhd` file as a picture if it has two axes, else as a volume.

    Text in the header is not read.

    Raises:
        DataError: If the file is damaged, holds colour or vectors, or has a fourth axis and no `volume` is chosen.
    """
    import SimpleITK

    if not path.exists():
        raise DataError(f"{path}: no such file")
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(_READERS[path.suffix.lower()])
    reader.SetFileName(str(path))
    try:
        image = reader.Execute()
    except RuntimeError:  # its text may quote the header
        kind = "NRRD" if "nrrd" in _READERS[path.suffix.lower()].lower() else "MetaImage"
        raise DataError(f"{path}: is not a {kind} file, or is damaged or cut short") from None
    with naming(path):
        return _scan(image, volume=volume)


def write_itk(path: Path, scan: Scan) -> None:
    """Write a volume as a compressed `.nrrd` or `.mha` file, with the order of axes of its original file.

    Raises:
        DataError: If the scan is a picture, or the file cannot be written.
    """
    import SimpleITK

    with naming(path):
        values, affine = scan.for_file()
    values = values.reshape((*values.shape, 1)[:3])
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
    lps, spacing = affine_to_lps(affine), spacing_of(affine)
    image.SetSpacing(spacing)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    with atomic_file(path, durable=False) as building:
        suffixed = building.with_name(building.name + path.suffix.lower())
        try:
            SimpleITK.WriteImage(image, str(suffixed), useCompression=True)
            move(suffixed, building, durable=False)
        except RuntimeError as cause:
            raise DataError(f"{path}: cannot be written") from cause
        finally:
            remove(suffixed)


def _scan(image: "Image", *, volume: int | None) -> Scan:
    import SimpleITK

    components = image.GetNumberOfComponentsPerPixel()
    if components > 1:
        raise DataError(f"expected one number for each voxel, got {components}")
    values = SimpleITK.GetArrayFromImage(image).T  # x first
    spacing = image.GetSpacing()
    if values.ndim == 2:
        choose_volume(volume, count=1, shape=values.shape)
        return Scan(voxels=as_voxels(np.ascontiguousarray(values.T)), spacing_mm=(spacing[1], spacing[0]))
    count = values.shape[3] if values.ndim == 4 else 1
    chosen = choose_volume(volume, count=count, shape=values.shape)
    axes = image.GetDimension()
    steps = np.reshape(image.GetDirection(), (axes, axes))[:3, :3] * spacing[:3]
    affine = affine_from_lps(steps, np.array(image.GetOrigin()[:3]))
    if values.ndim == 4:
        values = values[..., chosen]
    stored = StoredGrid(shape=values.shape, affine=affine, dtype=values.dtype)
    return Scan.from_file(values, stored)
