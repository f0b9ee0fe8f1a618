"""The norm in exact integers, against plain Python: fractions, rounded where the unit rounds."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from counterflow.design.network.complaints import complaint
from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import Kind, updates_in_flight
from counterflow.design.schedule.planner import plan
from counterflow.design.units.norm_times import update_cycles
from counterflow.design.units.normalisation import ROOTS
from counterflow.golden.parts.generator import step
from counterflow.golden.units import norm as norm_module
from counterflow.golden.units.norm import Norm
from counterflow.golden.units.update import Settings
from counterflow.sim.shapes import network
from tests.norm_streams import (
    GENERATOR,
    PLAIN,
    Numbers,
    Passed,
    around,
    golden,
    kinds_of,
    noise,
    passed,
    stage_of,
)

COUNT = 40
Value = Fraction | int


def half_up(value: Value, frac: int) -> Fraction:
    """The nearest number of `frac` fraction bits, the upper one of two."""
    return Fraction(math.floor(value * 2**frac + Fraction(1, 2)), 2**frac)


def to_even(value: Value, frac: int) -> Fraction:
    return Fraction(round(Fraction(value) * 2**frac), 2**frac)


class Plain:
    """A norm as its docstrings have it, a channel and a pixel at a time, in real values.

    Statistics are in units of 1, not of last places.  ``clipped`` counts saturations.
    """

    def __init__(self, numbers: Numbers, description: Description, delay: int) -> None:
        self.x, self.y, self.dy, self.dx, self.weight, self.velocity = map(Format.parse, numbers)
        unit = next(one for one in description.graph.units if one.kind == "norm")
        self.wanted = unit.inputs[0].wanted
        height, width, self.channels = unit.inputs[0].shape
        self.pixels, self.recipe, self.delay = height * width, description.recipe, delay
        self.stochastic = description.rounding.update.value == "stochastic"
        self.horizon = updates_in_flight(self.recipe, delay + 1) * self.recipe.horizon
        places = 256 * 4**self.x.frac
        one = Fraction(min(places, self.largest_variance()), places)
        self.channel = [
            dict.fromkeys(("beta", "u", "mean", "c", "shift"), Fraction(0)) | {"variance": one}
            for _ in range(self.channels)
        ]
        self.history = [self.copy(), self.copy()]  # what slot j sees is history[j]
        self.waiting = [Fraction(0)] * self.channels
        self.generator, self.clipped = GENERATOR, 0
        self.hats: dict[int, list[list[tuple[Fraction, Fraction]]]] = {}

    def largest_variance(self) -> int:
        magnitude_bits = self.x.bits - self.x.signed
        return 2 ** min(31, 2 * magnitude_bits + 8) - 1

    def copy(self) -> list[dict[str, Fraction]]:
        return [dict(one) for one in self.channel]

    def limited(self, value: Value, number: Format, counts: bool = False) -> Fraction:
        low, high = Fraction(number.min, 2**number.frac), Fraction(number.max, 2**number.frac)
        found = min(max(Fraction(value), low), high)
        self.clipped += counts and found != value
        return found

    def share(self, total: Value, frac: int) -> Fraction:
        """`total` over the pixels: exact where these are a power of two, else by eleven bits."""
        exponent = (self.pixels - 1).bit_length()
        by = Fraction(round(2 ** (exponent + 10) / self.pixels), 2 ** (exponent + 10))
        return half_up(total * by, frac)

    def root(self, variance: Fraction) -> Fraction:
        """One over the deviation, by its table; a squared last place is added to the variance."""
        places = int(variance * 4**self.x.frac * 256) + 256
        h = (places.bit_length() - 1) // 2
        sixteenth = places * 16 // 4**h - 16
        entry = round(256 / math.sqrt(1 + (sixteenth + 0.5) / 16))
        return Fraction(entry, 256) / Fraction(2) ** (h - 4) * 2**self.x.frac

    def slot(self, j: int, x: list[list[int]], dy: list[list[int]], kinds: list[Kind]) -> Any:
        """(y of token j, dx of token j - delay or None), [pixels][channels]."""
        seen, learns = self.history[j], kinds[j].learns
        ys, hats, sums = [], [], []
        for channel in range(self.channels):
            now = seen[channel]
            centre, root = half_up(now["mean"], self.x.frac + 2), self.root(now["variance"])
            beta = now["beta"]
            if learns and self.recipe.predicts:
                beta = beta - self.horizon * now["u"]
            bits = self.weight.bits - self.weight.frac + self.y.frac
            operand = Format(True, bits, self.y.frac)
            beta = self.limited(to_even(beta, self.y.frac), operand)
            column, hat = [], []
            d = [Fraction(one[channel], 2**self.x.frac) - centre for one in x]
            for one in d:
                exact = half_up(one * root, self.y.frac)
                xhat = self.limited(exact, self.y)
                y = self.limited(xhat + beta, self.y)
                self.clipped += xhat != exact or y != xhat + beta
                column.append(y)
                hat.append((y - beta, root))
            ys.append(column)
            hats.append(hat)
            mean = centre + self.share(sum(d), self.x.frac + 8)
            squares = self.share(sum(one * one for one in d), 2 * self.x.frac + 8)
            sums.append((mean, squares))
        self.hats[j] = hats
        dx = self.back(j, dy, kinds)
        if learns:
            for now, (mean, squares) in zip(self.channel, sums, strict=True):
                number = Format(True, self.x.bits + 8 + (not self.x.signed), self.x.frac + 8)
                moved = half_up((mean - now["mean"]) / 128, self.x.frac + 8)
                now["mean"] = self.limited(now["mean"] + moved, number)
                frac = 2 * self.x.frac + 8
                moved = now["variance"] + half_up((squares - now["variance"]) / 128, frac)
                most = Fraction(self.largest_variance(), 2**frac)
                now["variance"] = min(max(moved, Fraction(0)), most)
        self.history.append(self.copy())
        return ys, dx

    def back(self, j: int, dy: list[list[int]], kinds: list[Kind]) -> Any:
        token = j - self.delay
        if token < 0:
            return None
        hats, kind = self.hats.pop(token), kinds[token]
        if not kind.learns:
            return [[Fraction(0)] * self.pixels for _ in range(self.channels)]
        found, errors = [], []
        for channel, now in enumerate(self.channel):
            seen, hat = self.history[j][channel], hats[channel]
            error = [Fraction(one[channel], 2**self.dy.frac) for one in dy]
            frac = (self.dx if self.wanted else self.dy).frac + 4
            held = half_up(seen["shift"] / 128, frac)
            z = [
                one - half_up(seen["c"] * xhat / 128, self.dy.frac + 2)
                for one, (xhat, _) in zip(error, hat, strict=True)
            ]
            wide = [half_up(a * root, frac) - held for a, (_, root) in zip(z, hat, strict=True)]
            errors.append(sum(error))
            if not self.wanted:
                continue
            found.append([self.limited(to_even(one, self.dx.frac), self.dx, True) for one in wide])
            products = sum(a * xhat for a, (xhat, _) in zip(z, hat, strict=True))
            now["c"] = self.limited(now["c"] + self.share(products, 16), Format(True, 18, 16))
            moved = now["shift"] + self.share(sum(wide), 18)
            now["shift"] = self.limited(moved, Format(True, 20, 18))
        self.waiting = [one + more for one, more in zip(self.waiting, errors, strict=True)]
        if kind is Kind.TRAIN:
            self.learn()
        return found if self.wanted else [[Fraction(0)] * self.pixels] * self.channels

    def learn(self) -> None:
        """The update of docs/numbers.md; velocity and weight take the ends of one draw."""
        recipe, frac = self.recipe, self.weight.frac
        exact = max(frac + recipe.momentum_shift, self.dy.frac + recipe.rate_shift)
        for channel, now in enumerate(self.channel):
            g = Fraction(recipe.learning_rate) * self.waiting[channel]
            old, m = now["u"], Fraction(recipe.momentum)
            self.generator = step(self.generator) if self.stochastic else self.generator
            drop = exact - frac

            def rounded(value: Fraction, bits: int, draw: int) -> Fraction:
                if not self.stochastic:
                    return to_even(value, frac)
                chance = Fraction(draw, 2**bits)
                return Fraction(math.floor(value * 2**frac + chance), 2**frac)

            low = self.generator % 2**drop
            u = rounded(m * old + g, drop, low)
            now["u"] = self.limited(u, self.velocity)
            move, clips = now["u"], now["u"] != u
            if recipe.compensates:
                c = Fraction(min(round(float(m ** (self.horizon + 1)) * 256), 255), 256)
                heavy = g * 2**recipe.momentum_shift
                high = self.generator >> 32 - drop - 8
                move = rounded(heavy + c * (old - heavy), drop + 8, high)
            beta = now["beta"] - move
            now["beta"] = self.limited(beta, self.weight)
            self.clipped += clips or now["beta"] != beta
            self.waiting[channel] = Fraction(0)


FORMATS = {
    "plain": PLAIN,
    "coarse": Numbers("s6.2", "s5.2", "s6.4", "s6.3", "s8.6", "s7.6"),
    "fine": Numbers("s16.10", "s13.8", "s18.14", "s16.12", "s28.24", "s24.24"),
    "unsigned": Numbers("u8.8", "s8.4", "s9.9", "s12.10", "s20.18", "s18.18"),
    "no fraction": Numbers("s8.0", "s4.0", "s6.0", "s7.4", "s12.10", "s12.10"),
}
STREAMS: dict[str, tuple[Numbers, dict[str, Any]]] = {
    **{name: (numbers, {}) for name, numbers in FORMATS.items() if name != "unsigned"},
    "unsigned, at the input": (FORMATS["unsigned"], {"first": True}),
    "predicted": (PLAIN, {"mitigation": "lwpv", "horizon": 2}),
    "compensated, stochastic": (PLAIN, {"mitigation": "lwpv+sc", "update": "stochastic"}),
    "three samples an update": (FORMATS["coarse"], {"mitigation": "lwpv+sc", "accumulate": 3}),
    "pixels of a power of two": (PLAIN, {"image": (4, 4, 3), "update": "stochastic"}),
    "before a pool, no ReLU": (PLAIN, {"returned": False, "activation": "none"}),
    "before a pool": (FORMATS["fine"], {"returned": False}),
}


def stream(name: str, seed: int = 0) -> tuple[Norm, list[Kind], Any, Any]:
    """A unit and tokens of all kinds: noise of whole ranges, then images that are nearly still."""
    numbers, fields = STREAMS[name]
    unit, random = golden(stage_of(numbers, **fields)), np.random.default_rng(seed)
    unit.settings = Settings(
        unit.stage.numbers.parameters.predicts, unit.stage.numbers.parameters.compensates
    )
    size = unit.numbers.elements
    xs = noise(random, unit.numbers.x, COUNT, size)
    xs[COUNT // 2 :] //= 16
    dys = noise(random, unit.numbers.dy, COUNT, size)
    dys[::2] //= 32
    return unit, kinds_of(COUNT, seed), xs, dys


def check(name: str, early: int = 0) -> Norm:
    """Every y, every dx, every state and the count of saturations.

    Gradients come `early` slots before the one whose update they belong to.
    """
    unit, kinds, xs, dys = stream(name)
    numbers, fields = STREAMS[name]
    delay = unit.stage.delay
    plain = Plain(numbers, around(numbers, **fields), delay)
    found = passed(unit, kinds, xs, dys, delay - early)
    compare(plain, unit, found, kinds, xs, dys)
    if not early:  # else the last gradients have been sent back, too
        assert unit.saturations == plain.clipped
    return unit


def compare(plain: Plain, unit: Norm, found: Passed, kinds: list[Kind], xs: Any, dys: Any) -> None:
    shape, returned = (-1, plain.channels), unit.stage.unit.outputs[0]
    fine = {
        "beta": plain.weight.frac,
        "beta_velocity": plain.weight.frac,
        "mean": plain.x.frac + 8,
        "variance": 2 * plain.x.frac + 8,
        "scale_control": 16,
        "shift_control": 18,
    }
    names = dict(zip(fine, ("beta", "u", "mean", "variance", "c", "shift"), strict=True))
    for j in range(COUNT):
        token, dy = j - plain.delay, [[0] * plain.channels] * plain.pixels
        if token >= 0:
            masked = dys[token]
            if returned.rectified:
                masked = np.where(found.ys[token] > 0, masked, 0)
            dy = masked.reshape(shape).tolist()
        ys, dx = plain.slot(j, xs[j].reshape(shape).tolist(), dy, kinds)
        expected = np.array([[int(one * 2**plain.y.frac) for one in ch] for ch in ys]).T
        if returned.rectified and not returned.returned:
            expected = np.maximum(expected, 0)
        assert found.ys[j].reshape(shape).tolist() == expected.tolist()
        if dx is not None:
            scale = 2**plain.dx.frac if plain.wanted else 1
            wanted = np.array([[int(one * scale) for one in ch] for ch in dx]).T
            assert found.dxs[token].reshape(shape).tolist() == wanted.tolist()
        for name, values in found.states[j].arrays.items():
            exact = [now[names[name]] * 2 ** fine[name] for now in plain.channel]
            assert values.tolist() == exact, (j, name)
        assert found.states[j].generator == plain.generator


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_all_kinds_of_tokens_is_what_plain_python_makes_of_it(name: str) -> None:
    check(name)


@pytest.mark.parametrize("early", [1, 2, 3])
def test_gradients_that_come_early_wait_and_see_the_same(early: int) -> None:
    """They leave at most two slots before the update that they belong to."""
    unit = check("three samples an update", early)
    assert unit.stage.delay == 3
    assert unit.returns(token=COUNT + 1 - 3)
    assert not unit.returns(token=COUNT + 2 - 3)


def test_the_streams_have_all_that_can_be() -> None:
    stages = [stage_of(numbers, **fields) for numbers, fields in STREAMS.values()]
    outputs = [stage.unit.outputs[0] for stage in stages]
    assert {edge.returned for edge in outputs} == {edge.rectified for edge in outputs} == {0, 1}
    assert {stage.numbers.dx is None for stage in stages} == {False, True}
    assert {stage.numbers.x.signed for stage in stages} == {False, True}
    assert any(stage.numbers.lift for stage in stages)
    assert any(not stage.numbers.lift for stage in stages)
    assert min(stage.numbers.scale_share.shift for stage in stages) <= 0
    assert all(check(name).saturations > 0 for name in ("coarse", "fine"))


def replaced(name: str, change: Any) -> Any:
    """A fault: a method of the unit, changed."""
    return (norm_module.Norm, name, change(getattr(norm_module.Norm, name)))


def of_now(update: Any) -> Any:
    def changed(self: Norm, moves: bool) -> Any:
        found = update(self, moves)
        self._views[self.updates - 2] = self._views[self.updates - 1]
        return found

    return changed


def always(update: Any) -> Any:
    return lambda self, moves: update(self, moves or bool(self._backward))


def unseen(forward: Any) -> Any:
    return lambda self, x, training: forward(self, x, True)


FAULTS = {
    "a slot too new": replaced("update", of_now),
    "every token moves beta": replaced("update", always),
    "every token moves statistics": replaced("forward", unseen),
    "rounded down": (norm_module, "_half_up", lambda value, drop: value >> drop),
    "half the way": (norm_module, "DECAY", 8),
    "no image's share": (norm_module, "_shared", lambda total, share: total),
    "roots off by one": (norm_module, "ROOTS", tuple(one - 1 for one in ROOTS)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*fault)
    with pytest.raises(AssertionError):
        check("three samples an update")
    with pytest.raises(AssertionError):
        check("fine")


# ---- roots -------------------------------------------------------------------------------------


def test_roots_are_within_the_bound_that_they_are_said_to_have() -> None:
    """Every octave and step, at both of its ends: between them the root falls."""
    unit = golden(stage_of(FORMATS["fine"]))
    lowest, highest = unit.numbers.halvings
    worst = 0.0
    for h in range(lowest, highest + 1):
        first = [2 ** (2 * h - 4) * (16 + i) for i in range(48)]
        ends = [one - 1 for one in first[1:]] + [4 ** (h + 1) - 1]
        variances = np.array(first + ends) - 256  # the unit adds a squared last place
        found = seen(unit, variances)
        exact = 1 / np.sqrt(np.array(first + ends) / 256)
        worst = max(worst, float(np.abs(found / exact - 1).max()))
    assert 0.0150 < worst < 0.016


def test_every_small_variance_has_the_root_of_its_step() -> None:
    """All of 0 to 2^16: the octaves of 1 to 257 squared last places, without leaving any out."""
    unit, variances = golden(stage_of(FORMATS["fine"])), np.arange(2**16)
    exact = 1 / np.sqrt((variances + 256) / 256)
    assert np.abs(seen(unit, variances) / exact - 1).max() < 0.016
    assert len(ROOTS) == 48
    assert ROOTS[0] < 2**8
    assert sorted(ROOTS, reverse=True) == list(ROOTS)
    assert ROOTS[-1] >= 2**7


def seen(unit: Norm, variances: Any) -> Any:
    """One over the deviation that tokens see, in last places of x."""
    unit.state.variance = variances
    channels = len(variances)
    unit.state.beta = unit.state.beta_velocity = np.zeros(channels, np.int64)
    view = unit._view()
    return view.root / 2**8 / 2.0 ** (view.halvings - 4)


# ---- what is held, and what is loaded ----------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "unsigned, at the input"])
def test_what_the_bus_carries_is_the_state_again(name: str) -> None:
    numbers, fields = STREAMS[name]
    stage, random = stage_of(numbers, **fields), np.random.default_rng(1)
    state = golden(stage).state
    for one in stage.parameters:
        setattr(state, one.name, noise(random, one.number, *one.shape))
    (pairs,) = stage.to_pairs(state)
    (block,) = stage.blocks
    assert pairs.first.shape == pairs.second.shape == (block.words, block.lanes)
    again = stage.from_pairs([pairs])
    assert {name: again[name].tolist() for name in state.arrays} == {
        name: values.tolist() for name, values in state.arrays.items()
    }
    names = [one.name for one in stage.parameters]
    for channel in range(stage.numbers.channels):
        for pair in range(3):
            word = 3 * channel + pair
            first, second = (state.arrays[names[2 * pair + half]][channel] for half in (0, 1))
            assert (pairs.first[word, 0], pairs.second[word, 0]) == (first, second)
    assert all(one.number.bits <= 32 for one in stage.parameters)


def test_a_norm_begins_with_mean_0_and_variance_1_or_the_largest_that_there_is() -> None:
    for name, variance in (("plain", 2**18), ("fine", 2**28), ("coarse", 2**12)):
        numbers, fields = STREAMS[name]
        found = stage_of(numbers, **fields).initial()
        assert found.pop("variance").tolist() == [variance] * 2
        assert not any(one.any() for one in found.values())
    unit = stage_of(Numbers(x="s8.8"))
    assert unit.initial()["variance"].tolist() == [unit.numbers.variance.max] * 2


# ---- what cannot be ----------------------------------------------------------------------------

RECTIFIED = (
    "what it normalises comes from a ReLU; give the layer below the activation 'none' and a "
)
FEW = "but running statistics need images of at least 4 pixels; leave the norm out there."
UNFIT = "but what is normalised is signed, and at most 8 fraction bits of it can be made; use one"
WIDE = "too wide for sums over 64 pixels; use one with fewer bits, such as s12.5."
ROOM = "leaves no room for the running statistics of gradients; use one such as s12.12."
BELOW = "leaves no room for their running mean; give the layer below one of error such as s12.12."
Formats = dict[str, str]
WRONG: dict[str, tuple[Formats, Formats, str]] = {
    "too fine": (
        {},
        {"activation": "s12.9"},
        f"layers[1]: its format of activations is s12.9, {UNFIT} such as s9.5.",
    ),
    "unsigned": (
        {},
        {"activation": "u8.4"},
        f"layers[1]: its format of activations is u8.4, {UNFIT} such as s9.5.",
    ),
    "wide": (
        {"activation": "s24.12"},
        {},
        f"layers[1]: what it normalises has the format s24.12, {WIDE}",
    ),
    "gradients of many bits": (
        {},
        {"error": "s22.12"},
        f"layers[1]: its format of error, s22.12, {ROOM}",
    ),
    "gradients too fine": (
        {},
        {"activation": "s4.0", "error": "s20.21"},
        f"layers[1]: its format of error, s20.21, {ROOM}",
    ),
    "gradients too fine below": (
        {"error": "s14.21"},
        {},
        f"layers[1]: the format of gradients that leave it, s14.21, {BELOW}",
    ),
}


def complained(image: tuple[int, int, int], below: dict[str, Any], own: dict[str, Any]) -> str:
    """What is said of a norm behind a layer."""
    layers = [{"kind": "convolution", "outputs": 4, "kernel": 1, **below}, {"kind": "norm", **own}]
    with pytest.raises(ValidationError) as error:
        network(image, layers, formats={"error": "s12.10"})
    return complaint(error.value, Description)


@pytest.mark.parametrize(("below", "own", "said"), WRONG.values(), ids=WRONG)
def test_formats_that_cannot_be_are_said_in_a_sentence(
    below: Formats, own: Formats, said: str
) -> None:
    linear = {"activation": "none", "formats": {"activation": "s12.5", **below}}
    assert complained((8, 8, 1), linear, {"formats": own}) == said


def test_a_norm_behind_a_relu_or_of_few_pixels_is_refused() -> None:
    said = complained((8, 8, 1), {}, {})
    assert said == f"layers[1], a norm layer: {RECTIFIED} and a signed format such as s12.5."
    linear = {"activation": "none", "formats": {"activation": "s12.5"}}
    said = complained((1, 3, 1), linear, {})
    assert said == f"layers[1], a norm layer: it gets images of 1x3x4, {FEW}"


def test_a_norm_behind_a_residual_layer_with_a_relu_is_refused() -> None:
    inner = {"kind": "convolution", "outputs": 4, "kernel": 1}
    below = {"kind": "residual", "body": [inner], "activation": "relu"}
    with pytest.raises(ValidationError, match="what it normalises comes from a ReLU"):
        network((8, 8, 1), [inner, below, {"kind": "norm"}])


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"statistics": "batch"}, "layers[1].statistics is the text 'batch', expected 'running'."),
        ({"activation": "tanh"}, "layers[1].activation is the text 'tanh', expected 'relu' or "),
        ({"momentum": 0.9}, "unknown key 'momentum' in layers[1]; Possible are kind, statistics,"),
    ],
)
def test_keys_that_cannot_be_are_said_in_a_sentence(own: dict[str, Any], said: str) -> None:
    assert complained((8, 8, 1), {}, own).startswith(said)


def test_a_velocity_that_does_not_match_its_weight_is_refused_by_the_planner() -> None:
    with pytest.raises(
        ValueError, match=r"layers\[1\]: velocity s14.17 and weight s20.18 must have"
    ):
        plan(around(PLAIN._replace(velocity="s14.17")))


def test_slots_leave_time_for_two_updates_however_few_the_pixels_are() -> None:
    schedule = plan(around(image=(2, 2, 10))).schedule
    (unit,) = (one for one in schedule.graph.units if one.kind == "norm")
    assert unit.bound == 2 * update_cycles(10) > unit.inputs[0].elements
    assert schedule.interval >= unit.bound
