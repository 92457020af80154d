"""`voxlex probe` from the command line: its figures, its pictures, and what it refuses."""

import json
from pathlib import Path

import pytest
from PIL import Image

from voxlex.cli import main
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.images.frame import Frame

RUN = Path(__file__).parent / "golden" / "pixelcnn"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slices of two contrasts, which any probe tells apart, with a column that no image has a value of."""
    root = tmp_path_factory.mktemp("probe")
    lines = ["path,subject,contrast,nothing"]
    for contrast in ("t1", "t2"):
        options = PhantomOptions(subjects=4, slices=3, contrast=contrast)
        for path in PhantomSource(options).write(root / contrast, Frame(size=32)):
            lines.append(f"{path.relative_to(root)},{contrast}-{path.parent.name},{contrast},")
    (root / "scans.csv").write_text("\n".join(lines) + "\n")
    return root / "scans.csv"


def test_a_contrast_is_read_from_codes_and_from_grey_values(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["probe", str(RUN), str(table), "--target", "contrast"]
    assert main([*words, "--json", str(tmp_path / "a.json"), "--out", str(tmp_path / "pictures")]) == 0
    assert "contrast of 24 images in 8 groups" in capsys.readouterr().out
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["classes"] == ["t1", "t2"]
    assert set(content["figures"]) == {"codes", "pixels", "grey values", "shuffled"}
    assert content["figures"]["grey values"]["linear"]["auroc"] > 0.95
    for name in ("confusions.png", "codewords.png"):
        with Image.open(tmp_path / "pictures" / name) as picture:
            assert min(picture.size) > 100
    assert main([*words, "--json", str(tmp_path / "a.json")]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_what_is_not_there_is_refused(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", str(RUN), str(table), "--target", "age"]) == 1
    assert "target: expected one of the columns" in capsys.readouterr().err
    assert main(["probe", str(RUN), str(table), "--target", "nothing"]) == 1
    assert "target: nothing: expected at least two different values, got 0" in capsys.readouterr().err
