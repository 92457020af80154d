"""What all settings have in common: known names, ranges, a `kind` where there is a choice, and what must fit.

The validator, pydantic, is imported when there is something to validate: `voxlex --help` is quicker without.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, get_args

import tyro
from annotated_types import Ge, Gt, Interval

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema, PydanticCustomError

Count = Annotated[int, Interval(ge=1, lt=2**31)]
Depth = Annotated[int, Interval(ge=1, le=1000)]
"""A number of layers or of codebooks: each takes time to build, however small it is."""
Kernel = Annotated[int, Interval(ge=1, le=127)]
"""The side of a kernel, of which each tap may take time to build."""

Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, lt=1)]
Part = Annotated[float, Interval(ge=0, le=1)]

K = TypeVar("K")
Kind = Annotated[K, tyro.conf.arg(metavar="KIND")]
"""The name of a choice among settings, a Literal of one name."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Misspelt names are errors, and so are values of another type or out of range, and numbers that are not finite."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"allow_inf_nan": False}

    def check(self) -> None:
        """Raise an error, by `unfit`, if the settings do not fit together; each is valid on its own."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import PydanticCustomError, core_schema

        def names_known(content: Any) -> Any:
            known = [field.name for field in fields(source)]
            for name in content if isinstance(content, dict) else ():
                if name not in known:
                    raise PydanticCustomError("unknown", "unknown setting", {"key": str(name), "known": known})
            for field in fields(source) if isinstance(content, dict) else ():
                if _has_truth(content.get(field.name)) and "bool" not in str(field.type):
                    raise unfit(field.name, expected="a value other than true or false", got=content[field.name])
            return content

        def fitting(settings: Settings) -> Settings:
            settings.check()
            return settings

        # Without `post_init`: settings that validate themselves there are being validated.
        inner = core_schema.no_info_after_validator_function(fitting, {**handler(source), "post_init": False})
        return core_schema.no_info_before_validator_function(names_known, inner)


def _has_truth(value: Any) -> bool:
    """Return whether a value is true or false, or a list with one of them: to pydantic, true would be the number 1."""
    return isinstance(value, bool) or (isinstance(value, (list, tuple)) and any(map(_has_truth, value)))


class ByKind:
    """Annotation of a union of settings: `kind` chooses among them, and settings without it are of one kind."""

    def __init__(self, default: str) -> None:
        self.default = default

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        def with_kind(content: Any) -> Any:
            return {"kind": self.default} | content if isinstance(content, dict) else content

        choices = {settings.kind: handler.generate_schema(settings) for settings in get_args(source)}
        union = core_schema.tagged_union_schema(choices, discriminator="kind")
        return core_schema.no_info_before_validator_function(with_kind, union)


def unfit(key: str, *, expected: str, got: object) -> PydanticCustomError:
    """Return the error for `Settings.check` to raise: the setting, what was expected of it, and what came."""
    from pydantic_core import PydanticCustomError

    context = {"key": key, "expected": expected, "got": str(got)}
    return PydanticCustomError("unfit", "expected {expected}, got {got}", context)
