"""Scans that other libraries hold in memory: images of nibabel and SimpleITK, and images and subjects of torchio.

`as_scan` reads them as `read_scan` reads their files, and `as_held` gives a scan back as an image of the same kind.
Where a file is taken, too, `places.py` takes either.
"""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from voxlex.config.options import ReadingOptions
from voxlex.errors import DataError, naming
from voxlex.scans.formats.itk_files import itk_image
from voxlex.scans.formats.nifti import grey_of
from voxlex.scans.formats.nifti_header import in_mm, numbers_of_header, space_of
from voxlex.scans.grid import StoredGrid, affine_from_lps
from voxlex.scans.read_write import check_plane, samples_in
from voxlex.scans.samples import Samples
from voxlex.scans.scan import InFile, Scan, choose_volume

_KINDS = {
    ("nibabel", "SpatialImage"): "nibabel",
    ("SimpleITK", "Image"): "SimpleITK",
    ("torchio", "Image"): "torchio",
    ("torchio", "Subject"): "subject",
}
_ONE_VOLUME = {
    "nibabel": "image.slicer[..., 0]",
    "SimpleITK": "image[..., 0]",
    "torchio": "torchio.ScalarImage(tensor=image.data[:1], affine=image.affine)",
}
"""How to take one of several volumes, by the kind of the image."""


def is_held(value: object) -> bool:
    """Return whether a value is a `Scan`, or an image of another library, and not an array of numbers."""
    return isinstance(value, Scan) or _kind_of(value) is not None


def as_scan(image: Any, reading: ReadingOptions | None = None, *, labels: bool = False, name: str = "image") -> Scan:
    """Return the scan that another library holds, in canonical order and with its own grey values, as `read_scan` does.

    Args:
        image: A spatial image of nibabel; an image of SimpleITK, where two axes are a picture; a `ScalarImage` of
            torchio; or a `Subject` of torchio with one `ScalarImage`. A `Scan` is returned as it is.
        reading: What to read of an image that leaves a choice: the volume of one with several, what NaN means, and the
            plane that a volume must be acquired in.
        labels: Whether it is a mask. Then it may be a `LabelMap` of torchio, and of a subject it is the only one.
        name: What the image is called in messages.

    Raises:
        DataError: If the image cannot be used: several volumes and none is chosen, colour, label maps, a subject with
            several images, or values that are not finite.
        TypeError: If it is not such an image.
    """
    if isinstance(image, Scan):
        return image
    reading = reading or ReadingOptions()
    with naming(name):
        found = _numbers_in(_checked(image), reading, labels=labels)
        values = found.values if found.stored is None else grey_of(found.values, found.stored)
        scan = replace(found, values=values).scan(nan=reading.nan)
    check_plane(name, scan, reading.plane)
    return scan


def as_samples(image: Any, reading: ReadingOptions | None = None, *, name: str = "image") -> Samples:
    """Return the numbers of an image, or of a `Scan`, as `read_samples` returns those of its file.

    Args:
        image: What `as_scan` takes.
        reading: See `as_scan`.
        name: See `as_scan`.

    Raises:
        DataError: If the image cannot be used, or NIfTI has no such numbers.
        TypeError: If it is not such an image.
    """
    with naming(name):
        found, header = _numbers_in(_checked(image), reading or ReadingOptions()), getattr(image, "header", None)
        if not _is_nifti(header):
            return samples_in(found)
        return Samples(values=found.values, extra=_header_of(image, found))


def as_held(scan: Scan, *, like: Any) -> Any:
    """Return a scan as an image of the kind of another one, with the place in space and the order of axes of that one.

    Numbers have the type that a file of the scan would have, or else `float32`. A subject is copied, with the new image
    in place of its own. With a `Scan`, the scan is returned as it is.

    Args:
        scan: A scan on the grid of `like`, such as a reconstruction of it.
        like: What `as_scan` takes.
    """
    kind = _kind_of(like)
    if kind == "subject":
        name, image = _only_image(like)
        changed = copy.copy(like)
        changed.add_image(as_held(scan, like=image), name)
        return changed
    makers = {"nibabel": _to_nibabel, "SimpleITK": _to_itk, "torchio": _to_torchio}
    return scan if kind is None else makers[kind](scan, like)


