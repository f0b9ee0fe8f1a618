"""The golden dense unit: what `hw.convolution` computes, in exact integers.

In one slot a unit makes the forward pass of one token and the backward pass, gradient and update
of an earlier one.  All of it reads the weights as they stand at the slot's start.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from counterflow.arithmetic import COMPENSATION_FRAC, RANDOM_BITS
from counterflow.formats import Rounding
from counterflow.schedule import Stage
from golden.generator import draws
from golden.narrow import Integers, narrow, round_off, saturate


@dataclass
class UnitState:
    """Everything that a dense unit remembers between samples, as integers of their formats.

    ``weight``, ``velocity``: [outputs, inputs]; ``bias``, ``bias_velocity``: [outputs];
    ``generator``: state of the random generator.
    """

    weight: Integers
    velocity: Integers
    bias: Integers
    bias_velocity: Integers
    generator: int

    def copy(self) -> UnitState:
        return UnitState(
            self.weight.copy(),
            self.velocity.copy(),
            self.bias.copy(),
            self.bias_velocity.copy(),
            self.generator,
        )


@dataclass(frozen=True)
class Settings:
    """What can be switched at run time; the learning rate is divided by 2**extra_shift."""

    predict: bool = True
    compensate: bool = True
    extra_shift: int = 0


@dataclass
class Convolution:
    """One unit; `saturations` counts as the hardware's counter does (see `_count_*`)."""

    stage: Stage
    state: UnitState
    settings: Settings = field(default_factory=Settings)
    weight_form: bool = False
    saturations: int = 0

    def __post_init__(self) -> None:
        self._previous = (self.state.weight.copy(), self.state.bias.copy())

    def forward(self, x: Integers, training: bool) -> Integers:
        """y = narrow(f(w_hat x + b_hat)), shapes [inputs] to [outputs].

        Training tokens see predicted weights w_hat = w - T u (linear weight prediction in velocity
        form; in weight form w + T (w - w_previous)), others the weights as they are.
        """
        weight, bias = self.state.weight, self.state.bias
        if training and self.settings.predict:
            weight, bias = self._predicted()
        return self._activate(self._sums(weight, bias, x))

    def _predicted(self) -> tuple[Integers, Integers]:
        horizon, now = self.stage.arithmetic.horizon, self.state
        if self.weight_form:
            before, bias_before = self._previous
            return (
                now.weight + horizon * (now.weight - before),
                now.bias + horizon * (now.bias - bias_before),
            )
        return now.weight - horizon * now.velocity, now.bias - horizon * now.bias_velocity

    def _sums(self, weight: Integers, bias: Integers, x: Integers) -> Integers:
        numbers = self.stage.arithmetic
        frac, rounding = numbers.weight.frac, numbers.round_operand
        operand, _ = narrow(weight, frac, numbers.operand, rounding)
        start, _ = narrow(bias, frac, numbers.bias_operand, rounding)
        return start + operand @ x

    def _activate(self, sums: Integers) -> Integers:
        """ReLU where the layer has one, then the activation format."""
        numbers = self.stage.arithmetic
        if numbers.relu:
            sums = np.maximum(sums, 0)
        y, clipped = narrow(sums, numbers.forward_sum.frac, numbers.y, numbers.round_activation)
        self.saturations += int(self.stage.tiling.in_rows(clipped).any(axis=1).sum())
        return y

    def backward(self, dy: Integers, x: Integers, weight: Integers | None = None) -> Integers:
        """dx = narrow(w^T dy) where x > 0, else 0: the ReLU below lets nothing else through."""
        numbers = self.stage.arithmetic
        if numbers.dx is None:
            raise ValueError(f"{self.stage.name} is the first unit and makes no input gradient")
        now = self.state.weight if weight is None else weight
        operand, _ = narrow(now, numbers.weight.frac, numbers.operand, numbers.round_operand)
        sums = dy @ operand
        dx, clipped = narrow(sums, numbers.backward_sum.frac, numbers.dx, numbers.round_error)
        self._count_words(clipped & (x > 0))
        return np.where(x > 0, dx, 0)

    def _count_words(self, clipped: NDArray[np.bool_]) -> None:
        """Words of input gradient (one a tile column) in which anything saturated."""
        tiling = self.stage.tiling
        padded = np.zeros(tiling.columns * tiling.lanes.inputs, bool)
        padded[: tiling.inputs] = clipped
        self.saturations += int(padded.reshape(tiling.columns, -1).any(axis=1).sum())

    def learn(self, dy: Integers, x: Integers) -> None:
        """Update velocity, weights and biases from the gradient dy x^T of one sample."""
        tiling, now = self.stage.tiling, self.state
        tile = tiling.tile_of
        random = np.zeros(tiling.tiles, np.int64)
        if self.stage.arithmetic.round_update is Rounding.STOCHASTIC:
            random = draws(now.generator, tiling.tiles)
            now.generator = int(random[-1])
        self._previous = (now.weight, now.bias)
        now.weight, now.velocity, clipped = self._updated(
            now.weight, now.velocity, np.outer(dy, x), random[tile]
        )
        bias_gradient = dy << self.stage.arithmetic.x.frac
        now.bias, now.bias_velocity, bias_clipped = self._updated(
            now.bias, now.bias_velocity, bias_gradient, random[tile[:, 0]]
        )
        hit = np.zeros(tiling.tiles, bool)
        hit[tile[clipped]] = True
        hit[tile[:, 0][bias_clipped]] = True
        self.saturations += int(hit.sum())

    def _updated(
        self, weight: Integers, velocity: Integers, gradient: Integers, random: Integers
    ) -> tuple[Integers, Integers, NDArray[np.bool_]]:
        """The update of `counterflow.arithmetic`: (weight', velocity', where one saturated)."""
        numbers = self.stage.arithmetic
        k, rounding = numbers.momentum_shift, numbers.round_update
        old = velocity << numbers.velocity_drop
        scaled = gradient << numbers.gradient_shift(self.settings.extra_shift)
        low = random & ((1 << numbers.velocity_drop) - 1)
        kept = old - (velocity << (numbers.velocity_drop - k))
        rounded = round_off(kept + scaled, numbers.velocity_drop, rounding, low)
        new_velocity, velocity_clipped = saturate(rounded, numbers.velocity)
        step = new_velocity
        if self.settings.compensate:
            high = random >> (RANDOM_BITS - numbers.weight_drop)
            whole = (scaled << k) << COMPENSATION_FRAC
            mixed = whole + numbers.compensation * (old - (scaled << k))
            step = round_off(mixed, numbers.weight_drop, rounding, high)
        new_weight, weight_clipped = saturate(weight - step, numbers.weight)
        return new_weight, new_velocity, velocity_clipped | weight_clipped
