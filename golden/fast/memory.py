"""A chain's memory as the compiled loops want it: `golden.fast.records` filled in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Rounding
from counterflow.design.schedule.stages import Schedule, Stage, StreamStage
from counterflow.design.units.loss import EXP2, EXP_FRAC, LOG2, LOG2E_NUMERATOR, LOG_FRAC
from counterflow.design.units.tanh import Tanh
from counterflow.golden.fast.lanes import LANES
from counterflow.golden.fast.narrowings import fits, narrowing, stream_fits
from counterflow.golden.fast.records import LOSS, PLACES, POOL, UNIT, Memory
from counterflow.golden.fast.words import FILL
from counterflow.golden.units.convolution import UnitState

LINE = 64  # bytes of a cache line


def _filled(count: int) -> int:
    return -(-count // LANES) * LANES


def _units(schedule: Schedule) -> NDArray[np.void]:
    """The records of all units and of the end of the chain, without what depends on settings."""
    units = np.zeros(len(schedule.stages) + 1, UNIT)
    weights = biases = stash = errors = gradient = covers = pools = 0
    for index, (stage, unit) in enumerate(zip(schedule.stages, units, strict=False)):
        _describe(unit, stage)
        geometry = stage.tiling.geometry
        behind = schedule.streams_behind(index)
        unit["pools"], unit["pools_end"] = pools, pools + len(behind)
        pools += len(behind)
        unit["y_pitch"] = geometry.places[1] * geometry.outputs
        if not behind and index + 1 < len(schedule.stages):
            unit["y_pitch"] = _pitch(geometry.result, schedule.stages[index + 1])
        unit["weights"], unit["biases"], unit["stash"] = weights, biases, stash
        unit["errors"], unit["gradient"], unit["covers"] = errors, gradient, covers
        weights += geometry.outputs * geometry.taps
        biases += geometry.outputs
        stash += (stage.delay + 1) * int(unit["size"])
        errors += (stage.delay + 1) * geometry.elements
        covers += geometry.inputs
        if unit["sums"]:
            gradient += geometry.outputs * geometry.kernel[0] * int(unit["width"])
    end = units[-1]
    classes = schedule.loss.arithmetic.classes
    end["outputs"] = end["size"] = classes
    end["stash"], end["errors"], end["gradient"], end["covers"] = stash, errors, gradient, covers
    return units


def _pitch(image: tuple[int, int, int], stage: Stage) -> int:
    """Words from row to row of an image that goes to `stage`, perhaps flattened."""
    geometry, row = stage.tiling.geometry, image[1] * image[2]
    return row + 2 * geometry.padding[1] * geometry.channels if geometry.image == image else row


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
    unit["y"] = narrowing(numbers.forward_sum.frac, numbers.y, numbers.round_activation)
    if numbers.dx is not None:
        unit["dx"] = narrowing(numbers.backward_sum.frac, numbers.dx, numbers.round_error)


def _pools(schedule: Schedule, stash: int, errors: int) -> NDArray[np.void]:
    """The records of all units without weights; their x and dy come behind those of others."""
    pools = np.zeros(len(schedule.streams), POOL)
    entries = tables = 0
    for index, (stage, pool) in enumerate(zip(schedule.streams, pools, strict=True)):
        unit, above = stage.unit, schedule.stages[stage.below + 1]
        pool["inputs"], pool["outputs"] = unit.inputs, unit.outputs
        pool["x"], pool["dy"], pool["entries"] = stash, errors, entries
        if isinstance(unit, Tanh):
            image = schedule.stages[stage.below].tiling.geometry.result
            pool["high"] = pool["wide"] = 1
            pool["size"], shift = unit.elements, unit.slope.frac
            pool["table"], pool["codes"] = tables - unit.x.min, 1 << unit.x.bits
            tables += 2 * int(pool["codes"])
        else:
            pool["high"], pool["wide"] = unit.kernel
            image = unit.height // unit.kernel[0], unit.columns, unit.channels
            pool["average"], pool["relu"] = unit.average, unit.relu
            pool["size"], shift = unit.inputs if unit.average else unit.outputs, unit.average_shift
            pool["y"] = narrowing(unit.x.frac + shift, unit.x, unit.round_activation)
        pool["down"], pool["across"], pool["channels"] = image
        pool["y_pitch"] = image[1] * image[2] if _inner(schedule, index) else _pitch(image, above)
        pool["depth"] = above.delay + 1
        pool["dx"] = narrowing(unit.dy.frac + shift, unit.dx, unit.round_error)
        stash += unit.inputs
        errors += unit.outputs
        entries += int(pool["size"] * pool["depth"])
    return pools


def _tables(schedule: Schedule) -> list[NDArray[np.int64]]:
    """y of every x, then the slopes there, of each tanh."""
    found = [np.zeros(0, np.int64)]
    for stage in schedule.streams:
        if isinstance(stage.unit, Tanh):
            y = stage.unit.every_y
            found += [y, np.array(stage.unit.slopes)[np.abs(y)]]
    return found


def _inner(schedule: Schedule, index: int) -> bool:
    """Whether another unit without weights follows at once."""
    streams: tuple[StreamStage, ...] = schedule.streams
    return index + 1 < len(streams) and streams[index + 1].below == streams[index].below


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


def build_memory(schedule: Schedule, states: Iterable[UnitState], rounding: Rounding) -> Memory:
    """An empty chain with `states`; `rounding` is that of errors.  Settings are still to be set."""
    loss, held, stages = schedule.loss.arithmetic, list(states), schedule.stages
    small = all(fits(stage, loss, 32) for stage in stages)
    small = small and all(stream_fits(stream.unit, 32) for stream in schedule.streams)
    word: Any = np.int32 if small else np.int64
    units = _units(schedule)
    end = units[-1]
    pools = _pools(schedule, int(end["stash"] + end["size"]), int(end["errors"]))

    def most(name: str) -> int:
        return int(units[name].max())

    def room(count: Any) -> Any:
        return aligned(int(count) + 2 * LANES, word)

    widest = most("taps") + most("wide") + 2 * FILL
    losses = np.zeros(1, LOSS)
    how = narrowing(EXP_FRAC, loss.error, rounding)
    losses[0] = (LOG2E_NUMERATOR, loss.exponent_shift, LOG_FRAC, EXP_FRAC, how)
    forward = units["taps"] * units["block"]
    backward = units["outputs"] * units["kernel_rows"] * units["width"]
    operands = np.where(units["direct"] == 1, 0, np.maximum(forward, backward))
    tiles = max(stage.tiling.tiles for stage in stages)
    elements = max(stage.tiling.geometry.elements for stage in stages)
    words = max(stage.tiling.geometry.positions * stage.tiling.columns for stage in stages)
    return Memory(
        units=units,
        pools=pools,
        loss=losses,
        exp2=np.array(EXP2, np.int64),
        log2=np.array(LOG2, np.int64),
        weight=_joined([state.weight for state in held], word),
        velocity=_joined([state.velocity for state in held], word),
        bias=np.concatenate([state.bias for state in held]),
        bias_velocity=np.concatenate([state.bias_velocity for state in held]),
        generator=np.array([state.generator for state in held], np.uint32),
        saturations=np.zeros(len(held), np.int64),
        kinds=np.zeros(schedule.delay + 1, np.uint8),
        stash=room(end["stash"] + end["size"] + pools["inputs"].sum()),
        errors=room(end["errors"] + pools["outputs"].sum()),
        entries=room((pools["size"] * pools["depth"]).sum()),
        tables=_joined(_tables(schedule), word),
        gradient=room(end["gradient"]),
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
    )