def _kind_of(value: object) -> str | None:
    # By name, so that no library is imported to look at an array.
    bases = ((base.__module__.partition(".")[0], base.__name__) for base in type(value).__mro__)
    return next((_KINDS[base] for base in bases if base in _KINDS), None)


def is_flat(image: Any) -> bool:
    """Return whether an image, or a `Scan`, is a picture `(h, w)` and not a volume."""
    if isinstance(image, Scan):
        return not image.is_volume
    return _kind_of(image) == "SimpleITK" and image.GetDimension() == 2


def files_of_held(image: Any) -> list[Path]:
    """Return the files that an image is read from when it is used, or was read from."""
    kind = _kind_of(image)
    if kind == "nibabel":
        return [Path(part.filename) for part in image.file_map.values() if part.filename is not None]
    if kind == "subject":
        return [file for one in image.get_images(intensity_only=False) for file in files_of_held(one)]
    paths = image.path if kind == "torchio" else None
    return [Path(path) for path in (paths if isinstance(paths, list) else [paths]) if path is not None]


def _checked(image: Any) -> Any:
    if not is_held(image):
        raise TypeError(
            f"image: expected an image of nibabel, SimpleITK or torchio, or a voxlex.Scan, got {type(image).__name__}"
        )
    return image


def _numbers_in(image: Any, reading: ReadingOptions, *, labels: bool = False) -> InFile:
    """Return the numbers of an image, before slope and intercept are applied."""
    kind = _kind_of(image)
    if kind == "subject":
        _, image = _only_image(image, labels=labels)
        kind = "torchio"
    if kind == "torchio" and image.type != "intensity" and not labels:
        raise DataError(f"expected grey values (a torchio.ScalarImage), got an image of the type {image.type}")
    readers = {None: _of_scan, "nibabel": _of_nibabel, "SimpleITK": _of_itk, "torchio": _of_torchio}
    return readers[kind](image, reading)


def _of_scan(scan: Scan, reading: ReadingOptions) -> InFile:
    if not scan.is_volume:
        return InFile(values=scan.as_stored)
    values, affine = scan.for_file()
    space = 1 if scan.stored is None else scan.stored.space
    return InFile(values=values, stored=StoredGrid(shape=values.shape, affine=affine, dtype=values.dtype, space=space))


def _of_nibabel(image: Any, reading: ReadingOptions) -> InFile:
    held = image.dataobj
    scaled = hasattr(held, "get_unscaled")  # a file that is not read yet, with the slope that nibabel would apply
    values = np.asarray(held.get_unscaled() if scaled else held)
    slope, intercept = (float(held.slope), float(held.inter)) if scaled else (1.0, 0.0)
    if values.dtype.fields:
        raise DataError("expected one number for each voxel, got colour; convert it to grey first")
    if image.affine is None:
        raise DataError("expected an affine, which says where voxels lie, got None")
    affine, space = np.array(image.affine, np.float64), 1
    unknown: tuple[str, ...] = ()
    if _is_nifti(image.header):
        space, unknown = space_of(image.header)
        affine = in_mm(affine, values.shape, unit=int(image.header["xyzt_units"]) & 7)
    return _volume(
        values, affine, reading, kind="nibabel", slope=slope, intercept=intercept, space=space, unknown=unknown
    )


def _is_nifti(header: Any) -> bool:
    if header is None:
        return False
    import nibabel

    return isinstance(header, nibabel.Nifti1Header)


def _header_of(image: Any, found: InFile) -> bytes:
    """Return the numbers of the header that nibabel would write with an image."""
    assert found.stored is not None
    header = image.header.copy()
    header.set_data_dtype(found.values.dtype)
    header.set_slope_inter(found.stored.slope, found.stored.intercept)
    if not np.allclose(header.get_best_affine(), image.affine):
        header.set_sform(image.affine, code="aligned")
        header.set_qform(image.affine, code="unknown")
    return numbers_of_header(header.binaryblock, shape=found.values.shape)


def _of_itk(image: Any, reading: ReadingOptions) -> InFile:
    import SimpleITK

    channels = image.GetNumberOfComponentsPerPixel()
    if channels != 1:
        raise DataError(f"expected one number for each voxel, got {channels}; convert it to grey first")
    values, axes = SimpleITK.GetArrayFromImage(image), image.GetDimension()
    spacing = np.array(image.GetSpacing())
    if axes == 2:
        return InFile(values=values, spacing_mm=tuple(spacing[::-1].tolist()))
    directions = np.reshape(image.GetDirection(), (axes, axes))[:3, :3]
    affine = affine_from_lps(directions * spacing[:3], np.array(image.GetOrigin()[:3]))
    return _volume(values.T, affine, reading, kind="SimpleITK")


