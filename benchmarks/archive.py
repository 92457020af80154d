"""Compare archives with codecs for pictures: quality at equal bytes, speed, and the memory that packing takes.

    python benchmarks/archive.py RUN SOURCE [--images 110] [--strengths 0.5 1 1.5 2 3] [--no-prior] [--no-speed]
    python benchmarks/archive.py RUN SOURCE --memory 10000
    python benchmarks/archive.py RUN SOURCE --parts

RUN is a run with a prior that was trained on SOURCE, and is not changed. The images are held-out ones, evenly spaced.
Each archive and each file of another codec is written, and all of its bytes count; the model that reads an archive is
not part of it, as in all learned codecs. A strength multiplies the weight of bits with which the encoder of the run
chooses codes, so that one model gives several rates. BD-rate (Bjøntegaard, VCEG-M33) is the mean difference of bytes at
equal quality, where the curves overlap, with the logarithm of bytes interpolated monotonically.
"""

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import torch
from PIL import Image
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from voxlex import metrics, open_archive
from voxlex.archive.archive import Archive
from voxlex.archive.coders import TableCoder
from voxlex.archive.content import Content
from voxlex.archive.model import tables_of_run
from voxlex.archive.writer import new_archive
from voxlex.codes import levels_of
from voxlex.data.dataset import PreparedDataset
from voxlex.models.arrays import ArrayLike
from voxlex.rows import evenly_spaced
from voxlex.types import Codes, Levels
from voxlex.vocabulary import Vocabulary, load
from voxlex.workflows.opening import open_for
from voxlex.workflows.pack import fit_run_tables, pack

Encode = Callable[[np.ndarray, float], bytes]
Decode = Callable[[bytes], np.ndarray]


class Point(NamedTuple):
    """A point of a curve: bits per pixel, SSIM, PSNR in dB."""

    rate_bpp: float
    ssim: float
    psnr_db: float


def avif_encoded(picture: np.ndarray, quality: float) -> bytes:
    """Encode by Pillow: imagecodecs takes grey AVIF without loss only."""
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "AVIF", quality=int(quality), speed=4, subsampling="4:0:0")
    return stream.getvalue()


def avif_decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)).convert("L"))


OTHERS: dict[str, tuple[Encode, Decode, Sequence[float]]] = {
    "JPEG": (lambda x, q: imagecodecs.jpeg8_encode(x, level=int(q), optimize=True), imagecodecs.jpeg8_decode,
             (5, 10, 20, 30, 45, 60, 75, 85)),
    "WebP": (lambda x, q: imagecodecs.webp_encode(np.stack([x] * 3, axis=-1), level=q, lossless=False, method=6),
             lambda b: imagecodecs.webp_decode(b)[..., 1], (1, 10, 25, 45, 65, 80, 90)),
    "JPEG 2000": (lambda x, q: imagecodecs.jpeg2k_encode(x, level=q, codecformat="j2k"), imagecodecs.jpeg2k_decode,
                  (24, 26, 28, 30, 32, 34, 37, 40)),
    "JPEG XL": (lambda x, q: imagecodecs.jpegxl_encode(x, distance=q, effort=7), imagecodecs.jpegxl_decode,
                (15, 10, 7, 5, 3.5, 2.5, 1.8, 1.2)),
    "AVIF": (avif_encoded, avif_decoded, (10, 25, 40, 50, 58, 65, 72, 80)),
}  # fmt: skip
"""For each codec, how it encodes and decodes a picture, and its settings from few bytes to many."""


class AtStrength(Vocabulary):
    """A vocabulary whose encoder weighs bits more or less than it was trained to."""

    strength: float = 1.0

    def encode(self, images: ArrayLike) -> Codes | Levels:
        """Return the codes of images."""
        rates = [quantizer.rates for quantizer in self.autoencoder.quantizers if getattr(quantizer, "rates", None)]
        kept = [own.penalty.clone() for own in rates]
        try:
            for own in rates:
                own.penalty *= self.strength
            return super().encode(images)
        finally:
            for own, penalty in zip(rates, kept, strict=True):
                own.penalty.copy_(penalty)


def at_strength(vocabulary: Vocabulary, strength: float) -> AtStrength:
    own = AtStrength(**{field.name: getattr(vocabulary, field.name) for field in fields(Vocabulary)})
    object.__setattr__(own, "strength", strength)
    return own


