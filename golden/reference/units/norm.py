"""The norm in float64: running statistics, whose gradient two controls bring back to its laws.

The equations are those of `design.units.normalisation` without any rounding, what a slot is stands
in `design.units.norm`.
"""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np

from counterflow.design.parts.tokens import Kind
from counterflow.design.units.norm import NormUnit
from counterflow.design.units.normalisation import DECAY
from counterflow.golden.reference.rules import Floats, Parameter, Rule

MOVE = 2.0**-DECAY  # b: the way that a running value goes at a time


class Running(NamedTuple):
    """What follows the stream, [channels] each: statistics forward, controls back."""

    mean: Floats
    variance: Floats
    scale_control: Floats
    shift_control: Floats


class View(NamedTuple):
    """What a token sees: running values, one over the deviation [channels], and beta."""

    running: Running
    root: Floats
    beta: Parameter


class Sums(NamedTuple):
    """Of a token that came back, [channels]: the sum of dy, the means of z xhat and of dx."""

    errors: Floats
    products: Floats
    gradients: Floats
    kind: Kind


class Norm:
    """y = xhat + beta, xhat = (x - mean) / sqrt(variance + epsilon), in images of `channels`.

    ``limits`` are those that xhat is clamped to.  ``relu``: y ends in one, whose derivative whoever
    reads it applies.  ``wanted``: somebody wants dx.  Token j and the gradient of token j - `delay`
    see what the update of slot j - 2 left.
    """

    def __init__(
        self,
        channels: int,
        *,
        epsilon: float,
        limits: tuple[float, float],
        relu: bool,
        wanted: bool,
        delay: int,
        rule: Rule,
    ) -> None:
        self.channels, self.epsilon, self.limits = channels, epsilon, limits
        self.relu, self.wanted, self.delay, self.rule = relu, wanted, delay, rule
        zeros = np.zeros(channels)
        self.beta, self.updates = Parameter(zeros), 0
        self.begin(Running(zeros, zeros + 1, zeros, zeros))
        self._kept: dict[int, tuple[Floats, Floats]] = {}  # root and xhat of tokens under way
        self._forward: tuple[Floats, Floats] | None = None  # means of x and of d^2 of this slot's
        self._backward: dict[int, Sums] = {}  # by the slot whose update they belong to

    @classmethod
    def of(cls, unit: NormUnit, *, delay: int, rule: Rule) -> Norm:
        """That of a unit of the graph."""
        x, y = unit.inputs[0], unit.outputs[0]
        return cls(
            x.shape[2],
            epsilon=4.0**-x.x.frac,  # a squared last place of x, as the integers have it
            limits=(y.x.value(y.x.min), y.x.value(y.x.max)),
            relu=y.rectified,
            wanted=x.wanted,
            delay=delay,
            rule=rule,
        )

    @property
    def empties(self) -> int:
        """Slots behind a token's own after which nothing of it is under way: see `NormStage`."""
        return self.delay + 1

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What learns by the rule."""
        return (self.beta,)

    def begin(self, running: Running) -> None:
        """Let `running` be what the first slots see, before any has been made."""
        self.running = running
        first = self._now()
        self._views = {-2: first, -1: first}  # by the update that they follow

    def forward(self, slot: int, x: Floats, kind: Kind) -> Floats:
        """y of token `slot`, any shape; one that trains sees a predicted beta, moves statistics."""
        view, image = self._views[slot - 2], x.reshape(-1, self.channels)
        d = image - view.running.mean
        xhat = np.clip(d * view.root, *self.limits)
        self._forward = (image.mean(axis=0), (d * d).mean(axis=0)) if kind.learns else None
        self._kept[slot] = view.root, xhat
        beta = view.beta.predicted(self.rule) if kind.learns else view.beta.value
        y: Floats = (xhat + beta).ravel()
        return np.maximum(y, 0) if self.relu else y

    def returns(self, token: int) -> bool:
        """Whether all has been done that the backward pass of `token` must see."""
        return token + self.delay - self.updates <= 1

    def backward(self, token: int, dy: Floats, kind: Kind) -> Floats:
        """dx of `token`, which is forgotten; zeros where it does not train.  Any shape."""
        slot, (root, xhat) = token + self.delay, self._kept.pop(token)
        if not kind.learns:
            return np.zeros_like(dy)
        running, errors = self._views[slot - 2].running, dy.reshape(-1, self.channels)
        z = errors - MOVE * running.scale_control * xhat
        dx = z * root - MOVE * running.shift_control
        means = (z * xhat).mean(axis=0), dx.mean(axis=0)
        self._backward[slot] = Sums(errors.sum(axis=0), *means, kind)
        return dx.ravel()

    def update(self) -> None:
        """Move all running values, and beta by its rule, at the end of a slot."""
        mean, variance, scale, shift = self.running
        if self._forward is not None:
            of_x, of_squares = self._forward
            mean = mean + MOVE * (of_x - mean)
            variance = variance + MOVE * (of_squares - variance)
        back = self._backward.pop(self.updates, None)
        if back is not None:
            if self.wanted:
                scale, shift = scale + back.products, shift + back.gradients
            self.beta.learn(back.errors, self.rule, back.kind is Kind.TRAIN)
        self.running = Running(mean, variance, scale, shift)
        self._views[self.updates] = self._now()
        del self._views[self.updates - 2]
        self.updates += 1

    def _now(self) -> View:
        root = 1 / np.sqrt(self.running.variance + self.epsilon)
        return View(self.running, root, copy(self.beta))  # whose arrays are never written to
