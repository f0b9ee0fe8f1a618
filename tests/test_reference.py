"""The float reference: the laws of delayed training that any implementation must obey.

Most of them run a chain of one linear stage whose input is zero, so that only its bias b learns and
y = b is all there is: a scalar problem, of any delay, in the code that trains networks.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.data.sets import load, synthetic
from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.design.parts.geometry import Geometry
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.recipe import MITIGATIONS
from counterflow.design.parts.scaling import scale, scale_to_batch_one, snap
from counterflow.design.parts.tokens import Kind, Token, epoch
from counterflow.design.schedule.initial import initial_floats
from counterflow.design.schedule.planner import plan
from counterflow.golden.reference.chain import Chain, reference_chain, rule_of
from counterflow.golden.reference.rules import (
    Floats,
    Rule,
    compensated_step,
    predict,
    predict_by_weight,
    sgdm_step,
)
from counterflow.golden.reference.units.convolution import Convolution
from counterflow.golden.reference.units.loss import Loss, cross_entropy
from counterflow.golden.training.start import initial_chain
from counterflow.golden.units.loss import Loss as IntegerLoss
from counterflow.golden.units.update import Settings
from tests import goldens

Trajectory = list[float]


def quadratic(scores: Floats, label: int) -> tuple[Floats, float]:
    """y^2 / 2, whose gradient is y; curvature 1, so that eta lambda is the learning rate."""
    return scores.copy(), float(scores @ scores) / 2


def impulse(scores: Floats, label: int) -> tuple[Floats, float]:
    """A gradient of one where the label says so, else none."""
    return np.full_like(scores, label), 0.0


def dense(weight: Floats, bias: Floats, *, relu: bool, delay: int, rule: Rule) -> Convolution:
    """A dense stage, W of shape [outputs, inputs], behind a ReLU."""
    geometry = Geometry.dense(inputs=weight.shape[1], outputs=weight.shape[0])
    return Convolution(geometry, weight, bias, relu=relu, masks=True, delay=delay, rule=rule)


def scalar(rule: Rule, delay: int, start: float, loss: Loss) -> Chain:
    unit = dense(np.zeros((1, 1)), np.array([start]), relu=False, delay=delay, rule=rule)
    return Chain([unit], loss)


def trajectory(chain: Chain, slots: int, labels: list[int] | None = None) -> Trajectory:
    """b at the start of every slot, and after the last, where `labels` drive the loss."""
    driven, samples = np.array(labels or [0] * slots), np.zeros((slots, 1))
    bias = chain.units[0].bias
    found = [float(bias.value[0])]
    for slot in range(slots):
        chain.run([Token(Kind.TRAIN, slot)], samples, driven)
        found.append(float(bias.value[0]))
    return found


def network(widths: tuple[int, ...], **recipe: Any) -> Description:
    """A description; `recipe` holds the recipe's fields, and ``update`` its rounding."""
    return goldens.network(widths, multipliers=12, **{"update": "nearest-even", **recipe})


# ---- gradients ---------------------------------------------------------------------------------


def weights_of(chain: Chain) -> list[Any]:
    return [parameter for unit in chain.units for parameter in (unit.weight, unit.bias)]


@pytest.mark.parametrize(
    "widths",
    [(1, 2), (3, 1, 2), (7, 5), (5, 7, 1, 3), (2, 5, 3, 7, 4), (1, 1, 1, 2)],
)
@pytest.mark.parametrize("label", [0, 1])
def test_gradients_are_those_of_finite_differences(widths: tuple[int, ...], label: int) -> None:
    """Of the loss in nats; one update from rest at rate 1 without momentum leaves u = gradient."""
    random = np.random.default_rng(sum(widths) + label)
    units = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        weight, bias = random.normal(size=(outputs, inputs)), random.normal(size=outputs)
        relu, rule = index < len(widths) - 2, Rule(rate=1.0, momentum=0.0)
        units.append(dense(weight, bias + 0.5 * relu, relu=relu, delay=0, rule=rule))
    chain = Chain(units)
    sample, labels = random.random((1, widths[0])), np.array([label])

    def loss() -> float:
        return chain.run([Token(Kind.INFER, 0)], sample, labels)[0].loss

    tiny = 1e-6
    numeric = []
    for parameter in weights_of(chain):
        slopes = np.zeros_like(parameter.value)
        for place in np.ndindex(parameter.value.shape):
            around = []
            for shift in (tiny, -tiny):
                parameter.value[place] += shift
                around.append(loss())
                parameter.value[place] -= shift
            slopes[place] = (around[0] - around[1]) / (2 * tiny)
        numeric.append(slopes)
    chain.run([Token(Kind.TRAIN, 0)], sample, labels)
    for parameter, slopes in zip(weights_of(chain), numeric, strict=True):
        np.testing.assert_allclose(parameter.step, slopes, atol=1e-8)
    assert any(slopes.any() for slopes in numeric)


