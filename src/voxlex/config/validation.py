"""The one validator: from plain values to settings, or an error that says what was expected of which setting."""

from __future__ import annotations

import re
from dataclasses import asdict
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from voxlex.config.settings import Settings
from voxlex.errors import ConfigError, brief

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

S = TypeVar("S", bound=Settings)

_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dataclass_type": "settings by name",
    "dict_type": "values by name",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt:.12g}",
    "greater_than_equal": "at least {ge:.12g}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt:.12g}",
    "less_than_equal": "at most {le:.12g}",
    "model_attributes_type": "settings by name",
    "missing": "a value for each place",
    "list_type": "a list",
    "string_type": "text",
    "too_long": "at most {max_length} values",
    "tuple_type": "a list",
}
"""What pydantic's errors mean, by their type."""


def parse(settings: type[S], content: Any, *, where: str, under: str = "") -> S:
    """Turn plain values, such as the content of a YAML file, into settings; what they leave out takes its default.

    Args:
        settings: The class of the settings.
        content: The values by name.
        where: What the values come from, such as a path.
        under: Name of the setting that all of them belong to, if they are a part of others.

    Raises:
        ConfigError: If a name is unknown, or a value of the wrong type or out of range; names `where` and the setting.
    """
    from pydantic import ValidationError

    kind: Any = settings  # to mypy, a type variable cannot be a key of the cache
    try:
        return _adapter(kind).validate_python({} if content is None else content)
    except ValidationError as cause:
        keys, wrong = _described(cause.errors()[0], content)
        key = ".".join(filter(None, [under, *keys])) or "the whole"
        raise ConfigError(f"{where}: {key}: {wrong}") from cause


def check_shape(shape: type, content: Any, *, where: str) -> None:
    """Refuse plain values that are not what a `TypedDict` says; names that it does not know are ignored.

    Raises:
        ConfigError: If a value is missing or of the wrong type; names `where` and the value.
    """
    from pydantic import ValidationError

    kind: Any = shape
    try:
        _adapter(kind).validate_python(content, strict=True)
    except ValidationError as cause:
        problem = cause.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "the whole"
        absent = problem["type"] == "missing"
        wrong = "expected a value, got none" if absent else _described(problem, content)[1]
        raise ConfigError(f"{where}: {key}: {wrong}") from cause


def validated(settings: S, *, under: str = "") -> S:
    """Return settings that came from options or from Python, held to what a recipe is held to.

    Raises:
        ConfigError: If a value is of the wrong type or out of range; names the setting.
    """
    return parse(type(settings), plain(settings), where="settings", under=under)


def plain(settings: Settings) -> dict[str, Any]:
    """Return settings as YAML knows values: dictionaries, lists, numbers and text."""
    return _lists(asdict(settings))


def one_of(choices: list[str], got: object, *, expected: str = "expected one of") -> str:
    """Return "expected one of …, got …", with a suggestion if what came is nearly one of the choices."""
    close = get_close_matches(str(got), choices, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ""
    return f"{expected} {', '.join(choices)}, got {brief(got)}{meant}"


@cache
def _adapter(settings: Any) -> TypeAdapter:
    from pydantic import TypeAdapter

    return TypeAdapter(settings)


def _described(problem: ErrorDetails, content: Any) -> tuple[list[str], str]:
    """Return the path of the setting that is wrong, and "expected …, got …"."""
    keys, context, got = _keys(problem["loc"], content), problem.get("ctx", {}), problem["input"]
    match problem["type"]:
        case "union_tag_invalid":
            keys, wrong = [*keys, "kind"], one_of(_quoted(context["expected_tags"]), context["tag"])
        case "unknown":
            keys, wrong = [*keys, context["key"]], one_of(context["known"], context["key"])
        case "unfit":
            keys, wrong = [*keys, context["key"]], f"expected {context['expected']}, got {context['got']}"
        case "literal_error":
            quoted = _quoted(context["expected"])
            wrong = one_of(quoted, got) if quoted else f"expected {context['expected']}, got {brief(got)}"
        case known if known in _EXPECTED:
            wrong = f"expected {_EXPECTED[known].format(**context)}, got {brief(got)}"
        case _:
            wrong = f"{problem['msg']}, got {brief(got)}"
    return keys, wrong


def _keys(path: tuple[int | str, ...], content: Any) -> list[str]:
    """Return the part of an error's path that stands in the content; pydantic also names the kinds it chose."""
    keys = []
    for part in path:
        if isinstance(content, dict) and part in content:
            content = content[part]
            keys.append(str(part))
        elif isinstance(content, (list, tuple)) and isinstance(part, int):
            content = content[part] if part < len(content) else None
            keys.append(str(part))
    return keys


def _quoted(words: str) -> list[str]:
    return re.findall(r"'([^']+)'", words)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_lists(part) for part in value]
    return value
