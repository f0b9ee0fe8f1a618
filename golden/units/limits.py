"""Checks that integers are what their formats say, for values that come from outside."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Format
from counterflow.design.units.slotted import Slotted
from counterflow.golden.units.state import State


def check_state(stage: Slotted, state: State) -> None:
    """`ValueError`, one sentence, unless `state` is one of the stage's."""
    name = stage.name
    for one in stage.parameters:
        values, what = getattr(state, one.name), one.name.replace("_", " ")
        if values.shape != one.shape:
            raise ValueError(f"the {what} of {name} has the shape {values.shape}, not {one.shape}")
        check_format(f"a {what} of {name}", values, one.number)
    if not 0 < state.generator < 1 << 32:
        raise ValueError(f"the generator of {name} is {state.generator}, not in 1..2^32 - 1")


def check_format(what: str, values: NDArray[np.integer[Any]], target: Format) -> None:
    """`ValueError` unless the format `target` holds all of `values`."""
    check_range(what, values, target.min, target.max, f" of {target}")


def check_range(
    what: str, values: NDArray[np.integer[Any]], low: int, high: int, of: str = ""
) -> None:
    """`ValueError` unless all of `values` are in `low`..`high`."""
    if values.size:
        for extreme in (int(values.min()), int(values.max())):
            if not low <= extreme <= high:
                raise ValueError(f"{what} is {extreme}, not in {low}..{high}{of}")
