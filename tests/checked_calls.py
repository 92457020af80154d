"""Check every call of voxlex against its signature, shapes included.

jaxtyping's own decorator checks the parameters of a call twice, compiles its checks anew whenever a function within a
function is made, and took most of the time of the tests. This one does the same once, and checks a call with shapes
only if no call before had arguments and a result of the same types and shapes.
"""

import dataclasses
import functools
import inspect
from collections import abc
from collections.abc import Callable, Hashable, Mapping
from types import FunctionType, SimpleNamespace
from typing import Annotated, Any, Literal, Unpack, get_args, get_origin, get_type_hints

import jaxtyping
import numpy as np
from beartype import BeartypeConf, beartype
from beartype.door import die_if_unbearable
from jaxtyping import AbstractArray, TypeCheckError, install_import_hook, jaxtyped
from torch import Tensor

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
    if any(map(_reads_values, hints.values())):
        return _in_context(guarded)
    return _once_a_kind(target, hints, _in_context(guarded))


def _in_context(guarded: Callable) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        with jaxtyped("context"):
            return guarded(*args, **kwargs)

    return call


def _once_a_kind(target: FunctionType, hints: Mapping[str, Any], guarded: Callable) -> Callable:
    """Check a call unless an earlier one had arguments and a result of the same kinds."""
    signature = inspect.signature(target)
    any_length = any(map(_has_any_length, hints.values()))
    results_of: dict[Hashable, set[Hashable]] = {}

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            given = [_kind(value, any_length) for value in args]
            given += [(name, _kind(value, any_length)) for name, value in kwargs.items()]
        except _OfNoKind:
            return guarded(*args, **kwargs)
        known = results_of.setdefault(tuple(given), set())
        result = target(*args, **kwargs) if known else guarded(*args, **kwargs)
        try:
            returned = _kind(result, any_length)
        except _OfNoKind:
            returned = None
        if known and (returned is None or returned not in known):
            _check(signature.bind(*args, **kwargs), hints, lambda: result)
        known.add(returned)
        return result

    return call


class _OfNoKind(Exception):
    """Whether a value fits takes more than its kind."""


def _kind(value: Any, any_length: bool) -> Hashable:
    """Return all that the check of a value depends on: types, and the shapes of arrays.

    Raises:
        _OfNoKind: If that is not all.
    """
    made = type(value)
    if isinstance(value, (Tensor, np.ndarray)):
        return made, value.shape, value.dtype
    if made is tuple or made is list:
        kinds = [_kind(item, any_length) for item in value]
        if any_length and kinds != kinds[:1] * len(kinds):
            raise _OfNoKind  # of items that may be many, one is checked at random
        return made, *kinds
    if _holds_others(made):
        raise _OfNoKind
    return made


@functools.cache
def _holds_others(kind: type) -> bool:
    named = hasattr(kind, "_fields") or issubclass(kind, (str, bytes))  # of these, the type is checked
    return not named and issubclass(kind, (type, abc.Mapping, abc.Set, abc.Sequence))


def _around(target: FunctionType, hints: Mapping[str, Any]) -> Callable:
    """Check a function that is made often, without compiling; of a generator, the call that makes it."""
    signature = inspect.signature(target)

    def call(*args: Any, **kwargs: Any) -> Any:
        return _check(signature.bind(*args, **kwargs), hints, lambda: target(*args, **kwargs))

    return call


def _check(bound: inspect.BoundArguments, hints: Mapping[str, Any], result_of: Callable[[], Any]) -> Any:
    """Check arguments, get the result, and check it with them."""
    with jaxtyped("context"):
        for name, value in bound.arguments.items():
            if name in hints and get_origin(hints[name]) is not Unpack:  # beartype takes those only where it compiles
                for one in _each(value, bound.signature.parameters[name].kind):
                    die_if_unbearable(one, hints[name], conf=_CONF)
        result = result_of()
        if "return" in hints:
            die_if_unbearable(result, hints["return"], conf=_CONF)
        return result


def _each(value: Any, kind: Any) -> Any:
    """Return the arguments of a parameter, each of which has its hint."""
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
    is_array = inspect.isclass(hint) and issubclass(hint, AbstractArray)
    return is_array or any(map(_has_shapes, _parts(hint)))


def _reads_values(hint: Any) -> bool:
    """Return whether some values of a type may fit and others not, as those of literals."""
    return get_origin(hint) in (Annotated, Literal) or any(map(_reads_values, _parts(hint)))


def _has_any_length(hint: Any) -> bool:
    """Return whether a hint is of items of which any number may come."""
    kind = get_origin(hint)
    many = ... in get_args(hint) if kind is tuple else inspect.isclass(kind) and issubclass(kind, abc.Iterable)
    return many or any(map(_has_any_length, _parts(hint)))


def _parts(hint: Any) -> tuple[Any, ...] | list[Any]:
    return hint if isinstance(hint, list) else get_args(hint)  # a list holds the parameters of a Callable
