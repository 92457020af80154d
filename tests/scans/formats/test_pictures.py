import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scans.pictures import picture
from voxlex.errors import DataError
from voxlex.scans.formats.pictures import read_picture, write_picture
from voxlex.scans.read_write import read_scan, write_scan

DEEP = np.linspace(0, 60000, 24 * 20).astype(np.uint16).reshape(24, 20)


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "PNG"])
@pytest.mark.parametrize("pixels", [picture(), DEEP], ids=["8 bit", "16 bit"])
def test_grey_survives_exactly(tmp_path: Path, suffix: str, pixels: np.ndarray):
    path = tmp_path / f"a.{suffix}"
    write_picture(path, pixels)
    read = read_picture(path)
    assert read.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(read.pixels, pixels)


def test_float_tiff_survives_exactly(tmp_path: Path):
    pixels = np.linspace(-3, 1200, 400, dtype=np.float32).reshape(20, 20)
    write_picture(tmp_path / "a.tif", pixels)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, pixels)


def test_big_endian_16_bit_tiff(tmp_path: Path):
    Image.fromarray(DEEP.astype(">u2")).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, DEEP)


@pytest.mark.parametrize("pixels", [picture(), DEEP], ids=["8 bit", "16 bit"])
def test_tiff_stored_as_white_is_zero(tmp_path: Path, pixels: np.ndarray):
    Image.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo={262: 0}, compression="raw")
    stored = np.iinfo(pixels.dtype).max - pixels if pixels is DEEP else pixels  # Pillow writes 8 bits inverted itself
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, stored)


def test_jpeg_is_close(tmp_path: Path):
    smooth = picture(height=64, width=64)
    write_picture(tmp_path / "a.jpg", smooth)
    error = read_picture(tmp_path / "a.jpg").pixels.astype(float) - smooth
    assert np.abs(error).mean() < 2


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colour_becomes_luminance(tmp_path: Path, suffix: str):
    colour = np.zeros((10, 30, 3), np.uint8)
    colour[:, :10, 0] = colour[:, 10:20, 1] = colour[:, 20:, 2] = 200
    Image.fromarray(colour).save(tmp_path / f"a.{suffix}")
    pixels = read_picture(tmp_path / f"a.{suffix}").pixels
    np.testing.assert_allclose(pixels[0, [0, 10, 20]], 200 * np.array([0.299, 0.587, 0.114]), atol=0.5)


