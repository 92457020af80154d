"""DICOM files for tests: any volume as a series or as one file, with what identifies a person planted in each."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, RLELossless

SECRETS = {
    "PatientName": "DOE^JANE",
    "PatientID": "MRN1234567",
    "PatientBirthDate": "19700102",
    "PatientComments": "comes with her twin",
    "OtherPatientIDs": "SSN078051120",
    "PatientAddress": "742 Evergreen Terrace",
    "InstitutionName": "Elsewhere General",
    "ReferringPhysicianName": "HOUSE^GREGORY",
    "OperatorsName": "OPERATOR^OWEN",
    "AccessionNumber": "ACC998877",
    "StudyDate": "20210304",
    "AcquisitionDateTime": "20210304050607",
    "StudyDescription": "brain of Jane Doe",
    "SeriesDescription": "t1 for Jane Doe",
    "DeviceSerialNumber": "SERIAL4711",
    "StudyInstanceUID": "2.25.19700102001",
    "FrameOfReferenceUID": "2.25.19700102002",
}
"""Values of the tags that identify the person in every file made here."""

_PRIVATE = "private Jane Doe"
_SERIES = "2.25.19700102003"
_INSTANCE = "2.25.19700102004"

_PLANTED = (*SECRETS.values(), _PRIVATE, _SERIES, _INSTANCE, "JANEAE")
_COMPRESSORS = {"jpeg 2000": "JPEG2000", "lossless jpeg": "JPEG"}

COMPRESSIONS = (None, "rle", *_COMPRESSORS)
"""Ways in which `make_dicom_series` may write pixels; None is uncompressed."""


def secrets_in(content: bytes | str) -> list[str]:
    """Which of the planted secrets, and which parts of them, some content holds."""
    raw = content.encode() if isinstance(content, str) else content
    parts = {part for secret in _PLANTED for part in [secret, *secret.split("^")]} | {"1970-01-02", "Jane Doe"}
    return sorted(part for part in parts if part.encode().lower() in raw.lower())


def make_dicom_series(
    folder: Path,
    values: np.ndarray,
    affine: np.ndarray,
    *,
    names: str = "{:03d}.dcm",
    compression: str | None = None,
    **tags: Any,
) -> list[Path]:
    """Write one file for each slice.

    Args:
        folder: Where to write; made if missing.
        values: Stored numbers `(columns, rows, slices)`, `uint8`, `uint16` or `int16`.
        affine: `(4, 4)` from their indices to RAS+ mm.
        names: Pattern of the files' names; the slices are numbered against their order in space.
        compression: One of `COMPRESSIONS`.
        tags: Further tags by keyword; a callable is given the index of the slice. None removes a tag.

    Returns:
        The files, in the order of the slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(values.shape[2]):
        dataset = _dataset(values[:, :, index].T, CTImageStorage, instance=f"{_INSTANCE}.{index + 1}")
        dataset.InstanceNumber = index + 1
        _place(dataset, affine, index)
        for tag, value in tags.items():
            setattr(dataset, tag, value(index) if callable(value) else value)
            if value is None:
                delattr(dataset, tag)
        if compression:
            _compress(dataset, [values[:, :, index].T], compression, folder)
        paths.append(folder / names.format(values.shape[2] - index))
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def make_enhanced_file(
    path: Path, values: np.ndarray, affine: np.ndarray, *, slopes: list[float], compression: str | None = None
) -> Path:
    """Write all slices as frames of one enhanced MR file, the last one first, each with its own slope."""
    order = list(range(values.shape[2]))[::-1]
    dataset = _dataset(values[:, :, order].T, EnhancedMRImageStorage, instance=_INSTANCE)
    dataset.NumberOfFrames = len(order)
    frames = []
    for index in order:
        placed = pydicom.Dataset()
        _place(placed, affine, index)
        frame = pydicom.Dataset()
        for sequence, names in {
            "PlanePositionSequence": ["ImagePositionPatient"],
            "PlaneOrientationSequence": ["ImageOrientationPatient"],
            "PixelMeasuresSequence": ["PixelSpacing", "SliceThickness"],
        }.items():
            inner = pydicom.Dataset()
            for name in names:
                setattr(inner, name, getattr(placed, name))
            setattr(frame, sequence, Sequence([inner]))
        scale = pydicom.Dataset()
        scale.RescaleSlope, scale.RescaleIntercept = slopes[index], 0
        frame.PixelValueTransformationSequence = Sequence([scale])
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    if compression:
        _compress(dataset, values[:, :, order].T, compression, path.parent)
    dataset.save_as(path, enforce_file_format=True)
    return path


def make_dicom_picture(path: Path, values: np.ndarray, **tags: Any) -> Path:
    """Write stored numbers `(rows, columns)` as an X-ray without a place in space."""
    dataset = _dataset(values, CTImageStorage, instance=_INSTANCE)
    dataset.Modality = "DX"
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def _dataset(pixels: np.ndarray, kind: str, *, instance: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, instance
    meta.TransferSyntaxUID, meta.SourceApplicationEntityTitle = ExplicitVRLittleEndian, "JANEAE"
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID = kind, instance, _SERIES
    for tag, value in SECRETS.items():
        setattr(dataset, tag, value)
    dataset.private_block(0x0011, "DOE^JANE", create=True).add_new(1, "LO", _PRIVATE)
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MR", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    return dataset


def _place(dataset: pydicom.Dataset, affine: np.ndarray, index: int) -> None:
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    dataset.ImagePositionPatient = [f"{value:.10g}" for value in lps[:3, 3] + index * lps[:3, 2]]
    dataset.ImageOrientationPatient = [f"{value:.12g}" for value in (lps[:3, :2] / steps[:2]).T.ravel()]
    dataset.PixelSpacing = [f"{steps[1]:.10g}", f"{steps[0]:.10g}"]
    dataset.SliceThickness = f"{steps[2]:.10g}"


def _compress(dataset: FileDataset, planes: Iterable[np.ndarray], compression: str, folder: Path) -> None:
    if compression == "rle":
        dataset.compress(RLELossless, generate_instance_uid=False)
        return
    scratch = folder / "scratch.dcm"
    writer = SimpleITK.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(scratch))
    writer.SetUseCompression(True)
    writer.SetCompressor(_COMPRESSORS[compression])
    frames = []
    for plane in planes:
        writer.Execute(SimpleITK.GetImageFromArray(np.ascontiguousarray(plane)))
        written = pydicom.dcmread(scratch)
        frames += list(generate_frames(written.PixelData, number_of_frames=1))
    scratch.unlink()
    dataset.file_meta.TransferSyntaxUID = written.file_meta.TransferSyntaxUID
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
