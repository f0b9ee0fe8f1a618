"""The golden norm of groups: what `hw.units.group_norm` computes, in exact integers.

The equations stand in `design.units.group_normalisation`, what a slot is in `design.units.norm`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from counterflow.design.units.group_times import GroupNormStage
from counterflow.golden.parts.half_up import half_up, shared
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.units.normal import Learnt, Normal, Root, differences, rooted
from counterflow.golden.units.state import State


@dataclass(kw_only=True)
class GroupNormState(State):
    """Everything that a norm of groups remembers between updates, [channels] each.

    A frozen one has no velocities.
    """

    beta: Integers
    beta_velocity: Any = None  # of integers, as the others
    generator: int
    gamma: Integers | None = None
    gamma_velocity: Integers | None = None


@dataclass
class GroupNorm(Normal):
    """A norm with the statistics of groups."""

    State: ClassVar = GroupNormState

    stage: GroupNormStage
    state: GroupNormState

    def forward(self, x: Integers, training: bool) -> Integers:
        """See `Normal.forward`."""
        numbers, image = self.numbers, self._by_pixel(x)
        total, squares = self._summed(image), self._summed(image * image)
        centre = shared(total, numbers.centre_share)
        spread = numbers.count * squares - total * total
        root = rooted(shared(spread, numbers.variance_share))
        e = differences(image, self._by_channel(centre))
        wide = Root(*(self._by_channel(one) for one in root))
        learnt: Learnt = self._views[self.updates - 2]
        return self._normalised(e, wide, learnt, training)

    def backward(self, dy: Integers, training: bool) -> Integers:
        """See `Normal.backward`."""
        numbers = self.numbers
        slot, kept, errors, xhat = self._came_back(dy)
        if not training:
            return np.zeros_like(errors).ravel()
        self._backward[slot] = self._gradient(errors, xhat)
        if numbers.dx is None:
            return np.zeros_like(errors).ravel()
        given = self._given(errors, kept)
        of_errors = shared(self._summed(given), numbers.error_share)
        of_products = shared(self._summed(given * xhat), numbers.product_share)
        corrected = (given << numbers.mean_guard) - self._by_channel(of_errors)
        exact = (corrected << numbers.y.frac) - self._by_channel(of_products) * xhat
        z = half_up(exact, numbers.correction_drop)
        return self._narrowed(self._scaled(z, kept.root))

    def update(self, moves: bool) -> GroupNormState | None:
        """See `Normal.update`."""
        gradient = self._backward.pop(self.updates, None)
        if gradient is not None:
            self._learn(gradient, moves)
        self._updated()
        return self.state.copy() if gradient is not None else None

    def view(self) -> Learnt:
        return self._learnt()

    def _summed(self, image: Integers) -> Integers:
        """Sums [groups] over the groups of an image [pixels, channels]."""
        numbers = self.numbers
        groups: Integers = image.reshape(numbers.pixels, numbers.groups, numbers.group)
        return groups.sum(axis=(0, 2))

    def _by_channel(self, of_groups: Integers) -> Integers:
        """What is of each group, as that of each channel."""
        return np.repeat(of_groups, self.numbers.group)
