"""A chain's memory as the compiled loops want it: `golden.fast.records` filled in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Rounding
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.loss import EXP2, EXP_FRAC, LOG2, LOG2E_NUMERATOR, LOG_FRAC
from counterflow.design.units.passing import PassingStage
from counterflow.design.units.slots import Stage
from counterflow.golden.fast.lanes import LANES
from counterflow.golden.fast.narrowings import fits, narrowing
from counterflow.golden.fast.places import Places, places
from counterflow.golden.fast.records import LOSS, PLACES, SLOT, STEP, UNIT, Memory
from counterflow.golden.fast.units import UNITS, passing_kinds
from counterflow.golden.fast.words import FILL

LINE = 64  # bytes of a cache line


def _filled(count: int) -> int:
    return -(-count // LANES) * LANES


def _units(schedule: Schedule, where: Places) -> tuple[NDArray[np.void], int]:
    """The records of all units with weights, without what depends on settings.

    Also the words of their sums of gradients.
    """
    units = np.zeros(len(schedule.weighted), UNIT)
    weights = biases = gradient = covers = 0
    for stage, unit in zip(schedule.weighted, units, strict=True):
        _describe(unit, stage)
        geometry = stage.tiling.geometry
        _joined_to_others(unit, stage, where)
        unit["weights"], unit["biases"] = weights, biases
        unit["gradient"], unit["covers"] = gradient, covers
        weights += geometry.outputs * geometry.taps
        biases += geometry.outputs
        covers += geometry.inputs
        if unit["sums"]:
            gradient += geometry.outputs * geometry.kernel[0] * int(unit["width"])
    return units, gradient


def _joined_to_others(unit: Any, stage: Stage, where: Places) -> None:
    """Where a unit's tokens and gradients stand at its edges."""
    came, left = stage.unit.inputs[0], stage.unit.outputs[0]
    there, errors = where.forward[left.number], where.back[left.number]
    unit["stash"] = where.forward[came.number].start
    unit["y"], unit["y_depth"] = there.start + there.origin, there.depth
    unit["y_size"], unit["y_pitch"] = there.size, there.pitch
    unit["errors"], unit["errors_depth"] = errors.start, errors.depth
    unit["backward"], unit["dx_depth"] = came.wanted, 1
    if came.wanted:
        back = where.back[came.number]
        unit["dx_start"], unit["dx_depth"], unit["dx_size"] = back.start, back.depth, back.size


def _describe(unit: Any, stage: Stage) -> None:
    tiling, numbers = stage.tiling, stage.arithmetic
    geometry = tiling.geometry
    pitch = geometry.row_inputs + 2 * geometry.padding[1] * geometry.channels
    direct = geometry.positions == 1 and geometry.taps == geometry.inputs
    unit["direct"] = direct and geometry.padding == (0, 0)
    unit["sums"] = numbers.sums_gradients or not unit["direct"]
    unit["outputs"], unit["taps"] = geometry.outputs, geometry.taps
    unit["kernel_rows"], unit["row_taps"] = geometry.kernel[0], geometry.row_taps
    unit["down"], unit["across"] = geometry.places
    unit["image_rows"], unit["row_inputs"] = geometry.image[0], geometry.row_inputs
    unit["pitch"], unit["size"] = pitch, pitch * (geometry.image[0] + 2 * geometry.padding[0])
    unit["origin"] = geometry.padding[0] * pitch + geometry.padding[1] * geometry.channels
    unit["step_down"] = geometry.stride[0] * pitch
    unit["step_across"] = geometry.stride[1] * geometry.channels
    unit["rows"], unit["parts"] = tiling.rows, tiling.parts
    unit["high"], unit["wide"] = tiling.lanes.outputs, tiling.lanes.inputs
    unit["width"], unit["block"] = _filled(geometry.row_taps), _filled(geometry.outputs)
    unit["delay"], unit["relu"], unit["masks"] = stage.delay, numbers.relu, numbers.masks
    unit["one"] = 1 << numbers.x.frac
    unit["stochastic"] = numbers.round_update is Rounding.STOCHASTIC
    frac, rounding = numbers.weight.frac, numbers.round_operand
    unit["operand"] = narrowing(frac, numbers.operand, rounding)
    unit["bias"] = narrowing(frac, numbers.bias_operand, rounding)
    unit["y_to"] = narrowing(numbers.forward_sum.frac, numbers.y, numbers.round_activation)
    if numbers.dx is not None:
        unit["dx"] = narrowing(numbers.backward_sum.frac, numbers.dx, numbers.round_error)


