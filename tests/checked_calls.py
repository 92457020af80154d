"""Check every call of voxlex against its signature, shapes included.

jaxtyping's own decorator checks the parameters of a call twice, compiles its checks anew whenever a function within a
function is made, and took most of the time of the tests. This one does the same once.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType, SimpleNamespace
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from beartype.door import die_if_unbearable
from jaxtyping import AbstractArray, TypeCheckError, install_import_hook, jaxtyped

_CONF = BeartypeConf(is_pep484_tower=True, violation_type=TypeCheckError)


def check_calls(package: str) -> None:
    """Check the calls of a package, which must not have been imported yet."""
    jaxtyping.jaxtyped = lambda *, typechecker: _checked  # the name by which the hook decorates what it imports
    install_import_hook(package, None)


def _checked(target: Any) -> Any:
    """Return a function that checks its calls, or a dataclass whose fields are checked when it is made."""
    if getattr(target, "__no_type_check__", False):
        return target
    if inspect.isclass(target):
        if dataclasses.is_dataclass(target) and not hasattr(target.__init__, "__wrapped__"):
            target.__init__ = _checked(target.__init__)
        return target
    return _checked_function(target) if target.__annotations__ else target


def _checked_function(target: FunctionType) -> Callable:
    """Check the calls of a function. What checks them is made at the first call, as many functions are never called."""
    often_made = "<locals>" in target.__qualname__ or inspect.isgeneratorfunction(target)
    checking: Callable | None = None

    @functools.wraps(target)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal checking
        if jaxtyping.config.jaxtyping_disable:
            return target(*args, **kwargs)
        if checking is None:
            hints = {name: _resolved(hint, target.__globals__) for name, hint in target.__annotations__.items()}
            checking = _around(target, hints) if often_made else _compiled(target, hints)
        return checking(*args, **kwargs)

    return call


def _compiled(target: FunctionType, hints: dict[str, Any]) -> Callable:
    """Compile the check; all shapes of one call must agree with each other."""
    twin = FunctionType(target.__code__, target.__globals__, target.__name__, target.__defaults__, target.__closure__)
    twin.__kwdefaults__, twin.__annotations__ = target.__kwdefaults__, hints
    twin.__qualname__, twin.__module__ = target.__qualname__, target.__module__
    guarded = beartype(conf=_CONF)(twin)
    if not any(map(_has_shapes, hints.values())):
        return guarded

    def call(*args: Any, **kwargs: Any) -> Any:
        with jaxtyped("context"):
            return guarded(*args, **kwargs)

    return call


def _around(target: FunctionType, hints: Mapping[str, Any]) -> Callable:
    """Check a function that is made often, without compiling; of a generator, the call that makes it."""
    signature = inspect.signature(target)

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        with jaxtyped("context"):
            for name, value in bound.arguments.items():
                if name in hints:
                    for one in _each(value, signature.parameters[name].kind):
                        die_if_unbearable(one, hints[name], conf=_CONF)
            result = target(*args, **kwargs)
            if "return" in hints:
                die_if_unbearable(result, hints["return"], conf=_CONF)
            return result

    return call


def _each(value: Any, kind: Any) -> Any:
    if kind is inspect.Parameter.VAR_POSITIONAL:
        return value
    return value.values() if kind is inspect.Parameter.VAR_KEYWORD else (value,)


def _resolved(hint: Any, names: dict[str, Any]) -> Any:
    """Return a hint without texts; anything, if a text names what is not there at run time."""
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"it": hint}), names, include_extras=True)["it"]
    except Exception:
        return Any


def _has_shapes(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    if isinstance(hint, list):  # the parameters of a Callable
        return any(map(_has_shapes, hint))
    return any(map(_has_shapes, get_args(hint)))
