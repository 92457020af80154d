"""Compare the lossless coder with the codecs that people use: bits per value, and seconds each way.

Every byte is counted, headers too. All figures are means over the pictures or volumes of a set. The sets:

- pictures, as they stand in their files, and prepared at another size: `--pictures FOLDER --prepared FOLDER`, the
  held-out ones of the prepared folder (`voxlex data prepare`);
- slices and volumes of the phantom, of 8 bits and of 12;
- the middle of the MNI152 template that nilearn ships, as a volume of 16 bits;
- scans that nibabel and pydicom ship for their own tests, of 12 to 16 bits;
- label maps: `--labels FOLDER`.
"""

import argparse
import gzip
import io
import json
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import pandas as pd
import pydicom
from PIL import Image

from voxlex.data.phantoms.phantom import generate_subject, generate_volume
from voxlex.lossless import decode, encode

Codec = Callable[[np.ndarray], int]


def slices_of(values: np.ndarray) -> np.ndarray:
    """Return slices of unsigned integers; codecs of pictures take nothing else."""
    slices = values if values.ndim == 3 else values[None]
    lifted = slices.astype(np.int64) - (min(int(slices.min()), 0) if slices.dtype.kind == "i" else 0)
    return lifted.astype(np.uint8 if lifted.max() < 256 else np.uint16)


def by_slices(code: Callable[[np.ndarray], bytes]) -> Codec:
    """Return a codec of volumes that codes each slice alone."""
    return lambda values: sum(len(code(np.ascontiguousarray(plane))) for plane in slices_of(values))


def jpegxl(effort: int) -> Codec:
    return by_slices(lambda plane: imagecodecs.jpegxl_encode(plane, lossless=True, effort=effort))


def nifti(values: np.ndarray) -> int:
    stream = io.BytesIO()
    nibabel.Nifti1Image(values.T, np.eye(4), dtype=values.dtype).to_stream(stream)
    return len(gzip.compress(stream.getvalue(), 9))


def webp(plane: np.ndarray) -> bytes:
    if plane.dtype != np.uint8:
        raise ValueError("WebP has 8 bits")
    return imagecodecs.webp_encode(np.stack([plane] * 3, axis=-1), lossless=True)


CODECS: dict[str, Codec] = {
    "JPEG XL 7": jpegxl(7),
    "JPEG XL 9": jpegxl(9),
    "JPEG-LS": by_slices(imagecodecs.jpegls_encode),
    "JPEG 2000": by_slices(lambda plane: imagecodecs.jpeg2k_encode(plane, level=0)),
    "WebP": by_slices(webp),
    "PNG": by_slices(lambda plane: imagecodecs.png_encode(plane, level=9)),
    ".nii.gz": nifti,
}


def spread(items: list, count: int) -> list:
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]


def held_out(prepared: Path, split: str, count: int) -> list[tuple[int, str]]:
    manifest = pd.read_parquet(prepared / "manifest.parquet")
    rows = np.flatnonzero((manifest["split"] == split).to_numpy())
    return [(int(row), str(manifest["path"].iloc[row])) for row in spread(list(rows), count)]


def native_pictures(pictures: Path, prepared: Path, split: str, count: int) -> Iterator[np.ndarray]:
    for _, name in held_out(prepared, split, count):
        yield np.asarray(Image.open(pictures / name).convert("L"))


def prepared_pictures(prepared: Path, split: str, count: int) -> Iterator[np.ndarray]:
    images = np.load(prepared / "images.npy", mmap_mode="r")
    for row, _ in held_out(prepared, split, count):
        yield np.array(images[row, 0])


