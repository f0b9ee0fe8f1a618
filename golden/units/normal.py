"""What golden norms have in common: xhat and y of given statistics, and what they learn.

The equations stand in `design.units.normal`, what a slot is in `design.units.norm`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from counterflow.design.parts.formats import Rounding
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.normal import (
    CENTRE_FRAC,
    GAMMA_FRAC,
    ROOT_STEPS,
    ROOTS,
    VARIANCE_FRAC,
)
from counterflow.golden.parts.generator import draws
from counterflow.golden.parts.half_up import half_up
from counterflow.golden.parts.narrow import Integers, narrow, saturate, tell
from counterflow.golden.units.update import Settings, updated


class Root(NamedTuple):
    """One over a deviation, t 2^(4-h-8): ``root`` t and ``halvings`` h, equal shapes."""

    root: Integers
    halvings: Integers


Learnt = dict[str, tuple[Integers, Integers]]
"""Beta, and gamma if there is one, as a token may see them [channels]: as they are, predicted."""

Gradient = dict[str, Integers]
"""That of beta, and of gamma if there is one, [channels] each."""


class Kept(NamedTuple):
    """What the backward pass of a token needs of its forward pass.

    [channels] each, but ``y`` [elements], before its ReLU; ``seen``: beta, and gamma if there is
    one, as the token saw them.  Where there is a gamma, xhat stands in place of y.
    """

    root: Root
    seen: Mapping[str, Integers]
    y: Integers


@dataclass
class Normal(ABC):
    """One unit; `saturations` counts clipped elements of y and of dx, and channels in which beta
    or gamma was clipped.

    A frozen one has no way back, and its state stays.
    A subclass has `forward`, `backward`, and a `State` with ``beta`` and ``beta_velocity``, which
    are None of ``gamma`` where there is none.
    """

    stage: Any
    state: Any
    settings: Settings = field(default_factory=Settings)
    weight_form: bool = False
    saturations: int = 0
    updates: int = 0

    def __post_init__(self) -> None:
        self.numbers = self.stage.numbers
        self._previous = {name: getattr(self.state, name).copy() for name in self.numbers.learnt}
        first = self.view()
        self._views = {-2: first, -1: first}  # by the update that they follow
        self._kept: deque[Kept] = deque()
        self._backward: dict[int, Any] = {}  # sums, by the slot whose update they belong to
        self._back = 0  # the token that comes back next
        self._waiting: Gradient | None = None

    @abstractmethod
    def forward(self, x: Integers, training: bool) -> Integers:
        """y of one token, shape [elements]; training tokens see a predicted beta and gamma."""

    @abstractmethod
    def backward(self, dy: Integers, training: bool) -> Integers:
        """dx of the token that has waited longest, zeros where it does not train.

        Shapes [elements] to [elements], or [2, elements] where y comes back below dy.
        """

    @abstractmethod
    def update(self, moves: bool) -> Any:
        """Move all channels at the end of a slot; the new state, or None where nothing moved.

        ``moves``: beta and gamma do, if a token came back.
        """

    def returns(self, token: int) -> bool:
        """Whether all has been done that the backward pass of a token must see."""
        delay: int = self.stage.delay
        return token + delay - self.updates <= 1

    @abstractmethod
    def view(self) -> Any:
        """What tokens see of the state as it is."""

    def _learnt(self) -> Learnt:
        """What tokens see of what is learnt, as it is."""
        found = {}
        for name, (moves, operand) in self.numbers.learnt.items():
            frac, rounding = moves.weight.frac, moves.round_operand
            now, _ = narrow(getattr(self.state, name), frac, operand, rounding)
            ahead = now
            if not moves.frozen:
                ahead, _ = narrow(self._predicted(name, moves), frac, operand, rounding)
            found[name] = now, ahead
        return found

    def _predicted(self, name: str, moves: UnitArithmetic) -> Integers:
        now: Integers = getattr(self.state, name)
        if self.weight_form:
            return now + moves.horizon * (now - self._previous[name])
        velocity: Integers = getattr(self.state, f"{name}_velocity")
        return now - moves.horizon * velocity

    def _normalised(self, e: Integers, root: Root, learnt: Learnt, training: bool) -> Integers:
        """y of differences e [pixels, channels]; it and what else the way back needs is kept."""
        numbers, edge = self.numbers, self.stage.unit.outputs[0]
        shift = root.halvings + numbers.normal_shift
        xhat, clipped = saturate(half_up(e * root.root, shift), numbers.y)
        ahead = training and self.settings.predict
        seen = {name: values[ahead] for name, values in learnt.items()}
        plain = numbers.gammas is None
        scaled = xhat if plain else half_up(seen["gamma"] * xhat, GAMMA_FRAC)
        sums = scaled + seen["beta"]
        y, beyond = saturate(sums, numbers.y)
        tell("y", sums, numbers.y.frac, y, numbers.y, clipped | beyond)
        self.saturations += int((clipped | beyond).sum())
        if edge.wanted:
            self._kept.append(Kept(root, seen, (y if plain else xhat).ravel()))
        positive = np.maximum(y, 0) if edge.rectified and not edge.returned else y
        return positive.ravel()

    def _came_back(self, dy: Integers) -> tuple[int, Kept, Integers, Integers]:
        """(slot, what was kept, dy, xhat) of the token that comes back; [pixels, channels]."""
        kept, slot = self._kept.popleft(), self._back + self.stage.delay
        self._back += 1
        dy, y = dy if self.stage.unit.outputs[0].returned else (dy, kept.y)
        image = self._by_pixel(y)
        xhat = image - kept.seen["beta"] if self.numbers.gammas is None else image
        return slot, kept, self._by_pixel(dy), xhat

    def _given(self, errors: Integers, kept: Kept) -> Integers:
        """The gradient of xhat [pixels, channels]."""
        numbers = self.numbers
        if numbers.gammas is None:
            return errors
        return half_up(kept.seen["gamma"] * errors, numbers.gamma_drop)

    def _gradient(self, errors: Integers, xhat: Integers) -> Gradient:
        """Of what is learnt, of one token; shapes [pixels, channels]."""
        found = {"beta": errors.sum(axis=0)}
        if self.numbers.gammas is not None:
            found["gamma"] = (errors * xhat).sum(axis=0)
        return found

    def _scaled(self, z: Integers, root: Root) -> Integers:
        """z over the deviation, as wide as dx before it is narrowed."""
        numbers = self.numbers
        shift = root.halvings + numbers.scaled_shift + numbers.lift
        return half_up((z * root.root) << numbers.lift, shift)

    def _narrowed(self, wide: Integers) -> Integers:
        """dx [elements]."""
        numbers = self.numbers
        dx, clipped = narrow(wide, numbers.wide_frac, numbers.dx, numbers.round_error, "dx")
        self.saturations += int(clipped.sum())
        return dx.ravel()

    def _learn(self, gradient: Gradient, moves: bool) -> None:
        """Add a gradient to what is waiting; with `moves` move by all of it.

        Beta and gamma of a channel share the bits of one draw.  Nothing is drawn where beta is
        frozen.
        """
        numbers, now = self.numbers, self.state
        if not self.stage.moving:
            return
        if self._waiting is not None:
            gradient = {name: one + self._waiting[name] for name, one in gradient.items()}
        self._waiting = None if moves else gradient
        if not moves:
            return
        random, hit = np.zeros(numbers.channels, np.int64), np.zeros(numbers.channels, np.bool_)
        if numbers.parameters.round_update is Rounding.STOCHASTIC:
            random = draws(now.generator, numbers.channels)
            now.generator = int(random[-1])
        for name, one in gradient.items():
            old, velocity = getattr(now, name), getattr(now, f"{name}_velocity")
            self._previous[name] = old
            own, _ = numbers.learnt[name]
            value, step, clipped = updated(own, self.settings, old, velocity, one, random)
            setattr(now, name, value)
            setattr(now, f"{name}_velocity", step)
            hit |= clipped
        self.saturations += int(hit.sum())

    def _updated(self) -> None:
        """An update is over: what the tokens two slots on see of it."""
        self._views[self.updates] = self.view()
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
