"""Hostile and odd inputs, and what is to come of them; `builders.py` makes them.

`BROKEN` cannot be used: alone they are refused, and among good scans they are skipped and listed. `NEEDS_A_WORD` can be
used with an option that the refusal names. `ODD` are used as they are.
"""

from dataclasses import dataclass

import numpy as np

from hostile.builders import (
    _MHD,
    _NHDR,
    FORMATS,
    HTML,
    LFS,
    SHAPE,
    Build,
    big_endian,
    cut_short,
    dicom,
    good_file,
    header_of,
    holding,
    link,
    named,
    nifti,
    nifti_that_claims,
    picture_that_claims,
    pipe,
    report,
    saved,
    saved_numpy,
    saved_text,
    table,
    two_series,
    volume,
    with_tags,
    without,
    x_ray,
    zeros_behind,
)
from scans.pictures import picture


@dataclass(frozen=True)
class Input:
    """An input, and what is to come of it.

    Attributes:
        build: Writes it into an empty folder, and returns the SOURCE.
        says: What the refusal says of the cause, as a regular expression.
        names: What stands in the refusal; the name of SOURCE by default.
        volume: Whether it is a volume, which a run on slices reads, too, but `inpaint` does not.
    """

    build: Build
    says: str = ""
    names: str = ""
    volume: bool = True


BROKEN: dict[str, Input] = {
    **{f"empty{suffix}": Input(holding(suffix, b""), "empty|no bytes|0 bytes|cut short") for suffix in FORMATS},
    **{f"html{suffix}": Input(holding(suffix, HTML)) for suffix in FORMATS},
    **{f"lfs{suffix}": Input(holding(suffix, LFS)) for suffix in FORMATS},
    **{f"half{suffix}": Input(cut_short(suffix, 0.5)) for suffix in FORMATS if suffix != ".jpg"},
    **{f"start{suffix}": Input(cut_short(suffix, 0.02)) for suffix in FORMATS},
    **{f"pipe{suffix}": Input(pipe(suffix), "regular file|pipe") for suffix in (*FORMATS, "", ".dicom")},
    **{f"device{suffix}": Input(link(suffix, "/dev/zero"), "regular file|device") for suffix in FORMATS},
    **{f"loop{suffix}": Input(link(suffix, f"scan{suffix}")) for suffix in (".png", ".nii.gz", ".dcm")},
    "zeros behind": Input(zeros_behind, "far more are packed"),
    **{f"dangling{suffix}": Input(link(suffix, "nowhere")) for suffix in (".png", ".nii.gz", ".dcm")},
    "claims 30000³": Input(nifti_that_claims((30000, 30000, 30000)), "GB|gigabytes"),
    "claims 400³": Input(nifti_that_claims((400, 400, 400))),
    "claims no voxel": Input(nifti_that_claims((16, 0, 12))),
    "claims less than none": Input(nifti_that_claims((16, -18, 12))),
    "claims eight axes": Input(nifti_that_claims((16, 18, 12), rest=8000)),
    "claims 60000²": Input(picture_that_claims, volume=False),
    "mhd elsewhere": Input(header_of("scan.mhd", _MHD + "{secret}\n"), "beside|inside|folder|names"),
    "mhd upwards": Input(header_of("scan.mhd", _MHD + "../neighbour/secret.raw\n"), "beside|inside|folder|names"),
    "mha elsewhere": Input(header_of("scan.mha", _MHD + "{secret}\n"), "beside|inside|folder|names"),
    "mhd of a list": Input(
        header_of("scan.mhd", _MHD + "LIST\n" + "{secret}\n" * 12), "beside|inside|folder|names|list|LIST"
    ),
    "mhd of a pattern": Input(header_of("scan.mhd", _MHD + "../neighbour/%s.raw 1 12 1\n")),
    "mhd of a device": Input(header_of("scan.mhd", _MHD + "/dev/zero\n"), "beside|inside|folder|names"),
    "nhdr elsewhere": Input(header_of("scan.nhdr", _NHDR + "{secret}\n"), "beside|inside|folder|names"),
    "nhdr upwards": Input(header_of("scan.nhdr", _NHDR + "../neighbour/secret.raw\n"), "beside|inside|folder|names"),
    "nrrd elsewhere": Input(header_of("scan.nrrd", _NHDR + "{secret}\n"), "beside|inside|folder|names"),
    "nhdr of a list": Input(header_of("scan.nhdr", _NHDR + "LIST\n{secret}\n"), "beside|inside|folder|names|list|LIST"),
    "infinite": Input(nifti(np.full(SHAPE, np.inf, np.float32)), "finite|not a number"),
    "colour": Input(nifti(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])), "colour|RGB|real numbers"),
    "complex": Input(nifti(np.ones(SHAPE, np.complex64)), "complex|real numbers"),
    "constant": Input(nifti(np.full(SHAPE, 7, np.int16)), "constant"),
    "constant picture": Input(
        lambda folder: saved(folder / "scan.png", np.full((40, 36), 7, np.uint8)), "constant", volume=False
    ),
    "report": Input(dicom(report), "report|without an image|no image|pixel"),
    "dicom without rows": Input(dicom(without("Rows")), "Rows|0028,0010"),
    "dicom without pixels": Input(dicom(without("PixelData")), "without an image|no image|pixel|Pixel"),
    "dicom of 65535²": Input(dicom(with_tags(Rows=65535, Columns=65535), compress=True)),
    "dicom of many frames": Input(dicom(with_tags(NumberOfFrames=10**9), compress=True)),
    "dicom of few bytes": Input(dicom(with_tags(Rows=2000, Columns=2000))),
    "prepared set of nothing": Input(
        lambda folder: saved_text(folder / "prepared.json", "[]").parent, names="source", says="prepared"
    ),
    "prepared set of text": Input(
        lambda folder: saved_text(folder / "prepared.json", "hello").parent, names="source", says="prepared"
    ),
    "empty table": Input(table("scans.csv", ""), "empty|column|path|row"),
    "table without paths": Input(table("scans.csv", "a,b\n1,2\n"), "path"),
    "table of nothing": Input(table("scans.csv", "path\n"), "row|scan|none|no "),
    "table with NUL": Input(table("scans.csv", b"path\na\0.png\n")),
    "table of html": Input(table("scans.csv", HTML)),
    "table of bytes": Input(table("scans.csv", b"\xff\xfe\x00\x01" * 9)),
    "table of half a parquet": Input(table("scans.parquet", b"PAR1" + bytes(40))),
    "table of an elsewhere": Input(table("scans.csv", "path\nnothing.png\n"), "no such|missing", names="nothing.png"),
    "folder of nothing": Input(lambda folder: folder, "at least one scan", names="source"),
}
"""What cannot be used."""

