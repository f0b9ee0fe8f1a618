"""Residual networks in the float reference and in golden.

Gradients are those of finite differences of a forward pass that is written out here; where no bit
is dropped, golden's are the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import BUBBLE, Kind, Token
from counterflow.design.schedule.planner import plan
from counterflow.golden.reference.chain import Chain, reference_chain
from counterflow.golden.reference.rules import Floats
from counterflow.golden.reference.units.convolution import Convolution
from counterflow.golden.reference.units.fork import Fork
from counterflow.golden.reference.units.norm import Norm, Running
from counterflow.golden.reference.units.subsample import Subsample
from counterflow.golden.reference.units.sum import Sum
from counterflow.golden.training.start import initial_chain
from counterflow.golden.units.loss import Loss
from counterflow.sim.shapes import network
from tests.branches import Layer, residual
from tests.images import average, convolution, maximum
from tests.test_gradients import MARGIN, assert_close, differences, pooled, smooth, sums

PIXEL, ERROR, OPERAND = 2, 1, 3  # fraction bits of samples, of gradients at the scores, of weights
ALL = 14  # fraction bits that hold everything exactly, in networks of a few layers


def same(outputs: int, **more: Any) -> Layer:
    return {**convolution(outputs, (3, 3), padding=(1, 1)), **more}


def linear(layer: Layer) -> Layer:
    return {**layer, "activation": "none"}


def rectified(*body: Layer) -> Layer:
    """A residual layer whose sum ends in a ReLU."""
    return {**residual(*body), "activation": "relu"}


def hyperbolic(layer: Layer) -> Layer:
    return {**layer, "activation": "tanh", "formats": {"activation": "s8.7"}}


ONE = convolution(2, (1, 1))
NORM, BARE = {"kind": "norm"}, {"kind": "norm", "activation": "none"}
NETWORKS: dict[str, tuple[tuple[int, int, int], list[Layer]]] = {
    "identity": ((4, 3, 1), [ONE, residual(same(2))]),
    "identity, linear body": ((4, 3, 1), [ONE, residual(linear(same(2)))]),
    "two layers in the body": ((3, 4, 1), [ONE, residual(same(3), linear(same(2)))]),
    "projection with strides": (
        (5, 4, 1),
        [
            ONE,
            residual(
                same(3, stride=[2, 2]),
                linear(same(3)),
                shortcut=(linear(convolution(3, (2, 2), stride=(2, 2), padding=(1, 0))),),
            ),
        ],
    ),
    "projection of 1x1 with strides": (
        (5, 4, 1),
        [
            ONE,
            residual(
                same(3, stride=[2, 2]),
                linear(same(3)),
                shortcut=(linear(convolution(3, (1, 1), stride=(2, 2))),),
            ),
        ],
    ),
    "shortcut without parameters": (
        (5, 4, 1),
        [
            ONE,
            residual(
                same(3, stride=[2, 2]),
                linear(same(5)),
                shortcut=({"kind": "subsample", "stride": 2, "outputs": 5},),
            ),
        ],
    ),
    "shortcut without parameters, behind the input": (
        (3, 4, 2),
        [
            residual(
                same(3, stride=[2, 1]),
                shortcut=({"kind": "subsample", "stride": [2, 1], "outputs": 3},),
            ),
            {"kind": "subsample", "stride": [1, 3], "outputs": 4},
        ],
    ),
    "pools on both ways": (
        (4, 4, 1),
        [ONE, residual(same(2), maximum(2, 2), shortcut=(average(2, 2),))],
    ),
    "behind the input": ((4, 3, 2), [residual(same(2))]),
    "two in a row": ((3, 3, 1), [ONE, residual(same(2)), residual(linear(same(2)))]),
    "one in a body": ((3, 3, 1), [ONE, residual(residual(same(2)), linear(same(2)))]),
    "one in a shortcut": (
        (3, 4, 1),
        [ONE, residual(linear(same(2)), shortcut=(residual(same(2)),))],
    ),
    "nothing but one": ((3, 3, 2), [residual(residual(same(2)), shortcut=(residual(same(2)),))]),
    "tanh in the body": ((3, 3, 1), [ONE, residual(hyperbolic(same(2)), linear(same(2)))]),
    "a ReLU": ((4, 3, 1), [ONE, rectified(linear(same(2)))]),
    "a ReLU behind one in a body": (
        (3, 4, 1),
        [ONE, rectified(rectified(linear(same(2))), linear(same(2)))],
    ),
    "pools behind a ReLU": (
        (4, 4, 1),
        [linear(ONE), rectified(linear(same(2))), average(2, 1), maximum(1, 2)],
    ),
    "norms in a body": (
        (4, 3, 1),
        [linear(ONE), residual(NORM, linear(same(3)), BARE, linear(same(2)))],
    ),
    "norms at the input, before a fork, before a pool": (
        (3, 4, 2),
        [NORM, linear(ONE), NORM, residual(linear(same(2))), BARE, average(1, 2)],
    ),
    "norms at a sum": (
        (3, 3, 1),
        [linear(ONE), residual(linear(same(2)), NORM, shortcut=(BARE,))],
    ),
    "dense": ((1, 1, 6), [{"outputs": 5}, residual({"outputs": 7}, linear({"outputs": 5}))]),
}


def described(name: str, **fields: Any) -> Description:
    """A network of the table with a dense layer behind it, one update of which is its gradient."""
    image, layers = NETWORKS[name]
    wide = {"activation": "s16.8", "error": "s16.8"}
    recipe = {"mitigation": "none", "momentum": 0.0, "learning_rate": 1.0}
    plain = {"formats": wide, "recipe": recipe, "rounding": {"update": "nearest-even"}}
    return network(image, layers, **{**plain, **fields})


# ---- finite differences ------------------------------------------------------------------------


def forward(description: Description, chain: Chain, x: Floats) -> tuple[Floats, bool]:
    """Scores of `x` as the graph has it, and whether no kink is near and no ReLU all shut."""
    learning, far = iter(chain.units), True
    values = {description.graph.source.number: x}
    for unit in description.graph.units[:-1]:
        given = [values[edge.number] for edge in unit.inputs]
        edge = unit.outputs[0]
        if unit.kind == "fork":
            values |= {one.number: given[0] for one in unit.outputs}
            continue
        if unit.kind == "sum":
            y = given[0] + given[1]
            if edge.rectified:
                far = far and bool((np.abs(y) > MARGIN).all() and (y > 0).any() and (y < 0).any())
                y = np.maximum(y, 0)
        elif unit.kind == "tanh":
            y = np.tanh(given[0])
        elif unit.kind == "subsample":
            image = given[0].reshape(unit.inputs[0].shape)
            down, across = unit.stride  # type: ignore[attr-defined]
            y = np.zeros(edge.shape)
            y[:, :, : image.shape[2]] = image[::down, ::across]
        elif unit.kind == "pool":
            windows = pooled(unit.windows, given[0])  # type: ignore[attr-defined]
            mean = unit.average  # type: ignore[attr-defined]
            far = far and (mean or smooth(windows))
            y = windows.mean(axis=-1) if mean else windows.max(axis=-1)
        elif unit.kind == "norm":
            one = next(learning)
            xhat = given[0].reshape(edge.shape) - one.running.mean
            xhat = xhat / np.sqrt(one.running.variance + one.epsilon)
            y = xhat + one.beta.value
            far = far and bool((np.abs(xhat) < 7.9).all())  # its clamp is at 8
            if edge.rectified:
                far = far and bool((np.abs(y) > MARGIN).all() and (y > 0).any())
                y = np.maximum(y, 0)
        else:
            one = next(learning)
            y = sums(one.geometry, one.weight.value, one.bias.value, given[0])
            if edge.rectified:
                far = far and bool((np.abs(y) > MARGIN).all() and (y > 0).any())
                y = np.maximum(y, 0)
        values[edge.number] = y.ravel()
    return values[description.graph.units[-1].inputs[0].number], far


def some_chain(name: str) -> tuple[Description, Chain, Floats]:
    """A network of the table and a sample, the first at random that has no kink near."""
    description = described(name)
    for seed in range(100):
        chain = reference_chain(description, plan(description).schedule, seed)
        random = np.random.default_rng(seed)
        for unit in chain.units:
            learnt = unit.parameters[-1]  # biases
            learnt.value = random.uniform(0, 0.5, len(learnt.value))
            if isinstance(unit, Norm):
                nothing, size = np.zeros(unit.channels), unit.channels
                spread = random.uniform(0.1, 2, size)
                unit.begin(Running(random.normal(size=size), spread, nothing, nothing))
        sample = random.random((1, description.elements))
        if forward(description, chain, sample[0])[1]:
            return description, chain, sample
    raise AssertionError(f"{name} is near a kink with every seed")


def check(name: str) -> None:
    """One update from rest at rate 1 without momentum leaves u = gradient of the loss in nats."""
    _, chain, sample = some_chain(name)
    labels = np.array([1])
    parameters = [one for unit in chain.units for one in unit.parameters]

    def loss() -> float:
        return chain.run([Token(Kind.INFER, 0)], sample, labels)[0].loss

    expected = [differences(loss, one.value) for one in parameters]
    chain.run([Token(Kind.TRAIN, 0)] + [BUBBLE] * chain.delay, sample, labels)
    for one, slopes in zip(parameters, expected, strict=True):
        assert_close(one.step, slopes)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_a_network_are_those_of_finite_differences(name: str) -> None:
    check(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_what_its_graph_says(name: str) -> None:
    description, chain, sample = some_chain(name)
    found = chain.run([Token(Kind.INFER, 0)], sample, np.array([0]))[0].scores
    expected, _ = forward(description, chain, sample[0])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_gradient_that_forgets_a_branch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fork, "backward", lambda self, token, *dy: dy[0])
    for name in ("identity", "one in a body", "pools on both ways"):
        with pytest.raises(AssertionError):
            check(name)


def test_a_shortcut_whose_gradient_goes_to_a_pixel_beside_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Subsample.backward

    def beside(self: Subsample, token: int, dy: Floats) -> Floats:
        return np.roll(kept(self, token, dy), self.channels)

    check("shortcut without parameters")
    monkeypatch.setattr(Subsample, "backward", beside)
    with pytest.raises(AssertionError):
        check("shortcut without parameters")


def test_a_sum_that_forgets_a_mask_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Sum.backward

    def unmasked(self: Sum, token: int, dy: Floats) -> tuple[Floats, ...]:
        self.masks = (False,) * len(self.masks)
        return kept(self, token, dy)

    monkeypatch.setattr(Sum, "backward", unmasked)
    with pytest.raises(AssertionError):
        check("identity")


def test_a_relu_behind_a_sum_that_lets_all_gradients_through_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Convolution.backward

    def unmasked(self: Convolution, token: int) -> Floats:
        self.masks = False
        return kept(self, token)

    monkeypatch.setattr(Convolution, "backward", unmasked)
    with pytest.raises(AssertionError):
        check("a ReLU")


# ---- golden's integers -------------------------------------------------------------------------


def exact(name: str) -> Description:
    """A network of the table whose formats drop no bit of one update from rest."""
    wide = f"s{ALL + 9}.{ALL}"
    return described(
        name,
        formats={
            "input": f"u{PIXEL + 1}.{PIXEL}",
            **dict.fromkeys(("activation", "error"), wide),
            "logit": f"s{ALL + 16}.{ALL}",  # of bubbles, too, behind the update
            "operand": f"s6.{OPERAND}",
            **dict.fromkeys(("weight", "velocity"), "s28.18"),
        },
        recipe={"mitigation": "none", "momentum": 0.0, "learning_rate": 1.0, "accumulate": 3},
    )


EXACT = [one for one in NETWORKS if "tanh" not in one and "norm" not in one]


@pytest.mark.parametrize("name", EXACT)
def test_where_no_bit_is_dropped_goldens_gradients_are_those_of_the_reference(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores, and what one update by the summed gradients of three samples leaves, are equal.

    The gradient at the scores is a number of few bits for each class and label.
    """
    description = exact(name)
    schedule = plan(description).schedule
    random = np.random.default_rng(7)
    errors = random.integers(-2, 3, (3, 3))
    monkeypatch.setattr(
        Loss, "__call__", lambda self, scores, label: (errors[label] << ALL - ERROR, 0)
    )
    golden = initial_chain(description, schedule)
    reference = reference_chain(
        description, schedule, loss=lambda scores, label: (errors[label] * 2.0**-ERROR, 0.0)
    )
    for ours, theirs in zip(golden.units, reference.units, strict=True):
        state, fine = ours.state, ours.stage.arithmetic.weight.frac
        state.weight = random.integers(-4, 5, state.weight.shape) << (fine - OPERAND)
        state.bias = random.integers(-4, 5, state.bias.shape) << (fine - OPERAND)
        theirs.weight.value = state.weight * 2.0**-fine
        theirs.bias.value = state.bias * 2.0**-fine
    samples = random.integers(0, 2**PIXEL + 1, (4, description.elements))
    labels = np.array([2, 0, 1, 0])
    kinds = [Kind.ACCUMULATE, Kind.INFER, Kind.ACCUMULATE, Kind.TRAIN]
    tokens = [Token(kind, index) for index, kind in enumerate(kinds)] + [BUBBLE] * schedule.delay
    found = golden.run(tokens, samples, labels)
    expected = reference.run(tokens, samples * 2.0**-PIXEL, labels)
    for one, other in zip(found, expected, strict=True):
        assert (one.scores * 2.0**-ALL).tolist() == other.scores.tolist()
    for ours, theirs in zip(golden.units, reference.units, strict=True):
        state, fine = ours.state, ours.stage.arithmetic.weight.frac
        np.testing.assert_array_equal(state.velocity * 2.0**-fine, theirs.weight.step)
        np.testing.assert_array_equal(state.bias_velocity * 2.0**-fine, theirs.bias.step)
        np.testing.assert_array_equal(state.weight * 2.0**-fine, theirs.weight.value)
        np.testing.assert_array_equal(state.bias * 2.0**-fine, theirs.bias.value)
        assert theirs.weight.step.any()
        assert ours.saturations == 0
