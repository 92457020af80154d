"""Scans that nibabel, SimpleITK, torchio or voxlex hold are sources, and give what their files give."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
import torchio
from PIL import Image

import voxlex
from scans.heads import LAS, PSR, RAS, head
from test_cli_inpaint import untrained_run
from voxlex.config import Config, ReadingOptions, SliceOptions, parse
from voxlex.data.scan_source import ScanSource
from voxlex.data.sources import find_source, open_source
from voxlex.errors import DataError
from voxlex.images.frame import Frame
from voxlex.scans.places import InMemory, held_by_name, samples_at, scan_at
from voxlex.workflows.anomaly import find_anomalies
from voxlex.workflows.audit import audit
from voxlex.workflows.encode import encode
from voxlex.workflows.inpaint import inpaint
from voxlex.workflows.lesion_files import LesionFiles
from voxlex.workflows.opening import files_of, open_for
from voxlex.workflows.originals import Originals
from voxlex.workflows.pack import pack
from voxlex.workflows.prepare import prepare
from voxlex.workflows.reconstruct import reconstruct
from voxlex.workflows.train import train

GOLDEN = Path(__file__).parent / "golden"
AFFINES = [LAS, PSR @ np.diag([1.5, 1, 2, 1]), RAS @ np.diag([1, 1, 2, 1])]
SHAPE = (14, 16, 10)

TINY = {
    "data": {"size": 16},
    "model": {"network": {"width": 8, "stem_width": 4}, "quantizer": {"num_embeddings": 16}},
    "prior": {"width": 8, "layers": 1},
    "training": {
        "minutes": None,
        "steps": 1,
        "accelerator": "cpu",
        "precision": "32-true",
        "autoencoder": {"batch_size": 2},
        "prior": {"batch_size": 2},
    },
}


@dataclass
class Library:
    """A library: how it makes an image of numbers, how it writes its file, and the suffix of the file.

    If the affine that it writes is not quite that of the image, the image is the one that it opens from the file.
    """

    make: Callable[[np.ndarray, np.ndarray], Any]
    write: Callable[[Any, Path], object]
    suffix: str = ".nii.gz"
    open: Callable[[Path], Any] | None = None


def itk_image(values: np.ndarray, affine: np.ndarray) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T))
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def torchio_image(values: np.ndarray, affine: np.ndarray) -> torchio.ScalarImage:
    return torchio.ScalarImage(tensor=torch.from_numpy(values.copy())[None], affine=affine)


def scan_of(values: np.ndarray, affine: np.ndarray) -> voxlex.Scan:
    return voxlex.as_scan(nibabel.Nifti1Image(values, affine))


LIBRARIES = {
    "nibabel": Library(nibabel.Nifti1Image, nibabel.save),
    "SimpleITK": Library(itk_image, lambda image, path: SimpleITK.WriteImage(image, str(path)), ".nrrd"),
    "torchio": Library(torchio_image, lambda image, path: image.save(path), open=torchio.ScalarImage),
    "subject": Library(
        lambda values, affine: torchio.Subject(t1=torchio_image(values, affine)),
        lambda subject, path: subject["t1"].save(path),
        open=lambda path: torchio.Subject(t1=torchio.ScalarImage(path)),
    ),
    "voxlex": Library(scan_of, lambda scan, path: voxlex.write_scan(path, scan)),
}


@pytest.fixture(params=LIBRARIES)
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A folder of files that a library wrote of images, and the images in memory by the names of the files."""
    return written(LIBRARIES[request.param], tmp_path / "images")


def written(library: Library, folder: Path) -> tuple[Path, dict[str, Any]]:
    images = {}
    for number, affine in reversed(list(enumerate(AFFINES))):
        values = head(SHAPE, seed=number)
        values = values if number % 2 else values.astype(np.float32)
        name = f"sub-{number}/t1{library.suffix}"
        images[name] = library.make(values, affine)
        (folder / name).parent.mkdir(parents=True)
        library.write(images[name], folder / name)
        images[name] = library.open(folder / name) if library.open else images[name]
    return folder, images


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("run", ["transformer", "volumes"])
def test_what_is_written_of_scans_in_memory_is_what_is_written_of_their_files(
    run: str, both: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    vocabulary, out = voxlex.load(GOLDEN / run), tmp_path / "out"
    for name, source in zip(("files", "memory"), both, strict=True):
        dataset = open_for(vocabulary.config, source, whole=True)
        encode(vocabulary, dataset, out=out / name / "codes.parquet")
        reconstruct(vocabulary, dataset, out=out / name / "reconstructed")
    files, memory = (everything_in(out / name) for name in ("files", "memory"))
    assert len(files) > len(AFFINES)
    assert memory.keys() == files.keys()
    assert [name for name in files if memory[name] != files[name]] == []


def test_their_numbers_are_those_of_the_files(both: tuple[Path, dict[str, Any]]) -> None:
    folder, images = both
    for name, place in held_by_name(images).items():
        found, expected = (samples_at(where, ReadingOptions()) for where in (place, folder / name))
        assert found.values.dtype.newbyteorder("=") == expected.values.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found.values, expected.values)
        if not isinstance(place.image, torchio.Subject | torchio.Image):  # which name a unit of time in files
            assert found.extra == expected.extra


