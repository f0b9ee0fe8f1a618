"""The stages of the float64 reference: layers with weights, the pooling behind them, their rules.

The update rules are those of Kosson et al., arXiv 2003.11666, in the scaled velocity u = eta v that
the hardware stores: what is in u keeps the learning rate that it arrived with when the rate drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.geometry import Geometry, Shape
from counterflow.design.parts.tokens import Kind

Floats = NDArray[np.float64]


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
    """An array that learns by a rule: ``value`` w, ``step`` u = eta v, and ``previous`` w.

    ``waiting`` is the sum of the gradients since the last update, None where there is none.
    """

    def __init__(self, value: Floats) -> None:
        self.value = value
        self.step: Floats = np.zeros_like(value)
        self.previous = value
        self.waiting: Floats | None = None

    def predicted(self, rule: Rule) -> Floats:
        """What the forward pass of a training token sees."""
        if rule.predict == "velocity":
            return predict(self.value, self.step, rule.horizon)
        if rule.predict == "weight":
            return predict_by_weight(self.value, self.previous, rule.horizon)
        return self.value

    def learn(self, gradient: Floats, rule: Rule, update: bool = True) -> None:
        """Add one token's gradient to what is waiting; with `update` move by the sum.

        Arrays are replaced, never written to, so old ones may be kept.
        """
        total = gradient if self.waiting is None else self.waiting + gradient
        self.waiting = None if update else total
        if not update:
            return
        self.previous = self.value
        numbers = (self.value, self.step, total, rule.rate, rule.momentum)
        if rule.compensate:
            self.value, self.step = compensated_step(*numbers, rule.horizon)
        else:
            self.value, self.step = sgdm_step(*numbers)


class Pool:
    """Windows of `kernel` side by side in images of shape `image`: their maximum or average.

    ``masks``: the layer below ends in a ReLU, whose derivative an average applies to dx (after a
    maximum, whoever takes its output does).
    """

    def __init__(
        self, image: Shape, kernel: tuple[int, int], *, average: bool, masks: bool
    ) -> None:
        self.geometry = Geometry(image, 1, kernel, kernel)  # of which only the windows are used
        self.average, self.masks = average, masks
        self.inputs: dict[int, Floats] = {}

    def forward(self, slot: int, x: Floats) -> Floats:
        """y of token `slot`; shapes [inputs] to [outputs]."""
        self.inputs[slot] = x
        windows = self._windows(x)
        return (windows.mean(axis=1) if self.average else windows.max(axis=1)).ravel()

    def backward(self, token: int, dy: Floats) -> Floats:
        """dx of `token`, which is forgotten; shapes [outputs] to [inputs].

        A maximum hands dy to the first of equals, in raster order of its window.
        """
        x = self.inputs.pop(token)
        windows = self._windows(x)
        values = dy.reshape(len(windows), 1, -1)
        if self.average:
            shares = np.broadcast_to(values / windows.shape[1], windows.shape)
        else:
            shares = np.zeros_like(windows)
            np.put_along_axis(shares, windows.argmax(axis=1, keepdims=True), values, axis=1)
        dx = self.geometry.scattered(shares.reshape(len(windows), -1))
        return dx * (x > 0) if self.average and self.masks else dx

    def _windows(self, x: Floats) -> Floats:
        """The elements of each window; shape [inputs] to [positions, elements, channels]."""
        positions, channels = self.geometry.positions, self.geometry.channels
        return self.geometry.gathered(x).reshape(positions, -1, channels)


class Tanh:
    """Tanh of every element."""

    def __init__(self) -> None:
        self.outputs: dict[int, Floats] = {}

    def forward(self, slot: int, x: Floats) -> Floats:
        """y of token `slot`; any shape."""
        y: Floats = np.tanh(x)
        self.outputs[slot] = y
        return y

    def backward(self, token: int, dy: Floats) -> Floats:
        """dx of `token`, which is forgotten; the derivative is 1 - y^2."""
        dx: Floats = dy * (1 - self.outputs.pop(token) ** 2)
        return dx


class Convolution:
    """One stage, y = f(W x + b) at each position of the kernel, then `behind`; any delay and rule.

    ``weight`` has the shape [outputs, taps], ``bias`` [outputs].  A dense layer is the case of one
    position.  ``masks``: the layer below ends in a ReLU, whose derivative is applied to dx here.
    """

    def __init__(
        self,
        geometry: Geometry,
        weight: Floats,
        bias: Floats,
        *,
        relu: bool,
        masks: bool,
        delay: int,
        rule: Rule,
        behind: Sequence[Pool | Tanh] = (),
    ) -> None:
        self.geometry = geometry
        self.weight, self.bias = Parameter(weight), Parameter(bias)
        self.relu, self.masks, self.delay, self.rule = relu, masks, delay, rule
        self.behind = tuple(behind)
        self.inputs: dict[int, Floats] = {}
        self.errors: dict[int, Floats] = {}
        self.stashed: dict[int, Floats] = {}

    def forward(self, slot: int, x: Floats, kind: Kind) -> Floats:
        """y of token `slot` as the next stage gets it; x is kept until its gradient is back."""
        self.inputs[slot] = x
        if self.rule.stash:
            self.stashed[slot] = self.weight.value
        weight = self.weight.predicted(self.rule) if kind.learns else self.weight.value
        bias = self.bias.predicted(self.rule) if kind.learns else self.bias.value
        y: Floats = (self.geometry.gathered(x) @ weight.T + bias).ravel()
        y = np.maximum(y, 0) if self.relu else y
        for unit in self.behind:
            y = unit.forward(slot, y)
        return y

    def receive(self, token: int, dy: Floats) -> None:
        """Take the gradient of what `forward` gave for `token`."""
        for unit in reversed(self.behind):
            dy = unit.backward(token, dy)
        self.errors[token] = dy

    def backward(self, token: int) -> Floats:
        """dx [inputs] of `token`; with `masks`, zero where the ReLU below let nothing through."""
        weight = self.stashed[token] if self.rule.stash else self.weight.value
        dx = self.geometry.scattered(self._errors(token) @ weight)
        return dx * (self.inputs[token] > 0) if self.masks else dx

    def finish(self, token: int, kind: Kind) -> None:
        """Learn from `token` if its kind says so, and forget it."""
        if kind.learns:
            errors, update = self._errors(token), kind is Kind.TRAIN
            windows = self.geometry.gathered(self.inputs[token])
            self.weight.learn(errors.T @ windows, self.rule, update)
            self.bias.learn(errors.sum(axis=0), self.rule, update)
        del self.inputs[token], self.errors[token]
        self.stashed.pop(token, None)

    def _errors(self, token: int) -> Floats:
        return self.errors[token].reshape(self.geometry.positions, self.geometry.outputs)