def _records(schedule: Schedule, where: Places) -> tuple[list[list[Any]], dict[str, list[int]]]:
    """The fields of the records of all other units by kind, and their numbers by unit."""
    kinds = passing_kinds()
    found: list[list[Any]] = [[] for _ in kinds]
    numbers: dict[str, list[int]] = {}
    entries = tables = 0
    for stage in schedule.passing:
        kind = kinds.index(stage.unit.kind)
        records = UNITS[stage.unit.kind].records(stage, where)
        first = len(found[kind])
        numbers[stage.name] = list(range(first, first + len(records)))
        for record in records:
            found[kind].append(record | {"entries": entries, "tables": tables})
            entries += record["size"] * record["depth"]
        tables += sum(len(table) for table in _tables_of(stage))
    return found, numbers


def _filled_in(kind: str, records: list[Any]) -> NDArray[np.void]:
    """Records of a kind; at least one, so that its type is known."""
    made = np.zeros(max(1, len(records)), UNITS[kind].RECORD)
    for one, fields in zip(made, records, strict=False):
        for name, value in fields.items():
            one[name] = value
    return made


def _steps(
    schedule: Schedule, numbers: dict[str, list[int]]
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """What is done in a slot, forward and back."""
    kinds = passing_kinds()
    forward: list[tuple[int, int, int]] = []
    back: list[tuple[int, int, int]] = []
    for unit in schedule.units:
        if isinstance(unit, Stage):
            forward.append((SLOT, unit.index, unit.delay))
        elif isinstance(unit, PassingStage):
            kind = kinds.index(unit.unit.kind)
            steps = [(kind, record, unit.delay) for record in numbers[unit.name]]
            forward += steps
            if unit.gradients:
                back[:0] = steps
    return np.array(forward, STEP), np.array(back, STEP)


def _tables_of(stage: PassingStage) -> list[NDArray[np.int64]]:
    """What a unit looks up."""
    module = UNITS[stage.unit.kind]
    return list(module.tables(stage.numbers)) if hasattr(module, "tables") else []


def _covers(stage: Stage) -> NDArray[np.int64]:
    """Number of the (position, column of tiles) that sees the last of each input, else -1."""
    tiling = stage.tiling
    geometry = tiling.geometry
    position, tap = np.nonzero(geometry.last_cover)
    words = np.full(geometry.inputs, -1)
    words[geometry.covered[position, tap]] = position * tiling.columns + tiling.column_of[tap]
    return words


def aligned(count: int, word: Any) -> Any:
    """Zeros that start at a cache line, so that no vector of them straddles two."""
    size = np.dtype(word).itemsize
    whole = np.zeros(count + LINE // size, word)
    start = -whole.ctypes.data % LINE // size
    return whole[start : start + count]


def _joined(parts: list[NDArray[np.int64]], word: Any) -> Any:
    """Matrices one after the other, aligned, with LANES words to spare."""
    count = sum(part.size for part in parts)
    joined = aligned(count + LANES, word)
    np.concatenate([part.ravel() for part in parts], out=joined[:count], casting="unsafe")
    return joined


def build_memory(schedule: Schedule, states: Iterable[Any]) -> Memory:
    """An empty chain with `states`.  Settings are still to be set."""
    loss, held, stages = schedule.loss.arithmetic, list(states), schedule.weighted
    small = all(fits(stage, loss, 32) for stage in stages)
    small = small and all(UNITS[unit.unit.kind].fits(unit.numbers, 32) for unit in schedule.passing)
    word: Any = np.int32 if small else np.int64
    where = places(schedule)
    units, gradient = _units(schedule, where)
    fields, numbers = _records(schedule, where)
    steps, back = _steps(schedule, numbers)

    def most(name: str) -> int:
        return int(units[name].max())

    def room(count: Any) -> Any:
        return aligned(int(count) + 2 * LANES, word)

    widest = most("taps") + most("wide") + 2 * FILL
    forward = units["taps"] * units["block"]
    backward = units["outputs"] * units["kernel_rows"] * units["width"]
    operands = np.where(units["direct"] == 1, 0, np.maximum(forward, backward))
    tiles = max(stage.tiling.tiles for stage in stages)
    elements = max(edge.elements for edge in schedule.graph.edges)
    words = max(stage.tiling.geometry.positions * stage.tiling.columns for stage in stages)
    tables = [np.zeros(0, np.int64)]
    tables += [table for unit in schedule.passing for table in _tables_of(unit)]
    return Memory(
        units=units,
        records=tuple(
            _filled_in(kind, one) for kind, one in zip(passing_kinds(), fields, strict=True)
        ),
        steps=steps,
        back=back,
        source=_source(schedule, where),
        loss=_loss(schedule, where),
        exp2=np.array(EXP2, np.int64),
        log2=np.array(LOG2, np.int64),
        weight=_joined([state.weight for state in held], word),
        velocity=_joined([state.velocity for state in held], word),
        bias=np.concatenate([state.bias for state in held]),
        bias_velocity=np.concatenate([state.bias_velocity for state in held]),
        generator=np.array([state.generator for state in held], np.uint32),
        saturations=np.zeros(len(held), np.int64),
        kinds=np.zeros(schedule.delay + 1, np.uint8),
        stash=room(where.activations),
        errors=room(where.gradients),
        entries=room(sum(one["size"] * one["depth"] for kind in fields for one in kind)),
        tables=_joined(tables, word),
        gradient=room(gradient),
        bias_gradient=np.zeros(sum(len(state.bias) for state in held), np.int64),
        covers=np.concatenate([_covers(stage) for stage in stages]).astype(np.int32),
        draws=aligned(tiles + 2 * LANES, np.uint32),
        velocity_random=room(widest),
        step_random=room(widest),
        hits=room(widest),
        sums=room(most("size")),
        totals=room(PLACES * most("block")),
        flags=room(most("block")),
        operands=room(operands.max()),
        row=room(most("taps")),
        wide_row=np.zeros(most("taps"), np.int64),
        found_error=room(elements + 1),
        found_window=np.zeros(elements + 1, np.int64),
        found_output=np.zeros(elements + 1, np.int64),
        marks=np.zeros(words, np.int64),
        exponents=np.zeros(loss.classes, np.int64),
        meeting=room(elements),
    )


def _source(schedule: Schedule, where: Places) -> NDArray[np.int64]:
    """Where samples go: start, tokens, words of one; rows, elements of one, words between them."""
    edge = schedule.graph.source
    place = where.forward[edge.number]
    height, width, channels = edge.shape
    row = width * channels
    numbers = (place.start + place.origin, place.depth, place.size, height, row, place.pitch)
    return np.array(numbers, np.int64)


def _loss(schedule: Schedule, where: Places) -> NDArray[np.void]:
    """The record of the loss."""
    numbers, edge = schedule.loss.arithmetic, schedule.loss.unit.inputs[0]
    back = where.back[edge.number]
    shift, how = numbers.exponent_shift, narrowing(EXP_FRAC, numbers.error, numbers.round_error)
    places = (where.forward[edge.number].start, back.start, back.depth)
    found = np.zeros(1, LOSS)
    found[0] = (LOG2E_NUMERATOR, shift, LOG_FRAC, EXP_FRAC, numbers.classes, *places, how)
    return found
