"""The norm in float64: Online Normalization (Chiley et al., arXiv 1905.05894) with a lag.

Its gradients are those of finite differences where statistics and controls stand still; what moves
them is held to the paper's algorithm written out; and golden's integers follow.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from counterflow.design.parts.tokens import Kind
from counterflow.golden.reference.chain import rule_of
from counterflow.golden.reference.rules import Floats, Rule
from counterflow.golden.reference.units.norm import Norm, Running
from counterflow.sim.shapes import network
from tests.test_gradients import assert_close, differences

PIXELS, CHANNELS = 6, 3
EPSILON = 2.0**-10
FREE = (-math.inf, math.inf)


def norm(**changes: Any) -> Norm:
    """A unit of CHANNELS channels with running values that are not those of its beginning."""
    fields: dict[str, Any] = {
        "epsilon": EPSILON,
        "limits": FREE,
        "relu": False,
        "wanted": True,
        "delay": 0,
        "rule": Rule(rate=1.0, momentum=0.0),
    }
    return Norm(CHANNELS, **{**fields, **changes})


def moved(seed: int, *, controls: bool, **changes: Any) -> Norm:
    """A unit whose running values are at random, and so is beta."""
    unit, random = norm(**changes), np.random.default_rng(seed)
    spread = random.uniform(0.1, 4, CHANNELS)
    scale, shift = controls * random.normal(0, 20, (2, CHANNELS))
    unit.begin(Running(random.normal(size=CHANNELS), spread, scale, shift))
    for one in unit.parameters:
        one.value[:] = random.normal(size=CHANNELS)
    return unit


def passed(
    unit: Norm, kinds: list[Kind], xs: Floats, dys: Floats, come: int
) -> tuple[list[Floats], dict[int, Floats], list[tuple[Running, list[Floats]]]]:
    """(y by slot, dx by token, running values and what is learnt after each slot) of a stream.

    The gradient of a token comes `come` slots behind it.
    """
    ys, dxs, states, waiting = [], {}, [], {}

    def back() -> None:
        for token in sorted(waiting):
            if unit.returns(token):
                dxs[token] = unit.backward(token, waiting.pop(token), kinds[token]).copy()

    for slot, kind in enumerate(kinds):
        ys.append(unit.forward(slot, xs[slot].ravel(), kind))
        if slot >= come:
            waiting[slot - come] = dys[slot - come].ravel()
        back()
        unit.update()
        back()
        states.append((unit.running, [one.value for one in unit.parameters]))
    return ys, dxs, states


# ---- exact gradients ---------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_where_statistics_stand_still_gradients_are_those_of_finite_differences(
    relu: bool, gamma: bool
) -> None:
    """Of y = gamma (x - m) / s + beta; whoever reads it applies the ReLU's derivative."""
    unit, random = moved(7, controls=False, relu=relu, gamma=gamma), np.random.default_rng(2)
    x, dy = random.normal(size=(2, PIXELS * CHANNELS))
    learnt = [one.value for one in unit.parameters]
    beta, factor = (*learnt, np.ones(CHANNELS))[:2]

    def output() -> float:
        m, v = unit.running.mean, unit.running.variance
        y = factor * (x.reshape(-1, CHANNELS) - m) / np.sqrt(v + EPSILON) + beta
        assert np.abs(y).min() > 1e-3
        return float(dy @ (np.maximum(y, 0) if relu else y).ravel())

    slopes = [differences(output, one) for one in (x, *learnt)]
    y = unit.forward(0, x, Kind.TRAIN)
    assert float(dy @ y) == pytest.approx(output(), rel=1e-12)
    assert_close(unit.backward(0, dy * (y > 0) if relu else dy, Kind.TRAIN), slopes[0])
    unit.update()
    for one, slope in zip(unit.parameters, slopes[1:], strict=True):
        assert_close(one.step, slope)


def test_controls_are_the_gradient_of_what_they_hold_down() -> None:
    """dx is the gradient of dy y - b c xhat^2 / 2 - b u x, xhat^2 and x summed over pixels."""
    unit, random = moved(3, controls=True), np.random.default_rng(4)
    x, dy = random.normal(size=(2, PIXELS * CHANNELS))
    running = unit.running

    def output() -> float:
        image = x.reshape(-1, CHANNELS)
        xhat = (image - running.mean) / np.sqrt(running.variance + EPSILON)
        held = running.scale_control * (xhat**2).sum(axis=0) / 2
        held = held + running.shift_control * image.sum(axis=0)
        return float(dy @ xhat.ravel() - 2.0**-7 * held.sum())

    slopes = differences(output, x)
    unit.forward(0, x, Kind.TRAIN)
    assert_close(unit.backward(0, dy, Kind.TRAIN), slopes)


