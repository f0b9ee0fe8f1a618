"""The schedule: delays, horizons, depths, interval and the cycle of every event, in one place.

Every unit starts its slot j at cycle `start` + j * `interval` of a stall-free run, so each event
has an affine time: start + slot * interval + offset.  Delays follow from these times (the earliest
slot in which a token's gradient has arrived), and so do the depths of all buffers (the most that a
stall-free run ever holds); neither is postulated, and golden and hardware both take them from here.
Cycle 0 is the one in which the first element of the first sample is accepted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from counterflow.design.network.description import Description, Lanes
from counterflow.design.network.layers import PoolUnit, TanhUnit, WeightedUnit
from counterflow.design.parts.tokens import updates_in_flight
from counterflow.design.schedule.stages import (
    Depths,
    Gradients,
    LossStage,
    Schedule,
    Stage,
    StreamStage,
)
from counterflow.design.units.convolution import compensation_for, unit_arithmetic
from counterflow.design.units.kinds import Streaming, streaming_of
from counterflow.design.units.latency import FREE, INTAKE, ISSUE, LOSS_TAIL, QUEUE
from counterflow.design.units.loss import LossArithmetic
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import (
    Cycles,
    first_of_words,
    gradient_offsets,
    last_of_words,
    needed_words,
    occupancy,
    output_offsets,
    rest,
    row_queue,
    row_starts,
    rows_done,
    steady,
)


def slot_bound(tiling: Tiling) -> int:
    """Shortest interval of one unit.

    Its walk and its rest before the next one; and the stream borders, one element a cycle.
    """
    return max(tiling.cycles + rest(tiling), tiling.geometry.inputs, tiling.geometry.elements)


def loss_bound(classes: int) -> int:
    """Shortest interval of the loss unit."""
    return 3 * classes + LOSS_TAIL


def can_be(tiling: Tiling) -> bool:
    """Whether a row of tiles takes as long as the output stream needs for what it makes."""
    alone = tiling.rows == 1 and tiling.geometry.positions == 1
    return alone or tiling.row_cycles >= tiling.lanes.outputs


def tilings(description: Description, lanes: tuple[Lanes, ...]) -> tuple[Tiling, ...]:
    """The tiling of every layer with weights; `ValueError` where one cannot be."""
    result = []
    for index, (unit, choice) in enumerate(zip(description.weighted, lanes, strict=True)):
        geometry = unit.geometry
        if choice.outputs > geometry.outputs or choice.inputs > geometry.row_taps:
            taps = "inputs" if geometry.positions == 1 else "taps in a row of its kernel"
            raise ValueError(
                f"layers[{unit.layer}] is folded to {choice.outputs}x{choice.inputs} lanes but has "
                f"only {geometry.outputs} outputs and {geometry.row_taps} {taps}"
            )
        tiling = Tiling(geometry, choice, first=index == 0)
        if not can_be(tiling):
            raise ValueError(
                f"layers[{unit.layer}] with {choice.outputs}x{choice.inputs} lanes makes "
                f"{choice.outputs} outputs every {tiling.row_cycles} cycles, but its output "
                "stream carries one a cycle; use fewer output lanes or fewer input lanes"
            )
        result.append(tiling)
    return tuple(result)


NONE = Gradients(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass
class _Times:
    """What is known of a unit while the schedule is made: cycles of token 0."""

    unit: WeightedUnit
    tiling: Tiling
    arrivals: Cycles
    start: int
    threshold: int
    errors: Gradients
    gradients: Gradients | None = None
    delay: int = 0


@dataclass
class _StreamTimes:
    """As `_Times`, for a unit without weights; ``arrivals`` of x, ``errors`` of dy."""

    name: str
    below: int
    unit: Streaming
    arrivals: Cycles
    errors: Gradients


def build_schedule(
    description: Description, lanes: tuple[Lanes, ...], interval: int | None = None
) -> Schedule:
    """The schedule of `description` folded to `lanes`, with slots of at least `interval` cycles."""
    tiled = tilings(description, lanes)
    slot = max(*(slot_bound(t) for t in tiled), loss_bound(description.classes), interval or 0)
    intake_start = description.elements - 1 + QUEUE
    arrivals = intake_start + INTAKE - QUEUE + np.arange(description.elements)
    chain, arrivals = _forward(description, tiled, arrivals)
    number = description.error_format(description.weighted[-1].layer)
    loss = LossStage(
        LossArithmetic(description.classes, description.formats.logit, number),
        start=int(arrivals[-1]),
    )
    errors = loss.start + loss.output_offsets
    _backward(chain, Gradients(errors, errors), slot)
    weighted = [times for times in chain if isinstance(times, _Times)]
    streams = [times for times in chain if isinstance(times, _StreamTimes)]
    return Schedule(
        slot,
        intake_start,
        tuple(
            _stage(description, index, times, behind.delay if behind else 0, slot)
            for index, (times, behind) in enumerate(
                zip(weighted, [*weighted[1:], None], strict=True)
            )
        ),
        tuple(_stream_stage(times, slot) for times in streams),
        loss,
    )


def _forward(
    description: Description, tiled: tuple[Tiling, ...], arrivals: Cycles
) -> tuple[list[_Times | _StreamTimes], Cycles]:
    """Starts of all units, given the arrivals at the first; and the arrivals behind the last."""
    chain: list[_Times | _StreamTimes] = []
    index = -1
    for unit in description.units:
        if isinstance(unit, PoolUnit | TanhUnit):
            streaming = streaming_of(description, unit)
            chain.append(_StreamTimes(unit.name, index, streaming, arrivals, NONE))
            arrivals = streaming.output_times(arrivals)
        else:
            index += 1
            times = _started(unit, tiled[index], arrivals)
            chain.append(times)
            arrivals = times.start + output_offsets(times.tiling)
    return chain, arrivals


def _backward(chain: list[_Times | _StreamTimes], errors: Gradients, slot: int) -> None:
    """Set delays, last unit to first, given when gradients arrive at the last."""
    for times in reversed(chain):
        times.errors = errors
        if isinstance(times, _StreamTimes):
            errors = errors.through(times.unit.gradient_times, slot)
        else:
            _delayed(times, slot)
            if not times.tiling.first:
                own = times.start + times.delay * slot + gradient_offsets(times.tiling)
                times.gradients = errors = Gradients(own, steady(own, slot))


def _started(unit: WeightedUnit, tiling: Tiling, arrivals: Cycles) -> _Times:
    """Start a unit with the arrival of a word: the first that comes late enough for all others."""
    ready = last_of_words(arrivals, tiling.geometry.image[0], tiling.lanes.inputs) + QUEUE
    words, needs = needed_words(tiling)
    trigger = int(np.searchsorted(ready, (ready[words] - needs).max()))
    return _Times(unit, tiling, arrivals, int(ready[trigger]), trigger + 1, NONE)


def _delayed(times: _Times, slot: int) -> None:
    """Set the delay: the earliest slot whose rows find their gradient there."""
    tiling = times.tiling
    came = last_of_words(times.errors.later, tiling.geometry.positions, tiling.lanes.outputs)
    needs = times.start + row_starts(tiling)
    times.delay = max(1, math.ceil(int((came + QUEUE - needs).max()) / slot))


def _stream_stage(times: _StreamTimes, slot: int) -> StreamStage:
    return StreamStage(
        times.name,
        times.below,
        times.unit.sized(times.arrivals, times.errors.later, slot),
        times.unit.output_times(times.arrivals),
        times.errors.through(times.unit.gradient_times, slot),
    )


def _stage(
    description: Description, index: int, times: _Times, delay_behind: int, slot: int
) -> Stage:
    horizon = updates_in_flight(description.recipe, times.delay) * description.recipe.horizon
    coefficient = compensation_for(description.recipe.momentum_shift, horizon)
    return Stage(
        name=times.unit.name,
        index=index,
        tiling=times.tiling,
        arithmetic=unit_arithmetic(description, times.unit, horizon, coefficient),
        delay=times.delay,
        start=times.start,
        back=times.start + times.delay * slot,
        threshold=times.threshold,
        depths=_depths(times, delay_behind, slot),
        gradient_times=times.gradients,
    )


def _depths(times: _Times, delay_behind: int, slot: int) -> Depths:
    """What a stall-free run holds at most, and what is left over when it ends.

    In its last slot a unit has not yet got back as many tokens as its delay; those that the unit
    behind it has, wait here.
    """
    tiling = times.tiling
    left_over = (times.delay - delay_behind) * len(row_starts(tiling))
    geometry, back = tiling.geometry, times.start + times.delay * slot
    taken = first_of_words(times.arrivals, geometry.image[0], tiling.lanes.inputs)
    rows, ends = rows_done(tiling)
    words = rows * tiling.row_words
    came = last_of_words(times.errors.later, geometry.positions, tiling.lanes.outputs)
    used = back + row_starts(tiling) + tiling.row_cycles + ISSUE
    gradients = 0
    if times.gradients is not None:
        begins = back + np.repeat(np.append(0, ends[:-1] + 1), rows)
        lines = times.gradients.later.reshape(geometry.image[0], -1)
        gradients = occupancy(begins, lines[:, -1] + 1, slot)
    return Depths(
        window=occupancy(taken, times.start + ends + FREE, slot, words),
        stash=occupancy(taken, back + ends + FREE, slot, words),
        errors=max(occupancy(came, used, slot), left_over),
        outputs=row_queue(tiling),
        gradients=gradients,
    )