def _of_torchio(image: Any, reading: ReadingOptions) -> InFile:
    data = image.data.cpu()
    values = (data if data.dtype.itemsize > 2 or not data.is_floating_point() else data.float()).numpy()
    values = values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)
    return _volume(values, np.array(image.affine, np.float64), reading, kind="torchio")


def _volume(
    values: np.ndarray,
    affine: np.ndarray,
    reading: ReadingOptions,
    *,
    kind: str,
    slope: float = 1.0,
    intercept: float = 0.0,
    space: int = 1,
    unknown: tuple[str, ...] = (),
) -> InFile:
    """Return a volume of the numbers of an image, of which further axes than three hold several volumes."""
    if values.ndim < 2 or not values.size:
        raise DataError(f"expected a volume, got an array of shape {values.shape}")
    count = math.prod(values.shape[3:])
    if count > 1:
        if reading.volume is None:
            got = f"{count} ({'×'.join(map(str, values.shape))})"
            raise DataError(f"expected one volume, got {got}; give one of them, such as {_ONE_VOLUME[kind]}")
        chosen = choose_volume(reading.volume, count=count, shape=values.shape)
        values = values.reshape((*values.shape[:3], -1), order="F")[..., chosen]
    dtype = values.dtype.newbyteorder("=")
    stored = StoredGrid(shape=values.shape, affine=affine, dtype=dtype, slope=slope, intercept=intercept, space=space)
    return InFile(values=values, stored=stored, unknown=unknown)


def _only_image(subject: Any, *, labels: bool = False) -> tuple[str, Any]:
    """Return the one image of a subject that holds grey values, or labels, and its name."""
    images = subject.get_images_dict(intensity_only=True)
    if labels:
        every = subject.get_images_dict(intensity_only=False)
        images = {name: image for name, image in every.items() if name not in images} or images
    if len(images) != 1:
        names = ", ".join(images) or "none"
        advice = f'; give one of them, such as subject["{next(iter(images))}"]' if images else ""
        kind = "label map" if labels else "intensity image"
        raise DataError(f"expected a subject with one {kind}, got {names}{advice}")
    return next(iter(images.items()))


def _to_nibabel(scan: Scan, like: Any) -> Any:
    import nibabel
    from nibabel.spatialimages import HeaderDataError

    values = _numbers(scan)
    kind, header = nibabel.Nifti1Image, None
    if isinstance(like, (nibabel.Nifti1Pair, nibabel.MGHImage)):
        kind, header = type(like), like.header.copy()
        try:
            header.set_data_dtype(values.dtype)
        except HeaderDataError:  # MGH does not have all types
            values = values.astype(np.float32)
            header.set_data_dtype(values.dtype)
    return kind(values, like.affine, header)


def _to_itk(scan: Scan, like: Any) -> Any:
    if not scan.is_volume:
        import SimpleITK

        image = SimpleITK.GetImageFromArray(np.ascontiguousarray(scan.as_stored))
        image.CopyInformation(like)
        return image
    return itk_image(_numbers(scan), scan.for_file()[1])


def _to_torchio(scan: Scan, like: Any) -> Any:
    import torch
    import torchio

    values = np.ascontiguousarray(_numbers(scan))
    if values.dtype == np.uint16:  # which torchio turns into this type, too
        values = values.astype(np.int32)
    return torchio.ScalarImage(tensor=torch.from_numpy(values)[None], affine=like.affine)


def _numbers(scan: Scan) -> np.ndarray:
    """Return the grey values of a volume in the order of its file, as integers if its numbers are."""
    values, _ = scan.for_file()
    dtype = None if scan.stored is None else scan.stored.dtype
    if dtype is None or dtype.kind not in "ui" or scan.stored is None or scan.stored.slope != 1 or dtype.itemsize > 4:
        return values
    limits = np.iinfo(dtype)
    fits = limits.min <= values.min() and values.max() <= limits.max and np.array_equal(values, np.rint(values))
    return values.astype(dtype) if fits else values
