"""Numbers on the command line: finite, within bounds, and in the digits of ASCII alone.

What Python reads as a number is more: `nan`, `inf`, 1_000, the digits of other scripts, blanks
around. A slip of the keyboard should not become another number or an endless run.
"""

from __future__ import annotations

import math
import re
from typing import Any

import click

from counterflow.design.parts.limits import MAX_BATCH, MAX_BUDGET, MAX_EPOCHS, MAX_SAMPLES

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Whole(click.IntRange):
    """An integer from `least` to `most`."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        super().__init__(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, str) and _WHOLE.fullmatch(value) is None:
            self.fail(f"{value!r} is not a valid integer.", param, ctx)
        found: int = super().convert(value, param, ctx)
        return found


class Real(click.FloatRange):
    """A finite number from `least` to `most`."""

    def __init__(self, least: float, most: float, *, above: bool = False) -> None:
        """With `above`, `least` itself is too little."""
        super().__init__(least, most, min_open=above)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = real(value) if isinstance(value, str) else value
        if found is None:
            self.fail(f"{value!r} is not a finite number such as 2.5 or 1e-3.", param, ctx)
        bounded: float = super().convert(found, param, ctx)
        return bounded


def whole(text: str) -> int | None:
    """The integer that `text` is, or None."""
    return int(text) if _WHOLE.fullmatch(text) else None


def real(text: str) -> float | None:
    """The finite number that `text` is, or None."""
    found = float(text) if _REAL.fullmatch(text) else math.inf
    return found if math.isfinite(found) else None


COUNT = Whole(1, MAX_BUDGET)  # of what a design has: multipliers, bits, cycles
EPOCHS = Whole(1, MAX_EPOCHS)
SAMPLES = Whole(1, MAX_SAMPLES)
BATCH = Whole(1, MAX_BATCH)
JOBS = Whole(1, 1024)  # processors of one machine
SEED = Whole(0, 2**31 - 1)
SEEDS = Whole(1, 10_000)
BAUD = Whole(1, 10**9)
MEGAHERTZ = Real(1, 10_000)
SECONDS = 1e6  # of any wait: eleven days
