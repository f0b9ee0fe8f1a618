"""The golden unit on images, against plain loops over exact integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.geometry import Geometry
from counterflow.design.units.arithmetic import (
    COMPENSATION_FRAC,
    RANDOM_BITS,
    UnitArithmetic,
)
from counterflow.design.units.slots import Depths, Stage
from counterflow.design.units.tiling import Tiling
from counterflow.golden.parts.generator import step
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.units.convolution import Convolution, UnitState
from counterflow.golden.units.update import Settings
from counterflow.sim.shapes import ODD, network, tilings

TILINGS = tilings(100)
every = pytest.mark.parametrize("index", range(len(TILINGS)), ids=lambda i: str(TILINGS[i])[7:99])
FORMATS = {"activation": "u6.3", "error": "s7.4", "operand": "s6.4", "weight": "s12.10"}


def arithmetic(geometry: Geometry, **changes: Any) -> UnitArithmetic:
    """That of such a layer in the middle of a chain, with narrow formats that saturate often."""
    below = {"outputs": 3, "activation": changes.pop("below", "relu")}
    formats = {**FORMATS, "velocity": "s10.10", **changes.pop("formats", {})}
    recipe = {"learning_rate": 2.0**-4, "momentum": 0.75, **changes.pop("recipe", {})}
    description = network(3, [below, {"outputs": 4}], formats=formats, recipe=recipe)
    unit = description.weighted[1]
    x = replace(unit.inputs[0], shape=geometry.image, rectified=changes.pop("masks", True))
    y = replace(unit.outputs[0], shape=geometry.result)
    unit = replace(unit, name="conv1", geometry=geometry, inputs=(x,), outputs=(y,))
    return replace(unit.arithmetic(description.recipe, 2, 100, back=not unit.first), **changes)


def unit_of(tiling: Tiling, seed: int, **changes: Any) -> Convolution:
    """A unit with any state that its formats hold."""
    numbers = arithmetic(tiling.geometry, **changes)
    source = np.random.default_rng(seed)

    def values(target: Format, *shape: int) -> Integers:
        return source.integers(target.min, target.max + 1, shape)

    shape = (numbers.outputs, numbers.taps)
    state = UnitState(
        weight=values(numbers.weight, *shape),
        velocity=values(numbers.velocity, *shape),
        bias=values(numbers.weight, numbers.outputs),
        bias_velocity=values(numbers.velocity, numbers.outputs),
        generator=int(source.integers(1, 2**32)),
    )
    depths = Depths(0, 0, 0, 0, 0)  # of no meaning to a golden unit
    unit = network(3, [{"outputs": 4}]).weighted[0]  # whose name and edges do not matter
    stage = Stage(unit, 1, tiling, numbers, 1, 1, 0, 1, 1, depths, None)
    return Convolution(stage, state, Settings(predict=bool(seed % 2), compensate=bool(seed % 3)))


def some(target: Format, count: int, seed: int) -> Integers:
    """Values of a format, many of them zero."""
    source = np.random.default_rng(seed)
    values = source.integers(target.min, target.max + 1, count)
    return np.where(source.random(count) < 0.3, 0, values)


# ---- a second derivation -----------------------------------------------------------------------


def rounded(value: Fraction, rounding: Rounding, draw: Fraction = Fraction(0)) -> int:
    if rounding is Rounding.NEAREST_EVEN:
        return round(value)
    return (value + draw).__floor__() if rounding is Rounding.STOCHASTIC else value.__floor__()


def clip(value: int, target: Format) -> int:
    return min(max(value, target.min), target.max)


def narrowed(value: Fraction, target: Format, rounding: Rounding) -> tuple[int, bool]:
    """(integer of the format, whether it saturated)."""
    whole = rounded(value * 2**target.frac, rounding)
    return clip(whole, target), clip(whole, target) != whole


def real(value: int, held: Format) -> Fraction:
    return Fraction(int(value), 2**held.frac)


@dataclass
class Place:
    """A tap of the kernel at one position: `element` of the image, None outside."""

    position: int
    tap: int
    element: int | None


def places(shape: Geometry) -> list[Place]:
    found = []
    height, width, channels = shape.image
    for position in range(shape.positions):
        down, across = divmod(position, shape.places[1])
        for tap in range(shape.taps):
            row, rest = divmod(tap, shape.kernel[1] * channels)
            column, channel = divmod(rest, channels)
            y = down * shape.stride[0] - shape.padding[0] + row
            x = across * shape.stride[1] - shape.padding[1] + column
            inside = 0 <= y < height and 0 <= x < width
            element = (y * width + x) * channels + channel if inside else None
            found.append(Place(position, tap, element))
    return found


# ---- forward, backward, gradient ---------------------------------------------------------------


@every
@pytest.mark.parametrize("training", [False, True])
def test_forward_is_a_sum_over_the_taps_inside_of_the_image(index: int, training: bool) -> None:
    """Saturations are counted once for each row of tiles at each position."""
    tiling, rounding = TILINGS[index], [Rounding.TRUNCATE, Rounding.NEAREST_EVEN][index % 2]
    unit = unit_of(tiling, index, relu=index % 3 > 0, round_activation=rounding)
    numbers, state = unit.stage.arithmetic, unit.state
    x = some(numbers.x, tiling.geometry.inputs, index)
    ahead = numbers.horizon if training and unit.settings.predict else 0
    weight = state.weight - ahead * state.velocity
    bias = state.bias - ahead * state.bias_velocity
    y, hits = unit.forward(x, training), set()
    seen = [place for place in places(tiling.geometry) if place.element is not None]
    for output in range(numbers.outputs):
        start = real(bias[output], numbers.weight)
        start = real(
            narrowed(start, numbers.bias_operand, numbers.round_operand)[0], numbers.bias_operand
        )
        sums = [start] * numbers.positions
        for place in seen:
            value = real(weight[output, place.tap], numbers.weight)
            operand, _ = narrowed(value, numbers.operand, numbers.round_operand)
            sums[place.position] += real(operand, numbers.operand) * real(
                x[place.element], numbers.x
            )
        for position, total in enumerate(sums):
            total = max(total, Fraction(0)) if numbers.relu else total
            expected, clipped = narrowed(total, numbers.y, rounding)
            assert y[position * numbers.outputs + output] == expected
            hits |= {(position, output // tiling.lanes.outputs)} if clipped else set()
    assert unit.saturations == len(hits)


@every
def test_backward_sums_all_windows_that_an_element_is_in(index: int) -> None:
    """Saturations are counted once for each word of a window that sees an element for the last time
    and lets its gradient through."""
    tiling, masks = TILINGS[index], index % 3 > 0
    unit = unit_of(tiling, index, masks=masks)
    numbers, state, shape = unit.stage.arithmetic, unit.state, tiling.geometry
    x, dy = some(numbers.x, shape.inputs, index), some(numbers.dy, shape.elements, index + 1)
    sums, last = [Fraction(0)] * shape.inputs, {}
    for place in places(shape):
        if place.element is None:
            continue
        last[place.element] = (place.position, tiling.column_of[place.tap])
        for output in range(shape.outputs):
            value = real(state.weight[output, place.tap], numbers.weight)
            operand, _ = narrowed(value, numbers.operand, numbers.round_operand)
            error = real(dy[place.position * shape.outputs + output], numbers.dy)
            sums[place.element] += real(operand, numbers.operand) * error
    dx, hits = unit.backward(dy, x), set()
    assert numbers.dx is not None
    for element, total in enumerate(sums):
        expected, clipped = narrowed(total, numbers.dx, numbers.round_error)
        shown = not masks or x[element] > 0
        assert dx[element] == (expected if shown else 0)
        hits |= {last[element]} if clipped and shown else set()
    assert unit.saturations == len(hits)


def test_windows_that_overlap_and_are_not_summed_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the layers whose windows do not overlap pass."""

    def overwritten(shape: Geometry, cut: Integers) -> Integers:
        image = np.zeros(shape.inputs + 1, np.int64)
        image[shape.covered] = cut
        return image[:-1]

    monkeypatch.setattr(Geometry, "scattered", overwritten)
    for index, tiling in enumerate(TILINGS[: 4 * len(ODD)]):
        covered = tiling.geometry.covered[tiling.geometry.covered >= 0]
        if len(np.unique(covered)) == len(covered):
            test_backward_sums_all_windows_that_an_element_is_in(index)
        else:
            with pytest.raises(AssertionError):
                test_backward_sums_all_windows_that_an_element_is_in(index)


