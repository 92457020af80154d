"""Plain values from a YAML file, which may come from anybody: what is ambiguous or grows beyond bounds is refused."""

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from voxlex.errors import ConfigError, brief

_MOST_BYTES = 2**16
"""Settings take a few kilobytes."""

_MOST_NODES = 2**16
"""An alias stands for all that its anchor holds, so that nested aliases turn a few lines into billions of values."""


class _Loader(yaml.SafeLoader):
    """Refuses a name that is given twice, of which YAML takes the last without a word, and names that are not text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                shown = brief(key.value) if isinstance(key.value, str) else "a list or settings"
                raise yaml.constructor.ConstructorError(
                    None, None, f"expected text as the name of a setting, got {shown}", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{brief(key.value)} twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Read the plain values of a YAML file.

    Raises:
        ConfigError: If the file cannot be read, is not YAML, is empty, names a setting twice, or is far too large.
    """
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise ConfigError(f"{path}: expected a file of settings, up to {_MOST_BYTES} bytes, got {size} bytes")
        content = deepcopy(_content(path.read_text(encoding="utf-8"), where=str(path)))
    except OSError as cause:
        raise ConfigError(f"{path}: cannot be read: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        raise ConfigError(f"{path}: cannot be read as YAML: expected text in UTF-8, got other bytes") from cause
    if content is None:
        raise ConfigError(f"{path}: expected settings by name, got an empty file")
    return content


@lru_cache(maxsize=64)  # a command reads the settings of a run and its recipe several times, 5 ms each
def _content(text: str, *, where: str) -> Any:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_nodes(node)
        return loader.construct_document(node)
    except yaml.reader.ReaderError as cause:
        raise ConfigError(f"{where}: cannot be read as YAML: character {ord(text[cause.position]):#x}") from cause
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        hint = "; indent with spaces" if "'\\t'" in str(cause.problem) else ""
        raise ConfigError(f"{where}: cannot be read as YAML: {place}{cause.problem}{hint}") from cause
    except yaml.YAMLError as cause:
        raise ConfigError(f"{where}: cannot be read as YAML: {' '.join(str(cause).split())}") from cause
    except RecursionError as cause:
        raise ConfigError(f"{where}: cannot be read as YAML: it is nested too deeply") from cause
    except Exception as cause:  # a date with 99 months, a number that is none: each its own kind of error
        raise ConfigError(f"{where}: cannot be read as YAML: a number or a date that is not one") from cause


def _check_nodes(root: yaml.Node) -> None:
    """Refuse a document with too many values, where all aliases are written out.

    Raises:
        YAMLError: If there are too many, or a value contains itself.
    """
    counts: dict[int, int] = {}

    def count(node: yaml.Node, above: frozenset[int]) -> int:
        if id(node) in above:
            raise yaml.YAMLError("a value contains itself")
        if id(node) not in counts:
            inside = above | {id(node)}
            parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
            parts = parts if isinstance(parts, list) else []
            counts[id(node)] = 1 + sum(count(part, inside) for part in parts)
        return counts[id(node)]

    if count(root, frozenset()) > _MOST_NODES:
        raise yaml.YAMLError(f"expected up to {_MOST_NODES} values, got more by aliases")
