"""Units with weights in `golden.fast.chain`: a slot of one, all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Rounding
from counterflow.design.units.slots import Stage
from counterflow.golden.fast.dense import dense_back, dense_rows
from counterflow.golden.fast.errors import add_whole_gradient, are_many, convolve_all_back
from counterflow.golden.fast.gradient import add_gradient, convolve_back, emit_gradient, find_errors
from counterflow.golden.fast.lanes import filled
from counterflow.golden.fast.narrowings import narrowing
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import BUBBLE, TRAIN, Memory
from counterflow.golden.fast.update import update_by_sums
from counterflow.golden.fast.windows import convolve
from counterflow.golden.fast.words import compiled


def record(stage: Stage, where: Places) -> dict[str, Any]:
    """The fields of its record that depend neither on settings nor on the units before it.

    What comes from a ReLU is read behind it, even where hardware applies it on loading.
    """
    tiling, numbers = stage.tiling, stage.arithmetic
    geometry = tiling.geometry
    pitch = geometry.row_inputs + 2 * geometry.padding[1] * geometry.channels
    whole = geometry.positions == 1 and geometry.taps == geometry.inputs
    direct = whole and geometry.padding == (0, 0)
    frac, rounding = numbers.weight.frac, numbers.round_operand
    found = {
        "index": stage.index,
        "direct": direct,
        "sums": numbers.sums_gradients or not direct,
        "frozen": numbers.frozen,
        "silent": stage.unit.inputs[0].number == SOURCE,
        "outputs": geometry.outputs,
        "taps": geometry.taps,
        "kernel_rows": geometry.kernel[0],
        "row_taps": geometry.row_taps,
        "down": geometry.places[0],
        "across": geometry.places[1],
        "image_rows": geometry.image[0],
        "row_inputs": geometry.row_inputs,
        "pitch": pitch,
        "size": pitch * (geometry.image[0] + 2 * geometry.padding[0]),
        "origin": geometry.padding[0] * pitch + geometry.padding[1] * geometry.channels,
        "step_down": geometry.stride[0] * pitch,
        "step_across": geometry.stride[1] * geometry.channels,
        "rows": tiling.rows,
        "parts": tiling.parts,
        "columns": tiling.columns,
        "high": tiling.lanes.outputs,
        "wide": tiling.lanes.inputs,
        "width": filled(geometry.row_taps),
        "block": filled(geometry.outputs),
        "delay": stage.delay,
        "kept": stage.longest + 1,
        "relu": numbers.relu,
        "masks": numbers.masks,
        "one": 1 << numbers.x.frac,
        "stochastic": numbers.round_update is Rounding.STOCHASTIC,
        "operand": narrowing(frac, numbers.operand, rounding),
        "bias": narrowing(frac, numbers.bias_operand, rounding),
        "y_to": narrowing(numbers.forward_sum.frac, numbers.y, numbers.round_activation),
    }
    for back in (stage, *stage.asides):  # all have the same formats
        sums, dx = back.arithmetic.backward_sum, back.arithmetic.dx
        if dx is not None:
            found["dx"] = narrowing(sums.frac, dx, numbers.round_error)
    return found | _joined_to_others(stage, where)


def _joined_to_others(stage: Stage, where: Places) -> dict[str, int]:
    """Where a unit's tokens and gradients stand at its edges."""
    came, left = stage.unit.inputs[0], stage.unit.outputs[0]
    there = where.forward[left.number]
    found = {
        "stash": where.forward[came.number].start,
        "y": there.start + there.origin,
        "y_depth": there.depth,
        "y_size": there.size,
        "y_pitch": there.pitch,
        "errors_depth": 1,
        "dx_depth": 1,
        "dx_size": came.elements,
    }
    if not left.wanted:
        return found
    own = left.paths[-1]
    errors = where.back[left.number, own]
    found |= {"errors": errors.start, "errors_depth": errors.depth, "backward": own in came.paths}
    if own in came.paths:
        back = where.back[came.number, own]
        found |= {"dx_start": back.start, "dx_depth": back.depth, "dx_size": back.size}
    return found


