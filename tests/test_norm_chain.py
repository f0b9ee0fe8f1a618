"""Norms in integers and in float64 side by side, alone and in chains.

What is left between them is due to formats: roundings, the table of roots (1.6 %), and now and then
a ReLU that is open in one and shut in the other, since an activation is nearly zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.design.parts.recipe import MITIGATIONS
from counterflow.design.parts.tokens import BUBBLE, Kind, Token, epoch, updates_in_flight
from counterflow.design.schedule.planner import plan
from counterflow.design.units.normal import ROOTS
from counterflow.golden.chain import Chain
from counterflow.golden.reference.chain import Chain as FloatChain
from counterflow.golden.reference.chain import delays_of, reference_chain, rule_of
from counterflow.golden.reference.rules import Floats
from counterflow.golden.reference.units.loss import cross_entropy
from counterflow.golden.reference.units.norm import Norm, View
from counterflow.golden.training.start import initial_chain
from counterflow.golden.units.norm import Norm as GoldenNorm
from counterflow.golden.units.update import Settings
from counterflow.sim.shapes import network
from tests import norm_streams
from tests.norm_streams import PLAIN, Numbers, around, golden, kinds_of, stage_of
from tests.test_reference_norm import passed

Layer = dict[str, Any]


class Tabled(Norm):
    """A norm in float64 whose roots are those of the integers' table."""

    def _now(self) -> View:
        variance = self.running.variance + self.epsilon
        h = np.floor(np.log2(variance) / 2)
        steps = np.floor((variance / 4.0**h - 1) * 16).astype(int)
        return View(self.running, np.array(ROOTS)[steps] / 256 / 2.0**h, self._learnt())


# ---- alone -------------------------------------------------------------------------------------

ALONE = {
    "coarse": Numbers("s10.4", "s8.4", "s12.9", "s12.9", "s28.24", "s28.24"),
    "plain": PLAIN,
    "fine": Numbers("s16.10", "s12.8", "s16.13", "s18.14", "s32.28", "s32.28"),
}


def gone_wrong(found: Any, exact: Any, frac: int) -> Floats:
    """Differences in last places of a format of `frac` fraction bits."""
    return np.abs(np.array(found) - np.array(exact) * 2.0**frac)


@pytest.mark.parametrize("gamma", [False, True])
@pytest.mark.parametrize("name", ALONE)
def test_over_hundreds_of_tokens_a_unit_stays_within_a_few_last_places(
    name: str, gamma: bool
) -> None:
    """400 tokens of all kinds.  The models cross a step of the table within a few tokens."""
    numbers, count, random = ALONE[name], 400, np.random.default_rng(3)
    # The coefficient of compensation, m^(D + 1), is exact in eight bits by this momentum.
    fields: dict[str, Any] = {"mitigation": "lwpv+sc", "learning_rate": 2.0**-8, "momentum": 0.5}
    fields |= {"returned": False, "activation": "none", "gamma": gamma}
    unit = golden(stage_of(numbers, **fields))
    stage, formats, delay = unit.stage, unit.numbers, unit.stage.delay
    rule = rule_of(around(numbers, **fields), delay + 1)
    exact, kinds = Tabled.of(stage.unit, delay=delay, rule=rule), kinds_of(count, 5)
    x = random.normal([0.5, -1.0], [1.3, 0.6], (count, formats.pixels, 2))
    dy = 0.003 * x + random.normal([0.001, 0.005], 0.1, x.shape)
    xs, dys = (
        np.clip(np.rint(one * 2.0**to.frac), to.min, to.max).astype(np.int64).reshape(count, -1)
        for one, to in ((x, formats.x), (dy, formats.dy))
    )
    found = norm_streams.passed(unit, kinds, xs, dys, delay)
    scaled = xs * 2.0**-formats.x.frac, dys * 2.0**-formats.dy.frac
    ys, dxs, _ = passed(exact, kinds, *scaled, delay)
    assert unit.saturations == 0
    tokens = sorted(dxs)
    y = gone_wrong(found.ys, ys, formats.y.frac)
    assert formats.dx is not None
    dx = [[one[token] for token in tokens] for one in (found.dxs, dxs)]
    for wrong in (y, gone_wrong(*dx, formats.dx.frac)):
        rounded = 5 if gamma else 1  # gamma has eight fraction bits as it multiplies
        assert wrong.mean() < 0.4 * rounded
        assert np.quantile(wrong, 0.98) < 1.3 * rounded
    now, running, fine = unit.state, exact.running, formats.dy.frac
    assert gone_wrong(now.mean * 2.0**-8, running.mean, formats.x.frac).max() < 0.1
    variance = now.variance / 2**8 / 4**formats.x.frac
    np.testing.assert_allclose(variance, running.variance, rtol=5e-4)
    for control, frac, other in (
        (now.scale_control, 16, running.scale_control),
        (now.shift_control, 18, running.shift_control),
    ):
        assert np.abs(other).min() > 0.1
        assert gone_wrong(control * 2.0 ** (fine - frac), other, fine).max() < 8
    last = formats.parameters.weight.frac
    assert gone_wrong(now.beta, exact.beta.value, last).max() < 40
    assert np.abs(exact.beta.value).min() > 0.05
    if exact.gamma is not None:
        assert now.gamma is not None
        assert gone_wrong(now.gamma, exact.gamma.value, last).max() < 2.0 ** (last - 9)
        assert np.abs(exact.gamma.value - 1).min() > 0.05


