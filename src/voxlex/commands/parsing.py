"""Parse the arguments of a command, and report a wrong argument in one line."""

import io
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from difflib import get_close_matches
from functools import partial
from itertools import dropwhile, takewhile
from typing import Any

import tyro

from voxlex.commands import command_named
from voxlex.commands.common import EMPTY, READING, Command
from voxlex.stores.addresses import masked

CONFIG = (tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands)
"""How the classes of commands become parsers, in every command."""

_BORDERS = str.maketrans("│╭╮╰╯─", "     -")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def parse(name: str, words: Sequence[str]) -> Command:
    """Return a command with its arguments. Exit with status 0 after help, and with 2 after a wrong argument.

    A command that parses its arguments in its own way has a method `from_words`.
    """
    kind = command_named(name)
    read = partial(_read, name)
    return kind.from_words(words, read) if hasattr(kind, "from_words") else read(words, kind)


def _read(name: str, words: Sequence[str], kind: type[Any]) -> Any:
    ask = partial(tyro.cli, kind, prog=f"voxlex {name}", config=CONFIG, registry=READING)
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return ask(args=list(words))
    except SystemExit as exit_:
        if not exit_.code:
            raise
    hidden = [masked(word) for word in words]
    if hidden != list(words):  # the message repeats words, and breaks them into lines
        return _read(name, hidden, kind)
    page = io.StringIO()
    with redirect_stdout(page), suppress(SystemExit):
        ask(args=["--help"])
    options = re.findall(r"--[a-z][a-z0-9.-]*", page.getvalue())
    changing = [word for word in words if not _is_so_already(word, options)]
    if len(changing) < len(words):
        return _read(name, changing, kind)
    problem = _unknown_option(words, page.getvalue()) or _in_one_line(said.getvalue(), page.getvalue())
    more = "" if problem.endswith("?") else f"; `voxlex {name} --help` shows the arguments"
    print(f"voxlex {name}: {problem}{more}", file=sys.stderr)
    raise SystemExit(2)


def _is_so_already(word: str, options: Sequence[str]) -> bool:
    """Return whether a flag asks for what is so already, as in a run that goes on; the parser knows its opposite."""
    above, dot, last = word.replace("_", "-").rpartition(".")
    start, last = (above + dot, last) if dot else ("--", last.removeprefix("--"))
    opposite = last.removeprefix("no-") if last.startswith("no-") else f"no-{last}"
    return word.startswith("--") and f"{start}{last}" not in options and f"{start}{opposite}" in options


def _unknown_option(words: Sequence[str], page: str) -> str | None:
    """Name the first option that the help page does not list, and a similar option that it does."""
    options = re.findall(r"--[a-z][a-z0-9.-]*", page)
    for word in words:
        given = word.partition("=")[0]
        option = given.replace("_", "-")
        if option.startswith("--") and option not in options:
            inner = [known for known in options if known.endswith(f".{option[2:]}")]
            longer = [known for known in options if known.startswith(option)]
            close = inner or longer or get_close_matches(option, options, n=1)
            return f"unknown option {given}; did you mean {close[0]}?" if close else f"unknown option {given}"
    return None


def _in_one_line(box: str, page: str) -> str:
    """Rewrite an error message of tyro as one line, in the style of other errors."""
    plain = _COLOURS.sub("", box).translate(_BORDERS)
    title, *lines = [line.rstrip() for line in plain.splitlines()] or [""]
    inner = dropwhile(_is_rule, lines)
    lines = list(takewhile(lambda line: not _is_rule(line), inner))
    missing = [line.strip() for line in lines if re.match(r" {6}\S", line)]
    if "Required" in title and missing:
        return f"expected {' and '.join(missing)}, got nothing"
    text = " ".join(line.strip() for line in lines)
    if found := re.fullmatch(r"Unrecognized options: (.*)", text):
        return f"expected no further words, got {found[1]}"
    if found := re.match(r"Missing value for argument '(.*?)'", text):
        return f"{found[1]}: expected a value, got nothing"
    if found := re.fullmatch(r"invalid choice (.*) for argument '(.*)'\. Expected one of \((.*)\)\.", text):
        return f"{found[2]}: expected one of {found[3].replace(chr(39), '')}, got {found[1]}"
    if EMPTY in text and (found := re.match(r"Error parsing (.*?):", text)):
        return f"{found[1]}: {EMPTY}"
    return _wrong_value(text, page) or text.rstrip(".")


def _is_rule(line: str) -> bool:
    return bool(re.fullmatch(r" *-+", line))


def _wrong_value(text: str, page: str) -> str | None:
    """Say in words what kind of value was expected for the option that could not be parsed, and what came."""
    option = re.match(r"Error parsing (--\S+):", text)
    given = re.search(r"(?:instantiated from|Could not parse arguments) \[(.*?)\]", text)
    given = given or re.search(r"(?:base 10|to float): ('[^']*')", text)
    if not option or not given:
        return None
    name = option[1].partition("/")[0]
    listed = re.search(rf"{re.escape(name)}(?:, --\S+)* (\S+)", page)
    choices = re.match(r"\{(.*?)\}", listed[1].replace("{None}|", "")) if listed else None
    numbers = "whole number" if "int()" in text and "float" not in text else "number"
    expected = f"{choices[1].replace(',', ', ')} or a {numbers}" if choices else f"a {numbers}"
    if "," in given[1]:
        expected = f"as many values as the help shows, each a {numbers}"
    return f"{name}: expected {expected}, got {given[1]}"
