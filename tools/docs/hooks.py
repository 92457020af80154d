"""What mkdocs does beyond its plugins: pages from outside docs/, pages made from the code, notebooks, and formulas.

`mkdocs.yml` names this file. A page in docs/reference says with a comment such as `<!-- commands -->` where the part
belongs that is made from the code, and what stands there where no site is built.
"""

import html
import posixpath
import re
from pathlib import Path

import notebooks
import reference
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[2]

FROM_THE_ROOT = ("CHANGELOG.md", "CONTRIBUTING.md")
"""Pages of the site that lie at the root of the repository."""

_MARKER = re.compile(r"<!-- (commands|settings|recipes|python)(?:: ([\w. ]+))? -->.*?<!-- end -->", flags=re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s:#]+)((?:#[^)\s]*)?\))")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', flags=re.DOTALL)

_IN_OTHER_WORDS = {r"\arg\min": r"\mathrm{arg}\,\min", r"\!": "", r"\lVert": r"\|", r"\rVert": r"\|"}
"""Commands of TeX that latex2mathml does not know, or of which it makes what browsers do not show well."""

_BOLD = re.compile(r'(?<=<mi) mathvariant="bold">([a-z])')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the root of the repository, and the page and the pictures of each notebook."""
    for name in FROM_THE_ROOT:
        files.append(File.generated(config, name, abs_src_path=str(REPOSITORY / name)))
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        for name, content in notebooks.pages_of(file.src_uri, file.content_string).items():
            files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put what is made from the code in its place, and let links reach notebooks and pages of the root."""
    markdown = _MARKER.sub(lambda marker: reference.PARTS[marker[1]](marker[2] or ""), markdown)
    place = page.file.src_uri
    folder = posixpath.dirname(place if place in FROM_THE_ROOT else f"docs/{place}")

    def link(found: re.Match[str]) -> str:
        shown = re.sub(r"\.ipynb$", ".md", found[2])
        target = posixpath.normpath(posixpath.join(folder, shown))
        if target in FROM_THE_ROOT or (place in FROM_THE_ROOT and target.startswith("docs/")):
            shown = posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(place) or ".")
        return found[1] + shown + found[3]

    return _LINK.sub(link, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write formulas as MathML, which browsers show without a script."""
    return _FORMULA.sub(_mathml, content)


def _mathml(formula: re.Match[str]) -> str:
    tex = html.unescape(formula[2]).strip()
    for unknown, known in _IN_OTHER_WORDS.items():
        tex = tex.replace(unknown, known)
    math = convert(tex, display="block" if formula[1] == "div" else "inline")
    if "\\" in math:
        raise PluginError(f"{tex}: latex2mathml does not know all of it: {math}")
    return _BOLD.sub(lambda letter: f">{chr(ord(letter[1]) - ord('a') + ord('𝐚'))}", math)
