"""The float64 reference: the chain of `golden.chain` without any rounding.

Same slots, tokens and delays, so that a difference between the two is due to number formats alone.
In slot j a stage of delay D makes the forward pass of token j and the backward pass, gradient and
update of token j - D, all from the weights at the slot's start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.description import Description
from counterflow.design.network.grouping import placed_delays
from counterflow.design.network.layers import TanhUnit, WeightedUnit
from counterflow.design.parts.tokens import Kind, Token, updates_in_flight
from counterflow.design.schedule.initial import initial_floats
from counterflow.design.schedule.stages import Schedule
from counterflow.golden.reference.units import Convolution, Floats, Pool, Rule, Tanh
from counterflow.golden.units.convolution import Settings

Loss = Callable[[Floats, int], tuple[Floats, float]]
"""(scores [classes], label) to (gradient at the scores [classes], loss)."""


def cross_entropy(scores: Floats, label: int) -> tuple[Floats, float]:
    """Softmax cross-entropy: (softmax(scores) - onehot(label), -ln p_label), the loss in nats."""
    shifted = scores - scores.max()
    exponentials = np.exp(shifted)
    total = float(exponentials.sum())
    error = exponentials / total
    error[label] -= 1
    return error, float(np.log(total) - shifted[label])


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
    """Stages in series, first to last, of delays that do not increase, and a loss."""

    def __init__(self, units: Sequence[Convolution], loss: Loss = cross_entropy) -> None:
        self.units, self.loss = list(units), loss
        self.slot = 0
        self._kinds: dict[int, Kind] = {}
        self._rules = [unit.rule for unit in self.units]

    @property
    def delay(self) -> int:
        """Delay of the first stage: bubbles that empty the chain."""
        return self.units[0].delay

    def set(self, settings: Settings) -> None:
        """Change the run-time settings of every unit (of a drained chain: between epochs).

        They can switch off what a unit's rule does about the delay, and drop its rate.
        """
        for unit, rule in zip(self.units, self._rules, strict=True):
            unit.rule = replace(
                rule,
                rate=rule.rate * 2.0**-settings.extra_shift,
                predict=rule.predict if settings.predict else "no",
                compensate=rule.compensate and settings.compensate,
            )

    def run(
        self, tokens: Iterable[Token], samples: Floats, labels: NDArray[np.integer]
    ) -> list[Prediction]:
        """Feed `tokens` that index `samples` [N, inputs] and `labels` [N].

        Returns the predictions of those that are no bubbles, in order.
        """
        predictions = []
        zeros = np.zeros(self.units[0].geometry.inputs)
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
        self._kinds[self.slot] = kind
        for unit in self.units:
            x = unit.forward(self.slot, x, kind)
        error, loss = self.loss(x, label)
        self.units[-1].receive(self.slot, error if kind.learns else np.zeros_like(error))
        for index in reversed(range(len(self.units))):
            unit = self.units[index]
            token = self.slot - unit.delay
            if token >= 0:
                if index > 0:
                    self.units[index - 1].receive(token, unit.backward(token))
                unit.finish(token, self._kinds[token])
        self._kinds.pop(self.slot - self.delay, None)
        self.slot += 1
        return x, loss


def rule_of(description: Description, delay: int) -> Rule:
    """The rule of a stage of that delay, in slots, under the description's recipe."""
    recipe = description.recipe
    form: Literal["velocity", "weight"]
    form = "weight" if recipe.mitigation.startswith("lwpw") else "velocity"
    return Rule(
        rate=recipe.learning_rate,
        momentum=recipe.momentum,
        horizon=updates_in_flight(recipe, delay) * recipe.horizon,
        predict=form if recipe.predicts else "no",
        compensate=recipe.compensates,
        stash=recipe.mitigation == "stash",
    )


def reference_chain(
    description: Description,
    schedule: Schedule,
    seed: int | None = None,
    loss: Loss = cross_entropy,
) -> Chain:
    """The chain that `golden.training.start.initial_chain` approximates; `seed` None: the recipe's.

    Delays are those of `schedule`, or those of the recipe's placement.
    """
    chosen = description.recipe.seed if seed is None else seed
    delays = tuple(stage.delay for stage in schedule.stages)
    if description.recipe.placement is not None:
        delays = placed_delays(description.recipe.placement, len(delays))
    weights = initial_floats(description, chosen)
    units = []
    for unit, delay, weight in zip(description.weighted, delays, weights, strict=True):
        units.append(
            Convolution(
                unit.geometry,
                weight,
                np.zeros(unit.geometry.outputs),
                relu=description.rectified(unit.layer),
                masks=unit.masks,
                delay=delay,
                rule=rule_of(description, delay),
                behind=_behind(description, unit),
            )
        )
    return Chain(units, loss)


def _behind(description: Description, unit: WeightedUnit) -> list[Pool | Tanh]:
    """The units without weights behind `unit`."""
    found: list[Pool | Tanh] = []
    for one in description.units:
        if isinstance(one, WeightedUnit) or one.below != unit.layer:
            continue
        if isinstance(one, TanhUnit):
            found.append(Tanh())
        else:
            found.append(Pool(one.image, one.kernel, average=one.average, masks=one.masks))
    return found