def asides(stage: Stage, where: Places) -> list[dict[str, int]]:
    """The fields of the records of the losses whose gradients it only passes on."""
    came, left = stage.unit.inputs[0], stage.unit.outputs[0]
    found = []
    for path, aside in zip(left.paths, stage.asides, strict=False):  # its own comes last
        errors, back = where.back[left.number, path], where.back[came.number, path]
        found.append(
            {
                "delay": aside.delay,
                "errors": errors.start,
                "errors_depth": errors.depth,
                "dx_start": back.start,
                "dx_depth": back.depth,
            }
        )
    return found


def covers(stage: Stage) -> NDArray[np.int64]:
    """Number of the (position, column of tiles) that sees the last of each input, else -1."""
    tiling = stage.tiling
    geometry = tiling.geometry
    position, tap = np.nonzero(geometry.last_cover)
    words = np.full(geometry.inputs, -1)
    words[geometry.covered[position, tap]] = position * tiling.columns + tiling.column_of[tap]
    return words


SOURCE = 0  # number of the edge by which samples come


@compiled
def unit_slot(memory: Memory, index: int, slot: int, kind: int, came: int) -> None:
    """Forward pass of token `slot`, and all the rest for token `slot` - delay of kind `came`."""
    unit = memory.units[index]
    x = unit.stash + slot % unit.kept * unit.size
    y = unit.y + slot % unit.y_depth * unit.y_size
    token = max(slot - unit.delay, 0)
    old_x = unit.stash + token % unit.kept * unit.size
    dy = unit.errors + token % unit.errors_depth * unit.down * unit.across * unit.outputs
    horizon = unit.horizon if kind >= TRAIN else 0
    passed = 0
    for aside in range(unit.asides, unit.asides_end):
        passed += _pass_on(memory, unit, aside, slot)
    learns, saturations = came >= TRAIN and unit.frozen == 0, 0
    backward, state = came >= TRAIN and unit.backward != 0, memory.generator[unit.index]
    if unit.direct:
        # Nothing comes of a bubble's zeros in a unit that sees them.
        passes = unit.silent == 0 or kind != BUBBLE, backward, learns and not unit.sums
        state, saturations = dense_rows(memory, unit, x, y, horizon, old_x, dy, passes, state)
    else:
        saturations = convolve(memory, unit, x, y, horizon)
    if learns and unit.sums:
        if not unit.direct and are_many(memory, unit, dy):
            add_whole_gradient(memory, unit, old_x, dy)
            if backward:
                convolve_all_back(memory, unit, dy)
        else:
            count = find_errors(memory, unit, dy)
            add_gradient(memory, unit, old_x, count)
            if backward and not unit.direct:
                convolve_back(memory, unit, count)
        if came == TRAIN:
            state, hits = update_by_sums(memory, unit, state)
            saturations += hits
    elif backward and not unit.direct:
        convolve_all_back(memory, unit, dy)
    if backward:
        dx = unit.dx_start + token % unit.dx_depth * unit.dx_size
        stamp = (token + 1) * len(memory.units) + index
        saturations += emit_gradient(memory, unit, old_x, dx, stamp)
    memory.generator[unit.index] = state
    memory.saturations[unit.index] += saturations + passed


@compiled
def _pass_on(memory: Memory, unit: Any, number: int, slot: int) -> int:
    """dx of the token that comes back of a loss from which the unit does not learn.

    Returns the words of windows that saturated.
    """
    aside = memory.asides[number]
    token = slot - aside.delay
    if token < 0 or memory.kinds[token % len(memory.kinds)] < TRAIN:
        return 0
    dy = aside.errors + token % aside.errors_depth * unit.down * unit.across * unit.outputs
    x = unit.stash + token % unit.kept * unit.size
    dx = aside.dx_start + token % aside.dx_depth * unit.dx_size
    if unit.direct:
        dense_back(memory, unit, dy)
    else:
        convolve_all_back(memory, unit, dy)
    # Below zero, where those of units are not.
    stamp = -(slot * len(memory.asides) + number) - 1
    return emit_gradient(memory, unit, x, dx, stamp)
