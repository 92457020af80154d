"""Maps of pictures and volumes from the command line: where they go, what they hold, and how they are judged."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scans.heads import OBLIQUE, head, write_volume
from test_cli_inpaint import untrained_run
from voxlex.cli import main
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.images.frame import Frame
from voxlex.pages.anomaly_page import HIGHEST

RUN = Path(__file__).parent / "golden" / "masked"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Healthy slices, and the same of others with a white disc in two of them, with masks and boxes of it."""
    root = tmp_path_factory.mktemp("anomaly")
    PhantomSource(PhantomOptions(subjects=4, slices=4)).write(root / "healthy", Frame(size=48))
    files = PhantomSource(PhantomOptions(subjects=2, slices=4)).write(root / "scans", Frame(size=48), seed=1)
    for number in (1, 5):
        name = files[number].relative_to(root / "scans")
        pixels = np.array(Image.open(files[number]))
        rows, columns = np.indices(pixels.shape)
        disc = (rows - 20) ** 2 + (columns - 28) ** 2 <= 25
        Image.fromarray(np.where(disc, np.uint8(255), pixels)).save(files[number])
        for folder, suffix in (("masks", ".png"), ("boxes", ".txt")):
            (root / folder / name.parent).mkdir(parents=True, exist_ok=True)
            target = root / folder / name.with_suffix(suffix)
            if suffix == ".png":
                Image.fromarray(disc.astype(np.uint8) * 255).save(target)
            else:
                target.write_text("0 0.594 0.427 0.229 0.229\n")
    return root


def anomaly(place: Path, out: Path, *more: str) -> int:
    return main(["anomaly", str(RUN), str(place / "scans"), "--out", str(out), *more])


def test_pictures_get_maps_of_their_own_size_and_are_judged(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--healthy", str(place / "healthy"), "--method", "reconstruction")
    assert anomaly(place, tmp_path / "new", *given, "--masks", str(place / "masks")) == 0
    said = capsys.readouterr()
    assert "8 maps in" in said.out
    assert "measures the scanner" in said.err
    table = pd.read_csv(tmp_path / "new" / "scores.csv")
    assert len(table) == 8
    assert (table["score"].diff().dropna() <= 0).all()
    assert table["quantile"].between(0, 1).all()
    for row in table.itertuples():
        with Image.open(tmp_path / "new" / f"{row.name}.map.png") as picture:
            values = np.asarray(picture).astype(np.float64)
        assert values.shape == (48, 48)
        assert values[row.row, row.column] / 65535 * HIGHEST == pytest.approx(min(row.score, HIGHEST), rel=0.25)
        with Image.open(tmp_path / "new" / f"{row.name}.overlay.png") as picture:
            assert picture.size == (48, 48)
    figures = json.loads((tmp_path / "new" / "figures.json").read_text())
    assert set(figures) == {"map", "equalised intensity", "nearest healthy image"}
    assert figures["map"]["scans_with_lesions"] == 2
    assert 0 < figures["map"]["pixel_ap_chance"] < 0.1
    page = (tmp_path / "new" / "anomalies.html").read_text()
    assert page.count("<figure>") == 8
    assert 'type="range"' in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    boxes = tmp_path / "boxes"
    assert anomaly(place, boxes, *given, "--boxes", str(place / "boxes")) == 0
    by_box = json.loads((boxes / "figures.json").read_text())
    assert by_box["map"]["pixel_auroc"] == pytest.approx(figures["map"]["pixel_auroc"], abs=0.1)


def test_the_same_seed_makes_the_same_maps(place: Path, tmp_path: Path) -> None:
    for name in "ab":
        assert anomaly(place, tmp_path / name) == 0
    first = sorted((tmp_path / "a").rglob("*.map.png"))
    assert len(first) == 8
    for path in first:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_maps_of_volumes_lie_where_the_volumes_lie(tmp_path: Path) -> None:
    run, shape = untrained_run(tmp_path / "run", "masked"), (24, 30, 20)
    for number in range(8):
        write_volume(tmp_path / "heads" / f"{number}.nii.gz", head(shape, seed=number), OBLIQUE)
    assert main(["anomaly", str(run), str(tmp_path / "heads"), "--out", str(tmp_path / "new")]) == 0
    scan, written = (
        nibabel.load(path) for path in (tmp_path / "heads" / "3.nii.gz", tmp_path / "new" / "3.map.nii.gz")
    )
    np.testing.assert_array_equal(written.affine, scan.affine)
    assert written.shape == scan.shape
    assert written.get_data_dtype() == np.float32
    assert (tmp_path / "new" / "3.overlay.png").exists()
    assert {"x_mm", "y_mm", "z_mm"} <= set(pd.read_csv(tmp_path / "new" / "scores.csv").columns)


def test_slices_of_a_volume_become_one_map(tmp_path: Path) -> None:
    for number in range(2):
        write_volume(tmp_path / "heads" / f"{number}.nii.gz", head((24, 30, 20), seed=number), OBLIQUE)
    assert main(["anomaly", str(RUN), str(tmp_path / "heads"), "--out", str(tmp_path / "new")]) == 0
    written = nibabel.load(tmp_path / "new" / "1.map.nii.gz")
    assert written.shape == nibabel.load(tmp_path / "heads" / "1.nii.gz").shape
    assert np.asanyarray(written.dataobj).max() > 1


def test_what_cannot_be_done_is_refused_in_one_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "sub-001").mkdir()
    (tmp_path / "bad" / "sub-001" / "slice-01.txt").write_text("0 0.5 0.5 3\n")
    Image.fromarray(np.ones((9, 9), np.uint8)).save(tmp_path / "bad" / "sub-001" / "slice-01.png")
    refused = [
        (["--masks", str(tmp_path / "none")], "expected a folder of masks"),
        (["--masks", str(tmp_path / "empty")], "expected masks, found none"),
        (["--boxes", str(tmp_path / "bad")], "line 1: expected a class and four shares"),
        (["--masks", str(tmp_path / "bad")], "expected a mask with the size of the scan, (48, 48), got (9, 9)"),
        (["--masks", str(place / "masks"), "--boxes", str(place / "boxes")], "expected --masks or --boxes, got both"),
    ]
    for number, (more, said) in enumerate(refused):
        assert anomaly(place, tmp_path / f"out-{number}", "--method", "reconstruction", *more) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert said in error
    assert anomaly(place, tmp_path / "bad") == 1
    assert "--overwrite" in capsys.readouterr().err