# ---- in chains ---------------------------------------------------------------------------------


def chained(
    x: str,
    y: str,
    error: str,
    activation: str = "relu",
    pool: int = 4,
    gamma: bool = False,
    **recipe: Any,
) -> Description:
    """Norms behind a convolution and in a body; `x`, `y`: formats before and behind a norm."""

    def linear(outputs: int) -> Layer:
        wide = {"kernel": 3, "padding": 1, "activation": "none", "formats": {"activation": x}}
        return {"kind": "convolution", "outputs": outputs, **wide}

    own = {"activation": activation, "gamma": gamma}
    norm = {"kind": "norm", **own, "formats": {"activation": y}}
    body = {"kind": "residual", "body": [norm, linear(4)], "formats": {"activation": x}}
    layers = [linear(3), norm, linear(4), body, {"kind": "average-pool", "kernel": pool}]
    wide = {"logit": "s24.16", "operand": "s20.16", "weight": "s32.28", "velocity": "s32.28"}
    return network(
        (4, 4, 1),
        layers,
        formats={"activation": x, "error": error, **wide},
        recipe={"learning_rate": 2.0**-7, "momentum": 0.75, **recipe},
        rounding={"update": "nearest-even"},
    )


def chains(description: Description, *, tabled: bool = False) -> tuple[Chain, FloatChain]:
    """Both models, their errors at the scores those of an exact softmax."""
    schedule = plan(description).schedule
    integer, exact = initial_chain(description, schedule), reference_chain(description, schedule)
    fine, error = description.formats.logit.frac, description.formats.error.frac

    def loss(logits: Any, label: int) -> tuple[Any, int]:
        found, nats = cross_entropy(logits * 2.0**-fine, label)
        return np.rint(found * 2.0**error).astype(np.int64), round(nats * 2**10)

    integer.losses["loss"] = loss  # type: ignore[assignment]
    for unit in exact.units:
        if tabled and isinstance(unit, Norm):
            unit.__class__ = Tabled
            unit.begin(unit.running)
    return integer, exact


def trained(description: Description, integer: Chain, exact: FloatChain, count: int) -> Any:
    """Predictions of both in an epoch of `count` samples."""
    data = synthetic(description.elements, 3, count, seed=7)
    samples = data.scaling.codes(data.train_x, Format.parse("u8.8"))
    tokens = list(epoch(description.recipe, range(count), exact.delay))
    ours = integer.run(tokens, samples, data.train_y)
    return ours, exact.run(tokens, samples / 256, data.train_y)


