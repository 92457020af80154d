"""What all settings have in common: strict types, ranges, and a `kind` where there is a choice."""

from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Discriminator, Field

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Settings:
    """Misspelt keys are errors, and so are values of another type, and numbers that are not finite."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)


def by_kind(default: str) -> Discriminator:
    """Return what chooses among settings by their `kind`, so that errors speak of the chosen ones alone."""

    def kind(value: Any) -> str:
        return value.get("kind", default) if isinstance(value, dict) else getattr(value, "kind", default)

    return Discriminator(kind)
