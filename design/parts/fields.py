"""What the fields of a description are made of: their base class, limits, and words for errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer
from pydantic_core import PydanticCustomError

from counterflow.design.parts.formats import Format

FormatField = Annotated[Format, BeforeValidator(Format.parse), PlainSerializer(str)]

MAX_WIDTH = 4096
MAX_KERNEL = 64
MAX_ELEMENTS = 2**20  # of an image; what can be built is in `design.bus.buildable`
MAX_TANH_BITS = 12  # of what a tanh gets and gives: its tables have up to 2048 entries

Activation = Literal["relu", "tanh", "none"]


class Frozen(BaseModel):
    """Base of every description value: immutable, strict about types, no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True
    )


def integers(value: object, count: int, least: int, most: int) -> tuple[int, ...] | None:
    """`value` as a tuple of `count` integers in that range, or None if it is none."""
    given = tuple(value) if isinstance(value, list | tuple) else ()
    fits = len(given) == count and all(type(one) is int and least <= one <= most for one in given)
    return given if fits else None


@dataclass(frozen=True)
class Expected:
    """What may stand in a field, in words, where its type does not say it."""

    words: str

    def error(self) -> PydanticCustomError:
        """That of another value; `design.network.complaints` makes a sentence of it."""
        return PydanticCustomError("unlike", "expected {expected}", {"expected": self.words})


SIZE = Expected(f"an integer from 1 to {MAX_KERNEL} or [vertical, horizontal]")
WINDOW = Expected(f"an integer from 1 to {MAX_KERNEL}, [vertical, horizontal] or 'all'")
MARGIN = Expected(f"an integer from 0 to {MAX_KERNEL} or [vertical, horizontal]")


def _pair(least: int, expected: Expected, *words: str) -> Any:
    """One number stands for both directions; TOML has arrays for pairs.  `words` are themselves."""

    def read(value: object) -> tuple[int, ...] | str:
        if isinstance(value, str) and value in words:
            return value
        found = integers([value, value] if type(value) is int else value, 2, least, MAX_KERNEL)
        if found is None:
            raise expected.error()
        return found

    return BeforeValidator(read)


Kernel = Annotated[tuple[int, int], _pair(1, SIZE), SIZE]
Window = Annotated[tuple[int, int] | Literal["all"], _pair(1, WINDOW, "all"), WINDOW]
Padding = Annotated[tuple[int, int], _pair(0, MARGIN), MARGIN]
