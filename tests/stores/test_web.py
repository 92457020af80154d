"""Files on the web, signed addresses, and stores that cannot be reached."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import voxlex
from hostile.command import check_refusal, run
from hub.stand_in import StandIn, serving
from voxlex.cli import main
from voxlex.errors import DataError

RUN = Path(__file__).parent.parent / "golden" / "transformer"
SECRET = "0123456789abcdefsecret"

Capture = pytest.CaptureFixture[str]
Web = Callable[..., str]


def test_a_signed_file_leaves_no_trace_of_its_signature(scans: Path, tmp_path: Path, web: Web, capfd: Capture) -> None:
    start = web().replace("://", f"://user:{SECRET}@")
    address = f"{start}/scans/ill/1.png?X-Amz-Signature={SECRET}&token={SECRET}"
    for words in (
        ["encode", RUN, address, "--out", tmp_path / "codes.parquet"],
        ["reconstruct", RUN, address, "--out", tmp_path / "results"],
        ["prepare", address, "--out", tmp_path / "prepared"],
        ["data", "index", address, "--out", tmp_path / "index.csv"],
        ["evaluate", RUN, address, "--split", "all", "--samples", 0, "--json", tmp_path / "figures.json"],
        ["data", "cache"],
    ):
        said = run(capfd, *words)
        assert said.status == 0, said.err
        assert SECRET not in said.all
    for words in (
        ["encode", RUN, address.replace("1.png", "none.png")],
        ["encode", RUN, address, "--wrong"],
        ["encode", RUN, "phantom", "phantom", address],
        ["encode", RUN, address, "--help"],
        ["train", address, "--out", address],
        [address],
    ):
        said = run(capfd, *words)
        assert SECRET not in said.all
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"codes.parquet", "index.csv", "figures.json", "1.png"} <= {path.name for path in files}
    assert not [path for path in files if SECRET.encode() in path.read_bytes() or SECRET in str(path)]


def test_a_traceback_shows_no_credentials(web: Web, capfd: Capture) -> None:
    address = web().replace("://", f"://user:{SECRET}@")
    with pytest.raises(DataError) as caught:
        main(["encode", str(RUN), f"{address}/none.png?sig={SECRET}", "--debug"])
    assert caught.value.__suppress_context__
    assert SECRET not in str(caught.value)


def test_a_folder_with_pages_is_read_like_a_folder(scans: Path, tmp_path: Path, web: Web, capfd: Capture) -> None:
    (tmp_path / "local.csv").write_text("")
    assert run(capfd, "encode", RUN, f"{web()}/scans/", "--out", tmp_path / "a.parquet").status == 0
    assert run(capfd, "encode", RUN, scans, "--out", tmp_path / "b.parquet").status == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), pd.read_parquet(tmp_path / "b.parquet"))


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("closed/", "expected a server that lists its folders"),
        ("scans", "web page; the address of a folder ends with a slash"),
        ("none.png", "no such object"),
    ],
)
def test_other_pages_are_no_scans(place: str, says: str, scans: Path, tmp_path: Path, web: Web, capfd: Capture) -> None:
    (tmp_path / "closed").mkdir()
    address = f"{web()}/{place}"
    check_refusal(run(capfd, "encode", RUN, address), names=address, says=says)


def test_without_a_network_the_copy_is_used(scans: Path, tmp_path: Path, web: Web, capfd: Capture) -> None:
    address = f"{web()}/scans/ill/1.png"
    words = ["encode", RUN, address, "--overwrite", "--out", tmp_path / "a.parquet"]
    assert run(capfd, *words).status == 0
    web(stop=True)
    said = run(capfd, *words)
    assert said.status == 0, said.err
    assert f"{address}: the store cannot be reached; the copy in the cache is used" in said.err
    other = address.replace("1.png", "3.png")
    check_refusal(run(capfd, "encode", RUN, other), names=other, says="cannot be reached.*no copy in the cache")
    (copy,) = (tmp_path / "cache" / "stores").rglob("1.png")
    copy.write_bytes(b"")
    check_refusal(run(capfd, *words), names=address, says="cannot be reached.*is not whole")


def test_memory_and_files_have_addresses_too(scans: Path, tmp_path: Path, web: Web, capfd: Capture) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    memory = MemoryFileSystem()
    memory.put(str(scans), "/stores-test/scans", recursive=True)
    try:
        dataset = voxlex.open_source("memory://stores-test/scans")
        assert (
            dataset.fingerprint
            == voxlex.open_source(scans).fingerprint
            == voxlex.open_source(scans.as_uri()).fingerprint
        )
        assert run(capfd, "sample", RUN, "--count", 1, "--out", "memory://stores-test/drawn").status == 0
        assert memory.exists("/stores-test/drawn/samples.png")
        assert not memory.find("/stores-test/.drawn")
        assert run(capfd, "sample", RUN, "--count", 1, "--out", (tmp_path / "drawn").as_uri()).status == 0
        assert (tmp_path / "drawn" / "samples.png").exists()
    finally:
        memory.rm("/stores-test", recursive=True)


def test_without_the_package_one_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, web: Web, capfd: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    said = run(capfd, "encode", RUN, "gs://bucket/scans")
    check_refusal(said, names="gcsfs", says=r"pip install 'voxlex\[remote\]'")


def test_help_and_places_of_this_machine_need_no_fsspec() -> None:
    program = "import sys; from voxlex.cli import main; import voxlex.stores.publishing\n"
    program += "for words in (['--help'], ['encode', '--help']):\n"
    program += "    try: main(words)\n"
    program += "    except SystemExit as exit: assert not exit.code\n"
    program += "sys.exit(str({'fsspec', 's3fs', 'aiohttp'} & sys.modules.keys()) if 'fsspec' in sys.modules else 0)"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_files_of_a_repository_of_the_hub(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, web: Web, capfd: Capture
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with serving(StandIn(token=SECRET)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        held = {f"data/{path.relative_to(scans).as_posix()}": path.read_bytes() for path in scans.rglob("*.png")}
        commit = hub.add("someone/heads", held)
        hub.add("someone/heads", {})
        out = tmp_path / "a.parquet"
        said = run(capfd, "encode", RUN, f"hf://someone/heads@{commit}/data", "--out", out)
        assert said.status == 0, said.err
        assert len(pd.read_parquet(out)) == 6
        for address, says in (("heads@v9/data", "no such object"), ("none/data", "no such object|denies")):
            check_refusal(run(capfd, "encode", RUN, f"hf://someone/{address}"), names=address, says=says)


def test_processes_that_a_training_starts_know_no_addresses(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, web: Web, capfd: Capture
) -> None:
    words = ["data", "index", f"{web()}/scans/ill/1.png?sig={SECRET}", "--out", str(tmp_path / "index.csv")]
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "voxlex", *words])
    assert run(capfd, *words).status == 0
    again = sys.orig_argv
    assert (again[:5], again[6:]) == (["python", "-m", "voxlex", "data", "index"], words[3:])
    assert Path(again[5]).read_bytes() == (scans / "ill" / "1.png").read_bytes()
