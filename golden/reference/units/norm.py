"""The norm in float64: running statistics, whose gradient two controls bring back to its laws.

The equations are those of `design.units.normalisation` without any rounding, what a slot is stands
in `design.units.norm`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from counterflow.design.parts.tokens import Kind
from counterflow.design.units.normalisation import DECAY
from counterflow.golden.reference.rules import Floats, Parameter
from counterflow.golden.reference.units.normal import Normal

MOVE = 2.0**-DECAY  # b: the way that a running value goes at a time


class Running(NamedTuple):
    """What follows the stream, [channels] each: statistics forward, controls back."""

    mean: Floats
    variance: Floats
    scale_control: Floats
    shift_control: Floats


class View(NamedTuple):
    """What a token sees: running values, one over the deviation [channels], and what is learnt."""

    running: Running
    root: Floats
    learnt: tuple[Parameter, ...]


class Sums(NamedTuple):
    """Of a token that came back, [channels]: the means of z xhat and of dx.

    And the ``gradient`` of what is learnt.
    """

    gradient: tuple[Floats, ...]
    products: Floats
    gradients: Floats
    kind: Kind


class Norm(Normal):
    """One with running statistics; else see `Normal`."""

    def __init__(self, channels: int, **fields: Any) -> None:
        super().__init__(channels, **fields)
        zeros = np.zeros(channels)
        self.begin(Running(zeros, zeros + 1, zeros, zeros))
        self._forward: tuple[Floats, Floats] | None = None  # means of x and of d^2 of this slot's

    def begin(self, running: Running) -> None:
        """Let `running` be what the first slots see, before any has been made."""
        self.running = running
        self._begin()

    def forward(self, slot: int, x: Floats, kind: Kind) -> Floats:
        """See `Normal.forward`; a token that trains moves the statistics."""
        view, image = self._views[slot - 2], x.reshape(-1, self.channels)
        d = image - view.running.mean
        moves = kind.learns and not self.frozen
        self._forward = (image.mean(axis=0), (d * d).mean(axis=0)) if moves else None
        return self._sent(slot, d, view.root, view.learnt, kind)

    def backward(self, token: int, dy: Floats, kind: Kind) -> Floats:
        """See `Normal.backward`."""
        slot, (root, xhat, gamma) = token + self.delay, self._kept.pop(token)
        if not kind.learns:
            return np.zeros_like(dy)
        running, errors = self._views[slot - 2].running, dy.reshape(-1, self.channels)
        z = errors * gamma - MOVE * running.scale_control * xhat
        dx = z * root - MOVE * running.shift_control
        means = (z * xhat).mean(axis=0), dx.mean(axis=0)
        self._backward[slot] = Sums(self._gradient(errors, xhat), *means, kind)
        return dx.ravel()

    def update(self) -> None:
        """See `Normal.update`."""
        mean, variance, scale, shift = self.running
        if self._forward is not None:
            of_x, of_squares = self._forward
            mean = mean + MOVE * (of_x - mean)
            variance = variance + MOVE * (of_squares - variance)
        back = self._backward.pop(self.updates, None)
        if back is not None:
            if self.wanted:
                scale, shift = scale + back.products, shift + back.gradients
            self._learn(back.gradient, back.kind)
        self.running = Running(mean, variance, scale, shift)
        self._updated()

    def _now(self) -> View:
        root = 1 / np.sqrt(self.running.variance + self.epsilon)
        return View(self.running, root, self._learnt())
