"""The golden norm: what `hw.units.norm` computes, in exact integers.

The equations stand in `design.units.normalisation`, what a slot is in `design.units.norm`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normalisation import (
    CENTRE_FRAC,
    DECAY,
    GRADIENT_GUARD,
    MEAN_GUARD,
    ROOT_STEPS,
    ROOTS,
    VARIANCE_FRAC,
    Share,
)
from counterflow.golden.parts.generator import draws
from counterflow.golden.parts.narrow import Integers, narrow, saturate
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings, updated


@dataclass
class NormState(State):
    """Everything that a norm remembers between updates, [channels] each, in their formats."""

    beta: Integers
    beta_velocity: Integers
    mean: Integers
    variance: Integers
    scale_control: Integers
    shift_control: Integers
    generator: int


class View(NamedTuple):
    """What a token sees of a state, [channels] each; `ahead` is the predicted beta."""

    centre: Integers
    root: Integers
    halvings: Integers
    beta: Integers
    ahead: Integers
    scale_control: Integers
    shift_control: Integers


class Kept(NamedTuple):
    """What the backward pass of a token needs of its forward pass.

    [channels] each, but ``y`` [elements], before its ReLU.
    """

    root: Integers
    halvings: Integers
    beta: Integers
    y: Integers


class ForwardSums(NamedTuple):
    """Sums over a token's pixels [channels], and the centre around which they are."""

    centre: Integers
    differences: Integers
    squares: Integers


class BackwardSums(NamedTuple):
    """Sums over a token's pixels [channels]: of dy, of z xhat, and of dx before it is narrowed."""

    errors: Integers
    products: Integers
    gradients: Integers


