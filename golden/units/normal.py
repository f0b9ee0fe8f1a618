"""What golden norms have in common: xhat and y of given statistics, and a beta that learns.

The equations stand in `design.units.normal`, what a slot is in `design.units.norm`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from counterflow.design.parts.formats import Rounding
from counterflow.design.units.normal import CENTRE_FRAC, ROOT_STEPS, ROOTS, VARIANCE_FRAC
from counterflow.golden.parts.generator import draws
from counterflow.golden.parts.half_up import half_up
from counterflow.golden.parts.narrow import Integers, narrow, saturate
from counterflow.golden.units.update import Settings, updated


class Root(NamedTuple):
    """One over a deviation, t 2^(4-h-8): ``root`` t and ``halvings`` h, equal shapes."""

    root: Integers
    halvings: Integers


class Betas(NamedTuple):
    """Beta as a token sees it, [channels]; `ahead` is the predicted one."""

    beta: Integers
    ahead: Integers


class Kept(NamedTuple):
    """What the backward pass of a token needs of its forward pass.

    [channels] each, but ``y`` [elements], before its ReLU.
    """

    root: Root
    beta: Integers
    y: Integers


@dataclass
class Normal(ABC):
    """One unit; `saturations` counts clipped elements of y and of dx, and clipped betas.

    A subclass has `forward`, `backward`, and a `State` with ``beta`` and ``beta_velocity``.
    """

    stage: Any
    state: Any
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
        self._backward: dict[int, Any] = {}  # sums, by the slot whose update they belong to
        self._back = 0  # the token that comes back next
        self._waiting: Integers | None = None

    @abstractmethod
    def forward(self, x: Integers, training: bool) -> Integers:
        """y of one token, shape [elements]; training tokens see predicted betas."""

    @abstractmethod
    def backward(self, dy: Integers, training: bool) -> Integers:
        """dx of the token that has waited longest, zeros where it does not train.

        Shapes [elements] to [elements], or [2, elements] where y comes back below dy.
        """

    @abstractmethod
    def update(self, moves: bool) -> Any:
        """Move all channels at the end of a slot; the new state, or None where nothing moved.

        ``moves``: beta moves, if a token came back.
        """

    def returns(self, token: int) -> bool:
        """Whether all has been done that the backward pass of a token must see."""
        delay: int = self.stage.delay
        return token + delay - self.updates <= 1

    @abstractmethod
    def _view(self) -> Any:
        """What tokens see of the state as it is."""

    def _betas(self) -> Betas:
        return Betas(self._operand(self.state.beta), self._operand(self._predicted()))

    def _predicted(self) -> Integers:
        now, horizon = self.state, self.numbers.parameters.horizon
        if self.weight_form:
            return now.beta + horizon * (now.beta - self._previous)
        return now.beta - horizon * now.beta_velocity

    def _operand(self, beta: Integers) -> Integers:
        numbers = self.numbers.parameters
        found, _ = narrow(beta, numbers.weight.frac, numbers.bias_operand, numbers.round_operand)
        return found

    def _normalised(self, e: Integers, root: Root, betas: Betas, training: bool) -> Integers:
        """y of differences e [pixels, channels]; it and what else the way back needs is kept."""
        numbers, edge = self.numbers, self.stage.unit.outputs[0]
        shift = root.halvings + numbers.normal_shift
        xhat, clipped = saturate(half_up(e * root.root, shift), numbers.y)
        beta = betas.ahead if training and self.settings.predict else betas.beta
        y, beyond = saturate(xhat + beta, numbers.y)
        self.saturations += int((clipped | beyond).sum())
        self._kept.append(Kept(root, beta, y.ravel()))
        positive = np.maximum(y, 0) if edge.rectified and not edge.returned else y
        return positive.ravel()

    def _came_back(self, dy: Integers) -> tuple[int, Kept, Integers, Integers]:
        """(slot, what was kept, dy, xhat) of the token that comes back; [pixels, channels]."""
        kept, slot = self._kept.popleft(), self._back + self.stage.delay
        self._back += 1
        dy, y = dy if self.stage.unit.outputs[0].returned else (dy, kept.y)
        return slot, kept, self._by_pixel(dy), self._by_pixel(y) - kept.beta

    def _scaled(self, z: Integers, root: Root) -> Integers:
        """z over the deviation, as wide as dx before it is narrowed."""
        numbers = self.numbers
        shift = root.halvings + numbers.scaled_shift + numbers.lift
        return half_up((z * root.root) << numbers.lift, shift)

    def _narrowed(self, wide: Integers) -> Integers:
        """dx [elements]."""
        numbers = self.numbers
        dx, clipped = narrow(wide, numbers.wide_frac, numbers.dx, numbers.round_error)
        self.saturations += int(clipped.sum())
        return dx.ravel()

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

    def _updated(self) -> None:
        """An update is over: what the tokens two slots on see of it."""
        self._views[self.updates] = self._view()
        del self._views[self.updates - 2]
        self.updates += 1

    def _by_pixel(self, image: Integers) -> Integers:
        """An image [elements] as [pixels, channels]."""
        return image.reshape(self.numbers.pixels, self.numbers.channels)


def rooted(variance: Integers) -> Root:
    """One over the deviation of `variance`, a squared last place of x more: it is never zero."""
    more = variance + (1 << VARIANCE_FRAC)
    bits = np.array([int(one).bit_length() for one in more])
    halvings = (bits - 1) >> 1
    steps = ((more << ROOT_STEPS) >> 2 * halvings) - (1 << ROOT_STEPS)
    return Root(np.array(ROOTS)[steps], halvings)


def differences(x: Integers, centre: Integers) -> Integers:
    """e: how far each x is from its centre, shapes [pixels, channels] and [channels]."""
    return (x << CENTRE_FRAC) - centre
