"""The golden chain: slots and tokens through all units, every value an exact integer.

This is the readable authority.  `golden.fast.chain` computes the same training faster and is tested
to be equal to it; the hardware is tested to be equal to both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.losses import LossStage, decided
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.passing import PassingStage
from counterflow.design.units.scheduled import Border, Scheduled
from counterflow.design.units.slots import Stage
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.units import UNITS
from counterflow.golden.units.convolution import Convolution
from counterflow.golden.units.normal import Normal
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings


@dataclass(frozen=True)
class Prediction:
    """What the chain returns for a token that is no bubble; loss in units of `numbers.one_loss`.

    ``heads``: what the heads of inner components say of it, by their numbers; ``threshold``: see
    `design.units.losses.LossNumbers`.
    """

    token: Token
    label: int
    scores: Integers
    loss: int
    heads: Mapping[int, Prediction] = field(default_factory=dict)
    threshold: int | None = None

    @property
    def correct(self) -> bool:
        return int(decided(self.scores, self.threshold)) == self.label


@dataclass(frozen=True)
class SlotRecord:
    """What a unit with slots did in one; `learnt` is about the token `delay` slots ago.

    ``state`` has the values after the slot, where it learnt.
    """

    stage: int
    slot: int
    kind: Kind
    learnt: bool
    state: State | None


@dataclass(frozen=True)
class BorderRecord:
    """The values of a token, of kind `kind`, that left unit `unit` by its port `port`.

    The intake counts as a unit that sends ``x``.
    """

    unit: str
    port: str
    token: int
    kind: Kind
    values: Integers


@dataclass(frozen=True)
class LossRecord:
    """What loss unit `unit` made of one token; its error is a `BorderRecord`."""

    unit: str
    slot: int
    kind: Kind
    label: int
    logits: Integers
    error: Integers
    loss: int


Record = SlotRecord | BorderRecord | LossRecord
Observer = Callable[[Record], None]


class Chain:
    """All units of a folded design, with their states; runs token by token.

    ``samples``: integers in the input format, shape [N, elements]; ``labels``: [N].
    """

    def __init__(
        self, description: Description, schedule: Schedule, states: Iterable[State]
    ) -> None:
        recipe = description.recipe
        if recipe.float_only:
            raise ValueError(recipe.float_only)
        self.schedule, self._rate_span = schedule, recipe.rate_span
        self.stashing = recipe.mitigation == "stash"
        weight_form = recipe.mitigation.startswith("lwpw")
        self.units: list[Convolution | Normal] = [
            UNITS[stage.unit.kind](stage, state, weight_form=weight_form)
            for stage, state in zip(schedule.stages, states, strict=True)
        ]
        self.norms = {
            stage.name: unit
            for stage, unit in zip(schedule.stages, self.units, strict=True)
            if isinstance(unit, Normal)
        }
        self.weighted = {
            stage.name: unit
            for stage, unit in zip(schedule.stages, self.units, strict=True)
            if isinstance(unit, Convolution)
        }
        self.passing = {one.name: UNITS[one.unit.kind](one.numbers) for one in schedule.passing}
        self.set(Settings(recipe.predicts, recipe.compensates, recipe.extra_shift(0)))
        self.losses = {one.name: UNITS[one.unit.kind](one.arithmetic) for one in schedule.losses}
        self.threshold = schedule.loss.arithmetic.threshold
        self.slot = 0
        # What a unit sends, by the loss whose gradients it is, 0 for activations
        self._sends: dict[tuple[str, int], list[Border]] = defaultdict(list)
        for unit in schedule.units:
            for border in unit.borders:
                self._sends[unit.name, border.path].append(border)
        self._kinds: dict[int, Kind] = {}
        self._values: dict[int, Integers] = {}  # of this slot's token, by edge
        self._gradients: dict[tuple[int, int], dict[int, Integers]] = {  # by edge, path and token
            (edge.number, path): {} for edge in schedule.graph.edges for path in edge.paths
        }
        self._inputs: list[dict[int, Integers]] = [{} for _ in self.units]
        self._stashed: list[dict[int, Integers]] = [{} for _ in self.units]

    def set(self, settings: Settings) -> None:
        """Change the run-time settings of every unit (of a drained chain: between epochs)."""
        span = self._rate_span
        if not 0 <= settings.extra_shift <= span:
            raise ValueError(
                f"extra_shift is {settings.extra_shift}; the recipe's rate drops allow 0 to {span}"
            )
        self.settings = settings
        for unit in self.units:
            unit.settings = settings

    @property
    def states(self) -> list[State]:
        return [unit.state for unit in self.units]

    def run(
        self,
        tokens: Iterable[Token],
        samples: Integers,
        labels: NDArray[np.integer],
        observe: Observer | None = None,
    ) -> list[Prediction]:
        """Feed `tokens`; returns the predictions of those that are samples, in order."""
        predictions, see = [], observe or (lambda record: None)
        zeros = np.zeros(self.schedule.graph.source.elements, np.int64)
        for token in tokens:
            bubble = token.kind is Kind.BUBBLE
            x = zeros if bubble else samples[token.sample].astype(np.int64)
            label = 0 if bubble else int(labels[token.sample])
            found = self._slot(token.kind, x, label, see)
            if not bubble:
                said = {
                    number: Prediction(token, label, *one, threshold=self.threshold)
                    for number, one in found.items()
                }
                predictions.append(replace(said.pop(0), heads=said))
        return predictions

    def _slot(
        self, kind: Kind, x: Integers, label: int, see: Observer
    ) -> dict[int, tuple[Integers, int]]:
        """Slot number `self.slot` of every unit: all forward passes, then all backward ones.

        The scores and the loss at the end of each head, and at that of the network as number 0.  A
        unit reads weights before it moves them, so that both are of the slot's start.
        """
        self._kinds[self.slot] = kind
        self._kinds.pop(self.slot - self.schedule.delay - 1, None)
        source = self.schedule.graph.source.number
        self._values = {source: x}
        see(BorderRecord("intake", "x", self.slot, kind, x))
        for unit in self.schedule.units:
            if isinstance(unit, Stage):
                self._sent(unit, self._unit_forward(unit, kind), kind, see)
            elif isinstance(unit, NormalStage):
                norm, x = self.norms[unit.name], self._values[unit.unit.inputs[0].number]
                self._sent(unit, norm.forward(x, training=kind.learns), kind, see)
            elif isinstance(unit, PassingStage):
                values = [self._values[edge.number] for edge in unit.unit.inputs]
                self._sent(unit, self.passing[unit.name].forward(*values), kind, see)
        found = {one.unit.head: self._end(one, kind, label, see) for one in self.schedule.losses}
        for unit in reversed(self.schedule.units):
            if isinstance(unit, Stage):
                self._unit_backward(unit, kind, see)
            elif isinstance(unit, NormalStage):
                self._norm_backward(unit, kind, see)
            elif isinstance(unit, PassingStage):
                self._passed_back(unit, see)
        self.slot += 1
        return found

    def _end(self, unit: LossStage, kind: Kind, label: int, see: Observer) -> tuple[Integers, int]:
        """A loss of this slot's token, whose gradient sets out."""
        logits, *targets = (self._values[edge.number] for edge in unit.unit.inputs)
        error, loss = self.losses[unit.name](logits, targets[0] if targets else label)
        if not kind.learns:
            error = np.zeros_like(error)
        see(LossRecord(unit.name, self.slot, kind, label, logits, error, loss))
        self._sent_back(unit, unit.unit.inputs[0].paths[0], self.slot, error, see)
        return logits, loss

    def _unit_forward(self, stage: Stage, kind: Kind) -> Integers:
        index, x = stage.index, self._values[stage.unit.inputs[0].number]
        unit = self.weighted[stage.name]
        self._inputs[index][self.slot] = x
        if self.stashing:
            self._stashed[index][self.slot] = unit.state.weight
        return unit.forward(x, training=kind.learns)

    def _unit_backward(self, stage: Stage, kind: Kind, see: Observer) -> None:
        """Gradient, update and input gradient of the token that comes back in this slot."""
        index, back, edge = stage.index, self.slot - stage.delay, stage.unit.outputs[0]
        unit, learns = self.weighted[stage.name], False
        inputs, stashed = self._inputs[index], self._stashed[index]
        *others, own = edge.paths or (0,)
        for path, aside in zip(others, stage.asides, strict=True):
            token = self.slot - aside.delay
            if token >= 0:
                dy = self._gradients[edge.number, path].pop(token)
                dx = unit.passed(aside, dy, inputs[token], stashed.get(token))
                self._sent_back(stage, path, token, dx, see)
        if back >= 0 and edge.wanted:
            dy = self._gradients[edge.number, own].pop(back)
            x = inputs[back]
            if stage.arithmetic.dx is not None:
                self._sent_back(stage, own, back, unit.backward(dy, x, stashed.get(back)), see)
            came = self._kinds[back]
            if stage.arithmetic.frozen:
                came = Kind.INFER  # from which nothing is learnt
            learns = came is Kind.TRAIN
            if came.learns:
                unit.learn(dy, x, update=learns)
        for kept in (inputs, stashed):
            kept.pop(self.slot - stage.longest, None)
        state = unit.state.copy() if learns else None
        see(SlotRecord(index, self.slot, kind, learns, state))

    def _norm_backward(self, stage: NormalStage, kind: Kind, see: Observer) -> None:
        """Send back what has come, and update all channels at the end of the slot."""
        norm, back = self.norms[stage.name], self.slot - stage.delay
        if not stage.unit.outputs[0].wanted:
            see(SlotRecord(stage.index, self.slot, kind, False, norm.update(moves=False)))
            return
        self._norm_returns(stage, see)
        state = norm.update(moves=back >= 0 and self._kinds[back] is Kind.TRAIN)
        see(SlotRecord(stage.index, self.slot, kind, state is not None, state))
        self._norm_returns(stage, see)

    def _norm_returns(self, stage: NormalStage, see: Observer) -> None:
        """Send back every token whose gradient has come and for which the norm is ready."""
        edge = stage.unit.outputs[0]
        norm, came = self.norms[stage.name], self._gradients[edge.number, edge.paths[-1]]
        for token in sorted(came):
            if not norm.returns(token):
                break
            dx = norm.backward(came.pop(token), self._kinds[token].learns)
            if stage.numbers.dx is not None:
                self._sent_back(stage, edge.paths[-1], token, dx, see)

    def _passed_back(self, stage: PassingStage, see: Observer) -> None:
        """Send back every token of which a loss's gradients have come by all outputs with some."""
        unit = stage.unit
        for path in sorted({path for edge in unit.inputs for path in edge.paths}):
            came = [
                self._gradients[edge.number, path] for edge in unit.outputs if path in edge.paths
            ]
            for token in sorted(set.intersection(*(set(one) for one in came))):
                dx = self.passing[unit.name].backward(*(one.pop(token) for one in came))
                self._sent_back(stage, path, token, dx, see)

    def _sent(self, unit: Scheduled, values: Values, kind: Kind, see: Observer) -> None:
        """Let what `unit` sends of this slot's token pass its edges."""
        borders = self._sends[unit.name, 0]
        for border, one in zip(borders, _listed(values), strict=True):
            self._values[border.edge.number] = one
            see(BorderRecord(unit.name, border.port, self.slot, kind, one))

    def _sent_back(
        self, unit: Scheduled, path: int, token: int, gradients: Values, see: Observer
    ) -> None:
        """Let the gradients of loss `path` that `unit` sends back of a token pass its edges."""
        borders = self._sends[unit.name, path]
        for border, one in zip(borders, _listed(gradients), strict=True):
            self._gradients[border.edge.number, path][token] = one
            see(BorderRecord(unit.name, border.port, token, self._kinds[token], one))


Values = Integers | tuple[Integers, ...]


def _listed(values: Values) -> Iterable[Integers]:
    return values if isinstance(values, tuple) else (values,)
