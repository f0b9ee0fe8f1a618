"""How a file of the user's own data is read: the table ``data`` of a description."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from counterflow.design.parts.fields import Expected, Frozen

TEST = 0.2
"""The share of the samples that are kept for testing unless another one is given."""

LABEL = Expected("a column's name, its number from 1 on, 'first' or 'last'")


def _label(value: object) -> object:
    if value is None or (type(value) is int and value >= 1) or (isinstance(value, str) and value):
        return value
    raise LABEL.error()


class Reading(Frozen):
    """What is to be known of a file besides what stands in it.

    ``label``: the column of a table that has the labels; ``header``: whether its first line has
    names; ``test`` and ``seed``: which share of the samples is kept for testing where the file
    keeps none, and what draws it; ``scale``: one scaling for all elements, or one a column.
    What is None is decided by the rules of docs/your-data.md.
    """

    label: Annotated[str | int | None, BeforeValidator(_label), LABEL] = None
    header: bool | None = None
    test: float | None = Field(default=None, ge=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    scale: Literal["common", "columns"] | None = None
