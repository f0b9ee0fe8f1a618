"""What is the same for all lanes, on its way to them through trees of registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Value

from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.slots import Stage
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.turns import bias_lanes
from counterflow.hw.parts.modules import is_compact
from counterflow.hw.parts.pipeline import spread, spread_levels
from counterflow.hw.weighted.lane import GRADIENT
from counterflow.hw.weighted.update import taken_late

SPREAD = 2  # cycles from what is the same for all lanes to a register in each


def random_levels(stage: Stage, platform: object) -> int:
    """Cycles from the generator's state to the updates, by which it steps earlier.

    A compact design, which has few lanes, saves their registers.
    """
    readers = stage.tiling.movers + bias_lanes(stage.tiling)
    return 0 if is_compact(platform) else min(spread_levels(readers) + 1, GRADIENT - 1)


def gradient_levels(tiling: Tiling) -> int:
    """Cycles by which a row's gradient comes before its lanes take it, if it has many."""
    return min(1, spread_levels(tiling.lanes.inputs))


def spread_settings(
    m: Module, numbers: UnitArithmetic, settings: Any, every: Sequence[Any]
) -> None:
    """What an update is told to all, as far as it looks at it."""
    extra_shift = settings.extra_shift[: numbers.rate_span.bit_length()]
    for name, value, matters in (
        ("compensate", settings.compensate, numbers.compensates),
        ("extra_shift", extra_shift, numbers.rate_span),
    ):
        if matters and not numbers.frozen:
            late = spread(m, value, len(every), SPREAD, name)
            m.d.comb += [getattr(one, name).eq(told) for one, told in zip(every, late, strict=True)]


def spread_random(
    m: Module, numbers: UnitArithmetic, random: Value, every: Sequence[Any], levels: int
) -> None:
    """The same random bits to all updates, as far as they look at them."""
    late = taken_late(m, numbers, random, "random")
    if not len(late):
        return
    for one, bits in zip(every, spread(m, late, len(every), levels, "late_random"), strict=True):
        m.d.comb += one.random.eq(bits)