def gradients(shape: Geometry, x: Integers, dy: Integers) -> dict[tuple[int, int], int]:
    """Of each weight (output, tap), and of each bias (output, -1) with an input of one."""
    found = dict.fromkeys(((o, k) for o in range(shape.outputs) for k in range(-1, shape.taps)), 0)
    for place in places(shape):
        for output in range(shape.outputs):
            error = int(dy[place.position * shape.outputs + output])
            if place.element is not None:
                found[output, place.tap] += error * int(x[place.element])
            if place.tap == 0:
                found[output, -1] += error
    return found


@every
@pytest.mark.parametrize("update", list(Rounding))
def test_an_update_moves_every_weight_by_the_sum_over_all_positions(
    index: int, update: Rounding
) -> None:
    """From the equations in `design.units.arithmetic`; one draw and one count for each tile."""
    tiling = TILINGS[index]
    unit = unit_of(tiling, index, round_update=update)
    numbers, shape = unit.stage.arithmetic, tiling.geometry
    for seed in (index, index + 50):  # the second update sees nothing of the first one's gradient
        before, unit.saturations = unit.state.copy(), 0
        x, dy = some(numbers.x, shape.inputs, seed), some(numbers.dy, shape.elements, seed + 1)
        unit.learn(dy // 8 if index % 2 else dy, x)
    dy = dy // 8 if index % 2 else dy
    states, hits = [before.generator], set()
    for _ in range(tiling.tiles):
        states.append(step(states[-1]))
    k, one = numbers.momentum_shift, Fraction(2) ** numbers.velocity.frac
    for (output, tap), total in gradients(shape, x, dy).items():
        bias = tap < 0
        tile = int(tiling.tile_of[output, max(tap, 0)])
        frac = numbers.dy.frac + (0 if bias else numbers.x.frac)
        effect = Fraction(total, 2**frac) / 2**numbers.rate_shift
        w, u = (
            (before.bias[output], before.bias_velocity[output])
            if bias
            else (before.weight[output, tap], before.velocity[output, tap])
        )
        velocity = u / one
        draw = states[tile + 1]
        low = Fraction(draw % 2**numbers.velocity_drop, 2**numbers.velocity_drop)
        whole = rounded(((1 - Fraction(1, 2**k)) * velocity + effect) * one, update, low)
        u_next = clip(whole, numbers.velocity)
        change = u_next
        if unit.settings.compensate:
            c = Fraction(numbers.compensation, 2**COMPENSATION_FRAC)
            high = Fraction(draw >> (RANDOM_BITS - numbers.weight_drop), 2**numbers.weight_drop)
            exact = 2**k * effect + c * (velocity - 2**k * effect)
            change = rounded(exact * one, update, high)
        w_next = clip(int(w) - change, numbers.weight)
        now = unit.state
        found = (
            (now.bias[output], now.bias_velocity[output])
            if bias
            else (now.weight[output, tap], now.velocity[output, tap])
        )
        assert found == (w_next, u_next), (output, tap)
        clipped = u_next != whole or w_next != int(w) - change
        hits |= {tile} if clipped else set()
    assert unit.saturations == len(hits)
    assert unit.state.generator == states[-1 if update is Rounding.STOCHASTIC else 0]