def test_xhat_is_clamped_and_its_gradient_is_not() -> None:
    unit = norm(limits=(-1.0, 0.75))
    x = np.repeat([-3.0, -1.0, 0.5, 2.0], CHANNELS)
    y = unit.forward(0, x, Kind.TRAIN) * math.sqrt(1 + EPSILON)
    clamped = np.array([-1.0, 0.75]) * math.sqrt(1 + EPSILON)
    assert y[::CHANNELS] == pytest.approx([clamped[0], -1.0, 0.5, clamped[1]])
    dx = unit.backward(0, np.ones_like(x), Kind.TRAIN)
    assert dx == pytest.approx(np.full_like(x, 1 / math.sqrt(1 + EPSILON)))


# ---- the algorithm -----------------------------------------------------------------------------


class Written:
    """The paper's algorithm for one channel, as it is written there, with the lag of the slots.

    mu[j], nu[j], ey[j], e1[j], beta[j] and gamma[j] are what slot j - 2 left and slot j sees; lists
    begin with slot 0.  Gradients of token t belong to slot t + D, and are those of the gamma that
    it saw.
    """

    def __init__(
        self, kinds: list[Kind], x: Floats, dy: Floats, delay: int, rule: Rule, learns: bool
    ) -> None:
        a = 1 - 2.0**-7
        mu, nu, ey, e1 = ([start] * 2 for start in (0.0, 1.0, 0.0, 0.0))
        beta, gamma = Learnt(0.0, rule), Learnt(1.0, rule)
        self.y: list[Floats] = []
        self.dx: dict[int, Floats] = {}
        hats, deviations, factors = [], [], []
        for j, kind in enumerate(kinds):
            deviations.append(math.sqrt(nu[j] + EPSILON))
            hats.append((x[j] - mu[j]) / deviations[j])
            factors.append(gamma.seen(j, kind))
            self.y.append(factors[j] * hats[j] + beta.seen(j, kind))
            mu.append(mu[j + 1])
            nu.append(nu[j + 1])
            if kind.learns:
                mu[j + 2] = a * mu[j + 1] + (1 - a) * x[j].mean()
                nu[j + 2] = a * nu[j + 1] + (1 - a) * ((x[j] - mu[j]) ** 2).mean()
            ey.append(ey[j + 1])
            e1.append(e1[j + 1])
            beta.stay()
            gamma.stay()
            t = j - delay
            if t < 0 or not kinds[t].learns:
                if t >= 0:
                    self.dx[t] = np.zeros_like(dy[t])
                continue
            z = factors[t] * dy[t] - (1 - a) * ey[j] * hats[t]
            self.dx[t] = z / deviations[t] - (1 - a) * e1[j]
            ey[j + 2] = ey[j + 1] + (z * hats[t]).mean()
            e1[j + 2] = e1[j + 1] + self.dx[t].mean()
            beta.learn(dy[t].sum(), kinds[t])
            if learns:
                gamma.learn((dy[t] * hats[t]).sum(), kinds[t])
        ends = [beta.values[2:], *([gamma.values[2:]] if learns else [])]
        self.states = list(zip(mu[2:], nu[2:], ey[2:], e1[2:], *ends, strict=True))


class Learnt:
    """A parameter by slot, from slot 0 on, and its velocities; the last are those of slot j + 2."""

    def __init__(self, start: float, rule: Rule) -> None:
        self.values, self.steps, self.rule = [start] * 2, [0.0] * 2, rule
        self.waiting = 0.0

    def seen(self, j: int, kind: Kind) -> float:
        predicts = self.rule.predict == "velocity" and kind.learns
        return self.values[j] - (self.rule.horizon * self.steps[j] if predicts else 0.0)

    def stay(self) -> None:
        self.values.append(self.values[-1])
        self.steps.append(self.steps[-1])

    def learn(self, gradient: float, kind: Kind) -> None:
        self.waiting += gradient
        if kind is not Kind.TRAIN:
            return
        rule, m = self.rule, self.rule.momentum
        g, d = rule.rate * self.waiting, rule.horizon
        self.steps[-1], self.waiting = m * self.steps[-2] + g, 0.0
        left, spike = (m**d, (1 - m**d) / (1 - m)) if rule.compensate else (1.0, 0.0)
        self.values[-1] = self.values[-2] - left * self.steps[-1] - spike * g


def kinds_of(count: int, seed: int) -> list[Kind]:
    random = np.random.default_rng(seed)
    return [Kind(int(one)) for one in random.choice(4, count, p=[0.1, 0.1, 0.6, 0.2])]


