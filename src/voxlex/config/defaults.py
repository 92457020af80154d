"""The defaults of modules, read from their source.

A module states its defaults in the signature of its constructor, so that it is pleasant to use alone, and its settings
take them from there. Importing the module for that would import torch, and `voxlex --help` would take seconds.
"""

import ast
import re
from pathlib import Path
from types import SimpleNamespace

_PACKAGE = Path(__file__).parent.parent


def defaults_of(file: str, name: str) -> SimpleNamespace:
    """Return the defaults of a constructor's keyword arguments, as attributes; arguments without one are left out.

    Args:
        file: The source file, from the package's folder.
        name: Name of the class.

    Raises:
        LookupError: If the file has no such class, or the class has no constructor of its own.
        ValueError: If a default is not a literal.
    """
    source = (_PACKAGE / file).read_text(encoding="utf-8")
    # Only the signature is parsed: the whole file takes ten times as long.
    body = re.search(rf"^class {name}\b(.*?)(?=^\S|\Z)", source, re.DOTALL | re.MULTILINE)
    constructor = body and re.search(r"^    (def __init__\(.*?\) -> None:)$", body[1], re.DOTALL | re.MULTILINE)
    if not constructor:
        raise LookupError(f"{file}: expected a class {name} with a constructor, got none")
    [function] = ast.parse(f"{constructor[1]} ...").body
    assert isinstance(function, ast.FunctionDef)
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return SimpleNamespace(**{key.arg: ast.literal_eval(value) for key, value in pairs if value is not None})
