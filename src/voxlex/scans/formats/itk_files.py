"""Images of SimpleITK, with which NRRD and MetaImage files are written."""

from pathlib import Path
from typing import Any

import numpy as np

from voxlex.errors import DataError, naming
from voxlex.files import atomic_file, move, remove
from voxlex.scans.grid import affine_to_lps, spacing_of
from voxlex.scans.scan import Scan


def itk_image(values: np.ndarray, affine: np.ndarray) -> Any:
    """Return a volume as an image of SimpleITK.

    Args:
        values: Grey values of two or three axes, and any further axes of length 1.
        affine: `(4, 4)` map from voxel indices to scanner coordinates (RAS+) in mm.
    """
    import SimpleITK

    values = values.reshape((*values.shape, 1)[:3])
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
    lps, spacing = affine_to_lps(affine), spacing_of(affine)
    image.SetSpacing(spacing)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def write_itk(path: Path, scan: Scan) -> None:
    """Write a volume as a compressed `.nrrd` or `.mha` file, with the order of axes of its original file.

    Raises:
        DataError: If the scan is a picture, or the file cannot be written.
    """
    import SimpleITK

    with naming(path):
        image = itk_image(*scan.for_file())
    with atomic_file(path, durable=False) as building:
        suffixed = building.with_name(building.name + path.suffix.lower())
        try:
            SimpleITK.WriteImage(image, str(suffixed), useCompression=True)
            move(suffixed, building, durable=False)
        except RuntimeError as cause:
            raise DataError(f"{path}: cannot be written") from cause
        finally:
            remove(suffixed)