@pytest.mark.parametrize("frame", [Frame(size=24, slices=SliceOptions(axis="coronal")), Frame(size=16, spacing_mm=2.0)])
def test_the_images_to_learn_from_are_those_of_the_files(
    frame: Frame, both: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, images = both
    expected, found = (prepare(source, frame, out=tmp_path / str(id(source)), seed=3) for source in (folder, images))
    assert found.fingerprint == expected.fingerprint
    assert list(found.manifest["subject"].unique()) == list(expected.manifest["subject"].unique())
    assert {"sub-0", "sub-1", "sub-2"} == set(found.manifest["subject"])
    assert open_source(images, frame, seed=3).fingerprint == expected.fingerprint
    assert audit(images).as_json() == audit(str(folder)).as_json()


@pytest.mark.slow
def test_a_list_is_trained_on_and_each_image_is_known_by_its_number(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [nibabel.Nifti1Image(rng.integers(0, 900, SHAPE).astype(np.int16), RAS) for _ in range(12)]
    config = parse(Config, TINY, where="test")
    run = train(images, out=tmp_path / "run", config=config)
    dataset = open_for(config, images)
    assert run.metadata()["data"]["fingerprint"] == dataset.fingerprint
    assert set(dataset.manifest["path"]) == {f"image-{number:02d}" for number in range(12)}
    assert dataset.manifest.groupby("path")["split"].nunique().eq(1).all()
    assert set(dataset.manifest["split"]) == {"train", "validation", "test"}
    assert voxlex.load(tmp_path / "run").encode(images[0]).shape[0] == SHAPE[2]


def test_pictures_of_itk_are_those_of_their_files(tmp_path: Path) -> None:
    images = {}
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (50, 40), dtype=np.uint8)
        images[f"{number}.png"] = SimpleITK.GetImageFromArray(pixels)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    vocabulary = voxlex.load(GOLDEN / "transformer")
    for name, source in (("files", tmp_path / "images"), ("memory", images)):
        dataset = open_for(vocabulary.config, source, whole=True)
        originals = Originals.of(find_source(source), ReadingOptions())
        out = tmp_path / f"{name}.vxl"
        pack(GOLDEN / "transformer", vocabulary, dataset, out=out, originals=originals, with_codes=False)
        encode(vocabulary, dataset, out=tmp_path / f"{name}.parquet")
    for suffix in ("vxl", "parquet"):
        assert (tmp_path / f"memory.{suffix}").read_bytes() == (tmp_path / f"files.{suffix}").read_bytes()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_region_is_drawn_anew_as_in_the_file(library: str, tmp_path: Path) -> None:
    vocabulary = voxlex.load(untrained_run(tmp_path / "run", "masked"))
    own, chosen = LIBRARIES[library], np.zeros((24, 30, 20), np.uint8)
    chosen[12:20, 16:24, 11:16] = 1
    places = {}
    for name, values in (("head", head(chosen.shape)), ("mask", chosen)):
        image = own.make(values, LAS)
        places[name] = (tmp_path / f"{name}{own.suffix}", image)
        own.write(image, places[name][0])
    for kind in range(2):
        inpaint(vocabulary, places["head"][kind], mask=places["mask"][kind], out=tmp_path / str(kind), count=2, seed=1)
    assert everything_in(tmp_path / "0") == everything_in(tmp_path / "1")
    image, mask = (places[name][1] for name in ("head", "mask"))
    if library == "subject":
        mask = torchio.Subject(head=image["t1"], lesion=torchio.LabelMap(tensor=mask["t1"].data, affine=LAS))
    draws = vocabulary.inpaint(image, mask, count=2, seed=1)
    for number, draw in enumerate(draws):
        assert type(draw) is type(image)
        expected = voxlex.read_scan(tmp_path / "0" / f"draw-000{number}.nii.gz")
        np.testing.assert_array_equal(voxlex.as_scan(draw).voxels, expected.voxels)
        np.testing.assert_array_equal(voxlex.as_scan(draw).affine, expected.affine)


def test_what_does_not_belong_is_found_and_judged_as_in_the_files(tmp_path: Path) -> None:
    vocabulary = voxlex.load(GOLDEN / "masked")
    folder, images = written(LIBRARIES["nibabel"], tmp_path / "images")
    name, masks = "sub-1/t1.nii.gz", {}
    masks[name] = nibabel.Nifti1Image((head(SHAPE, seed=1) > 800).astype(np.uint8), AFFINES[1])
    nibabel.save(masks[name], tmp_path / "lesion.nii.gz")
    (tmp_path / "masks" / "sub-1").mkdir(parents=True)
    nibabel.save(masks[name], tmp_path / "masks" / name)
    for kind, source, lesions in (("files", folder, tmp_path / "masks"), ("memory", images, masks)):
        dataset = open_for(vocabulary.config, source, whole=True)
        find_anomalies(
            vocabulary,
            dataset,
            healthy=dataset,
            out=tmp_path / "out" / kind,
            method="reconstruction",
            lesions=LesionFiles(lesions),
        )
    files, memory = (everything_in(tmp_path / "out" / kind) for kind in ("files", "memory"))
    assert len(files) > 6
    assert memory == files


def test_images_stay_in_the_cache_until_a_voxel_or_the_reading_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [nibabel.Nifti1Image(head(SHAPE, seed=number), RAS) for number in range(3)]
    made, frame = [], Frame(size=16)
    inner = ScanSource.prepare
    monkeypatch.setattr(ScanSource, "prepare", lambda *given, **more: made.append(given) or inner(*given, **more))
    first = open_source(images, frame, cache=tmp_path)
    assert open_source(tuple(images), frame, cache=tmp_path).fingerprint == first.fingerprint
    assert len(made) == 1
    images[1].dataobj[7, 8, 5] += 1
    open_source(images, frame, cache=tmp_path)
    images[1] = nibabel.Nifti1Image(images[1].dataobj, RAS @ np.diag([1, 1, 2, 1]))
    open_source(images, frame, cache=tmp_path)
    assert len(made) == 3


def test_scans_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    several = nibabel.Nifti1Image(np.zeros((9, 9, 9, 2), np.int16), np.eye(4))
    good = {f"{number:02d}": nibabel.Nifti1Image(head(SHAPE, seed=number), RAS) for number in range(19)}
    dataset = open_source(good | {"odd/one": several}, Frame(size=16), cache=tmp_path)
    assert [(skip.path, skip.reason.partition(";")[0]) for skip in dataset.skipped] == [
        ("odd/one", "expected one volume, got 2 (9×9×9×2)")
    ]
    with pytest.raises(DataError, match=r"images/image-0: expected one volume, got 2"):
        open_source(several, Frame(size=16), cache=tmp_path)
    nibabel.save(good["00"], tmp_path / "cut.nii")
    (tmp_path / "cut.nii").write_bytes((tmp_path / "cut.nii").read_bytes()[:3000])
    with pytest.raises(DataError, match=r"images/cut: is damaged or cut short"):
        open_source({"cut": nibabel.load(tmp_path / "cut.nii")}, Frame(size=16), cache=tmp_path)


@pytest.mark.parametrize(
    ("images", "error", "says"),
    [
        ([], DataError, "expected at least one scan, got none"),
        (np.zeros((3, 9, 9)), TypeError, "image-0: expected an image of nibabel.*got ndarray"),
        ([Path("a.nii.gz")], TypeError, "image-0: expected an image of nibabel.*got PosixPath"),
        (iter([scan_of(head(), RAS)]), TypeError, "images: expected an image of nibabel.*got list_iterator"),
        (7, TypeError, "images: expected an image of nibabel.*got int"),
        ({"../a": scan_of(head(), RAS)}, DataError, "images: expected names such as 'sub-01/t1', got '../a'"),
        ({"/a": scan_of(head(), RAS)}, DataError, "images: expected names"),
        ({"a\n": scan_of(head(), RAS)}, DataError, "images: expected names"),
        ({3: scan_of(head(), RAS)}, TypeError, "images: expected texts as names, got int"),
    ],
)
def test_what_is_no_scan_in_memory_is_refused(images: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        open_source(images)


def test_files_that_images_are_read_from_are_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(head(), RAS), file)
    scalar = torchio.ScalarImage(file)
    for image in (nibabel.load(file), scalar, torchio.Subject(t1=scalar)):
        assert list(files_of([image])) == [file]
    assert list(files_of([SimpleITK.ReadImage(file)])) == []
    with pytest.raises(DataError, match=r"a\.nii\.gz"):
        audit([scalar], out=file, overwrite=True)


def test_scans_in_memory_can_be_sent_to_workers(both: tuple[Path, dict[str, Any]]) -> None:
    import pickle

    for place in held_by_name(both[1]).values():
        sent = pickle.loads(pickle.dumps(place))
        assert isinstance(sent, InMemory)
        np.testing.assert_array_equal(scan_at(sent).voxels, scan_at(place).voxels)
