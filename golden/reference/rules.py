"""How a parameter of the float64 reference learns.

The update rules are those of Kosson et al., arXiv 2003.11666, in the scaled velocity u = eta v that
the hardware stores: what is in u keeps the learning rate that it arrived with when the rate drops.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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
    ``decay``: the share of a weight that an update takes off it, apart from its velocity.
    ``clip``: the bound of each gradient on either side of zero.
    """

    rate: float
    momentum: float
    horizon: int = 0
    predict: Literal["no", "velocity", "weight"] = "no"
    compensate: bool = False
    stash: bool = False
    decay: float = 0.0
    clip: float | None = None

    @property
    def of_biases(self) -> Rule:
        """It as biases and norms have it, which do not decay."""
        return replace(self, decay=0.0) if self.decay else self


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
        if rule.clip is not None:
            total = np.clip(total, -rule.clip, rule.clip)
        self.previous = self.value
        numbers = (self.value, self.step, total, rule.rate, rule.momentum)
        if rule.compensate:
            self.value, self.step = compensated_step(*numbers, rule.horizon)
        else:
            self.value, self.step = sgdm_step(*numbers)
        if rule.decay:
            self.value = self.value - rule.decay * self.previous
