"""The defaults of modules, read from their source.

A module states its defaults in the signature of its constructor, so that it is pleasant to use alone, and its settings
take them from there. Importing the module for that would import torch, and `voxlex --help` would take seconds; reading
its source takes about a millisecond.
"""

import ast
from importlib import resources
from types import SimpleNamespace


def defaults_of(file: str, name: str) -> SimpleNamespace:
    """Return the defaults of a constructor's keyword arguments, as attributes; arguments without one are left out.

    Args:
        file: The source file, from the package's folder.
        name: Name of the class.

    Raises:
        LookupError: If the file has no such class, or the class has no constructor of its own.
        ValueError: If a default is not a literal.
    """
    tree = ast.parse((resources.files("voxlex") / file).read_text(encoding="utf-8"))
    for owner in tree.body:
        if isinstance(owner, ast.ClassDef) and owner.name == name:
            for method in owner.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    return SimpleNamespace(**_literals(method.args))
    raise LookupError(f"{file}: expected a class {name} with a constructor, got none")


def _literals(arguments: ast.arguments) -> dict[str, object]:
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {argument.arg: ast.literal_eval(default) for argument, default in pairs if default is not None}
