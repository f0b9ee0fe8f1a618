"""The float64 reference: the chain of `golden.chain` without any rounding.

Same slots, tokens and delays, so that a difference between the two is due to number formats alone.
In slot j a stage of delay D makes the forward pass of token j and the backward pass, gradient and
update of token j - D, all from the weights at the slot's start.  The update rules are those of
Kosson et al., arXiv 2003.11666, in the scaled velocity u = eta v that the hardware stores: what is
in u keeps the learning rate that it arrived with when the rate drops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterflow.description import Description
from counterflow.initial import initial_floats
from counterflow.schedule import Schedule
from counterflow.tokens import Kind, Token

Floats = NDArray[np.float64]
Loss = Callable[[Floats, int], tuple[Floats, float]]
"""(scores [classes], label) to (gradient at the scores [classes], loss)."""


def sgdm_step(w: Floats, u: Floats, g: Floats, rate: float, m: float) -> tuple[Floats, Floats]:
    """Undamped SGD with momentum: (w', u') with u' = m u + eta g, w' = w - u'."""
    u = m * u + rate * g
    return w - u, u


def compensated_step(
    w: Floats, u: Floats, g: Floats, rate: float, m: float, delay: int
) -> tuple[Floats, Floats]:
    """Spike compensation for `delay` updates: w' = w - (a u' + b eta g).

    With a = m^D and b = (1 - m^D) / (1 - m), b paying at once the D contributions of g that were
    missed in flight.  D = 0 is `sgdm_step`, D = 1 is Nesterov's momentum.
    """
    a = m**delay
    b = (1 - a) / (1 - m)
    u = m * u + rate * g
    return w - (a * u + b * rate * g), u


def predict(w: Floats, u: Floats, horizon: int) -> Floats:
    """Linear weight prediction, velocity form: w - T u."""
    return w - horizon * u


def predict_by_weight(w: Floats, previous: Floats, horizon: int) -> Floats:
    """Linear weight prediction, weight form: w + T (w - w before the last update)."""
    return w + horizon * (w - previous)


def cross_entropy(scores: Floats, label: int) -> tuple[Floats, float]:
    """Softmax cross-entropy: (softmax(scores) - onehot(label), -ln p_label), the loss in nats."""
    shifted = scores - scores.max()
    exponentials = np.exp(shifted)
    total = float(exponentials.sum())
    error = exponentials / total
    error[label] -= 1
    return error, float(np.log(total) - shifted[label])


@dataclass(frozen=True)
class Rule:
    """How one stage learns: eta, m, the horizon T in updates, and what is done about the delay.

    ``predict``: form of the linear weight prediction of the forward pass.  ``compensate``: spike
    compensation.  ``stash``: the backward pass sees the weights of the token's own forward pass.
    """

    rate: float
    momentum: float
    horizon: int = 0
    predict: Literal["no", "velocity", "weight"] = "no"
    compensate: bool = False
    stash: bool = False


class Parameter:
    """An array that learns by a rule: ``value`` w, ``step`` u = eta v, and ``previous`` w."""

    def __init__(self, value: Floats) -> None:
        self.value = value
        self.step: Floats = np.zeros_like(value)
        self.previous = value

    def predicted(self, rule: Rule) -> Floats:
        """What the forward pass of a training token sees."""
        if rule.predict == "velocity":
            return predict(self.value, self.step, rule.horizon)
        if rule.predict == "weight":
            return predict_by_weight(self.value, self.previous, rule.horizon)
        return self.value

    def learn(self, gradient: Floats, rule: Rule) -> None:
        """One update; arrays are replaced, never written to, so old ones may be kept."""
        self.previous = self.value
        numbers = (self.value, self.step, gradient, rule.rate, rule.momentum)
        if rule.compensate:
            self.value, self.step = compensated_step(*numbers, rule.horizon)
        else:
            self.value, self.step = sgdm_step(*numbers)


