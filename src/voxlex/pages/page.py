"""HTML pages: one file that needs no other file, no network and no script."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from voxlex.files import atomic_file

_TEMPLATES = Environment(
    loader=PackageLoader("voxlex", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_page(template: str, **content: Any) -> str:
    """Return the HTML of a template beside this file, with everything that it names filled in."""
    return _TEMPLATES.get_template(template).render(**content)


def write_page(path: str | Path, page: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        DataError: The file cannot be written.
    """
    with atomic_file(path) as building:
        building.write_text(page, encoding="utf-8")
