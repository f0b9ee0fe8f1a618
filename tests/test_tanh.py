"""Tanh in exact integers: its tables against the true function, its times, depths and messages."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.schedule.planner import plan
from counterflow.design.units.convolution import ConvolutionUnit
from counterflow.design.units.loss import SoftmaxUnit
from counterflow.design.units.pool import PoolUnit
from counterflow.design.units.tanh import BACKWARD, FORWARD, SLOPE_FRAC, Tanh, TanhUnit
from counterflow.golden.units.tanh import Tanh as Golden
from counterflow.sim.shapes import network

FORMATS = [
    ("s10.6", "s8.7"),
    ("s8.5", "s8.6"),
    ("s12.8", "s10.8"),
    ("s5.2", "s4.3"),
    ("s6.0", "s2.0"),
]
TANH = {"activation": "tanh"}
CONV = {"kind": "convolution", "outputs": 2, "kernel": 3, **TANH}
SIGNED = {"formats": {"activation": "s8.7"}}


def tanh(x: str = "s10.6", y: str = "s8.7", **changes: Any) -> Tanh:
    """Tokens of six elements, two of which may be in the unit."""
    numbers: dict[str, Any] = {
        "elements": 6,
        "dy": Format.parse("s10.6"),
        "dx": Format.parse("s10.6"),
        "round_error": Rounding.NEAREST_EVEN,
        "stash_words": 12,
    }
    return Tanh(x=Format.parse(x), y=Format.parse(y), **(numbers | changes))


@pytest.mark.parametrize(("x", "y"), FORMATS)
def test_y_is_the_nearest_number_to_the_tanh_of_x_and_odd(x: str, y: str) -> None:
    unit = tanh(x, y)
    codes = np.arange(unit.x.min, unit.x.max + 1)
    found = Golden(unit).forward(codes)
    assert found.tolist() == unit.every_y.tolist()
    for code, value in zip(codes.tolist(), found.tolist(), strict=True):
        nearest = round(math.tanh(unit.x.value(abs(code) - (code == unit.x.min))) * 2**unit.y.frac)
        assert value == int(math.copysign(min(nearest, unit.y.max), code))
    np.testing.assert_array_equal(found[1:], -found[1:][::-1])
    assert found[0] == found[1]


def test_the_error_of_the_table_is_the_one_that_is_stated() -> None:
    """For s10.6 and s8.7: that of 127/128 for one, and half a last place before it gets there."""
    unit = tanh()
    assert unit.table_error == pytest.approx(math.tanh(8) - 127 / 128, abs=1e-15)
    assert 0.00781 < unit.table_error < 0.00782
    codes = np.arange(unit.x.min, unit.x.max + 1)
    apart = np.abs(unit.every_y / 128 - np.tanh(codes / 64))
    inside = np.abs(unit.every_y) < 127
    assert apart[inside].max() == pytest.approx(0.0038826, abs=1e-7)
    assert 0.01562 < unit.slope_error < 0.01563
    assert tanh(y="s9.7").table_error < 0.00389  # which has a one


@pytest.mark.parametrize(("x", "y"), FORMATS)
def test_the_gradient_is_the_exact_one_of_the_table_of_slopes_rounded_once(x: str, y: str) -> None:
    for rounding, dx in ((Rounding.NEAREST_EVEN, "s10.6"), (Rounding.TRUNCATE, "s7.5")):
        unit = tanh(x, y, dx=Format.parse(dx), round_error=rounding)
        golden = Golden(unit)
        random = np.random.default_rng(1)
        sums = random.integers(unit.x.min, unit.x.max + 1, 500)
        dy = random.integers(unit.dy.min, unit.dy.max + 1, 500)
        found = golden.backward(dy) if len(golden.forward(sums)) else None
        assert found is not None
        for value, one, result in zip(unit.every_y[sums - unit.x.min], dy, found, strict=True):
            slope = 1 - Fraction(int(value), 2**unit.y.frac) ** 2
            near = round(slope * 2**SLOPE_FRAC)
            exact = Fraction(int(one) * near, 2 ** (unit.dy.frac + SLOPE_FRAC - unit.dx.frac))
            whole = round(exact) if rounding is Rounding.NEAREST_EVEN else math.floor(exact)
            assert result == min(max(whole, unit.dx.min), unit.dx.max)


def test_gradients_belong_to_the_token_that_has_waited_longest() -> None:
    unit, alone = Golden(tanh()), Golden(tanh())
    random = np.random.default_rng(3)
    tokens = random.integers(-200, 200, (4, 6))
    dy = np.full(6, 400)
    for x in tokens:
        unit.forward(x)
    other = unit.copy()
    for x in tokens:
        alone.forward(x)
        np.testing.assert_array_equal(unit.backward(dy), alone.backward(dy))
    with pytest.raises(IndexError):
        unit.backward(dy)
    assert len(other.remembered) == 4
    other.reset()
    assert not other.remembered


def test_elements_leave_a_fixed_time_after_they_came_and_the_stash_is_what_is_between() -> None:
    unit, times = tanh(), np.array([0, 1, 5, 6, 7, 20])
    assert (unit.output_times(times) - times).tolist() == [FORWARD] * 6
    assert (unit.gradient_times(times) - times).tolist() == [BACKWARD] * 6
    assert unit.sized(times, times + 10, 30).stash_words == 5  # of one token, whose first are back
    assert unit.sized(np.arange(6), np.arange(6) + 60, 30).stash_words == 2 * 6 + 1


WRONG = [
    ({"x": "u8.4"}, "format of x is u8.4, but must be signed"),
    ({"y": "s13.11"}, "format of y is s13.11, but must be signed and of at most 12 bits"),
    ({"elements": 0}, "elements is 0, but must be positive"),
    ({"stash_words": 0}, "stash_words is 0, but must be positive"),
    ({"round_error": Rounding.STOCHASTIC}, "no random bits"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=lambda part: str(part)[:40])
def test_what_cannot_be_built_is_refused_in_a_sentence(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tanh(**changes)


# ---- in a network ------------------------------------------------------------------------------


def test_a_tanh_is_a_unit_behind_its_layer_and_no_gradient_is_masked_behind_it() -> None:
    description = network(
        (8, 8, 1), [CONV, {"kind": "average-pool"}, {"outputs": 4, **TANH}], **SIGNED
    )
    units = description.graph.units
    kinds = [type(unit) for unit in units]
    assert kinds == [
        ConvolutionUnit,
        TanhUnit,
        PoolUnit,
        ConvolutionUnit,
        TanhUnit,
        ConvolutionUnit,
        SoftmaxUnit,
    ]
    for unit, name, shape in ((units[1], "tanh0", (6, 6, 2)), (units[4], "tanh2", (1, 1, 4))):
        assert unit.name == name
        assert unit.where == f"layers[{name[-1]}]"
        assert [edge.shape for edge in (*unit.inputs, *unit.outputs)] == [shape, shape]
    graph = description.graph
    assert [graph.maker(units[index].inputs[0]) for index in (1, 4)] == [units[0], units[3]]
    assert not any(edge.rectified for edge in graph.edges)
    for stage in plan(description).schedule.stages:
        assert not stage.arithmetic.masks


def test_formats_of_sums_and_of_activations_are_the_networks_or_the_layers() -> None:
    own = {"formats": {"preactivation": "s9.5", "activation": "s9.7"}}
    description = network(6, [{"outputs": 5, **TANH}, {"outputs": 4, **TANH, **own}], **SIGNED)
    stages, passing = plan(description).schedule.stages, plan(description).schedule.passing
    assert [str(stage.arithmetic.y) for stage in stages] == ["s10.6", "s9.5", "s12.6"]
    assert [str(stage.arithmetic.x) for stage in stages] == ["u8.8", "s8.7", "s9.7"]
    assert [(str(one.numbers.x), str(one.numbers.y)) for one in passing] == [
        ("s10.6", "s8.7"),
        ("s9.5", "s9.7"),
    ]


def test_its_multiplier_is_in_the_budget_but_no_lane() -> None:
    layers = [{"outputs": 5, **TANH}, {"outputs": 4, **TANH}]
    schedule = plan(network(6, layers, **SIGNED, fold={"multipliers": 20})).schedule
    assert schedule.multipliers == schedule.lane_multipliers + 2 <= 20
    assert schedule.utilisation == schedule.useful / (schedule.lane_multipliers * schedule.interval)
    with pytest.raises(ValueError, match=r"fold.multipliers is 4, but net needs at least 5"):
        plan(network(6, layers, **SIGNED, fold={"multipliers": 4}))


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (TANH, {}, r"layers\[0\] has activation 'tanh', .* u8.4, holds no negative .* such as s8.7"),
    (TANH, {"formats": {"activation": "s14.13"}}, "format of activations is s14.13; for its table"),
    (
        {**TANH, "formats": {"preactivation": "u10.6"}},
        SIGNED,
        r"layers\[0\] .* format of preactivation is u10.6; .* signed and have at most 12 bits",
    ),
    ({"formats": {"preactivation": "s10.6"}}, {}, "only a layer with activation 'tanh' can have"),
]


@pytest.mark.parametrize(("layer", "fields", "message"), REFUSED, ids=range(len(REFUSED)))
def test_wrong_descriptions_are_refused(layer: Any, fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(6, [{"outputs": 5, **layer}], **fields)


def test_the_last_layer_has_none() -> None:
    with pytest.raises(ValueError, match="must have 'none'"):
        Description.model_validate({"name": "net", "inputs": 6, "layers": [{"outputs": 3, **TANH}]})
