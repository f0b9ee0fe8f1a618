"""The float64 reference: the chain of `golden.chain` without any rounding.

Same slots, tokens and delays, so that a difference between the two is due to number formats alone.
In slot j a stage of delay D makes the forward pass of token j and the backward pass, gradient and
update of token j - D, all from the weights at the slot's start.  A norm sends gradients back as
they come, and learns in slots as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.description import Description
from counterflow.design.network.grouping import placed_delays
from counterflow.design.parts.tokens import Kind, Token, updates_in_flight
from counterflow.design.schedule.initial import initial_floats
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.convolution import ConvolutionUnit
from counterflow.design.units.losses import LossUnit, decided
from counterflow.design.units.normal_unit import NormalUnit
from counterflow.golden.reference.rules import Floats, Rule
from counterflow.golden.reference.units import UNITS
from counterflow.golden.reference.units.convolution import Convolution
from counterflow.golden.reference.units.loss import Loss, cross_entropy
from counterflow.golden.reference.units.normal import Normal
from counterflow.golden.units.update import Settings


@dataclass(frozen=True)
class Prediction:
    """What the chain returns for a token that is no bubble; `loss` in nats.

    ``heads``: what the heads of inner components say of it, by their numbers.
    """

    token: Token
    label: int
    scores: Floats
    loss: float
    heads: Mapping[int, Prediction] = field(default_factory=dict)
    threshold: float | None = None

    @property
    def correct(self) -> bool:
        return int(decided(self.scores, self.threshold)) == self.label


Wires = Sequence[tuple[Sequence[int], Sequence[int]]]
"""For each unit the numbers of its input and its output edges; edge 0 is what a sample takes."""


Learning = Convolution | Normal

Observer = Callable[[int, int, Kind, Floats], None]
"""Told of the values of a token of some kind that pass an edge, by its number: activations as path
0, else gradients of that path."""


class Chain:
    """Units in the order of the dataflow and a loss behind the last.

    ``wires`` joins the units; without, they stand in series.  ``units`` are those that learn,
    whose delays do not increase along a path.  There are losses at the edges of ``heads``, too, by
    the numbers of these; ``paths``: the losses whose gradients come back by each edge, the one last
    that the unit below learns from; ``targets``: the edge of what the scores shall be, unless
    labels say it; ``threshold``: see `design.units.losses.LossNumbers`.
    """

    def __init__(
        self,
        units: Sequence[Any],
        loss: Loss = cross_entropy,
        wires: Wires | None = None,
        heads: Mapping[int, int] | None = None,
        paths: Mapping[int, Sequence[int]] | None = None,
        targets: int | None = None,
        threshold: float | None = None,
    ) -> None:
        self.parts, self.loss = list(units), loss
        self.targets, self.threshold = targets, threshold
        self.wires = wires or [([index], [index + 1]) for index in range(len(units))]
        self.units = [unit for unit in units if isinstance(unit, Learning)]
        self.slot = 0
        self._see: Observer = _unseen
        self._kinds: dict[int, Kind] = {}
        self._rules = [unit.rule for unit in self.units]
        # By edge, path and token
        self._gradients: dict[tuple[int, int], dict[int, Floats]] = defaultdict(dict)
        makers = {edge: at for at, (_, outputs) in enumerate(self.wires) for edge in outputs}
        self._paths = self._one_path() if paths is None else paths
        last = max((edge for edge in makers if edge != targets), key=lambda edge: makers[edge])
        self._ends = {0: last, **{number: edge for edge, number in (heads or {}).items()}}

    def _one_path(self) -> Mapping[int, Sequence[int]]:
        """The paths of a single loss: it is not wanted before the first units that learn."""
        found: dict[int, Sequence[int]] = defaultdict(tuple)
        for unit, (inputs, outputs) in zip(self.parts, self.wires, strict=True):
            if isinstance(unit, Learning) or any(found[edge] for edge in inputs):
                found.update((edge, (1,)) for edge in outputs)
        return found

    @property
    def delay(self) -> int:
        """The longest delay: bubbles that empty the chain."""
        return max(unit.empties for unit in self.units)

    def set(self, settings: Settings) -> None:
        """Change the run-time settings of every unit (of a drained chain: between epochs).

        They can switch off what a unit's rule does about the delay, and drop its rate.
        """
        for unit, rule in zip(self.units, self._rules, strict=True):
            unit.rule = replace(
                rule,
                rate=rule.rate * 2.0**-settings.extra_shift,
                decay=rule.decay * 2.0**-settings.extra_shift,
                predict=rule.predict if settings.predict else "no",
                compensate=rule.compensate and settings.compensate,
            )

    def run(
        self,
        tokens: Iterable[Token],
        samples: Floats,
        labels: NDArray[np.integer],
        observe: Observer | None = None,
    ) -> list[Prediction]:
        """Feed `tokens` that index `samples` [N, inputs] and `labels` [N].

        Returns the predictions of those that are no bubbles, in order.
        """
        predictions, self._see = [], observe or _unseen
        zeros = np.zeros(samples.shape[1])
        for token in tokens:
            bubble = token.kind is Kind.BUBBLE
            x = zeros if bubble else samples[token.sample]
            label = 0 if bubble else int(labels[token.sample])
            found = self._slot(token.kind, x, label)
            if not bubble:
                said = {
                    number: Prediction(token, label, *one, threshold=self.threshold)
                    for number, one in found.items()
                }
                predictions.append(replace(said.pop(0), heads=said))
        return predictions

    def _slot(self, kind: Kind, x: Floats, label: int) -> dict[int, tuple[Floats, float]]:
        """All forward passes, the losses, then all backward passes: delay 0 is possible, too.

        The scores and the loss of each head, and those of the network as number 0.
        """
        self._kinds[self.slot] = kind
        values = {0: x}
        for unit, (inputs, outputs) in zip(self.parts, self.wires, strict=True):
            given = [values[edge] for edge in inputs]
            if isinstance(unit, Learning):
                left = unit.forward(self.slot, given[0], kind)
            else:
                left = unit.forward(self.slot, *given)
            values.update(zip(outputs, _listed(left), strict=True))
        for edge, one in values.items():
            self._see(edge, 0, kind, one)
        found = {}
        for number, edge in self._ends.items():
            wanted = label if self.targets is None else values[self.targets]
            error, loss = self.loss(values[edge], wanted)
            path = self._paths[edge][-1]
            self._send_back(edge, path, self.slot, error if kind.learns else np.zeros_like(error))
            found[number] = values[edge], loss
        for unit, wires in zip(reversed(self.parts), reversed(self.wires), strict=True):
            self._back(unit, *wires)
        self._kinds.pop(self.slot - self.delay, None)
        self.slot += 1
        return found

    def _back(self, unit: Any, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Send back what a unit has all gradients of; one with weights, what its delays say."""
        if isinstance(unit, Convolution):
            self._convolution_back(unit, inputs[0], outputs[0])
        elif isinstance(unit, Normal) and unit.frozen:
            unit.update()
        elif isinstance(unit, Normal):
            self._norm_returns(unit, inputs[0], outputs[0])
            unit.update()
            self._norm_returns(unit, inputs[0], outputs[0])
        else:
            for path in sorted({path for edge in inputs for path in self._paths[edge]}):
                came = [
                    self._gradients[edge, path] for edge in outputs if path in self._paths[edge]
                ]
                wanted = [edge for edge in inputs if path in self._paths[edge]]
                for token in sorted(set.intersection(*(set(one) for one in came))):
                    found = _listed(unit.backward(token, *(one.pop(token) for one in came)))
                    for edge, gradient in zip(wanted, found, strict=True):
                        self._send_back(edge, path, token, gradient)

    def _send_back(self, edge: int, path: int, token: int, gradient: Floats) -> None:
        self._gradients[edge, path][token] = gradient
        self._see(edge, path, self._kinds[token], gradient)

    def _convolution_back(self, unit: Convolution, below: int, above: int) -> None:
        """Pass on the gradients of other losses, then that of its own, from which it learns."""
        *others, own = self._paths[above] or (0,)
        for path, delay in zip(others, unit.asides, strict=True):
            token = self.slot - delay
            if token >= 0:
                dy = self._gradients[above, path].pop(token)
                self._send_back(below, path, token, unit.passed(token, dy))
        token = self.slot - unit.delay
        if token >= 0 and self._paths[above]:
            unit.receive(token, self._gradients[above, own].pop(token))
            if own in self._paths[below]:
                self._send_back(below, own, token, unit.backward(token))
            unit.finish(token, self._kinds[token])
        unit.forget(self.slot)

    def _norm_returns(self, unit: Normal, below: int, above: int) -> None:
        """Send back every token whose gradient has come and for which a norm is ready."""
        path = self._paths[above][-1]
        came = self._gradients[above, path]
        for token in sorted(came):
            if not unit.returns(token):
                break
            dx = unit.backward(token, came.pop(token), self._kinds[token])
            if path in self._paths[below]:
                self._send_back(below, path, token, dx)


