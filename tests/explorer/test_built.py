"""The built page is that of the sources: `make explorer` builds it."""

import hashlib
import json
from pathlib import Path

from voxlex.explorer.app import page_files

SOURCES = Path(__file__).parent.parent.parent / "explorer"


def is_passed_over(name: str) -> bool:
    return name == "node_modules" or name.startswith(".")


def test_the_page_is_built_from_the_sources_as_they_are() -> None:
    recorded = json.loads(page_files()["built-from.json"])
    found = {
        path.relative_to(SOURCES).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in SOURCES.rglob("*")
        if path.is_file() and not any(map(is_passed_over, path.relative_to(SOURCES).parts))
    }
    assert recorded["sources"] == found, "run `make explorer`"


def test_nobody_changed_the_built_files() -> None:
    files = page_files()
    recorded = json.loads(files["built-from.json"])["built"]
    for name, digest in recorded.items():
        assert hashlib.sha256(files[name]).hexdigest() == digest, name
    assert set(files) - {"built-from.json"} == set(recorded)


def test_nothing_comes_from_elsewhere() -> None:
    page = page_files()["index.html"].decode()
    assert "http://" not in page
    assert "https://" not in page
    styles = [content.decode() for name, content in page_files().items() if name.endswith(".css")]
    assert styles
    assert not any("url(" in style or "@import" in style for style in styles)
