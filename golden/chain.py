"""The golden chain: slots and tokens through all units, every value an exact integer.

This is the readable authority.  `golden.fast.chain` computes the same training faster and is tested
to be equal to it; the hardware is tested to be equal to both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.stages import Schedule
from counterflow.design.units.kinds import Streaming
from counterflow.design.units.pool import Pooling
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.units.convolution import Convolution, Settings, UnitState
from counterflow.golden.units.loss import Loss
from counterflow.golden.units.pool import Pool
from counterflow.golden.units.tanh import Tanh


@dataclass(frozen=True)
class Prediction:
    """What the chain returns for a token that is no bubble; loss in bits (LOG_FRAC fraction)."""

    token: Token
    label: int
    scores: Integers
    loss: int

    @property
    def correct(self) -> bool:
        return int(np.argmax(self.scores)) == self.label


@dataclass(frozen=True)
class SlotRecord:
    """What one unit did in one slot; `dx` and `learnt` belong to the token `delay` slots ago.

    ``dx`` is None where no gradient leaves (first unit, or before the first token is back);
    ``weight`` ... ``bias_velocity`` are the values after the slot, present where it learnt.
    """

    stage: int
    slot: int
    kind: Kind
    x: Integers
    y: Integers
    dx: Integers | None
    learnt: bool
    state: UnitState | None


@dataclass(frozen=True)
class StreamRecord:
    """What unit number `stream` of those without weights did with one token: `y` or `dx`."""

    stream: int
    token: int
    kind: Kind
    y: Integers | None = None
    dx: Integers | None = None


@dataclass(frozen=True)
class LossRecord:
    """What the loss unit did with one token: `error` leaves for the last dense unit."""

    slot: int
    kind: Kind
    label: int
    logits: Integers
    error: Integers
    loss: int


Record = SlotRecord | StreamRecord | LossRecord
Observer = Callable[[Record], None]


def twin(unit: Streaming) -> Pool | Tanh:
    """The golden unit without weights that does what `unit` describes."""
    return Pool(unit) if isinstance(unit, Pooling) else Tanh(unit)


class Chain:
    """All units of a folded design in series, with their states; runs token by token.

    ``samples``: integers in the input format, shape [N, elements]; ``labels``: [N].
    """

    def __init__(
        self, description: Description, schedule: Schedule, states: Iterable[UnitState]
    ) -> None:
        recipe = description.recipe
        if recipe.float_only:
            raise ValueError(recipe.float_only)
        self.schedule = schedule
        self.stashing = recipe.mitigation == "stash"
        weight_form = recipe.mitigation.startswith("lwpw")
        self.units = [
            Convolution(stage, state, weight_form=weight_form)
            for stage, state in zip(schedule.stages, states, strict=True)
        ]
        self.streams = [twin(stream.unit) for stream in schedule.streams]
        self.set(Settings(recipe.predicts, recipe.compensates, recipe.extra_shift(0)))
        self.loss = Loss(schedule.loss.arithmetic, description.rounding.error)
        self.slot = 0
        self._kinds: dict[int, Kind] = {}
        self._inputs: list[dict[int, Integers]] = [{} for _ in self.units]
        self._errors: list[dict[int, Integers]] = [{} for _ in self.units]
        self._stashed: list[dict[int, tuple[Integers, Integers]]] = [{} for _ in self.units]

    def set(self, settings: Settings) -> None:
        """Change the run-time settings of every unit (of a drained chain: between epochs)."""
        span = self.units[0].stage.arithmetic.rate_span
        if not 0 <= settings.extra_shift <= span:
            raise ValueError(
                f"extra_shift is {settings.extra_shift}; the recipe's rate drops allow 0 to {span}"
            )
        for unit in self.units:
            unit.settings = settings

    @property
    def states(self) -> list[UnitState]:
        return [unit.state for unit in self.units]

    def run(
        self,
        tokens: Iterable[Token],
        samples: Integers,
        labels: NDArray[np.integer],
        observe: Observer | None = None,
    ) -> list[Prediction]:
        """Feed `tokens`; returns the predictions of those that are samples, in order."""
        predictions = []
        zeros = np.zeros(self.schedule.stages[0].tiling.geometry.inputs, np.int64)
        for token in tokens:
            bubble = token.kind is Kind.BUBBLE
            x = zeros if bubble else samples[token.sample].astype(np.int64)
            label = 0 if bubble else int(labels[token.sample])
            scores, loss = self._slot(token.kind, x, label, observe)
            if not bubble:
                predictions.append(Prediction(token, label, scores, loss))
        return predictions

    def _slot(
        self, kind: Kind, x: Integers, label: int, observe: Observer | None
    ) -> tuple[Integers, int]:
        """Slot number `self.slot` at every stage, first to last, then the loss."""
        self._kinds[self.slot] = kind
        self._kinds.pop(self.slot - self.schedule.delay - 1, None)
        for unit in self.units:
            x = self._unit_slot(unit, x, kind, observe)
            x = self._streamed(unit.stage.index, x, kind, observe)
        error, loss = self.loss(x, label)
        if not kind.learns:
            error = np.zeros_like(error)
        self._errors[-1][self.slot] = error
        if observe:
            observe(LossRecord(self.slot, kind, label, x, error, loss))
        self.slot += 1
        return x, loss

    def _unit_slot(
        self, unit: Convolution, x: Integers, kind: Kind, observe: Observer | None
    ) -> Integers:
        index, back = unit.stage.index, self.slot - unit.stage.delay
        self._inputs[index][self.slot] = x
        if self.stashing:
            self._stashed[index][self.slot] = (unit.state.weight, unit.state.bias)
        y = unit.forward(x, training=kind.learns)
        dx, learns = None, False
        if back >= 0:
            dy, old = self._errors[index].pop(back), self._inputs[index].pop(back)
            stashed = self._stashed[index].pop(back)[0] if self.stashing else None
            if index > 0:
                dx = unit.backward(dy, old, stashed)
                self._errors[index - 1][back] = self._streamed_back(index - 1, back, dx, observe)
            came = self._kinds[back]
            learns = came is Kind.TRAIN
            if came.learns:
                unit.learn(dy, old, update=learns)
        if observe:
            state = unit.state.copy() if learns else None
            observe(SlotRecord(index, self.slot, kind, x, y, dx, learns, state))
        return y

    def _streamed(self, stage: int, x: Integers, kind: Kind, observe: Observer | None) -> Integers:
        """The output of stage number `stage` as the next one gets it."""
        for index, stream in enumerate(self.schedule.streams):
            if stream.below == stage:
                x = self.streams[index].forward(x)
                if observe:
                    observe(StreamRecord(index, self.slot, kind, y=x))
        return x

    def _streamed_back(
        self, stage: int, token: int, dx: Integers, observe: Observer | None
    ) -> Integers:
        """The gradient at the output of stage number `stage`, from that before the next one."""
        for index, stream in reversed(list(enumerate(self.schedule.streams))):
            if stream.below == stage:
                dx = self.streams[index].backward(dx)
                if observe:
                    observe(StreamRecord(index, token, self._kinds[token], dx=dx))
        return dx