def _unseen(edge: int, path: int, kind: Kind, values: Floats) -> None:
    """Nobody looks."""


def _listed(values: Floats | tuple[Floats, ...]) -> Sequence[Floats]:
    return values if isinstance(values, tuple) else (values,)


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
        decay=recipe.weight_decay,
        clip=recipe.gradient_clip,
    )


def delays_of(description: Description, schedule: Schedule) -> dict[str, int]:
    """Delays in slots by the names of units: those of `schedule`, or of the recipe's placement.

    There a norm has the delay at which gradients reach it: the longest of those above it.
    """
    placement = description.recipe.placement
    if placement is None:
        return {stage.name: stage.delay for stage in schedule.stages}
    weighted = [unit.name for unit in description.weighted]
    found = dict(zip(weighted, placed_delays(placement, len(weighted)), strict=True))
    for unit in reversed(description.graph.units):
        above = [found[one.name] for one in description.graph.above(unit)]
        found.setdefault(unit.name, max(above, default=0))
    return found


def reference_chain(
    description: Description,
    schedule: Schedule,
    seed: int | None = None,
    loss: Loss | None = None,
) -> Chain:
    """The chain that `golden.training.start.initial_chain` approximates; `seed` None: the recipe's.

    Delays are those of `schedule`, or those of the recipe's placement; `loss` None: the
    description's.
    """
    chosen = description.recipe.seed if seed is None else seed
    delays = delays_of(description, schedule)
    weights = iter(initial_floats(description, chosen))
    units: list[Any] = []
    graph = description.graph
    asides = {stage.name: tuple(one.delay for one in stage.asides) for stage in schedule.weighted}
    inner = [unit for unit in graph.units if not isinstance(unit, LossUnit)]
    for unit in inner:
        if isinstance(unit, ConvolutionUnit):
            delay = delays[unit.name]
            units.append(
                Convolution(
                    unit.geometry,
                    next(weights),
                    np.zeros(unit.geometry.outputs),
                    relu=unit.outputs[0].rectified,
                    masks=unit.inputs[0].rectified,
                    delay=delay,
                    rule=rule_of(description, delay),
                    asides=asides[unit.name],
                    frozen=unit.frozen,
                )
            )
        elif isinstance(unit, NormalUnit):
            delay = delays[unit.name]
            # What a token does to beta is seen a slot later than what it does to weights.
            rule = rule_of(description, delay + 1)
            units.append(UNITS[unit.kind].of(unit, delay=delay, rule=rule))
        else:
            units.append(UNITS[unit.kind].of(unit))
    wires = [
        ([edge.number for edge in unit.inputs], [edge.number for edge in unit.outputs])
        for unit in inner
    ]
    ends = [unit for unit in graph.units if isinstance(unit, LossUnit) and unit.head]
    heads = {unit.inputs[0].number: unit.head for unit in ends}
    paths = {edge.number: edge.paths for edge in graph.edges}
    end = schedule.loss
    _, *targets = (edge.number for edge in end.unit.inputs)
    threshold = end.arithmetic.threshold
    return Chain(
        units,
        loss or UNITS[end.unit.kind],
        wires,
        heads,
        paths,
        targets[0] if targets else None,
        None if threshold is None else threshold * 2.0**-end.arithmetic.logit.frac,
    )
