"""Norms of groups: their description, their arithmetic, golden against plain Python, gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from counterflow.design.network.description import Description
from counterflow.design.network.files import DescriptionError, parse, to_toml
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import plan
from counterflow.design.units.group_norm import GroupNormUnit
from counterflow.design.units.group_times import GroupNormStage
from counterflow.design.units.normal import ROOTS
from counterflow.golden.reference.rules import Rule
from counterflow.golden.reference.units.group_norm import GroupNorm as Reference
from counterflow.golden.units import group_norm as golden_module
from counterflow.golden.units import normal as normal_module
from counterflow.golden.units.group_norm import GroupNorm, GroupNormState
from counterflow.golden.units.update import Settings
from counterflow.sim.shapes import network
from tests.group_norms import NETWORKS, design, group_norm, linear

# ---- description -------------------------------------------------------------------------------

TEXT = """
name = "net"
inputs = [4, 4, 1]
layers = [
    { kind = "convolution", outputs = 4, kernel = 3, padding = 1, activation = "none" },
    { kind = "norm", OWN },
    { outputs = 3, activation = "none" },
]
formats.activation = "s12.5"
"""


def described(own: str) -> Description:
    return parse(TEXT.replace("OWN", own), "net.toml")


def test_two_channels_are_a_group_unless_it_is_said_how_many() -> None:
    said, unsaid = described('statistics = "group", group = 2'), described('statistics = "group"')
    assert said == unsaid
    assert said.hash() == unsaid.hash()
    assert parse(to_toml(unsaid)) == unsaid
    (unit,) = (one for one in unsaid.graph.units if isinstance(one, GroupNormUnit))
    assert unit.group == 2
    assert unit.name == "norm1"
    assert described('statistics = "group", group = 4').hash() != unsaid.hash()


def test_a_norm_with_running_statistics_is_written_without_a_group() -> None:
    running = described('statistics = "running"')
    assert running == described('activation = "relu"')
    assert running.hash() == "f88b210ba4f9"  # as it was before there were groups
    assert "group" not in running.model_dump(mode="json")["layers"][1]
    assert "group" not in to_toml(running)


@pytest.mark.parametrize("own", ['statistics = "running"', 'statistics = "group"'])
def test_a_norm_without_a_gamma_is_written_without_one(own: str) -> None:
    plain, scaled = described(own), described(f"{own}, gamma = true")
    assert described(f"{own}, gamma = false").hash() == plain.hash() != scaled.hash()
    assert "gamma" not in to_toml(plain)
    assert parse(to_toml(scaled)) == scaled
    assert scaled.parameters == plain.parameters + 4
    assert scaled.other_multipliers == plain.other_multipliers + 3


@pytest.mark.parametrize(
    ("image", "layers", "said"),
    [
        (
            (4, 4, 1),
            [linear(4), group_norm(3)],
            "layers[1], a norm layer: its group of 3 channels does not divide the 4 channels of "
            "the 4x4x4 that it gets; group can be 1, 2 or 4",
        ),
        (
            (1, 3, 1),
            [linear(4), group_norm()],
            "layers[1], a norm layer: it gets images of 1x3x4 and normalises 3 pixels x 2 channels "
            "= 6 numbers together, but statistics need at least 8; group can be 4",
        ),
        (
            (1, 1, 1),
            [linear(4), group_norm(4)],
            "layers[1], a norm layer: it gets images of 1x1x4 and normalises 1 pixels x 4 channels "
            "= 4 numbers together, but statistics need at least 8; leave the norm out there",
        ),
        (
            (4, 4, 1),
            [linear(4), {"kind": "norm", "group": 2}],
            "layers[1], a norm layer: its group is 2, but running statistics are of each channel "
            "alone; leave group out, or give it statistics = 'group'",
        ),
        (
            (4, 4, 1),
            [{**linear(4), "activation": "relu"}, group_norm()],
            "layers[1], a norm layer: what it normalises comes from a ReLU; give the layer below "
            "the activation 'none' and a signed format such as s12.5",
        ),
        (
            (4, 4, 1),
            [linear(4), group_norm(formats={"activation": "u8.4"})],
            "layers[1], a norm layer: its format of activations is u8.4, but what is normalised is "
            "signed, and at most 8 fraction bits of it can be made; use one such as s9.5",
        ),
        (
            (4, 4, 1),
            [{**linear(4), "formats": {"activation": "s24.8"}}, group_norm()],
            "layers[1], a norm layer: what it normalises has the format s24.8, too wide for sums "
            "of squares over 32 numbers; a format of fewer bits would do, or a smaller group",
        ),
        (
            (4, 4, 1),
            [linear(4), group_norm(formats={"error": "s24.12"})],
            "layers[1], a norm layer: its format of error is s24.12, which leaves no room for the "
            "means of gradients; use one such as s12.12",
        ),
    ],
)
def test_what_cannot_be_is_said(image: Any, layers: Any, said: str) -> None:
    formats = {"activation": "s12.5"}
    with pytest.raises(ValueError, match="layers") as error:
        network(image, layers, formats=formats)
    assert str(error.value.errors()[0]["ctx"]["error"]) == said  # type: ignore[attr-defined]


def test_no_group_of_nothing() -> None:
    with pytest.raises(DescriptionError, match=r"layers\[1\]\.group is 0, expected"):
        described('statistics = "group", group = 0')


# ---- time --------------------------------------------------------------------------------------


def stages() -> dict[str, GroupNormStage]:
    """Every norm of the networks, by network and name."""
    return {
        f"{name}: {stage.name}": stage
        for name in NETWORKS
        for stage in design(name).schedule.norms
        if isinstance(stage, GroupNormStage)
    }


STAGES = stages()
WANTED = [name for name, made in STAGES.items() if made.numbers.dx is not None]
SEEN = [  # whose y is xhat, with betas of zero
    name
    for name, made in STAGES.items()
    if made.unit.outputs[0].returned or not made.unit.outputs[0].rectified
]


def test_units_below_wait_longer_than_with_running_statistics() -> None:
    """An image each way, found by the schedule."""
    image, layers, fields = NETWORKS["behind the input, and in a residual body"]
    body = [
        {"kind": "norm"} if "kind" in layer and layer["kind"] == "norm" else layer
        for layer in layers[2]["body"]
    ]
    formats = {"activation": "s12.5", "error": "s14.12", "logit": "s12.6"}
    running = [layers[1], {**layers[2], "body": body}]
    grouped = [layers[1], layers[2]]
    delays = [
        plan(network(image, some, formats=formats, **fields)).schedule.weighted[0].delay
        for some in (running, grouped)
    ]
    assert delays[1] >= delays[0] + 2


@pytest.mark.parametrize("name", STAGES)
def test_an_image_is_read_back_when_it_is_complete_and_before_the_next_one(name: str) -> None:
    made = STAGES[name]
    elements = made.numbers.elements
    assert made.ends - made.start == elements - 1
    assert elements <= made.image <= 2 * elements
    if made.gradient_times is not None:
        went = made.gradient_times.later
        assert (np.diff(went) == 1).all()
        assert went[0] > made.errors.later[-1]
        assert elements <= made.image_back <= 2 * elements
    assert made.memory_bits == sum(words * bits for _, words, bits in made.memories)


# ---- golden ------------------------------------------------------------------------------------


def golden(made: GroupNormStage, seed: int = 0) -> GroupNorm:
    """A unit with any betas and gammas that its formats hold."""
    numbers, source = made.numbers.parameters, np.random.default_rng(seed)

    def values(number: Format) -> Any:
        return source.integers(number.min // 2, number.max // 2, made.numbers.channels)

    found = {one.name: values(one.number) for one in made.parameters}
    state = GroupNormState(**found, generator=seed + 1)
    return GroupNorm(made, state, Settings(numbers.predicts, numbers.compensates))


def half_up(value: int, drop: int) -> int:
    """`value` / 2^drop, to the nearest integer, halves up."""
    return math.floor(Fraction(value, 2**drop) + Fraction(1, 2)) if drop > 0 else value << -drop


def clipped(value: int, number: Format) -> int:
    return min(max(value, number.min), number.max)


class Plain:
    """The equations of `design.units.group_normalisation`, number by number."""

    def __init__(self, made: GroupNormStage) -> None:
        self.numbers = made.numbers
        self.rectified = made.unit.outputs[0].rectified and not made.unit.outputs[0].returned

    def members(self, image: Sequence[int], group: int) -> list[int]:
        """Where the numbers of a group stand."""
        channels, width = self.numbers.channels, self.numbers.group
        return [at for at in range(len(image)) if at % channels // width == group]

    def divided(self, total: int, count: int, frac: int, share: Any) -> int:
        """total / count with so many more fraction bits, as its constant gives it."""
        found = half_up(total * share.factor, share.shift)
        exact = Fraction(total * 2**frac, count) if frac >= 0 else Fraction(total, count << -frac)
        slack = abs(exact) / 2**11 + Fraction(1, 2)
        assert abs(found - exact) <= slack
        return found

    def forward(
        self, image: Sequence[int], beta: Sequence[int], gamma: Sequence[int] | None
    ) -> tuple[list[int], list[int], list[Any]]:
        """(xhat + beta before any ReLU, xhat as the way back finds it, (t, h) by group)."""
        numbers, y, roots = self.numbers, [0] * len(image), []
        hats = [0] * len(image)
        for group in range(numbers.groups):
            at = self.members(image, group)
            count = len(at)
            assert count == numbers.count
            total, squares = sum(image[i] for i in at), sum(image[i] ** 2 for i in at)
            centre = self.divided(total, count, 2, numbers.centre_share)
            assert abs(centre - Fraction(4 * total, count)) <= Fraction(9, 16)
            spread = count * squares - total * total
            assert 0 <= spread <= numbers.spread.max
            variance = self.divided(spread, count * count, 8, numbers.variance_share) + 256
            assert variance <= numbers.variance.max + 256
            h = 0
            while variance >= 4 ** (h + 1):
                h += 1
            assert numbers.halvings[0] <= h <= numbers.halvings[1]
            t = ROOTS[math.floor(Fraction(16 * variance, 4**h)) - 16]
            roots.append((t, h))
            for i in at:
                e = 4 * image[i] - centre
                assert abs(e) <= numbers.difference.max
                xhat = clipped(half_up(e * t, h + numbers.normal_shift), numbers.y)
                channel = i % numbers.channels
                scaled = xhat if gamma is None else half_up(gamma[channel] * xhat, 8)
                y[i] = clipped(scaled + beta[channel], numbers.y)
                hats[i] = y[i] - beta[channel] if gamma is None else xhat
        return y, hats, roots

    def backward(
        self, dy: Sequence[int], xhat: Sequence[int], roots: Any, gamma: Sequence[int] | None
    ) -> list[int]:
        """dx."""
        numbers, dx, guard = self.numbers, [0] * len(dy), 4
        if gamma is not None:
            dy = [half_up(gamma[i % numbers.channels] * one, 6) for i, one in enumerate(dy)]
            assert all(abs(one) <= numbers.given.max for one in dy)
            guard = 2
        assert all(abs(one) <= numbers.y.magnitude for one in xhat)
        for group, (t, h) in enumerate(roots):
            at = self.members(dy, group)
            first = self.divided(sum(dy[i] for i in at), len(at), guard, numbers.error_share)
            products = sum(dy[i] * xhat[i] for i in at)
            second = self.divided(products, len(at), guard - numbers.y.frac, numbers.product_share)
            assert abs(first) <= numbers.error_mean.max
            assert abs(second) <= numbers.product_mean.max
            for i in at:
                exact = (((dy[i] << guard) - first) << numbers.y.frac) - second * xhat[i]
                z = half_up(exact, numbers.y.frac + 2)
                assert abs(z) <= numbers.z.max
                drop = h + numbers.scaled_shift
                wide = half_up(z * t << numbers.lift, drop + numbers.lift)
                assert abs(wide) <= numbers.wide.max
                dx[i] = clipped(self.narrowed(wide), numbers.dx)
        return dx

    def narrowed(self, wide: int) -> int:
        """A wide dx without its guard bits, by the rounding of the unit."""
        if self.numbers.round_error.value == "truncate":
            return wide >> 4
        return round(Fraction(wide, 16))  # ties to even


def images(made: GroupNormStage, count: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """x and dy: noise of the whole range, small numbers far from zero, and extremes."""
    source, numbers = np.random.default_rng(seed), made.numbers
    found = []
    for index in range(count):
        low, high = numbers.x.min, numbers.x.max
        x = source.integers(low, high + 1, numbers.elements)
        if index % 4 == 1:
            x = high - source.integers(0, 6, numbers.elements)
        elif index % 4 == 2:
            x = np.where(source.random(numbers.elements) < 0.5, low, high)
        elif index % 4 == 3:
            x = np.full(numbers.elements, source.integers(low, high + 1))
            x[source.integers(numbers.elements)] = high
        dy = source.integers(numbers.dy.min, numbers.dy.max + 1, numbers.elements)
        if index % 3 == 1:
            dy = np.where(x > x.mean(), numbers.dy.max, numbers.dy.min)
        found.append((x.tolist(), dy.tolist()))
    return found


def check(made: GroupNormStage, count: int = 16, seed: int = 1) -> None:
    """AssertionError unless golden makes of images what plain Python does."""
    unit, plain, numbers = golden(made, seed), Plain(made), made.numbers
    returned = made.unit.outputs[0].returned
    waiting: list[Any] = []
    for slot, (x, dy) in enumerate(images(made, count, seed)):
        training = slot % 5 != 3
        ahead = training and numbers.parameters.predicts
        seen = {name: two[ahead].tolist() for name, two in unit._views[slot - 2].items()}
        gamma = seen.get("gamma")
        y, hats, roots = plain.forward(x, seen["beta"], gamma)
        expected = [max(one, 0) for one in y] if plain.rectified else y
        assert unit.forward(np.array(x), training).tolist() == expected
        waiting.append((dy, y, hats, roots, gamma, training))
        if slot >= made.delay:
            dy, y, hats, roots, gamma, training = waiting[slot - made.delay]
            given = np.array([dy, y]) if returned else np.array(dy)
            wanted = training and numbers.dx is not None
            dx = plain.backward(dy, hats, roots, gamma) if wanted else [0] * len(dy)
            assert unit.backward(given, training).tolist() == dx
            if training:
                products = [one * hat for one, hat in zip(dy, hats, strict=True)]
                for name, terms in (("beta", dy), ("gamma", products))[: len(seen)]:
                    sums = [sum(terms[c :: numbers.channels]) for c in range(numbers.channels)]
                    assert unit._backward[slot][name].tolist() == sums
        unit.update(moves=True)


@pytest.mark.parametrize("name", STAGES)
def test_golden_is_what_plain_python_makes_of_the_equations(name: str) -> None:
    check(STAGES[name])


def test_the_norms_have_all_that_can_be() -> None:
    numbers = [made.numbers for made in STAGES.values()]
    assert {one.dx is None for one in numbers} == {False, True}
    assert {one.centre_share.factor == 1 for one in numbers} == {False, True}
    assert {one.x.signed for one in numbers} == {False, True}
    assert {one.group == 1 for one in numbers} == {False, True}
    assert {bool(one.lift) for one in numbers} == {False, True}
    outputs = [made.unit.outputs[0] for made in STAGES.values()]
    assert {one.returned for one in outputs} == {one.rectified for one in outputs} == {False, True}
    assert {one.gammas is None for one in numbers if one.dx} == {False, True}
    assert {one.gammas is None for one in numbers if not one.dx} == {False, True}
    assert {made.numbers.parameters.accumulate for made in STAGES.values()} == {1, 2}


FAULTS = {
    "sums of channels, not of groups": (
        GroupNorm,
        "_summed",
        lambda self, image: image.sum(axis=0)[:: self.numbers.group],
    ),
    "rounded down": (normal_module, "half_up", lambda value, drop: value >> drop),
    "divided by nothing": (golden_module, "shared", lambda total, share: total),
    "roots off by one": (normal_module, "ROOTS", tuple(one - 1 for one in ROOTS)),
    "groups of neighbours": (
        GroupNorm,
        "_by_channel",
        lambda self, of_groups: np.tile(of_groups, self.numbers.group),
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*fault)
    with pytest.raises(AssertionError):
        check(STAGES["one whose y comes back, one that keeps it: norm1"])


GAMMA_FAULTS = {
    "gamma is not applied to dy": ("_given", lambda self, errors, kept: errors << 2),
    "gamma learns of dy": (
        "_gradient",
        lambda self, errors, xhat: dict.fromkeys(("beta", "gamma"), errors.sum(axis=0)),
    ),
    "beta is taken off xhat": (
        "_came_back",
        lambda self, dy: (lambda s, k, e, x: (s, k, e, x - k.seen["beta"]))(*CAME_BACK(self, dy)),
    ),
}
CAME_BACK = GroupNorm._came_back


@pytest.mark.parametrize("fault", GAMMA_FAULTS.values(), ids=GAMMA_FAULTS)
def test_a_fault_planted_in_a_gamma_is_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GroupNorm, *fault)
    with pytest.raises(AssertionError):
        check(STAGES["gammas, behind the input and between convolutions: norm2"])


# ---- accuracy ----------------------------------------------------------------------------------


def normalised(made: GroupNormStage, x: Any) -> tuple[Any, Any]:
    """xhat in its last places, of golden and exact, with a squared last place more variance."""
    numbers = made.numbers
    state = GroupNormState(**made.initial(), generator=1)
    unit = GroupNorm(made, state, Settings(False, False))
    found = unit.forward(x, training=False)
    image = x.reshape(numbers.pixels, numbers.groups, numbers.group).astype(float)
    d = image - image.mean(axis=(0, 2), keepdims=True)
    deviation = np.sqrt((d * d).mean(axis=(0, 2), keepdims=True) + 1)
    exact = d / deviation * 2.0**numbers.y.frac
    inside = np.abs(exact) < numbers.y.max * 0.98
    limit = 0.5 + 0.016 * np.abs(exact) + 0.15 / deviation * 2.0**numbers.y.frac
    return (found.reshape(exact.shape) - exact)[inside], np.broadcast_to(limit, exact.shape)[inside]


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("spread", [3, 20, 200, 1500])
def test_xhat_is_within_the_bound_that_it_is_said_to_have(name: str, spread: int) -> None:
    """And about one last place off where the deviation is some last places of x."""
    made, random = STAGES[name], np.random.default_rng(spread)
    number, errors = made.numbers.x, []
    for _ in range(40):
        middle = random.integers(number.min, number.max)
        x = np.rint(random.normal(middle, spread, made.numbers.elements)).astype(np.int64)
        error, limit = normalised(made, np.clip(x, number.min, number.max))
        assert (np.abs(error) <= limit).all()
        errors += error.tolist()
    if spread >= 20 and made.numbers.y.frac <= 5:
        assert np.sqrt(np.mean(np.square(errors))) < 0.6


def test_the_mean_of_products_stays_within_its_bound() -> None:
    """The root of the mean of xhat^2, but for its rounding: 33/32 is above table and division."""
    above = max(t / 256 * math.sqrt(1 + (i + 1) / 16) for i, t in enumerate(ROOTS))
    assert above * (1 + 2.0**-11) < 33 / 32


# ---- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("group", [1, 2, 4])
def test_gradients_are_those_of_finite_differences(group: int, relu: bool, gamma: bool) -> None:
    """Statistics depend on x, and dx knows it."""
    random, channels, pixels = np.random.default_rng(group), 4, 9
    x, dy = random.normal(size=(2, pixels * channels))
    rule = Rule(rate=0.5, momentum=0.0)

    def unit() -> Reference:
        fields = {"epsilon": 0.01, "limits": (-9.0, 9.0), "relu": relu, "wanted": True}
        found = Reference(channels, group=group, delay=0, rule=rule, gamma=gamma, **fields)
        for own, value in zip(found.parameters, learnt, strict=False):
            own.value = value
        found._begin()
        return found

    def output() -> float:
        y = unit().forward(0, x, Kind.TRAIN)
        assert not relu or np.abs(y[y > 0]).min() > 1e-4
        return float(dy @ y)

    learnt = random.normal(size=(2, channels))
    one = unit()
    y = one.forward(0, x, Kind.TRAIN)
    found = one.backward(0, dy * (y > 0) if relu else dy, Kind.TRAIN)
    one.update()
    moved = [
        (value, (value - own.value) / rule.rate)
        for value, own in zip(learnt, one.parameters, strict=False)
    ]
    for array, slope in ((x, found), *moved):
        for at in range(len(array)):
            kept, ends = array[at], []
            for step in (1e-5, -1e-5):
                array[at] = kept + step
                ends.append(output())
            array[at] = kept
            assert slope[at] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


@pytest.mark.parametrize("name", WANTED)
def test_golden_gradients_follow_the_exact_ones(name: str) -> None:
    """Within two per cent of their root mean square and a last place."""
    made, random = STAGES[name], np.random.default_rng(5)
    numbers = made.numbers
    unit, channels = golden(made), numbers.channels
    frac, scale = numbers.x.frac, 2.0**-numbers.x.frac
    exact = Reference(
        channels,
        group=numbers.group,
        epsilon=4.0**-frac,
        limits=(-1e9, 1e9),
        relu=False,
        wanted=True,
        delay=0,
        rule=Rule(rate=0.5, momentum=0.0),
        gamma=made.unit.gamma,
    )
    x = np.rint(random.normal(0, 200, numbers.elements)).astype(np.int64)
    dy = np.rint(random.normal(0, numbers.dy.max / 8, numbers.elements)).astype(np.int64)
    unit.forward(x, True)
    y = unit._kept[0].y
    if exact.gamma is not None:
        exact.gamma.value = unit._kept[0].seen["gamma"] / 256
        exact._begin()
    dx = unit.backward(np.array([dy, y]) if made.unit.outputs[0].returned else dy, True)
    exact.forward(0, x * scale, Kind.TRAIN)
    wanted = exact.backward(0, dy * 2.0**-numbers.dy.frac, Kind.TRAIN) * 2.0**numbers.dx.frac
    inside = np.abs(wanted) < numbers.dx.max
    error = (dx - wanted)[inside]
    assert inside.sum() > 0.8 * numbers.elements
    assert np.abs(error).max() < 1 + 0.06 * np.sqrt(np.mean(np.square(wanted)))
    assert np.sqrt(np.mean(np.square(error))) < 1 + 0.02 * np.sqrt(np.mean(np.square(wanted)))