@pytest.mark.parametrize(("delay", "come"), [(0, 0), (1, 1), (1, 0), (2, 1), (5, 5), (5, 3)])
@pytest.mark.parametrize("mitigation", ["none", "lwpv", "sc", "lwpv+sc"])
@pytest.mark.parametrize("gamma", [False, True])
def test_streams_of_all_kinds_of_tokens_follow_the_paper(
    delay: int, come: int, mitigation: str, gamma: bool
) -> None:
    recipe = {"mitigation": mitigation, "learning_rate": 2.0**-7, "momentum": 0.75}
    rule = rule_of(network((2, 2, 1), [], recipe=recipe), delay + 1)
    unit, kinds = norm(delay=delay, rule=rule, gamma=gamma), kinds_of(60, seed=delay)
    xs, dys = np.random.default_rng(come).normal(0.4, 1.5, (2, 60, PIXELS, CHANNELS))
    ys, dxs, states = passed(unit, kinds, xs, dys, come)
    for channel in range(CHANNELS):
        written = Written(kinds, xs[:, :, channel], dys[:, :, channel], delay, rule, gamma)
        for slot, y in enumerate(ys):
            found = y.reshape(-1, CHANNELS)[:, channel]
            np.testing.assert_allclose(found, written.y[slot], rtol=1e-12, atol=1e-12)
            running, learnt = states[slot]
            now = [one[channel] for one in (*running, *learnt)]
            np.testing.assert_allclose(now, written.states[slot], rtol=1e-12, atol=1e-12)
        for token, expected in written.dx.items():
            found = dxs[token].reshape(-1, CHANNELS)[:, channel]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert set(range(60 - delay)) <= set(dxs)


@pytest.mark.parametrize("fault", ["lag", "control", "waiting", "kind", "gamma"])
def test_a_unit_that_departs_from_the_paper_is_found(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, backward = Norm.update, Norm.backward

    def changed_update(self: Norm) -> None:
        if fault == "waiting":
            self.beta.waiting = None
        update(self)
        if fault == "lag":
            self._views[self.updates - 2] = self._views[self.updates - 1]

    def changed_backward(self: Norm, token: int, dy: Floats, kind: Kind) -> Floats:
        if fault == "gamma":
            self._kept[token] = self._kept[token]._replace(gamma=np.ones(CHANNELS))
        if fault == "control":
            self.running = self.running._replace(shift_control=self.running.shift_control * 0)
        return backward(self, token, dy, Kind.TRAIN if fault == "kind" else kind)

    monkeypatch.setattr(Norm, "update", changed_update)
    monkeypatch.setattr(Norm, "backward", changed_backward)
    with pytest.raises(AssertionError):
        test_streams_of_all_kinds_of_tokens_follow_the_paper(2, 1, "lwpv+sc", gamma=True)


def test_what_nobody_wants_moves_no_control() -> None:
    unit, kinds = norm(wanted=False), [Kind.TRAIN] * 5
    xs, dys = np.random.default_rng(0).normal(size=(2, 5, PIXELS, CHANNELS))
    passed(unit, kinds, xs, dys, 0)
    assert not unit.running.scale_control.any()
    assert not unit.running.shift_control.any()
    assert unit.beta.value.all()


# ---- what it is for ----------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [1, 8])
def test_a_stationary_stream_comes_out_with_mean_0_and_variance_1_and_gradients_without_either(
    delay: int,
) -> None:
    """Over the last 3000 of 4000 images; gradients lean on 1 and xhat before they pass the norm."""
    random, count, last = np.random.default_rng(5), 4000, 3000
    mean, deviation = np.array([-3.0, 0.5, 20.0]), np.array([0.2, 1.0, 6.0])
    own = random.normal(size=(count, 1, CHANNELS))  # of each image
    xs = mean + deviation * (0.6 * own + 0.8 * random.normal(size=(count, 16, CHANNELS)))
    dys = 0.5 + 0.7 * (xs - mean) / deviation + random.normal(size=xs.shape)
    unit = norm(delay=delay, rule=Rule(rate=0.0, momentum=0.0))
    ys, dxs, _ = passed(unit, [Kind.TRAIN] * count, xs, dys, delay)
    xhat = np.array(ys[-last:]).reshape(-1, CHANNELS)
    np.testing.assert_allclose(xhat.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(xhat.var(axis=0), 1, atol=0.03)
    tokens = range(count - last, count - delay)
    dx = np.array([dxs[token] for token in tokens]).reshape(-1, CHANNELS) * deviation
    seen = np.array([ys[token] for token in tokens]).reshape(-1, CHANNELS)
    np.testing.assert_allclose(dx.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose((dx * seen).mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(dx.std(axis=0), 1, atol=0.05)  # what is left: the rest of dy