def test_the_loss_is_in_nats_and_its_errors_sum_to_zero() -> None:
    error, loss = cross_entropy(np.array([0.0, 0.0, 0.0, 0.0]), 2)
    np.testing.assert_allclose(error, [0.25, 0.25, -0.75, 0.25])
    assert loss == pytest.approx(math.log(4))
    error, loss = cross_entropy(np.array([1000.0, 0.0]), 1)
    assert error.tolist() == [1.0, -1.0]
    assert loss == pytest.approx(1000.0)


# ---- 1. delays and slot counts -----------------------------------------------------------------


def textbook(stages: int, mitigation: str = "none", loss: Loss = cross_entropy) -> Chain:
    """Delays 2 (S - 1 - s), horizons equal to them, width 2 everywhere, weights random."""
    random = np.random.default_rng(stages)
    units = []
    for index in range(stages):
        delay = 2 * (stages - 1 - index)
        recipe = {"mitigation": mitigation, "learning_rate": 2.0**-5, "momentum": 0.875}
        rule = rule_of(network((2, 2), **recipe), delay)
        weight, bias = random.normal(size=(2, 2)), random.random(2)
        relu = index < stages - 1
        units.append(dense(weight, bias, relu=relu, delay=delay, rule=rule))
    return Chain(units, loss)


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_textbook_delays_train_n_samples_in_n_and_2s_minus_2_slots(stages: int) -> None:
    """Kosson et al., arXiv 2003.11666: every stage learns N times, the first one last."""
    chain, count = textbook(stages), 5
    depth = chain.units[0].delay
    samples, labels = np.random.default_rng(1).random((count, 2)), np.zeros(count, np.int64)
    recipe = network((2, 2)).recipe
    changes: list[list[int]] = [[] for _ in chain.units]
    for slot, token in enumerate(epoch(recipe, range(count), depth)):
        before = [unit.bias.value for unit in chain.units]
        chain.run([token], samples, labels)
        for index, unit in enumerate(chain.units):
            if unit.bias.value is not before[index]:
                changes[index].append(slot)
    assert chain.slot == count + 2 * stages - 2
    for unit, found in zip(chain.units, changes, strict=True):
        assert found == list(range(unit.delay, unit.delay + count))


