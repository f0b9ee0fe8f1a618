"""How a file of the user's own data is read: the table ``data`` of a description."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from counterflow.design.parts.fields import Expected, Frozen

TEST = 0.2
"""The share of the samples that are kept for testing unless another one is given."""

LABEL = Expected("a column's name, its number from 1 on, 'first' or 'last', or a list of columns")


def _label(value: object) -> object:
    if value is None or _is_column(value):
        return value
    if isinstance(value, list | tuple) and value and all(map(_is_column, value)):
        return tuple(value)
    raise LABEL.error()


def _is_column(value: object) -> bool:
    return (type(value) is int and value >= 1) or (isinstance(value, str) and bool(value))


class Reading(Frozen):
    """What is to be known of a file besides what stands in it.

    What is None is decided by the rules of docs/your-data.md.
    """

    label: Annotated[str | int | tuple[str | int, ...] | None, BeforeValidator(_label), LABEL] = (
        Field(
            default=None,
            description="Column of the labels or targets of a table, by default that with a usual "
            "name, else the only one with text, else the last; of several targets a list.",
        )
    )
    header: bool | None = Field(
        default=None,
        description="Whether the first line of a CSV file has names, by default if it looks so.",
    )
    test: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Share of the samples that is kept for testing, where the data have no test "
        f"half: {TEST} by default.",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Seed by which these are drawn.")
    scale: Literal["common", "columns"] | None = Field(
        default=None,
        description="One scaling for all elements, which images have by default, or one for each "
        "column, which tables have.",
    )
