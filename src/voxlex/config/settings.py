"""What all settings have in common: known names, ranges, a `kind` where there is a choice, and what must fit."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, TypeVar

import tyro
from pydantic import BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Part = Annotated[float, Field(ge=0, le=1)]

K = TypeVar("K")
Kind = Annotated[K, tyro.conf.arg(metavar="KIND")]
"""The name of a choice among settings, a Literal of one name."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Misspelt names are errors, and so are values of another type or out of range, and numbers that are not finite."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(allow_inf_nan=False)

    def check(self) -> None:
        """Raise an error, by `unfit`, if the settings do not fit together; each is valid on its own."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def names_known(content: Any) -> Any:
            known = [field.name for field in fields(source)]
            for name in content if isinstance(content, dict) else ():
                if name not in known:
                    raise PydanticCustomError("unknown", "unknown setting", {"key": str(name), "known": known})
            return content

        def fitting(settings: Settings) -> Settings:
            settings.check()
            return settings

        # Without `post_init`: settings that validate themselves there are being validated.
        inner = core_schema.no_info_after_validator_function(fitting, {**handler(source), "post_init": False})
        return core_schema.no_info_before_validator_function(names_known, inner)


def unfit(key: str, *, expected: str, got: object) -> PydanticCustomError:
    """Return the error for `Settings.check` to raise: the setting, what was expected of it, and what came."""
    context = {"key": key, "expected": expected, "got": str(got)}
    return PydanticCustomError("unfit", "expected {expected}, got {got}", context)


def by_default(kind: str) -> BeforeValidator:
    """Return what gives settings without a `kind` this one, for `Field(discriminator="kind")` to choose by."""

    def with_kind(content: Any) -> Any:
        return {"kind": kind} | content if isinstance(content, dict) else content

    return BeforeValidator(with_kind)