@pytest.mark.parametrize("horizon", [1, 2])
def test_delays_and_horizons_of_the_reference_are_those_of_the_schedule(horizon: int) -> None:
    description = network((64, 32, 32, 10), horizon=horizon)
    stages = plan(description).schedule.stages
    units = reference_chain(description, plan(description).schedule).units
    assert [unit.delay for unit in units] == [stage.delay for stage in stages]
    assert [unit.rule.horizon for unit in units] == [stage.delay * horizon for stage in stages]
    assert [unit.rule.horizon for unit in units] == [one.arithmetic.horizon for one in stages]


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_two_stages_follow_the_equations_of_the_papers(mitigation: str) -> None:
    """Against histories w[j], v[j] written out for D = (2, 0), with v = u / eta.

    g[j] is the gradient of sample j - D, its forward made with w_fwd, its backward with w_bwd; both
    are w[j - D] with a stash, else w_fwd = w_hat[j - D] and w_bwd = w[j].
    """
    chain = textbook(2, mitigation)
    first, second = chain.units
    eta, m = first.rule.rate, first.rule.momentum
    count, delay = 30, 2
    random = np.random.default_rng(5)
    samples, labels = random.random((count, 2)), random.integers(0, 2, count)
    lwp, sc = mitigation.startswith("lwp"), mitigation.endswith("sc")

    w, v = [first.weight.value] * 2, [np.zeros((2, 2))]  # w[-1] = w[0], so w[j] is w[j + 1] here
    b, vb = [first.bias.value] * 2, [np.zeros(2)]
    w2, b2 = second.weight.value, second.bias.value
    v2, vb2 = np.zeros((2, 2)), np.zeros(2)
    inputs, hidden, errors = [], [], []

    def hat(weights: list[Floats], velocity: Floats, j: int) -> Floats:
        if lwp and mitigation[3] == "v":
            return weights[j + 1] - eta * delay * velocity
        return weights[j + 1] + delay * (weights[j + 1] - weights[j]) if lwp else weights[j + 1]

    def stepped(weight: Floats, velocity: Floats, g: Floats, d: int) -> tuple[Floats, Floats]:
        velocity = m * velocity + g
        a, c = (m**d, (1 - m**d) / (1 - m)) if sc else (1.0, 0.0)
        return weight - eta * (a * velocity + c * g), velocity

    for j in range(count):
        x = samples[j]
        h = np.maximum(hat(w, v[j], j) @ x + hat(b, vb[j], j), 0)
        inputs.append(x)
        hidden.append(h)
        error, _ = cross_entropy(w2 @ h + b2, int(labels[j]))
        errors.append(error @ w2 * (h > 0))
        w2, v2 = stepped(w2, v2, np.outer(error, h), 0)
        b2, vb2 = stepped(b2, vb2, error, 0)
        if j >= delay:
            g, gb = np.outer(errors[j - delay], inputs[j - delay]), errors[j - delay]
            next_w, next_v = stepped(w[j + 1], v[j], g, delay)
            next_b, next_vb = stepped(b[j + 1], vb[j], gb, delay)
        else:
            next_w, next_v, next_b, next_vb = w[j + 1], v[j], b[j + 1], vb[j]
        w.append(next_w)
        v.append(next_v)
        b.append(next_b)
        vb.append(next_vb)
    chain.run([Token(Kind.TRAIN, j) for j in range(count)], samples, labels)
    for found, expected in (
        (first.weight, w[-1]),
        (first.bias, b[-1]),
        (second.weight, w2),
        (second.bias, b2),
    ):
        np.testing.assert_allclose(found.value, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(first.weight.step, eta * v[-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stash", [False, True])
def test_backward_reads_the_current_weights_or_with_a_stash_those_of_the_forward(
    stash: bool,
) -> None:
    """Three linear stages of delays 4, 2, 0, everything positive, a gradient of ones at the end.

    Token t leaves stage 2 in slot t and stage 1 in slot t + 2, and stage 0 learns it in t + 4.
    """
    random = np.random.default_rng(0)
    units = []
    for delay in (4, 2, 0):
        rule = Rule(rate=0.01, momentum=0.0, stash=stash)
        weight = random.random((2, 2)) + 1
        units.append(dense(weight, np.zeros(2), relu=False, delay=delay, rule=rule))
    chain = Chain(units, lambda scores, label: (np.ones(2), 0.0))
    samples, labels = random.random((12, 2)) + 1, np.zeros(12, np.int64)
    history = []
    for slot in range(11):
        history.append([unit.weight.value for unit in units])
        chain.run([Token(Kind.TRAIN, slot)], samples, labels)
    token = 6
    current, old = history[token + 2][1], history[token][1]
    assert (current != old).all()
    error = np.ones(2) @ history[token][2] @ (old if stash else current)
    change = units[0].weight.value - history[10][0]
    np.testing.assert_allclose(change, -0.01 * np.outer(error, samples[token]), rtol=1e-12)


# ---- 2. and 3. spike compensation --------------------------------------------------------------


@pytest.mark.parametrize("m", [0.0, 0.5, 0.875, 0.99])
@pytest.mark.parametrize("delay", [1, 2, 3, 6, 17])
def test_after_arrival_a_compensated_impulse_is_where_undelayed_sgdm_is(
    delay: int, m: float
) -> None:
    slots = delay + 20
    labels = [1] + [0] * (slots - 1)
    plain = trajectory(scalar(Rule(0.25, m), 0, 0.0, impulse), slots, labels)
    rule = Rule(0.25, m, delay, compensate=True)
    compensated = trajectory(scalar(rule, delay, 0.0, impulse), slots, labels)
    assert compensated[: delay + 1] == [0.0] * (delay + 1)
    np.testing.assert_allclose(compensated[delay + 1 :], plain[delay + 1 :], rtol=1e-13)
    uncompensated = trajectory(scalar(Rule(0.25, m), delay, 0.0, impulse), slots, labels)
    if m > 0:
        assert uncompensated[delay + 1] > plain[delay + 1]  # it lags behind (they are negative)


@pytest.mark.parametrize("horizon", [0, 1, 5, 10])
def test_compensation_does_not_change_the_size_of_a_gradients_effect(horizon: int) -> None:
    """eta / (1 - m) in the end, for every horizon, overcompensation included."""
    rule = Rule(0.25, 0.5, horizon, compensate=True)
    moved = trajectory(scalar(rule, 5, 0.0, impulse), 80, [1] + [0] * 79)[-1]
    assert moved == pytest.approx(-0.25 / (1 - 0.5), rel=1e-12)


@pytest.mark.parametrize("m", [0.0, 0.5, 0.9])
def test_compensation_of_one_update_is_nesterovs_momentum(m: float) -> None:
    """Nesterov's two sequences: x' = y - eta grad(y), y' = x' + m (x' - x)."""
    eta, slots = 0.3, 40
    y = x = 1.0
    expected = [y]
    for _ in range(slots):
        next_x = y - eta * y  # the gradient of y^2 / 2
        y, x = next_x + m * (next_x - x), next_x
        expected.append(y)
    rule = Rule(eta, m, 1, compensate=True)
    found = trajectory(scalar(rule, 0, 1.0, quadratic), slots)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


# ---- 4. weight prediction ----------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 2])
def test_both_forms_of_weight_prediction_are_one_in_plain_sgdm(horizon: int) -> None:
    chains = {}
    for mitigation in ("lwpv", "lwpw", "lwpv+sc", "lwpw+sc"):
        description = network((6, 5, 4, 3), mitigation=mitigation, horizon=horizon)
        data = synthetic(6, 3, 100, seed=2)
        schedule = plan(description).schedule
        chain = reference_chain(description, schedule)
        tokens = epoch(description.recipe, range(100), schedule.delay)
        chain.run(tokens, data.train_x / 256, data.train_y)
        chains[mitigation] = np.concatenate([p.value.ravel() for p in weights_of(chain)])
    np.testing.assert_allclose(chains["lwpv"], chains["lwpw"], atol=1e-12)
    assert np.abs(chains["lwpv+sc"] - chains["lwpw+sc"]).max() > 1e-4
    assert np.abs(chains["lwpv+sc"] - chains["lwpv"]).max() > 1e-4


@settings(derandomize=True, deadline=None)
@given(
    w=st.floats(-2, 2),
    u=st.floats(-1, 1),
    m=st.floats(0, 0.99),
    horizon=st.integers(0, 40),
)
def test_prediction_is_where_constant_velocity_leads(
    w: float, u: float, m: float, horizon: int
) -> None:
    weight, velocity = np.array([w]), np.array([u])
    expected = weight.copy()
    for _ in range(horizon):
        expected = expected - velocity
    np.testing.assert_allclose(predict(weight, velocity, horizon), expected, atol=1e-12)
    before = weight + velocity  # the last update moved it by -u
    np.testing.assert_allclose(predict_by_weight(weight, before, horizon), expected, atol=1e-12)


# ---- 5. stability ------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 1, 2, 3, 4, 6, 10])
def test_without_momentum_the_critical_rate_is_twice_a_sine(delay: int) -> None:
    """eta lambda = 2 sin(pi / (4 D + 2)) on a quadratic: 2 % less converges, 2 % more diverges."""
    critical = 2 * math.sin(math.pi / (4 * delay + 2))

    def growth(rate: float) -> float:
        path = np.abs(trajectory(scalar(Rule(rate, 0.0), delay, 1.0, quadratic), 1600))
        return float(path[-100:].max() / path[700:800].max())

    assert growth(0.98 * critical) < 0.6
    assert growth(1.02 * critical) > 1.6


# ---- 6. no delay -------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(
    w=st.floats(-2, 2),
    u=st.floats(-1, 1),
    g=st.floats(-10, 10),
    rate=st.sampled_from([1.0, 0.1, 2.0**-9]),
    m=st.floats(0, 0.999),
)
def test_compensation_of_no_delay_is_plain_sgdm_bit_for_bit(
    w: float, u: float, g: float, rate: float, m: float
) -> None:
    arrays = np.array([w]), np.array([u]), np.array([g])
    plain = sgdm_step(*arrays, rate, m)
    assert compensated_step(*arrays, rate, m, 0) == plain
    assert plain[1][0] == m * u + rate * g
    assert plain[0][0] == w - plain[1][0]


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_the_stage_without_delay_is_plain_sgdm(mitigation: str) -> None:
    """In a pipeline of textbook delays the last stage sees each gradient at once."""
    chain, count = textbook(2, mitigation, quadratic), 20
    samples = np.random.default_rng(0).random((count, 2))
    last = chain.units[-1]
    weight, velocity = last.weight.value, np.zeros((2, 2))
    bias, bias_velocity = last.bias.value, np.zeros(2)
    for index in range(count):
        first = chain.units[0]
        hidden = first.weight.predicted(first.rule) @ samples[index]
        hidden = np.maximum(hidden + first.bias.predicted(first.rule), 0)
        error = weight @ hidden + bias
        velocity = last.rule.momentum * velocity + last.rule.rate * np.outer(error, hidden)
        bias_velocity = last.rule.momentum * bias_velocity + last.rule.rate * error
        weight, bias = weight - velocity, bias - bias_velocity
        chain.run([Token(Kind.TRAIN, index)], samples, np.zeros(count, np.int64))
        np.testing.assert_array_equal(last.weight.value, weight)
        np.testing.assert_array_equal(last.bias.value, bias)


# ---- 7. with enough bubbles, sequential SGD ----------------------------------------------------


def sequential_floats(description: Description, samples: Floats, labels: list[int]) -> list[Floats]:
    """Plain SGD with momentum, one sample after the other, written without slots or delays."""
    weights = initial_floats(description, description.recipe.seed)
    biases = [np.zeros(len(weight)) for weight in weights]
    u, ub = [np.zeros_like(w) for w in weights], [np.zeros_like(b) for b in biases]
    eta, m = description.recipe.learning_rate, description.recipe.momentum
    for sample, label in zip(samples, labels, strict=True):
        x = [sample]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            x.append(np.maximum(weight @ x[-1] + bias, 0))
        scores = weights[-1] @ x[-1] + biases[-1]
        exponentials = np.exp(scores - scores.max())
        dy = exponentials / float(exponentials.sum())
        dy[label] -= 1
        for s in reversed(range(len(weights))):
            dx = dy @ weights[s] * (x[s] > 0)
            u[s] = m * u[s] + eta * np.outer(dy, x[s])
            ub[s] = m * ub[s] + eta * dy
            weights[s], biases[s] = weights[s] - u[s], biases[s] - ub[s]
            dy = dx
    return [*weights, *biases]


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_with_enough_bubbles_the_reference_is_sequential_sgd_bit_for_bit(mitigation: str) -> None:
    description = network((6, 5, 4, 3), scheme="sequential", mitigation=mitigation)
    data = synthetic(6, 3, 60, seed=2)
    schedule = plan(description).schedule
    chain = reference_chain(description, schedule)
    samples, labels = data.train_x / 256, [int(label) for label in data.train_y]
    chain.run(epoch(description.recipe, range(60), schedule.delay), samples, data.train_y)
    expected = sequential_floats(description, samples, labels)
    found = [unit.weight.value for unit in chain.units] + [unit.bias.value for unit in chain.units]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def halves_to_even(value: int, drop: int) -> int:
    return round(Fraction(value, 2**drop))


def clipped(value: int, target: Format) -> int:
    return min(max(value, target.min), target.max)


def sequential_integers(
    description: Description, samples: np.ndarray, labels: list[int]
) -> list[list[list[int]]]:
    """As `sequential_floats`, in Python's integers, in the formats of the description.

    Rounding is to nearest, ties to even; the softmax is golden's.  Returns for each layer its
    weights with the bias appended to each row.
    """
    formats, recipe = description.formats, description.recipe
    e, k, frac = recipe.rate_shift, recipe.momentum_shift, formats.weight.frac
    loss = IntegerLoss(plan(description).schedule.loss.arithmetic)
    w = []
    for matrix in initial_floats(description, recipe.seed):
        rows = [[clipped(round(v * 2.0**frac), formats.weight) for v in row] for row in matrix]
        w.append([[*row, 0] for row in rows])
    u = [[[0] * len(row) for row in layer] for layer in w]

    def operand(value: int) -> int:
        drop = frac - formats.operand.frac
        return clipped(halves_to_even(value, drop), formats.operand)

    for sample, label in zip(samples, labels, strict=True):
        x, x_formats = [[int(v) for v in sample]], [formats.input]
        for s, layer in enumerate(w):
            last = s == len(w) - 1
            fine = formats.operand.frac + x_formats[-1].frac
            y_format, y = formats.logit if last else formats.activation, []
            for row in layer:
                total = sum(operand(a) * b for a, b in zip(row, x[-1], strict=False))
                total += halves_to_even(row[-1] << fine, frac)
                total = total if last else max(total, 0)
                y.append(clipped(halves_to_even(total, fine - y_format.frac), y_format))
            x.append(y)
            x_formats.append(y_format)
        error, _ = loss(np.array(x[-1]), label)
        dy = [int(v) for v in error]
        for s in reversed(range(len(w))):
            dx = []
            for i, value in enumerate(x[s]):
                total = sum(operand(row[i]) * d for row, d in zip(w[s], dy, strict=True))
                narrow = clipped(halves_to_even(total, formats.operand.frac), formats.error)
                dx.append(narrow if value > 0 else 0)
            fine = formats.error.frac + x_formats[s].frac + e
            for o, d in enumerate(dy):
                for i, value in enumerate([*x[s], 1 << x_formats[s].frac]):
                    exact = Fraction(d * value, 2**fine) * 2**frac
                    exact += (1 - Fraction(1, 2**k)) * u[s][o][i]
                    u[s][o][i] = clipped(round(exact), formats.velocity)
                    w[s][o][i] = clipped(w[s][o][i] - u[s][o][i], formats.weight)
            dy = dx
    return w


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_with_enough_bubbles_the_golden_chain_is_sequential_sgd_bit_for_bit(
    mitigation: str,
) -> None:
    """Every mitigation: nothing is in flight, so there is nothing to predict or to compensate."""
    description = network((5, 4, 3, 2), scheme="sequential", mitigation=mitigation)
    data = synthetic(5, 2, 40, seed=2)
    samples = data.scaling.codes(data.train_x, Format.parse("u8.8"))
    labels = [int(label) for label in data.train_y]
    schedule = plan(description).schedule
    chain = initial_chain(description, schedule)
    chain.run(epoch(description.recipe, range(40), schedule.delay), samples, data.train_y)
    expected = sequential_integers(description, samples, labels)
    for unit, layer in zip(chain.units, expected, strict=True):
        state = unit.state
        assert np.column_stack([state.weight, state.bias]).tolist() == layer


# ---- small-batch scaling -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "batch", "rate", "momentum"),
    [
        ((256, 0.1, 0.9), 32, "1.6354648e-03", "0.98691628"),
        ((128, 0.1, 0.9), 1, "6.4280e-06", "0.99917721"),
        ((256, 0.1, 0.9), 1, "1.6073e-06", "0.99958852"),
    ],
)
def test_small_batch_scaling_gives_the_papers_figures(
    known: tuple[int, float, float], batch: int, rate: str, momentum: str
) -> None:
    """Kosson et al., arXiv 2003.11666: m = m_r^(N / N_r), eta = eta_r (1-m) N / ((1-m_r) N_r)."""
    found = scale(*known, batch)
    digits = len(rate) - len("0.e-00")
    assert f"{found[0]:.{digits}e}" == rate
    assert f"{found[1]:.8f}" == momentum
    if batch == 1:
        assert scale_to_batch_one(*known) == found


@settings(derandomize=True, deadline=None)
@given(
    batch=st.integers(1, 512),
    rate=st.floats(1e-4, 1),
    momentum=st.floats(0.1, 0.99),
    to=st.integers(1, 512),
)
def test_scaling_keeps_the_effect_and_the_memory_of_a_sample(
    batch: int, rate: float, momentum: float, to: int
) -> None:
    """eta / ((1 - m) N), a sample's whole effect, and m^(1/N), its decay in samples, are kept."""
    new_rate, new_momentum = scale(batch, rate, momentum, to)
    before, after = rate / ((1 - momentum) * batch), new_rate / ((1 - new_momentum) * to)
    assert after == pytest.approx(before, rel=1e-9)
    assert new_momentum ** (1 / to) == pytest.approx(momentum ** (1 / batch), rel=1e-9)


@settings(derandomize=True, deadline=None)
@given(rate=st.floats(1e-6, 0.01), momentum=st.floats(0.0, 0.9998))
def test_snapping_goes_to_shifts_and_keeps_the_effect_of_a_gradient(
    rate: float, momentum: float
) -> None:
    """Both to powers of two; eta / (1 - m) within the half octave that one rounding costs."""
    near_rate, near_momentum = snap(rate, momentum)
    assert math.frexp(near_rate)[0] == math.frexp(1 - near_momentum)[0] == 0.5
    assert abs(math.log2((1 - near_momentum) / (1 - momentum))) <= 0.5
    effect = near_rate / (1 - near_momentum) / (rate / (1 - momentum))
    assert abs(math.log2(effect)) <= 0.5 + 1e-9


def test_the_reference_of_batch_128_snaps_to_the_neighbour_that_the_rule_names() -> None:
    assert snap(*scale_to_batch_one(128, 0.1, 0.9)) == (2.0**-17, 1 - 2.0**-10)


# ---- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_inference_uses_the_weights_as_they_are_and_changes_nothing(mitigation: str) -> None:
    chain = textbook(3, mitigation)
    samples, labels = np.random.default_rng(0).random((9, 2)), np.zeros(9, np.int64)
    chain.run([Token(Kind.TRAIN, i) for i in range(8)], samples, labels)
    recipe = network((2, 2)).recipe
    chain.run(list(epoch(recipe, [], 4)) + [Token(Kind.BUBBLE)] * 4, samples, labels)
    before = [parameter.value for parameter in weights_of(chain)]
    answer = chain.run([Token(Kind.INFER, 8)] * 6, samples, labels)
    x = samples[8]
    for unit in chain.units:
        x = unit.weight.value @ x + unit.bias.value
        x = np.maximum(x, 0) if unit.relu else x
    assert all((p.scores == x).all() for p in answer)
    assert all(p.value is old for p, old in zip(weights_of(chain), before, strict=True))
    assert all(not unit.stashed or unit.rule.stash for unit in chain.units)


def test_a_rate_drop_leaves_what_is_in_the_velocity() -> None:
    """The hardware stores u = eta v: after a drop u' = m u + eta' g with the old u as it is."""
    chain = scalar(Rule(0.5, 0.5), 0, 0.0, impulse)
    path = [float(chain.units[0].bias.value[0])]
    for slot in range(3):
        chain.set(Settings(extra_shift=2 if slot > 0 else 0))
        chain.run([Token(Kind.TRAIN, 0)], np.zeros((1, 1)), np.ones(1, np.int64))
        path.append(float(chain.units[0].bias.value[0]))
    assert np.diff(path).tolist() == [-0.5, -(0.25 + 0.125), -(0.1875 + 0.125)]
    chain.set(Settings())
    assert chain.units[0].rule.rate == 0.5


def test_the_reference_follows_golden_through_rate_drops() -> None:
    """Same tokens and settings, default formats: the losses of one epoch are close on average."""
    description = network((6, 8, 3), rate_drops=[{"epoch": 1, "shift": 1}], learning_rate=2.0**-7)
    schedule = plan(description).schedule
    golden, reference = initial_chain(description, schedule), reference_chain(description, schedule)
    data = synthetic(6, 3, 150, seed=3)
    samples = data.scaling.codes(data.train_x, Format.parse("u8.8"))
    means = []
    for number in range(2):
        shift = description.recipe.extra_shift(number)
        golden.set(Settings(extra_shift=shift))
        reference.set(Settings(extra_shift=shift))
        tokens = list(epoch(description.recipe, epoch_order(150, 1, number), schedule.delay))
        bits = np.mean([p.loss for p in golden.run(tokens, samples, data.train_y)]) / 64
        nats = np.mean([p.loss for p in reference.run(tokens, samples / 256, data.train_y)])
        assert bits * math.log(2) == pytest.approx(nats, rel=0.05)
        means.append(nats)
    assert means[1] < 0.9 * means[0]


WIDE = {
    "input": "u8.8",
    "activation": "u21.18",
    "logit": "s24.16",
    "operand": "s24.20",
    "weight": "s32.28",
    "velocity": "s32.28",
    "error": "s20.18",
}


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("scheme", ["pipelined", "fill-and-drain"])
@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_over_images_golden_in_fine_formats_is_the_reference(
    mitigation: str, scheme: str, accumulate: int
) -> None:
    """Convolutions, both kinds of pooling, and gradients summed up while others are in flight.

    40 samples: weights move by up to 0.1 or more and stay within 2^-17 of the reference (measured:
    2^-18.2).  More samples would come so near to a kink that both models take another side of it.
    """
    batch = 6 if scheme == "fill-and-drain" else 1
    recipe = {"mitigation": mitigation, "scheme": scheme, "batch": batch, "accumulate": accumulate}
    description = Description.model_validate(
        {
            "name": "images",
            "inputs": [6, 8, 1],
            "layers": [
                {"kind": "convolution", "outputs": 5, "kernel": 3, "padding": [1, 0]},
                {"kind": "max-pool", "kernel": [2, 1]},
                {"kind": "convolution", "outputs": 7, "kernel": [2, 3], "stride": [1, 2]},
                {"kind": "average-pool", "kernel": [2, 1]},
                {"outputs": 6},
                {"outputs": 3, "activation": "none"},
            ],
            "formats": WIDE,
            "recipe": {**recipe, "learning_rate": 2.0**-5, "momentum": 0.5},
            "rounding": {"update": "nearest-even"},
        }
    )
    schedule = plan(description).schedule
    golden, reference = initial_chain(description, schedule), reference_chain(description, schedule)

    def exact(logits: Any, label: int) -> tuple[Any, int]:
        error, _ = cross_entropy(logits * 2.0**-16, label)
        return np.rint(error * 2.0**18).astype(np.int64), 0

    golden.losses["loss"] = exact  # type: ignore[assignment]
    before = [unit.weight.value for unit in reference.units]
    data = synthetic(48, 3, 40, seed=7)
    samples = data.scaling.codes(data.train_x, Format.parse("u8.8"))
    tokens = list(epoch(description.recipe, range(40), schedule.delay))
    golden.run(tokens, samples, data.train_y)
    reference.run(tokens, samples / 256, data.train_y)
    moved = []
    for one, other, start in zip(golden.units, reference.units, before, strict=True):
        for found, parameter in ((one.state.weight, other.weight), (one.state.bias, other.bias)):
            assert np.abs(found * 2.0**-28 - parameter.value).max() < 2.0**-17
        moved.append(np.abs(other.weight.value - start).max())
    assert min(moved) > 0.03
    assert max(moved) > 0.1


@pytest.mark.parametrize("mitigation", ["none", "lwpv+sc"])
def test_the_reference_learns_the_digits(mitigation: str) -> None:
    """Four epochs of 1,437 samples, then the 360 test samples through the same chain."""
    description = network((64, 32, 32, 10), mitigation=mitigation, learning_rate=2.0**-8)
    schedule = plan(description).schedule
    data = load("digits")
    chain = reference_chain(description, schedule)
    for number in range(4):
        order = epoch_order(1437, 1, number)
        chain.run(epoch(description.recipe, order, schedule.delay), data.train_x / 16, data.train_y)
    answers = chain.run([Token(Kind.INFER, i) for i in range(360)], data.test_x / 16, data.test_y)
    assert sum(p.correct for p in answers) / 360 > 0.92