def quality(x_hat: Tensor, x: Tensor) -> tuple[float, float]:
    """Return the mean SSIM and the mean PSNR in dB."""
    return float(metrics.ssim(x_hat, x).mean()), float(metrics.psnr_db(x_hat, x).mean())


def of_codec(name: str, pictures: np.ndarray, x: Tensor) -> list[Point]:
    encode, decode, settings = OTHERS[name]
    points = []
    for setting in settings:
        files = [encode(picture, setting) for picture in pictures]
        x_hat = torch.from_numpy(np.stack([np.asarray(decode(file)) for file in files])[:, None]).float() / 255
        points.append(Point(8 * sum(map(len, files)) / pictures.size, *quality(x_hat, x)))
    return points


def of_archives(
    run: Path, vocabulary: Vocabulary, images: PreparedDataset, coder: str, strengths: Sequence[float], folder: Path
) -> list[Point]:
    points = []
    for strength in strengths:
        out = folder / f"{coder}-{strength}.vxl"
        pack(run, at_strength(vocabulary, strength), images, out=out, coder=coder, overwrite=True)
        archive = open_archive(out, run=run)
        scans = archive.codes_of([archive.record(number) for number in range(len(archive))])
        codes = torch.cat([torch.from_numpy(scan[0]) for scan in scans])
        # As in a file: eight bits for a grey value.
        x_hat = (archive.decode(codes) * 255).round() / 255
        points.append(Point(8 * out.stat().st_size / images.images.size, *quality(x_hat, images.tensor())))
    return points


def bd_rate(curve: Sequence[Point], reference: Sequence[Point], measure: str) -> float:
    """Return how many per cent more bytes a curve takes than the reference, at equal quality."""
    places = [sorted((getattr(point, measure), np.log(point.rate_bpp)) for point in own) for own in (curve, reference)]
    low, high = (choose(own[end][0] for own in places) for choose, end in ((max, 0), (min, -1)))
    if not low < high:
        return float("nan")
    means = [PchipInterpolator(*zip(*own, strict=True)).integrate(low, high) / (high - low) for own in places]
    return 100 * float(np.expm1(means[0] - means[1]))


def speeds(run: Path, vocabulary: Vocabulary, images: PreparedDataset, folder: Path) -> Iterable[str]:
    """Yield lines about speed and memory of the coder of tables."""
    out, pixels = folder / "speed.vxl", images.images.size / 1e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    pack(run, vocabulary, images, out=out, overwrite=True)
    yield f"pack, with encoding: {pixels / (time.perf_counter() - started):.2f} megapixels/s"
    archive = open_archive(out, run=run)
    records = [archive.record(number) for number in range(len(archive))]
    started = time.perf_counter()
    scans = archive.codes_of(records)
    yield f"codes from bytes, one thread: {pixels / (time.perf_counter() - started):.2f} megapixels/s"
    codes = torch.cat([torch.from_numpy(scan[0]) for scan in scans])
    started = time.perf_counter()
    archive.decode(codes)
    yield f"images from codes: {pixels / (time.perf_counter() - started):.2f} megapixels/s"
    tables = tables_of_run(run, vocabulary)
    assert tables is not None
    many = folder / "many.vxl"
    with new_archive(many, archive.header) as writer:
        for number in range(10_000):
            writer.add(replace(records[number % len(records)], name=f"{number:05d}.png"))
    yield f"10,000 scans take {many.stat().st_size:,} bytes; most memory so far +{growth(before):.0f} MB"
    large = Archive(Content.open(many), vocabulary=vocabulary, tables=tables)
    _ = large[0]
    took = []
    for number in np.random.default_rng(0).integers(0, 10_000, 20):
        started = time.perf_counter()
        _ = large[int(number)]
        took.append(1e3 * (time.perf_counter() - started))
    yield f"one scan of 10,000, codes and image: median {np.median(took):.1f} ms"
    started = time.perf_counter()
    Content.open(many)
    yield f"its index, opened: {1e3 * (time.perf_counter() - started):.1f} ms"


def memory(run: Path, vocabulary: Vocabulary, images: PreparedDataset, folder: Path, count: int) -> Iterable[str]:
    """Yield a line about the memory that packing many scans takes, beyond what packing a hundred does."""
    few, many = (of_many(images, number) for number in (100, count))
    pack(run, vocabulary, few, out=folder / "few.vxl")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pack(run, vocabulary, many, out=folder / "many.vxl")
    yield f"packing {count:,} scans: +{growth(before):.0f} MB, {(folder / 'many.vxl').stat().st_size:,} bytes"


