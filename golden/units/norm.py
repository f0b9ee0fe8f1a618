"""The golden norm: what `hw.units.norm` computes, in exact integers.

The equations stand in `design.units.normalisation`, what a slot is in `design.units.norm`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from counterflow.design.parts.formats import Format
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normal import CENTRE_FRAC
from counterflow.design.units.normalisation import DECAY, MEAN_GUARD, SCALE_CONTROL, SHIFT_CONTROL
from counterflow.golden.parts.half_up import half_up, shared
from counterflow.golden.parts.narrow import Integers, saturate
from counterflow.golden.units.normal import Gradient, Learnt, Normal, Root, differences, rooted
from counterflow.golden.units.state import State


@dataclass(kw_only=True)
class NormState(State):
    """Everything that a norm remembers between updates, [channels] each, in their formats.

    A frozen one has neither velocities nor controls.
    """

    beta: Integers
    beta_velocity: Any = None  # of integers, as the others
    mean: Integers
    variance: Integers
    scale_control: Any = None
    shift_control: Any = None
    generator: int
    gamma: Integers | None = None
    gamma_velocity: Integers | None = None


class View(NamedTuple):
    """What a token sees of a state, [channels] each; of a frozen one there are no controls."""

    centre: Integers
    root: Root
    learnt: Learnt
    scale_control: Any
    shift_control: Any


class ForwardSums(NamedTuple):
    """Sums over a token's pixels [channels], and the centre around which they are."""

    centre: Integers
    differences: Integers
    squares: Integers


class BackwardSums(NamedTuple):
    """Sums over a token's pixels [channels]: of z xhat, and of dx before it is narrowed.

    And the ``gradient`` of what it learns.
    """

    gradient: Gradient
    products: Integers
    gradients: Integers


@dataclass
class Norm(Normal):
    """A norm with running statistics."""

    State: ClassVar = NormState

    stage: NormStage
    state: NormState

    def __post_init__(self) -> None:
        super().__post_init__()
        self._forward: ForwardSums | None = None  # of this slot's token

    def forward(self, x: Integers, training: bool) -> Integers:
        """See `Normal.forward`."""
        view: View = self._views[self.updates - 2]
        e = differences(self._by_pixel(x), view.centre)
        self._forward = None
        if training and not self.numbers.frozen:
            self._forward = ForwardSums(view.centre, e.sum(axis=0), (e * e).sum(axis=0))
        return self._normalised(e, view.root, view.learnt, training)

    def backward(self, dy: Integers, training: bool) -> Integers:
        """See `Normal.backward`."""
        numbers = self.numbers
        slot, kept, errors, xhat = self._came_back(dy)
        view: View = self._views[slot - 2]
        control = half_up(view.scale_control * xhat, numbers.control_drop)
        z = (self._given(errors, kept) << numbers.guard) - control
        wide = self._scaled(z, kept.root) - half_up(view.shift_control, numbers.shift_drop)
        if not training:
            return np.zeros_like(errors).ravel()
        self._backward[slot] = BackwardSums(
            self._gradient(errors, xhat), (z * xhat).sum(axis=0), wide.sum(axis=0)
        )
        return np.zeros_like(errors).ravel() if numbers.dx is None else self._narrowed(wide)

    def update(self, moves: bool) -> NormState | None:
        """See `Normal.update`."""
        forward, backward = self._forward, self._backward.pop(self.updates, None)
        if forward is not None:
            self._move_statistics(forward)
        if backward is not None:
            self._move_controls(backward)
            self._learn(backward.gradient, moves)
        self._updated()
        return self.state.copy() if forward is not None or backward is not None else None

    def view(self) -> View:
        now = self.state
        centre = half_up(now.mean, MEAN_GUARD - CENTRE_FRAC)
        controls = now.scale_control, now.shift_control
        return View(centre, rooted(now.variance), self._learnt(), *controls)

    def _move_statistics(self, sums: ForwardSums) -> None:
        numbers, now = self.numbers, self.state
        mean = (sums.centre << MEAN_GUARD - CENTRE_FRAC) + shared(
            sums.differences, numbers.mean_share
        )
        now.mean = _moved(now.mean, mean, numbers.mean)
        variance = shared(sums.squares, numbers.variance_share)
        now.variance = _moved(now.variance, variance, numbers.variance)

    def _move_controls(self, sums: BackwardSums) -> None:
        numbers, now = self.numbers, self.state
        if numbers.dx is None:
            return
        step = shared(sums.products, numbers.scale_share)
        now.scale_control, _ = saturate(now.scale_control + step, SCALE_CONTROL)
        step = shared(sums.gradients, numbers.shift_share)
        now.shift_control, _ = saturate(now.shift_control + step, SHIFT_CONTROL)


def _moved(value: Integers, towards: Integers, number: Format) -> Integers:
    """`value` moved by 2^-DECAY of the way."""
    found, _ = saturate(value + half_up(towards - value, DECAY), number)
    return found