def test_delays_and_horizons_of_norms_are_those_of_the_schedule() -> None:
    description = chained("s12.5", "s9.5", "s12.10", horizon=2)
    schedule = plan(description).schedule
    units = reference_chain(description, schedule).units
    assert [unit.delay for unit in units] == [stage.delay for stage in schedule.stages]
    assert [unit.empties for unit in units] == [stage.empties for stage in schedule.stages]
    horizons = [
        stage.numbers.parameters.horizon if stage.unit.kind == "norm" else stage.arithmetic.horizon
        for stage in schedule.stages
    ]
    assert [unit.rule.horizon for unit in units] == horizons
    recipe = description.recipe
    norms = [unit for unit in units if isinstance(unit, Norm)]
    assert [one.rule.horizon for one in norms] == [
        2 * updates_in_flight(recipe, one.delay + 1) for one in norms
    ]
    assert reference_chain(description, schedule).delay == schedule.delay


@pytest.mark.parametrize("mitigation", MITIGATIONS)
@pytest.mark.parametrize(("scheme", "accumulate"), [("pipelined", 1), ("fill-and-drain", 3)])
@pytest.mark.parametrize("gamma", [False, True])
def test_without_relus_a_chain_in_fine_formats_is_the_reference(
    mitigation: str, scheme: str, accumulate: int, gamma: bool
) -> None:
    """42 samples: parameters move by 0.08 and more, and stay within 2^-10 (measured: 2^-10.6;
    with gammas, of eight fraction bits as they multiply, within 2^-9.5, measured: 2^-9.9).

    A norm has eight fraction bits at most.  The reference has the table of roots here.
    """
    batch = 6 if scheme == "fill-and-drain" else 1
    recipe = {"mitigation": mitigation, "scheme": scheme, "batch": batch, "accumulate": accumulate}
    recipe["learning_rate"] = 2.0**-6
    description = chained("s16.10", "s12.8", "s16.13", "none", gamma=gamma, **recipe)
    integer, exact = chains(description, tabled=True)
    before = [one.value for unit in exact.units for one in unit.parameters]
    trained(description, integer, exact, 42)
    found = []
    for unit in integer.units:
        state: Any = unit.state
        if isinstance(unit, GoldenNorm):
            found += [getattr(state, name) for name in unit.numbers.learnt]
        else:
            found += [state.weight, state.bias]
    moved = []
    parameters = [one for unit in exact.units for one in unit.parameters]
    for ours, theirs, start in zip(found, parameters, before, strict=True):
        assert np.abs(ours * 2.0**-28 - theirs.value).max() < 2.0 ** (-9.5 if gamma else -10)
        moved.append(np.abs(theirs.value - start).max())
    assert max(moved) > 0.08


def test_finer_formats_bring_a_chain_nearer_to_the_reference() -> None:
    """Of scores, over 100 samples; what is left in the end is that of the table of roots."""
    distances = []
    for x, y, error in (
        ("s10.4", "s8.4", "s12.9"),
        ("s12.6", "s9.5", "s14.11"),
        ("s14.8", "s10.6", "s16.13"),
    ):
        description = chained(x, y, error, mitigation="lwpv+sc")
        ours, theirs = trained(description, *chains(description), 100)
        pairs = zip(ours, theirs, strict=True)
        distances.append(np.mean([np.abs(a.scores / 2**16 - b.scores) for a, b in pairs]))
    sizes = np.mean([np.abs(one.scores).max() for one in theirs])
    assert distances[1] < 0.6 * distances[0]
    assert distances[2] < 0.6 * distances[1]
    assert distances[2] < 0.02 * sizes