class Dense:
    """One dense stage, y = f(W x + b), of any delay and rule; W of shape [outputs, inputs]."""

    def __init__(self, weight: Floats, bias: Floats, *, relu: bool, delay: int, rule: Rule) -> None:
        self.weight, self.bias = Parameter(weight), Parameter(bias)
        self.relu, self.delay, self.rule = relu, delay, rule
        self.inputs: dict[int, Floats] = {}
        self.errors: dict[int, Floats] = {}
        self.stashed: dict[int, Floats] = {}

    def forward(self, slot: int, x: Floats, kind: Kind) -> Floats:
        """y [outputs] of token `slot`; the input is kept until its gradient is back."""
        self.inputs[slot] = x
        if self.rule.stash:
            self.stashed[slot] = self.weight.value
        training = kind is Kind.TRAIN
        weight = self.weight.predicted(self.rule) if training else self.weight.value
        bias = self.bias.predicted(self.rule) if training else self.bias.value
        y: Floats = weight @ x + bias
        return np.maximum(y, 0) if self.relu else y

    def backward(self, token: int) -> Floats:
        """dx [inputs] of `token`, zero where the ReLU below let nothing through (x <= 0)."""
        weight = self.stashed[token] if self.rule.stash else self.weight.value
        dx: Floats = self.errors[token] @ weight
        return dx * (self.inputs[token] > 0)

    def finish(self, token: int, kind: Kind) -> None:
        """Learn from `token` if it is a training token, and forget it."""
        x, dy = self.inputs.pop(token), self.errors.pop(token)
        self.stashed.pop(token, None)
        if kind is Kind.TRAIN:
            self.weight.learn(np.outer(dy, x), self.rule)
            self.bias.learn(dy, self.rule)


@dataclass(frozen=True)
class Prediction:
    """What the chain returns for a token that is no bubble; `loss` in nats."""

    token: Token
    label: int
    scores: Floats
    loss: float

    @property
    def correct(self) -> bool:
        return int(np.argmax(self.scores)) == self.label


class Chain:
    """Dense stages in series, first to last, of delays that do not increase, and a loss."""

    def __init__(self, units: Sequence[Dense], loss: Loss = cross_entropy) -> None:
        self.units, self.loss = list(units), loss
        self.slot = 0
        self._kinds: list[Kind] = []
        self._rates = [unit.rule.rate for unit in self.units]

    def drop_rate(self, extra_shift: int) -> None:
        """Set every learning rate to 2**-extra_shift of what it was at the start."""
        for unit, rate in zip(self.units, self._rates, strict=True):
            unit.rule = replace(unit.rule, rate=rate * 2.0**-extra_shift)

    def run(
        self, tokens: Iterable[Token], samples: Floats, labels: NDArray[np.integer]
    ) -> list[Prediction]:
        """Feed `tokens` that index `samples` [N, inputs] and `labels` [N].

        Returns the predictions of those that are no bubbles, in order.
        """
        predictions = []
        zeros = np.zeros(self.units[0].weight.value.shape[1])
        for token in tokens:
            bubble = token.kind is Kind.BUBBLE
            x = zeros if bubble else samples[token.sample]
            label = 0 if bubble else int(labels[token.sample])
            scores, loss = self._slot(token.kind, x, label)
            if not bubble:
                predictions.append(Prediction(token, label, scores, loss))
        return predictions

    def _slot(self, kind: Kind, x: Floats, label: int) -> tuple[Floats, float]:
        """All forward passes, the loss, then all backward passes: delay 0 is possible, too."""
        self._kinds.append(kind)
        for unit in self.units:
            x = unit.forward(self.slot, x, kind)
        error, loss = self.loss(x, label)
        self.units[-1].errors[self.slot] = error if kind is Kind.TRAIN else np.zeros_like(error)
        for index in reversed(range(len(self.units))):
            unit = self.units[index]
            token = self.slot - unit.delay
            if token >= 0:
                if index > 0:
                    self.units[index - 1].errors[token] = unit.backward(token)
                unit.finish(token, self._kinds[token])
        self.slot += 1
        return x, loss


def rule_of(description: Description, horizon: int) -> Rule:
    """The rule of a stage: the description's recipe with that stage's `horizon`."""
    recipe = description.recipe
    form: Literal["velocity", "weight"]
    form = "weight" if recipe.mitigation.startswith("lwpw") else "velocity"
    return Rule(
        rate=recipe.learning_rate,
        momentum=recipe.momentum,
        horizon=horizon,
        predict=form if recipe.predicts else "no",
        compensate=recipe.compensates,
        stash=recipe.mitigation == "stash",
    )


def reference_chain(description: Description, schedule: Schedule, seed: int | None = None) -> Chain:
    """The chain that `golden.start.initial_chain` approximates; `seed` None: the recipe's."""
    chosen = description.recipe.seed if seed is None else seed
    units = []
    for stage, weight in zip(schedule.stages, initial_floats(description, chosen), strict=True):
        numbers = stage.arithmetic
        rule = rule_of(description, numbers.horizon)
        bias = np.zeros(numbers.outputs)
        units.append(Dense(weight, bias, relu=numbers.relu, delay=stage.delay, rule=rule))
    return Chain(units)
