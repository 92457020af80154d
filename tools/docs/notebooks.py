"""A notebook with its outputs as a page in Markdown, and its pictures as files."""

import base64
import json
from pathlib import PurePosixPath
from typing import Any


def pages_of(path: str, text: str) -> dict[str, str | bytes]:
    """Return the files of the site that show a notebook, by their paths: the page and its pictures.

    Args:
        path: Path of the notebook in docs/.
        text: Its content.
    """
    place = PurePosixPath(path)
    files: dict[str, str | bytes] = {}
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            name = f"{place.stem}-{len(files) + 1}.jpeg"
            shown, picture = _shown(output, name)
            parts.append(shown)
            if picture:
                files[str(place.with_name(name))] = picture
    title, *rest = parts
    note = f'*This page is made from <a href="{place.name}" download>a notebook</a>, which you can run and change.*'
    files[str(place.with_suffix(".md"))] = "\n\n".join([title, note, *rest]) + "\n"
    return files


def _shown(output: dict[str, Any], name: str) -> tuple[str, bytes]:
    """Return an output as Markdown, and the picture that it consists of, if it is one."""
    data = output.get("data", {})
    if "image/jpeg" in data:
        return f"![Output of the cell above]({name})", base64.b64decode("".join(data["image/jpeg"]))
    text = "".join(output["text"] if output["output_type"] == "stream" else data["text/plain"])
    return f"```text\n{text.rstrip()}\n```", b""
