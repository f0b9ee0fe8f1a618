"""Records of the units that learn, and the room that they take in the memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.fast.normalise import BACKWARD_SUMS, FORWARD_SUMS
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import ASIDE, NORM_UNIT, STATISTICS, UNIT, VIEW
from counterflow.golden.fast.states import starts
from counterflow.golden.fast.units import UNITS, convolution, norm


class Rooms(NamedTuple):
    """Where the next norm's part of the memory starts."""

    entries: int = 0
    views: int = 0
    sums: int = 0
    statistics: int = 0


def fill(one: Any, fields: Mapping[str, Any]) -> None:
    """Write `fields` into a record."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            fill(one[name], value)
        else:
            one[name] = value


def units_of(schedule: Schedule, where: Places) -> tuple[NDArray[np.void], NDArray[np.void], int]:
    """The records of all units with weights, without what depends on settings, and their asides'.

    Also the words of their sums of gradients.
    """
    units, biases = np.zeros(len(schedule.weighted), UNIT), starts(schedule)
    passed = [convolution.asides(stage, where) for stage in schedule.weighted]
    asides = np.zeros(max(1, sum(map(len, passed))), ASIDE)
    weights = gradient = covers = ends = 0
    for stage, unit, others in zip(schedule.weighted, units, passed, strict=True):
        for one, fields in enumerate(others, start=ends):
            fill(asides[one], fields)
        own = {"weights": weights, "gradient": gradient, "covers": covers, "asides": ends}
        ends += len(others)
        own["asides_end"] = ends
        fill(unit, convolution.record(stage, where) | own | {"biases": biases[stage.index]})
        geometry = stage.tiling.geometry
        weights += geometry.outputs * geometry.taps
        covers += geometry.inputs
        if unit["sums"]:
            gradient += geometry.outputs * geometry.kernel[0] * int(unit["width"])
    return units, asides, gradient


def norms_of(schedule: Schedule, where: Places, entries: int) -> tuple[NDArray[np.void], Rooms]:
    """The records of all norms, at least one, whose entries stand from `entries` on.

    Also what stands behind them.
    """
    stages, biases = norm.stages(schedule), starts(schedule)
    made, rooms = np.zeros(max(1, len(stages)), NORM_UNIT), Rooms(entries)
    for stage, one in zip(stages, made, strict=False):
        fields = UNITS[stage.unit.kind].record(stage, where)
        fill(one, fields | rooms._asdict() | {"biases": biases[stage.index]})
        one["gammas"]["biases"] = biases[stage.index] + stage.numbers.channels
        size, depth, channels, period, views, sums = (
            int(one[name])
            for name in ("size", "depth", "channels", "period", "views_depth", "sums_depth")
        )
        rooms = Rooms(
            rooms.entries + size * depth,
            rooms.views + len(VIEW) * period * views,
            rooms.sums + (FORWARD_SUMS + BACKWARD_SUMS * sums) * channels,
            rooms.statistics + (0 if one["group"] else len(STATISTICS) * channels),
        )
    return made, rooms