def test_colour_jpeg_gives_the_luminance_of_its_colours(tmp_path: Path):
    grey = picture(height=64, width=64)
    Image.fromarray(np.stack([grey, grey // 2, 255 - grey], axis=-1)).save(
        tmp_path / "a.jpg", quality=95, subsampling=0
    )
    with Image.open(tmp_path / "a.jpg") as image:
        red, green, blue = np.moveaxis(np.asarray(image, dtype=float), -1, 0)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    assert np.abs(read_picture(tmp_path / "a.jpg").pixels - luminance).mean() < 1


def test_transparency_becomes_black(tmp_path: Path):
    pixels = np.full((10, 10, 4), 200, np.uint8)
    pixels[:, :5, 3], pixels[:, 5:, 3] = 255, 0
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png").pixels
    assert (read[:, :5] == 200).all()
    assert (read[:, 5:] == 0).all()


def _deep_png(pixels: np.ndarray, colour_type: int) -> bytes:
    """Return a PNG file of 16-bit samples `(h, w, samples)`, which Pillow cannot write."""
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour_type", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_dark_16_bit_colour_does_not_lose_its_levels_in_silence(tmp_path: Path, colour_type: int, samples: int):
    values = np.repeat(np.linspace(0, 65535, 20 * 16).reshape(20, 16, 1), samples, axis=2)
    values[..., 3 if samples == 4 else 1] = 65535  # transparency, or the green of many
    (tmp_path / "a.png").write_bytes(_deep_png(values, colour_type))
    assert np.ptp(read_picture(tmp_path / "a.png").pixels) > 60
    values = values // 64
    if samples != 3:
        values[..., -1] = 65535
    (tmp_path / "b.png").write_bytes(_deep_png(values, colour_type))  # 10 bits of 16, as of a scanner
    with pytest.raises(
        DataError, match=r"b\.png: holds 16-bit colour with values below 16,384.*save it as 16-bit grey"
    ):
        read_picture(tmp_path / "b.png")


def test_palette_and_one_bit_pictures_become_8_bit_grey(tmp_path: Path):
    bits = picture() > 120
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "bits.png").pixels, bits * np.uint8(255))
    Image.fromarray(picture() // 64 * 64).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png").pixels, picture() // 64 * 64)


def test_exif_orientation_is_applied(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.fromarray(picture(height=64, width=32)).save(tmp_path / "a.jpg", exif=exif)
    read = read_picture(tmp_path / "a.jpg")
    assert (read.height, read.width) == read.pixels.shape == (32, 64)


def test_large_jpegs_can_be_decoded_small_but_know_their_size(tmp_path: Path):
    large = np.kron(picture(height=80, width=60), np.ones((10, 10), np.uint8))
    Image.fromarray(large).save(tmp_path / "a.jpg")
    read = read_picture(tmp_path / "a.jpg", reduce_to=64)
    assert (read.height, read.width) == (800, 600)
    assert 128 <= min(read.pixels.shape) < 600
    assert read_picture(tmp_path / "a.jpg").pixels.shape == (800, 600)


def _png_claiming(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    body = b"IDAT" + zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + start + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("side", [14_000, 100_000], ids=["where Pillow warns", "where Pillow refuses"])
def test_decompression_bomb(tmp_path: Path, side: int):
    (tmp_path / "bomb.png").write_bytes(_png_claiming(side, side))
    with pytest.raises(DataError, match=r"bomb\.png: .*decompression bomb"):
        read_picture(tmp_path / "bomb.png")


def test_truncated_pictures(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    for name in ("a.jpg", "a.png", "a.tif"):
        Image.fromarray(noise).save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=rf"{name}: cannot be decoded: "):
            read_picture(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", r"empty \(zero bytes\)"), (b"Dear Sir,", "not a PNG, JPEG or TIFF picture")]
)
def test_files_that_are_no_pictures(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.png: .*{reason}"):
        read_picture(tmp_path / "a.png")


def test_missing_file_and_folder_in_its_place(tmp_path: Path):
    with pytest.raises(DataError, match=r"no\.png: no such file"):
        read_picture(tmp_path / "no.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=r"folder\.png: expected a file, got a folder$"):
        read_picture(tmp_path / "folder.png")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_not_finite(tmp_path: Path, bad: float):
    pixels = np.zeros((10, 10), np.float32)
    pixels[3, 4] = bad
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="1 of 100 voxels are not finite"):
        read_picture(tmp_path / "a.tif")


def test_several_pages_in_one_tiff(tmp_path: Path):
    pages = [Image.fromarray(picture(seed)) for seed in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match="expected one page, got 3"):
        read_picture(tmp_path / "a.tif")


def test_too_small(tmp_path: Path):
    Image.fromarray(picture(height=4, width=100)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="expected at least 8×8 pixels, got 4×100"):
        read_picture(tmp_path / "a.png")


def test_formats_that_cannot_hold_the_pixels(tmp_path: Path):
    with pytest.raises(DataError, match=r"a\.png: expected grey pixels .* of uint8 or uint16 for PNG, got float32"):
        write_picture(tmp_path / "a.png", np.zeros((10, 10), np.float32))
    with pytest.raises(DataError, match="of uint8 for JPEG"):
        write_picture(tmp_path / "a.jpg", DEEP)
    with pytest.raises(DataError, match=r"a\.bmp: expected one of the suffixes"):
        write_picture(tmp_path / "a.bmp", picture())
    assert list(tmp_path.iterdir()) == []


def _tiff(values: np.ndarray, *, white_is_zero: bool = False) -> bytes:
    """Write a TIFF file of any type of numbers, uncompressed and little-endian."""
    sort = {"u": 1, "i": 2, "f": 3, "c": 6}[values.dtype.kind]
    height, width = values.shape
    tags = {256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: 0 if white_is_zero else 1, 273: 8}
    tags |= {277: 1, 278: height, 279: values.nbytes, 339: sort}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    body = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32"])
def test_every_type_of_pixel_in_tiff(tmp_path: Path, dtype: str):
    limits = (-1e3, 1e3) if dtype == "float32" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    values = np.linspace(*limits, 200).reshape(10, 20).astype(dtype)
    (tmp_path / "a.tif").write_bytes(_tiff(values))
    expected = values.astype(np.float32) if dtype == "uint32" else values  # int32 cannot hold the largest of them
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, expected)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("float64", "64-bit floats"),
        ("float16", "16-bit floats"),
        ("int64", "64-bit integers"),
        ("complex64", "complex"),
    ],
)
def test_types_of_pixels_that_are_not_read_are_named(tmp_path: Path, dtype: str, name: str):
    (tmp_path / "a.tif").write_bytes(_tiff(np.ones((10, 20), dtype)))
    with pytest.raises(DataError, match=rf"a\.tif: expected pixels of 8, 16 or 32 bits, got .*{name}.*; save"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_white_as_zero_is_turned_round(tmp_path: Path, dtype: str):
    values = np.linspace(0, np.iinfo(dtype).max, 200).reshape(10, 20).astype(dtype)
    (tmp_path / "a.tif").write_bytes(_tiff(values, white_is_zero=True))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, np.iinfo(dtype).max - values)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_white_as_zero_without_a_black_is_refused(tmp_path: Path, dtype: str):
    (tmp_path / "a.tif").write_bytes(_tiff(np.ones((10, 20), dtype), white_is_zero=True))
    with pytest.raises(DataError, match="stores white as zero"):
        read_picture(tmp_path / "a.tif")


def test_inks_of_a_jpeg_are_light(tmp_path: Path):
    grey = picture(height=32, width=32)
    inks = Image.merge("RGB", [Image.fromarray(grey)] * 3).convert("CMYK")
    inks.save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_picture(tmp_path / "a.jpg").pixels.astype(int) - grey).mean() < 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg: expected a regular file, got a pipe"):
        read_picture(tmp_path / "a.jpg")


def test_pixels_that_are_not_finite_can_be_the_background(tmp_path: Path):
    pixels = np.linspace(5, 9, 100, dtype=np.float32).reshape(10, 10)
    pixels[2, 3] = np.nan
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    scan = read_scan(tmp_path / "a.tif", nan="background")
    assert scan.voxels[2, 3] == 5
    write_scan(tmp_path / "b.tif", scan)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.tif")), pixels)
