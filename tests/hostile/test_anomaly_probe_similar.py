"""Bad input for `anomaly`, `probe` and `similar`: one clear line, and nothing is written or changed anywhere."""

import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from hostile.command import below, check_refusal, run, snapshot
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.images.frame import Frame

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans and tables, good and bad, beside runs with and without a prior."""
    root = tmp_path_factory.mktemp("inputs")
    shutil.copytree(GOLDEN / "masked", root / "run")
    shutil.copytree(GOLDEN / "masked", root / "noprior")
    (root / "noprior" / "prior.safetensors").unlink()
    shutil.copytree(GOLDEN / "masked", root / "cut")
    weights = root / "cut" / "prior.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    files = PhantomSource(PhantomOptions(subjects=5, slices=2)).write(root / "scans", Frame(size=48))
    (root / "one").mkdir()
    shutil.copy(files[0], root / "one" / "a.png")
    for folder in ("empty", "flat", "volumes", "masks", "boxes"):
        (root / folder).mkdir()
    for number in range(9):
        Image.fromarray(np.full((40, 40), 90, np.uint8)).save(root / "flat" / f"{number}.png")
    voxels = np.random.default_rng(0).random((12, 14, 10)).astype(np.float32)
    voxels[3] = np.nan
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), root / "volumes" / "a.nii.gz")
    (root / "masks" / "sub-001").mkdir()
    Image.fromarray(np.ones((9, 10), np.uint8)).save(root / "masks" / "sub-001" / "slice-01.png")
    (root / "boxes" / "sub-001").mkdir()
    (root / "boxes" / "sub-001" / "slice-01.txt").write_text("0 0.5 nan 0.2 0.2\n")
    lines = [f"{path.relative_to(root)},{path.parent.name},{number % 2},x,3" for number, path in enumerate(files)]
    header = "path,subject,side,same,rare\n"
    (root / "table.csv").write_text(header + "\n".join(lines) + "\n")
    (root / "rare.csv").write_text(header + "\n".join([lines[0].removesuffix("3") + "4", *lines[1:]]) + "\n")
    (root / "nopath.csv").write_text("file,age\na.png,3\n")
    (root / "nothere.csv").write_text("path,age\nlost.png,3\n")
    (root / "text.parquet").write_text("hello\n")
    return root


ANOMALY = [
    ("a source that is not there", "run nothere", "nothere", "no such file or folder"),
    ("a run that is not there", "lost scans", "lost", "no such folder; expected the folder of a run"),
    ("a run that is cut short", "cut scans", "prior.safetensors", ""),
    ("a folder without scans", "run empty", "empty", "expected at least one scan, got none"),
    ("constant images alone", "run flat", "flat", "constant image"),
    (
        "one scan alone",
        "run one",
        "calibration",
        "expected at least 8 healthy scans of two subjects",
    ),
    ("one healthy scan", "run scans --healthy one", "calibration", "got 1 of 1"),
    ("no healthy scan", "run scans --healthy empty", "empty", "expected at least one scan, got none"),
    ("numbers that are none", "run volumes", "a.nii.gz", "not finite numbers"),
    ("a run without a prior", "noprior scans", "combined", "expected a run with a prior, got one without"),
    ("masks that are not there", "run scans --masks lost", "lost", "expected a folder of masks, got nothing there"),
    ("masks in a file", "run scans --masks table.csv", "table.csv", "expected a folder of masks, got a file"),
    ("no masks", "run scans --masks empty", "empty", "expected masks, found none"),
    (
        "masks of another size",
        "run scans --masks masks",
        "slice-01.png",
        r"of the scan, \(48, 48\), got \(9, 10\)",
    ),
    ("boxes that are none", "run scans --boxes boxes", "slice-01.txt", "line 1: expected a class and four shares"),
    ("boxes in a folder of scans", "run scans --boxes scans", "scans", "expected boxes, such as scan.txt, found none"),
    ("masks and boxes", "run scans --masks masks --boxes boxes", "--masks", "expected --masks or --boxes, got both"),
    ("a table without paths", "run nothere.csv", "lost.png", "no such file"),
]
PROBE = [
    ("a column that is not there", "run table.csv --target age", "target", "expected one of the columns label, side"),
    ("a column without a difference", "run table.csv --target same", "same", "at least two different values, got 1"),
    (
        "a class of one subject",
        "run rare.csv --target rare",
        "rare",
        "expected at least 2 groups of images of '4', got 1",
    ),
    ("no labels", "run scans", "label", "at least two different values, got 0"),
    ("no subjects", "run one --target subject", "subject", "at least two different values, got 0"),
    ("a table without paths", "run nopath.csv --target age", "a.png", "no such file"),
    ("a table that is not there", "run lost.csv --target age", "lost.csv", "no such file"),
    ("a run that is not there", "lost table.csv --target side", "lost", "expected the folder of a run"),
    ("a file in the place of pictures", "run table.csv --out table.csv", "table.csv", "expected a folder"),
    ("a file that is there", "run table.csv --json table.csv", "table.csv", "--overwrite"),
]
SIMILAR = [
    ("codes that are not there", "run one/a.png --codes lost.parquet", "lost.parquet", "no such file"),
    ("codes that are text", "run one/a.png --codes text.parquet", "text.parquet", "cannot be read as Parquet"),
    ("a scan that is not there", "run lost.png --codes text.parquet", "lost.png", "no such file or folder"),
    ("many scans", "run scans --codes text.parquet", "scan", "expected one scan to compare others with, got 10"),
    ("a constant image", "run flat/1.png --codes text.parquet", "1.png", "constant image"),
    ("no scan", "run empty --codes text.parquet", "empty", "expected at least one scan, got none"),
    ("a count of none", "run one/a.png --codes text.parquet --count 0", "count", "expected at least 1, got 0"),
]
CASES = [
    pytest.param(verb, words, names, says, id=f"{verb}: {what}")
    for verb, table in (("anomaly", ANOMALY), ("probe", PROBE), ("similar", SIMILAR))
    for what, words, names, says in table
]


@pytest.mark.parametrize(("verb", "words", "names", "says"), CASES)
def test_bad_input_is_refused(
    verb: str,
    words: str,
    names: str,
    says: str,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = snapshot(inputs)
    given = [str(inputs / word) if os.path.lexists(inputs / word) else word for word in words.split()]
    outs = [] if "--out" in given else ["--out", "out"]
    check_refusal(run(capfd, verb, *given, *outs), names=names, says=says)
    assert below(tmp_path) == []
    assert snapshot(inputs) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("anomaly run scans --metod surprise", "unknown option --metod; did you mean --method?"),
        ("anomaly run scans --method surprised", "--method: expected one of combined, surprise, "),
        ("probe run scans --targt age", "unknown option --targt; did you mean --target?"),
        ("similar run scans", "expected --codes PATH, got nothing"),
        ("similar run scans --codes a.parquet --count many", "--count"),
    ],
)
def test_misspelt_words_are_named(words: str, says: str, capfd: pytest.CaptureFixture[str]) -> None:
    said = run(capfd, *words.split())
    assert said.status == 2
    assert len(said.err.strip().splitlines()) == 1
    assert says in said.err
