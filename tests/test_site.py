"""The site of the documentation, built strictly: what it must hold, and that it needs no other host."""

import os
import re
import subprocess
import sys
import zlib
from importlib import import_module
from pathlib import Path

import pytest

import voxlex
from documented import REPOSITORY
from voxlex.cli import main
from voxlex.commands import COMMANDS
from voxlex.config import recipe_names

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; a page outside the navigation, a broken link and a lost anchor are errors."""
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(
        build, cwd=REPOSITORY, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def page(site: Path, name: str) -> str:
    return (site / f"{name}.html").read_text(encoding="utf-8")


def described(site: Path) -> set[str]:
    """Return the dotted names that the reference describes, from the inventory for other sites."""
    *_, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)
    return {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}


def test_every_page_is_in_the_navigation() -> None:
    navigation = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2].partition("\ntheme:")[0]
    docs = REPOSITORY / "docs"
    files = [*docs.rglob("*.md"), *docs.rglob("*.ipynb")]
    pages = {file.relative_to(docs).with_suffix(".md").as_posix() for file in files}
    pages |= {"CHANGELOG.md", "CONTRIBUTING.md"}
    assert set(re.findall(r"([\w/-]+\.md)$", navigation, flags=re.MULTILINE)) == pages


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    modules = [
        ".".join(file.parent.relative_to(REPOSITORY / "src").parts)
        for file in (REPOSITORY / "src" / "voxlex").rglob("__init__.py")
        if "__all__" in file.read_text(encoding="utf-8") and file.parent.name != "voxlex"
    ]
    public = {f"{module}.{name}" for module in modules for name in import_module(module).__all__}
    of_the_package = {f"voxlex.{name}": f"{voxlex._HOMES[name]}.{name}" for name in voxlex.__all__}
    found = described(site)
    assert len(modules) >= 6
    assert public - found == set()
    assert {name for name, home in of_the_package.items() if not {name, home} & found} == set()


def test_the_reference_has_every_argument_that_the_help_shows(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands, settings = page(site, "reference/commands"), arguments(page(site, "reference/settings"))
    count = 0
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([*name.split(), "--help"])
        shown = set(re.findall(r"[│ ]\s(--[a-z][a-z0-9.-]*[a-z0-9])", capsys.readouterr().out))
        section = commands.split(f'id="voxlex-{name.replace(" ", "-")}"')[1].split("<h2")[0]
        assert shown - arguments(section) - (settings if "settings.html" in section else set()) == set(), name
        count += len(shown)
    assert count > 200


def arguments(part: str) -> set[str]:
    return set(re.findall(r"<code>(--[a-z0-9.-]+)</code>", part))


def test_recipes_have_sections_and_kinds_have_settings(site: Path) -> None:
    recipes, settings = page(site, "reference/recipes"), page(site, "reference/settings")
    assert [name for name in recipe_names() if f'<h2 id="{name}">' not in recipes] == []
    assert "--model.quantizer.levels" in settings  # of another kind than the default's


def test_pages_ask_no_other_host_for_anything(site: Path) -> None:
    pattern = re.compile(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    pages = list(site.rglob("*.html"))
    asked = {file.name: found for file in pages if (found := pattern.findall(file.read_text(encoding="utf-8")))}
    assert len(pages) > 40
    assert asked == {}


def test_formulas_need_no_script(site: Path) -> None:
    assert "<math" in page(site, "quantizers")
    assert [file.name for file in site.rglob("*.html") if "arithmatex" in file.read_text(encoding="utf-8")] == []


def test_notebooks_show_their_pictures(site: Path) -> None:
    assert page(site, "notebooks/first-vocabulary").count("<img") >= 4