NEEDS_A_WORD: dict[str, Input] = {
    "4D": Input(nifti(np.stack([volume(0), volume(1)], axis=3)), "--volume"),
    "5D": Input(nifti(np.stack([volume(0), volume(1)], axis=3)[:, :, :, None]), "--volume"),
    "NaN": Input(nifti(np.where(volume() > 200, volume(), np.nan).astype(np.float32)), "--nan"),
    "4D numbers": Input(
        lambda folder: saved_numpy(folder / "scan.npy", np.stack([volume(0), volume(1)])), "--volume|axes|shape"
    ),
}
"""What can be used with an option that the refusal names."""


NAMES: dict[str, Input] = {
    "not UTF-8": Input(named(b"caf\xe9.png"), volume=False),
    "long": Input(named("a" * 251 + ".png"), volume=False),
    "long and wide": Input(named("ä" * 125 + ".png"), volume=False),
    "newline": Input(named("a\nb.png"), volume=False),
    "escape": Input(named("a\x1b[31mb\x1b]0;x\x07.png"), volume=False),
    "formula": Input(named("=1+1.png"), volume=False),
    "dash": Input(named("-rf.png"), volume=False),
    "space": Input(named(" a b .png"), volume=False),
    "markup": Input(named("[red]<b>&amp;{{x}}.png"), volume=False),
    "backslash": Input(named("a\\b.png"), volume=False),
    "capitals": Input(named("A.PNG"), volume=False),
}
"""Pictures of odd names."""

ODD: dict[str, Input] = {
    **{f"intact{suffix}": Input(lambda folder, suffix=suffix: good_file(folder, suffix)) for suffix in FORMATS},
    **NAMES,
    "x-ray": Input(x_ray, volume=False),
    "two series": Input(two_series),
    "small float": Input(nifti(volume().astype(np.float32) * 1e-20)),
    "large float": Input(nifti(volume().astype(np.float64) * 1e20)),
    "big-endian": Input(lambda folder: big_endian(folder / "scan.nii")),
    "colours": Input(
        lambda folder: saved(folder / "scan.png", np.stack([picture(0), picture(1), picture(2)], axis=2)), volume=False
    ),
    "MONOCHROME1": Input(dicom(with_tags(PhotometricInterpretation="MONOCHROME1"))),
}
"""What is used as it is."""
