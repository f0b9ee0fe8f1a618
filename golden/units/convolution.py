"""The golden unit with weights: what `hw.units.convolution` computes, in exact integers.

In one slot a unit makes the forward pass of one token and the backward pass, gradient and update
of an earlier one.  All of it reads the weights as they stand at the slot's start.  A convolution is
a product of matrices: the windows of the image [positions, taps] with the weights [outputs, taps].
A dense layer has one window, which is its input.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Rounding
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.slots import Stage
from counterflow.golden.parts.generator import draws
from counterflow.golden.parts.narrow import Integers, narrow
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings, updated


@dataclass
class UnitState(State):
    """Everything that a unit remembers between updates, as integers of their formats.

    ``weight``, ``velocity``: [outputs, taps]; ``bias``, ``bias_velocity``: [outputs];
    ``generator``: state of the random generator.  A frozen unit has no velocities.
    """

    weight: Integers
    bias: Integers
    generator: int
    velocity: Any = None  # of integers, as the others
    bias_velocity: Any = None


@dataclass
class Convolution:
    """One unit; `saturations` counts as the hardware's counter does (see `_count_*`)."""

    State: ClassVar = UnitState

    stage: Stage
    state: UnitState
    settings: Settings = field(default_factory=Settings)
    weight_form: bool = False
    saturations: int = 0

    def __post_init__(self) -> None:
        self.geometry = self.stage.tiling.geometry
        self._previous = (self.state.weight.copy(), self.state.bias.copy())
        self._gradient: tuple[Integers, Integers] | None = None

    def forward(self, x: Integers, training: bool) -> Integers:
        """y = narrow(f(w_hat x + b_hat)) at each position, shapes [inputs] to [elements].

        Training tokens see predicted weights w_hat = w - T u (linear weight prediction in velocity
        form; in weight form w + T (w - w_previous)), others the weights as they are.
        """
        weight, bias = self.state.weight, self.state.bias
        if training and self.settings.predict and not self.stage.arithmetic.frozen:
            weight, bias = self._predicted()
        windows = self.geometry.gathered(self._loaded(x))
        return self._activate(self._sums(weight, bias, windows)).ravel()

    def _loaded(self, x: Integers) -> Integers:
        """x behind its ReLU, which is applied here where x comes before it."""
        return np.maximum(x, 0) if self.stage.arithmetic.rectifies else x

    def _predicted(self) -> tuple[Integers, Integers]:
        horizon, now = self.stage.arithmetic.horizon, self.state
        if self.weight_form:
            before, bias_before = self._previous
            return (
                now.weight + horizon * (now.weight - before),
                now.bias + horizon * (now.bias - bias_before),
            )
        return now.weight - horizon * now.velocity, now.bias - horizon * now.bias_velocity

    def _sums(self, weight: Integers, bias: Integers, windows: Integers) -> Integers:
        """The sum of each output at each position; shape [positions, outputs]."""
        numbers = self.stage.arithmetic
        frac, rounding = numbers.weight.frac, numbers.round_operand
        operand, _ = narrow(weight, frac, numbers.operand, rounding, "operand")
        start, _ = narrow(bias, frac, numbers.bias_operand, rounding)
        return start + windows @ operand.T

    def _activate(self, sums: Integers) -> Integers:
        """ReLU where the layer has one, then the activation format."""
        numbers = self.stage.arithmetic
        if numbers.relu:
            sums = np.maximum(sums, 0)
        frac, rounding = numbers.forward_sum.frac, numbers.round_activation
        y, clipped = narrow(sums, frac, numbers.y, rounding, "y")
        self.saturations += int(self.stage.tiling.in_rows(clipped).any(axis=2).sum())
        return y

    def backward(self, dy: Integers, x: Integers, weight: Integers | None = None) -> Integers:
        """dx = narrow(w^T dy), summed over the windows that an input is in.

        It is 0 where x > 0 is not, if x comes from a ReLU, which lets nothing else through.
        Shapes [elements] and [inputs] to [inputs], or to [2, inputs] where x goes back beside dx.
        """
        if self.stage.arithmetic.dx is None:
            raise ValueError(f"{self.stage.name} is the first unit and makes no input gradient")
        return self._back(self.stage.arithmetic, dy, x, weight)

    def passed(
        self, aside: Stage, dy: Integers, x: Integers, weight: Integers | None = None
    ) -> Integers:
        """As `backward`, of a loss that the unit does not learn from."""
        return self._back(aside.arithmetic, dy, x, weight)

    def _back(
        self, numbers: UnitArithmetic, dy: Integers, x: Integers, weight: Integers | None
    ) -> Integers:
        assert numbers.dx is not None
        now = self.state.weight if weight is None else weight
        frac, rounding = numbers.weight.frac, numbers.round_operand
        operand, _ = narrow(now, frac, numbers.operand, rounding, "operand")
        errors = dy.reshape(numbers.positions, numbers.outputs)
        sums = self.geometry.scattered(errors @ operand)
        if numbers.masks:
            sums = np.where(x > 0, sums, 0)
        frac, rounding = numbers.backward_sum.frac, numbers.round_error
        dx, clipped = narrow(sums, frac, numbers.dx, rounding, "dx")
        self._count_words(clipped)
        return np.stack([dx, x]) if numbers.returns else dx

    def _count_words(self, clipped: NDArray[np.bool_]) -> None:
        """Words of a window that saw the last of an input gradient which saturated."""
        geometry = self.geometry
        inside = np.append(clipped, False)[geometry.covered] & geometry.last_cover
        self.saturations += int(self.stage.tiling.in_columns(inside).sum())

    def learn(self, dy: Integers, x: Integers, update: bool = True) -> None:
        """Add the gradient of one sample, the sum of dy x^T over its windows, to what is waiting.

        With `update` move velocity, weights and biases by it.
        """
        numbers = self.stage.arithmetic
        errors = dy.reshape(numbers.positions, numbers.outputs)
        gradient = errors.T @ self.geometry.gathered(self._loaded(x))
        bias_gradient = errors.sum(axis=0) << numbers.x.frac
        if self._gradient is not None:
            gradient += self._gradient[0]
            bias_gradient += self._gradient[1]
        self._gradient = (gradient, bias_gradient)
        if update:
            self._update(gradient, bias_gradient)
            self._gradient = None

    def _update(self, gradient: Integers, bias_gradient: Integers) -> None:
        """One draw of random bits a tile, in the order of the tiles; biases share their row's."""
        tiling, numbers, now = self.stage.tiling, self.stage.arithmetic, self.state
        tile = tiling.tile_of
        random = np.zeros(tiling.tiles, np.int64)
        if numbers.round_update is Rounding.STOCHASTIC:
            random = draws(now.generator, tiling.tiles)
            now.generator = int(random[-1])
        self._previous = (now.weight, now.bias)
        now.weight, now.velocity, clipped = updated(
            numbers, self.settings, now.weight, now.velocity, gradient, random[tile]
        )
        now.bias, now.bias_velocity, bias_clipped = updated(
            numbers.of_biases,
            self.settings,
            now.bias,
            now.bias_velocity,
            bias_gradient,
            random[tile[:, 0]],
        )
        hit = np.zeros(tiling.tiles, bool)
        hit[tile[clipped]] = True
        hit[tile[:, 0][bias_clipped]] = True
        self.saturations += int(hit.sum())
