"""Units with weights in `golden.fast.chain`: a slot of one, all of it."""

from __future__ import annotations

from counterflow.golden.fast.dense import dense_rows
from counterflow.golden.fast.gradient import add_gradient, convolve_back, emit_gradient, find_errors
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.update import update_by_sums
from counterflow.golden.fast.windows import convolve
from counterflow.golden.fast.words import compiled

BUBBLE, TRAIN, ACCUMULATE = 0, 2, 3  # as in `design.parts.tokens.Kind`


@compiled
def unit_slot(memory: Memory, index: int, slot: int, kind: int, came: int) -> None:
    """Forward pass of token `slot`, and all the rest for token `slot` - delay of kind `came`."""
    unit = memory.units[index]
    x = unit.stash + slot % (unit.delay + 1) * unit.size
    y = unit.y + slot % unit.y_depth * unit.y_size
    old_x = unit.stash + (slot + 1) % (unit.delay + 1) * unit.size
    token = max(slot - unit.delay, 0)
    dy = unit.errors + token % unit.errors_depth * unit.down * unit.across * unit.outputs
    horizon = unit.horizon if kind >= TRAIN else 0
    learns, saturations = came >= TRAIN, 0
    backward, state = learns and unit.backward != 0, memory.generator[index]
    if unit.direct:
        # Nothing comes of a bubble's zeros in a unit that sees them.
        passes = unit.backward != 0 or kind != BUBBLE, backward, learns and not unit.sums
        state, saturations = dense_rows(memory, unit, x, y, horizon, old_x, dy, passes, state)
    else:
        saturations = convolve(memory, unit, x, y, horizon)
    if learns and unit.sums:
        count = find_errors(memory, unit, dy)
        add_gradient(memory, unit, old_x, count)
        if backward and not unit.direct:
            convolve_back(memory, unit, count)
        if came == TRAIN:
            state, hits = update_by_sums(memory, unit, state)
            saturations += hits
    if backward:
        dx = unit.dx_start + token % unit.dx_depth * unit.dx_size
        stamp = (token + 1) * len(memory.units) + index
        saturations += emit_gradient(memory, unit, old_x, dx, stamp)
    memory.generator[index] = state
    memory.saturations[index] += saturations