def of_many(images: PreparedDataset, count: int) -> PreparedDataset:
    """Return a data set of many scans that all show the first picture, in the memory of one."""
    pixels = np.broadcast_to(images.images[0], (count, *images.images.shape[1:]))
    manifest = images.manifest.iloc[[0] * count].assign(path=[f"{number:06d}.png" for number in range(count)])
    return replace(images, images=pixels, manifest=manifest.reset_index(drop=True))


def parts(run: Path, vocabulary: Vocabulary, images: PreparedDataset) -> Iterable[str]:
    """Yield lines about the time on the processor that each part of packing and unpacking takes."""
    tables = tables_of_run(run, vocabulary)
    assert tables is not None
    coder, x = TableCoder(tables), images.tensor(slice(0, 32))
    codes = vocabulary.encode(x)
    levels = [level.cpu().numpy() for level in levels_of(codes)]
    scans = [[level[row : row + 1] for level in levels] for row in range(len(x))]
    coded, grids = coder.encode(scans), [[level.shape[2:] for level in scan] for scan in scans]
    steps: dict[str, Callable[[], object]] = {
        "network, encoding": lambda: vocabulary.encode(x),
        "bytes of codes": lambda: coder.encode(scans),
        "codes of bytes": lambda: coder.decode(coded, grids),
        "network, decoding": lambda: vocabulary.decode(codes),
    }
    for name, step in steps.items():
        step()
        started = time.process_time()
        for _ in range(3):
            step()
        took = (time.process_time() - started) / 3
        yield f"{name}: {1e3 * took / len(x):.2f} ms of a core for an image, {x.numel() / 1e6 / took:.2f} megapixels/s"


def growth(before: int) -> float:
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def show(name: str, curve: Sequence[Point]) -> None:
    print(f"{name:14}", "  ".join(f"{p.rate_bpp:.3f}: {p.ssim:.3f}, {p.psnr_db:.1f}" for p in curve), flush=True)


def rows_of(dataset: PreparedDataset, rows: Sequence[int]) -> PreparedDataset:
    return replace(dataset, images=dataset.images[list(rows)], manifest=dataset.manifest.iloc[list(rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("source")
    parser.add_argument("--images", type=int, default=110)
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.25, 0.5, 1, 1.5, 2, 3])
    parser.add_argument("--prior", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--speed", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--memory", type=int, default=0, metavar="SCANS")
    parser.add_argument("--parts", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = folder / "run"
        shutil.copytree(arguments.run, run)
        vocabulary = load(run)
        dataset = open_for(vocabulary.config, arguments.source)
        fit_run_tables(run, vocabulary, dataset)
        if arguments.memory or arguments.parts:
            own = parts(run, vocabulary, dataset) if arguments.parts else ()
            more = memory(run, vocabulary, dataset, folder, arguments.memory) if arguments.memory else ()
            print(*own, *more, sep="\n")
            return
        test = dataset.subset("test")
        images = rows_of(test, evenly_spaced(len(test), arguments.images))
        for line in speeds(run, vocabulary, test, folder) if arguments.speed else ():
            print(line, flush=True)
        x, pictures = images.tensor(), np.ascontiguousarray(images.images[:, 0])
        print(f"{len(images)} images; bits per pixel: SSIM, PSNR", flush=True)
        curves: dict[str, list[Point]] = {}
        for coder in ("table", "prior")[: 1 + arguments.prior]:
            curves[f"voxlex, {coder}"] = of_archives(run, vocabulary, images, coder, arguments.strengths, folder)
            show(f"voxlex, {coder}", curves[f"voxlex, {coder}"])
        for name in OTHERS:
            curves[name] = of_codec(name, pictures, x)
            show(name, curves[name])
        for name in list(curves)[: -len(OTHERS)]:
            for measure in ("ssim", "psnr_db"):
                found = {other: bd_rate(curves[name], curves[other], measure) for other in OTHERS}
                print(f"{name:14} BD-rate ({measure})", "  ".join(f"{k} {v:+.0f} %" for k, v in found.items()))


if __name__ == "__main__":
    main()