@dataclass
class Norm:
    """One unit; `saturations` counts clipped elements of y and of dx, and clipped betas."""

    State: ClassVar = NormState

    stage: NormStage
    state: NormState
    settings: Settings = field(default_factory=Settings)
    weight_form: bool = False
    saturations: int = 0
    updates: int = 0

    def __post_init__(self) -> None:
        self.numbers = self.stage.numbers
        self._previous = self.state.beta.copy()
        first = self._view()
        self._views = {-2: first, -1: first}  # by the update that they follow
        self._kept: deque[Kept] = deque()
        self._forward: ForwardSums | None = None  # of this slot's token
        self._backward: dict[int, BackwardSums] = {}  # by the slot whose update they belong to
        self._back = 0  # the token that comes back next
        self._waiting: Integers | None = None

    def forward(self, x: Integers, training: bool) -> Integers:
        """y of one token, shape [elements]; training tokens see predicted betas."""
        numbers, view = self.numbers, self._views[self.updates - 2]
        e = (self._by_pixel(x) << CENTRE_FRAC) - view.centre
        shift = view.halvings + numbers.normal_shift
        xhat, clipped = saturate(_half_up(e * view.root, shift), numbers.y)
        beta = view.ahead if training and self.settings.predict else view.beta
        y, beyond = saturate(xhat + beta, numbers.y)
        self.saturations += int((clipped | beyond).sum())
        self._forward = None
        if training:
            self._forward = ForwardSums(view.centre, e.sum(axis=0), (e * e).sum(axis=0))
        self._kept.append(Kept(view.root, view.halvings, beta, y.ravel()))
        edge = self.stage.unit.outputs[0]
        positive = np.maximum(y, 0) if edge.rectified and not edge.returned else y
        return positive.ravel()

    def returns(self, token: int) -> bool:
        """Whether all has been done that the backward pass of a token must see."""
        return token + self.stage.delay - self.updates <= 1

    def backward(self, dy: Integers, training: bool) -> Integers:
        """dx of the token that has waited longest, zeros where it does not train.

        Shapes [elements] to [elements], or [2, elements] where y comes back below dy.
        """
        numbers, kept, slot = self.numbers, self._kept.popleft(), self._back + self.stage.delay
        self._back += 1
        view = self._views[slot - 2]
        if self.stage.unit.outputs[0].returned:
            dy, y = dy
        else:
            y = kept.y
        errors, xhat = self._by_pixel(dy), self._by_pixel(y) - kept.beta
        control = _half_up(view.scale_control * xhat, numbers.control_drop)
        z = (errors << GRADIENT_GUARD) - control
        shift = kept.halvings + numbers.scaled_shift + numbers.lift
        scaled = _half_up((z * kept.root) << numbers.lift, shift)
        wide = scaled - _half_up(view.shift_control, numbers.shift_drop)
        if not training:
            return np.zeros_like(dy)
        self._backward[slot] = BackwardSums(
            errors.sum(axis=0), (z * xhat).sum(axis=0), wide.sum(axis=0)
        )
        if numbers.dx is None:
            return np.zeros_like(dy)
        dx, clipped = narrow(wide, numbers.wide_frac, numbers.dx, numbers.round_error)
        self.saturations += int(clipped.sum())
        return dx.ravel()

    def update(self, moves: bool) -> NormState | None:
        """Move all channels at the end of a slot; the new state, or None where nothing moved.

        ``moves``: beta moves, if a token came back.
        """
        forward, backward = self._forward, self._backward.pop(self.updates, None)
        if forward is not None:
            self._move_statistics(forward)
        if backward is not None:
            self._move_controls(backward)
            self._learn(backward.errors, moves)
        self._views[self.updates] = self._view()
        del self._views[self.updates - 2]
        self.updates += 1
        return self.state.copy() if forward is not None or backward is not None else None

    def _view(self) -> View:
        now = self.state
        centre = _half_up(now.mean, MEAN_GUARD - CENTRE_FRAC)
        variance = now.variance + (1 << VARIANCE_FRAC)  # a squared last place more: never zero
        bits = np.array([int(one).bit_length() for one in variance])
        halvings = (bits - 1) >> 1
        steps = ((variance << ROOT_STEPS) >> 2 * halvings) - (1 << ROOT_STEPS)
        return View(
            centre,
            np.array(ROOTS)[steps],
            halvings,
            self._operand(now.beta),
            self._operand(self._predicted()),
            now.scale_control,
            now.shift_control,
        )

    def _predicted(self) -> Integers:
        now, horizon = self.state, self.numbers.parameters.horizon
        if self.weight_form:
            return now.beta + horizon * (now.beta - self._previous)
        return now.beta - horizon * now.beta_velocity

    def _operand(self, beta: Integers) -> Integers:
        numbers = self.numbers.parameters
        found, _ = narrow(beta, numbers.weight.frac, numbers.bias_operand, numbers.round_operand)
        return found

    def _move_statistics(self, sums: ForwardSums) -> None:
        numbers, now = self.numbers, self.state
        mean = (sums.centre << MEAN_GUARD - CENTRE_FRAC) + _shared(
            sums.differences, numbers.mean_share
        )
        now.mean = _moved(now.mean, mean, numbers.mean)
        variance = _shared(sums.squares, numbers.variance_share)
        now.variance = _moved(now.variance, variance, numbers.variance)

    def _move_controls(self, sums: BackwardSums) -> None:
        numbers, now = self.numbers, self.state
        scale, shift = (one.number for one in self.stage.parameters[-2:])
        if numbers.dx is None:
            return
        step = _shared(sums.products, numbers.scale_share)
        now.scale_control, _ = saturate(now.scale_control + step, scale)
        step = _shared(sums.gradients, numbers.shift_share)
        now.shift_control, _ = saturate(now.shift_control + step, shift)

    def _learn(self, gradient: Integers, moves: bool) -> None:
        """Add the gradient of beta to what is waiting; with `moves` move beta by all of it."""
        numbers, now = self.numbers.parameters, self.state
        if self._waiting is not None:
            gradient = gradient + self._waiting
        self._waiting = None if moves else gradient
        if not moves:
            return
        random = np.zeros(len(gradient), np.int64)
        if numbers.round_update is Rounding.STOCHASTIC:
            random = draws(now.generator, len(gradient))
            now.generator = int(random[-1])
        self._previous = now.beta
        now.beta, now.beta_velocity, clipped = updated(
            numbers, self.settings, now.beta, now.beta_velocity, gradient, random
        )
        self.saturations += int(clipped.sum())

    def _by_pixel(self, image: Integers) -> Integers:
        """An image [elements] as [pixels, channels]."""
        return image.reshape(self.numbers.pixels, self.numbers.channels)


def _half_up(value: Integers, drop: Integers | int) -> Integers:
    """`value` without its lowest `drop` bits, at least one, rounded half up."""
    return (value + (np.int64(1) << np.asarray(drop) - 1)) >> drop


def _shared(total: Integers, share: Share) -> Integers:
    """A sum over pixels divided by their number."""
    if share.shift <= 0:
        return (total * share.factor) << -share.shift
    return _half_up(total * share.factor, share.shift)


def _moved(value: Integers, towards: Integers, number: Format) -> Integers:
    """`value` moved by 2^-DECAY of the way."""
    found, _ = saturate(value + _half_up(towards - value, DECAY), number)
    return found
