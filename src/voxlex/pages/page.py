"""Render HTML pages. Each page is a single file that does not need other files, a network or scripts."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from voxlex.files import atomic_file
from voxlex.names import printable


def _printable(value: Any) -> Any:
    """Escape what cannot be printed in names of files; markup of the page itself stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_TEMPLATES = Environment(
    loader=PackageLoader("voxlex", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_printable,
)


def render_page(template: str, **content: Any) -> str:
    """Fill in a template from the folder of this module, and return the HTML."""
    return _TEMPLATES.get_template(template).render(**content)


def write_page(path: str | Path, page: str) -> None:
    """Write a page atomically.

    Raises:
        DataError: If the file cannot be written.
    """
    with atomic_file(path) as building:
        building.write_text(page, encoding="utf-8")
