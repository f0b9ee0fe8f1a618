"""The norm of groups in float64: statistics of each image alone, and their exact gradient.

The equations are those of `design.units.group_normalisation` without any rounding, what a slot is
stands in `design.units.norm`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from counterflow.design.parts.tokens import Kind
from counterflow.design.units.group_norm import GroupNormUnit
from counterflow.golden.reference.rules import Floats, Parameter
from counterflow.golden.reference.units.normal import Normal


class Sums(NamedTuple):
    """The gradient of what is learnt, of a token of such a kind that came back."""

    gradient: tuple[Floats, ...]
    kind: Kind


class GroupNorm(Normal):
    """One with the mean and variance of each `group` of channels of an image; else see `Normal`."""

    def __init__(self, channels: int, *, group: int, **fields: Any) -> None:
        super().__init__(channels, **fields)
        self.group = group
        self._begin()

    @classmethod
    def _more(cls, unit: GroupNormUnit) -> dict[str, Any]:
        """See `Normal._more`."""
        return {"group": unit.group}

    def forward(self, slot: int, x: Floats, kind: Kind) -> Floats:
        """See `Normal.forward`."""
        image = x.reshape(-1, self.channels)
        d = image - self._mean(image)
        root = 1 / np.sqrt(self._mean(d * d) + self.epsilon)
        return self._sent(slot, d, root, self._views[slot - 2], kind)

    def backward(self, token: int, dy: Floats, kind: Kind) -> Floats:
        """See `Normal.backward`."""
        root, xhat, gamma = self._kept.pop(token)
        if not kind.learns:
            return np.zeros_like(dy)
        errors = dy.reshape(-1, self.channels)
        self._backward[token + self.delay] = Sums(self._gradient(errors, xhat), kind)
        given = errors * gamma
        z = given - self._mean(given) - self._mean(given * xhat) * xhat
        dx: Floats = (z * root).ravel()
        return dx

    def update(self) -> None:
        """See `Normal.update`."""
        back = self._backward.pop(self.updates, None)
        if back is not None:
            self._learn(back.gradient, back.kind)
        self._updated()

    def _mean(self, image: Floats) -> Floats:
        """The mean over each group of an image [pixels, channels], of each channel."""
        groups = image.reshape(len(image), -1, self.group).mean(axis=(0, 2))
        return np.repeat(groups, self.group)

    def _now(self) -> tuple[Parameter, ...]:
        return self._learnt()
