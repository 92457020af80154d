"""The reference of commands, settings, recipes and Python, made from the code."""

import html
import re
import warnings
from argparse import Action, ArgumentParser
from collections.abc import Iterable, Iterator
from functools import cache, reduce
from importlib import import_module, resources
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import tyro

from voxlex.commands import COMMANDS, command_named
from voxlex.commands.common import READING
from voxlex.commands.parsing import CONFIG
from voxlex.config import CHOICES, Config, recipe_names

SETTINGS = "config."
"""Beginning of the names of arguments that are settings."""


def commands(_: str) -> str:
    """Return a section for each command: what it does, and its arguments."""
    return "\n".join(_command(name) for name in COMMANDS)


def settings(_: str) -> str:
    """Return a section for each part of the settings, and for each other kind that a part may be of."""
    parts = []
    for title, about, actions in _groups(_parser("train")):
        rows = [action for action in actions if action.dest.startswith(SETTINGS)]
        if not rows:
            continue
        part = title.removesuffix(" options")
        parts += [f"## `{part}`", "", about, "", *_table(rows), ""]
        if part in CHOICES:
            parts += _other_kinds(part)
    return "\n".join(parts)


def recipes(_: str) -> str:
    """Return a section for each recipe: its comment, and the settings that it changes."""
    names = recipe_names()
    names.sort(key=lambda name: (name != "default", name != "demo", name))
    return "\n".join(_recipe(name) for name in names)


def python(names: str) -> str:
    """Return directives that describe the public names of modules, or single names.

    Args:
        names: Dotted names, separated by spaces. A module stands for all names in its `__all__`.
    """
    return "\n\n".join(f"::: {name}" for given in names.split() for name in public_names(given))


def public_names(name: str) -> list[str]:
    """Return the dotted names in `__all__` of a module, or the name itself if it is not such a module."""
    try:
        module = import_module(name)
    except ModuleNotFoundError:
        return [name]
    return [f"{name}.{one}" for one in module.__all__]


PARTS = {"commands": commands, "settings": settings, "recipes": recipes, "python": python}
"""What the comments in the pages stand for."""


@cache
def _parser(name: str, *words: str) -> ArgumentParser:
    """Return the parser of a command, given words that decide which arguments it has."""
    found: list[type[Any]] = []

    def read(words: Any, kind: type[Any]) -> Any:
        found.append(kind)
        return SimpleNamespace(out="", resume=False, stage="all")

    kind = command_named(name)
    kind.from_words(words, read) if hasattr(kind, "from_words") else read(words, kind)
    with warnings.catch_warnings():
        # It is to go, and with it the only way to learn the arguments without reading them off a page for terminals.
        warnings.simplefilter("ignore", DeprecationWarning)
        return tyro.extras.get_parser(found[0], prog=f"voxlex {name}", config=CONFIG, registry=READING)


def _groups(parser: ArgumentParser) -> Iterator[tuple[str, str, list[Action]]]:
    """Yield the title, the description and the arguments of each group of a parser that has any."""
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        if actions:
            yield group.title or "", (group.description or "").strip(), actions


def _command(name: str) -> str:
    parser = _parser(name)
    places = " ".join(_metavar(action) for action in parser._actions if not action.option_strings)
    lines = [f"## `voxlex {name}`", "", _escaped(parser.description or COMMANDS[name]), ""]
    lines += ["```sh", " ".join(["voxlex", name, *places.split(), "[OPTIONS]"]), "```", ""]
    own, parts = [], []
    for title, about, actions in _groups(parser):
        rows = [action for action in actions if not action.dest.startswith(SETTINGS)]
        if title in ("options", "positional arguments"):
            own += rows
        elif rows:
            parts += [f"**{title.removesuffix(' options').capitalize()}.** {_escaped(about)}", "", *_table(rows), ""]
    lines += [*_table(own), "", *parts]
    if any(action.dest.startswith(SETTINGS) for action in parser._actions):
        lines += ["Every [setting](settings.md) is an option, too.", ""]
    return "\n".join(lines)


def _other_kinds(part: str) -> Iterator[str]:
    """Yield a section for each kind of a part that is not the kind of the default recipe."""
    for kind in kinds_of(part):
        if kind == reduce(getattr, part.split("."), Config()).kind:
            continue
        yield from [f"### `{part}.kind: {kind}`", ""]
        for title, about, actions in _groups(_parser("train", "", f"--{part}.kind", kind)):
            if title.startswith(part):
                yield from [about, "", *_table([row for row in actions if not row.dest.endswith(".kind")]), ""]


def kinds_of(part: str) -> list[str]:
    """Return the kinds of a part of the settings, such as "prior"."""
    hint: Any = Config
    for name in part.split("."):
        hint = get_type_hints(hint, include_extras=True)[name]
    return [member.kind for member in get_args(get_args(hint)[0])]


def _table(actions: Iterable[Action]) -> Iterator[str]:
    """Yield the lines of a table of arguments."""
    yield from ['<div class="arguments" markdown>', "", "| argument | default | meaning |", "|---|---|---|"]
    for action in actions:
        text, default = _help(action)
        names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{_metavar(action)}`"
        values = f" `{_metavar(action)}`" if action.option_strings and action.nargs != 0 else ""
        yield f"| {names}{values} | {default} | {_escaped(text)} |"
    yield from ["", "</div>"]


def _metavar(action: Action) -> str:
    words = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ())
    words = words.replace("{None}|", "").replace("{None,", "{")
    return re.sub(r"\{(.*)\}", lambda choices: choices[1].replace(",", "|"), words)


def _help(action: Action) -> tuple[str, str]:
    """Return what an argument means, and its default as it stands in a table."""
    text = action.help or ""
    found = re.search(r"\s*\((default: (?P<value>.*)|required)\)$", text, flags=re.DOTALL)
    if not found:
        return text, ""
    value = found["value"]
    default = "required" if value is None else "" if value in ("None", "False", "") else f"`{value}`"
    return text[: found.start()], default


def _recipe(name: str) -> str:
    text = (resources.files("voxlex.recipes") / f"{name}.yaml").read_text(encoding="utf-8")
    about, _, content = text.partition("\n\n")
    lines = [line.removeprefix("#").strip() for line in about.splitlines()]
    about = re.sub(r"\b\d{4}\.\d{5}\b", r"[\g<0>](https://arxiv.org/abs/\g<0>)", " ".join(lines))
    return "\n".join([f"## `{name}`", "", about, "", "```yaml", content.rstrip(), "```", ""])


def _escaped(text: str) -> str:
    return re.sub(r"([|*])", r"\\\1", html.escape(text, quote=False))
