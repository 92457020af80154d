"""The source distribution and the wheel as people get them: what they hold, and a wheel in its own environment."""

import os
import re
import site
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parent.parent
LOCAL = {"__pycache__", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".venv", "runs"}
LARGEST_WHEEL_BYTES = 15_000_000


def files_of(folder: Path) -> set[str]:
    """Return the files below a folder of the repository, without local state, as paths in the repository."""
    files = (file.relative_to(REPOSITORY) for file in folder.rglob("*") if file.is_file())
    return {file.as_posix() for file in files if not LOCAL & set(file.parts)}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the source distribution, and from it the wheel."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(REPOSITORY)]
    done = subprocess.run(build, capture_output=True, text=True, cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    return {"sdist": next(out.glob("*.tar.gz")), "wheel": next(out.glob("*.whl"))}


def test_the_sdist_holds_what_builds_tests_and_explains_the_package(distributions: dict[str, Path]) -> None:
    with tarfile.open(distributions["sdist"]) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    folders = {"src", "tests", "docs", "benchmarks", "examples", "tools", "explorer"}
    assert {name for name in names if "/" in name} == set().union(*(files_of(REPOSITORY / name) for name in folders))
    pages = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", "LICENSE"}
    tools = {"pyproject.toml", "constraints.txt", "Makefile", "Dockerfile", "mkdocs.yml", ".gitignore"}
    assert {name for name in names if "/" not in name} == pages | tools | {"PKG-INFO"}


def test_the_wheel_holds_the_package_with_its_data(distributions: dict[str, Path]) -> None:
    with zipfile.ZipFile(distributions["wheel"]) as archive:
        names = set(archive.namelist())
    package = {name.removeprefix("src/") for name in files_of(REPOSITORY / "src")}
    assert {name for name in names if ".dist-info/" not in name} == package
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert distributions["wheel"].stat().st_size < LARGEST_WHEEL_BYTES


def test_the_metadata_are_in_order(distributions: dict[str, Path]) -> None:
    check = [sys.executable, "-m", "twine", "check", "--strict", *map(str, distributions.values())]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_citation_is_of_this_version() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, flags=re.MULTILINE) == [version]


def test_the_wheel_works_in_an_environment_of_its_own(distributions: dict[str, Path], tmp_path: Path) -> None:
    home, place = tmp_path / "venv", tmp_path / "elsewhere"
    place.mkdir()
    venv.create(home, symlinks=os.name != "nt")
    where = {"base": str(home), "platbase": str(home)}
    scripts, packages = (Path(sysconfig.get_path(name, "venv", vars=where)) for name in ("scripts", "purelib"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment["OMP_NUM_THREADS"] = "1"

    def run(*words: str) -> str:
        done = subprocess.run(
            [str(scripts / words[0]), *words[1:]], env=environment, cwd=place, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install", "--quiet"]
    wheel = str(distributions["wheel"])
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True, capture_output=True, env=environment)
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")

    assert Path(run("python", "-c", "import voxlex; print(voxlex.__file__)").strip()).is_relative_to(packages)
    assert run("voxlex", "--version") == f"voxlex {distributions['wheel'].name.split('-')[1]}\n"
    assert "sample" in run("voxlex", "--help")
    assert "brain-mri-128" in run("voxlex", "info", "brain-mri-128")
    run("voxlex", "sample", "brain-mri-128", "--count", "1", "--out", "new")
    assert list((place / "new").glob("*.png"))