def package_folder(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def template(step: int) -> Iterator[np.ndarray]:
    file = package_folder("nilearn") / "datasets" / "data" / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    values = np.asarray(nibabel.load(file).dataobj).transpose(2, 1, 0)
    yield np.ascontiguousarray(values[values.shape[0] // 2 - step : values.shape[0] // 2 + step]).astype(np.int16)


def scanner_volumes() -> Iterator[np.ndarray]:
    folder = package_folder("nibabel") / "tests" / "data"
    for name in ("example4d.nii.gz", "functional.nii", "anatomical.nii"):
        values = np.asarray(nibabel.load(folder / name).dataobj)
        values = values[..., 0] if values.ndim == 4 else values
        yield np.ascontiguousarray(values.transpose(2, 1, 0).astype(np.int16))


def scanner_pictures() -> Iterator[np.ndarray]:
    folder = package_folder("pydicom") / "data" / "test_files"
    for name in ("CT_small.dcm", "MR_small.dcm", "693_J2KI.dcm", "examples_overlay.dcm"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield np.ascontiguousarray(pydicom.dcmread(folder / name).pixel_array)


def label_maps(folder: Path, count: int) -> Iterator[np.ndarray]:
    for file in spread(sorted(folder.glob("*.nii.gz")), count):
        values = np.asarray(nibabel.load(file).dataobj).transpose(2, 1, 0)
        yield np.ascontiguousarray(values[112:144]).astype(np.int16)


def phantom_slices() -> Iterator[np.ndarray]:
    for subject in range(4):
        for image in generate_subject(subject)[::4, 0]:
            yield np.round(image.numpy() * 255).astype(np.uint8)


def phantom_volumes() -> Iterator[np.ndarray]:
    for subject, top in ((0, 255), (1, 4095)):
        image = generate_volume(subject, size=96, spacing_mm=2.0)[0].numpy()
        yield np.round(image * top).astype(np.uint8 if top == 255 else np.int16)


def measure(values: np.ndarray, codecs: dict[str, Codec]) -> dict[str, float]:
    """Return bits per value of each codec, and the seconds that ours takes each way."""
    figures = {}
    for name, codec in codecs.items():
        try:
            figures[name] = codec(values) * 8 / values.size
        except (ValueError, TypeError, RuntimeError):
            figures[name] = float("nan")
    start = time.process_time()
    data = encode(values)
    middle = time.process_time()
    if not np.array_equal(decode(data), values):
        raise SystemExit("the values did not come back")
    figures["write (s)"], figures["read (s)"] = middle - start, time.process_time() - middle
    figures["voxlex"] = len(data) * 8 / values.size
    if values.ndim == 2:  # where blocks of a former JPEG are not found
        figures["voxlex, rolled by 3"] = len(encode(np.roll(values, 3, axis=(0, 1)))) * 8 / values.size
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="folder of pictures that --prepared was made of")
    parser.add_argument("--prepared", type=Path, help="prepared folder, which says what is held out")
    parser.add_argument("--labels", type=Path, help="folder of label maps")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--count", type=int, default=110, help="pictures of a set")
    parser.add_argument("--sets", nargs="*", help="names of sets to measure; all by default")
    parser.add_argument("--json", type=Path, help="file for the figures of every item")
    args = parser.parse_args()
    sets: dict[str, Callable[[], Iterator[np.ndarray]]] = {
        "phantom slices": phantom_slices,
        "phantom volumes": phantom_volumes,
        "template": lambda: template(32),
        "scanner volumes": scanner_volumes,
        "scanner pictures": scanner_pictures,
    }
    if args.pictures and args.prepared:
        sets["native"] = lambda: native_pictures(args.pictures, args.prepared, args.split, args.count)
    if args.prepared:
        sets["prepared"] = lambda: prepared_pictures(args.prepared, args.split, args.count)
    if args.labels:
        sets["labels"] = lambda: label_maps(args.labels, 3)
    everything = {}
    encode(np.zeros((2, 2), np.uint8) + np.eye(2, dtype=np.uint8))  # compiles
    for name, items in sets.items():
        if args.sets and name not in args.sets:
            continue
        rows = pd.DataFrame([measure(values, CODECS) for values in items()])
        everything[name] = rows.to_dict(orient="list")
        best = rows[["JPEG XL 7", "JPEG XL 9"]].min(axis=1)
        print(f"\n{name}: {len(rows)}", rows.mean().round(3).to_string(), sep="\n")
        share, larger = rows["voxlex"].mean() / best.mean() - 1, (rows["voxlex"] > best).sum()
        print(f"against the better JPEG XL: {share:+.1%}, larger: {larger}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(everything))


if __name__ == "__main__":
    main()