@pytest.mark.parametrize(
    ("formats", "near"), [(("s12.5", "s9.5", "s12.10"), 0.05), (("s14.8", "s11.7", "s16.13"), 0.01)]
)
def test_over_hundreds_of_samples_and_a_rate_drop_both_learn_alike(
    formats: tuple[str, str, str], near: float
) -> None:
    """Two epochs of 150 samples; mean losses, and statistics in parts of a deviation."""
    drops = [{"epoch": 1, "shift": 1}]
    recipe = {"mitigation": "lwpv+sc", "learning_rate": 2.0**-8, "rate_drops": drops}
    description = chained(*formats, pool=2, **recipe)
    integer, exact = chains(description)
    means = []
    for number in range(2):
        settings = Settings(extra_shift=description.recipe.extra_shift(number))
        integer.set(settings)
        exact.set(settings)
        ours, theirs = trained(description, integer, exact, 150)
        means.append(np.mean([one.loss for one in theirs]))
        assert np.mean([one.loss for one in ours]) / 2**10 == pytest.approx(means[-1], rel=near)
    assert means[1] < 0.8 * means[0]
    floats = [unit for unit in exact.units if isinstance(unit, Norm)]
    for ours, theirs in zip(integer.norms.values(), floats, strict=True):
        deviation = np.sqrt(theirs.running.variance)
        place = 2.0**-ours.numbers.x.frac
        off = ours.state.mean / 2**8 * place - theirs.running.mean
        assert np.abs(off / deviation).max() < 3 * near
        found = np.sqrt(ours.state.variance / 2**8) * place
        np.testing.assert_allclose(found, deviation, rtol=3 * near)


# ---- recipes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", [1, 3])
def test_both_forms_of_prediction_are_one_in_plain_sgdm_bit_for_bit(accumulate: int) -> None:
    """Through bubbles and slots in which nothing moves, too: w - w before the last update is -u."""
    states = []
    for mitigation in ("lwpv", "lwpw"):
        recipe = {"mitigation": mitigation, "accumulate": accumulate, "learning_rate": 2.0**-5}
        description = chained("s12.5", "s9.5", "s12.10", **recipe)
        integer, _ = chains(description)
        data = synthetic(16, 3, 60, seed=2)
        samples = data.scaling.codes(data.train_x, Format.parse("u8.8"))
        kinds = kinds_of(60, seed=4)
        tokens = [BUBBLE if one is Kind.BUBBLE else Token(one, at) for at, one in enumerate(kinds)]
        integer.run(tokens, samples, data.train_y)
        states.append([one.arrays for one in integer.states])
    for one, other in zip(*states, strict=True):
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])
    assert any(one["beta_velocity"].any() for one in states[0] if "beta_velocity" in one)


@pytest.mark.parametrize(
    ("placement", "delays"),
    [
        ([1, 2, 3], [6, 4, 4, 2, 2, 0]),
        ([2], [2, 2, 2, 0, 0, 0]),
        ([], [0, 0, 0, 0, 0, 0]),
    ],
)
def test_under_a_placement_a_norm_has_the_delay_at_which_its_gradients_come(
    placement: list[int], delays: list[int]
) -> None:
    """Learning is no worse for it; with one stage nothing is delayed but what norms see."""
    recipe = {"mitigation": "none", "learning_rate": 2.0**-6, "placement": placement}
    description = chained("s12.5", "s9.5", "s12.10", pool=2, **recipe)
    schedule = plan(description).schedule
    found = delays_of(description, schedule)
    learning = [one.name for one in description.graph.units if one.kind in ("convolution", "norm")]
    assert [found[name] for name in learning] == delays
    exact = reference_chain(description, schedule)
    assert [unit.delay for unit in exact.units] == delays
    data = synthetic(16, 3, 150, seed=7)
    tokens = list(epoch(description.recipe, range(150), exact.delay))
    losses = [one.loss for one in exact.run(tokens, data.train_x / 256, data.train_y)]
    assert np.mean(losses[-50:]) < 0.9 * math.log(3)
