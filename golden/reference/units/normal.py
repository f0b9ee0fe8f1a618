"""What norms in float64 have in common: what they learn, and what of it a token sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple, Self

import numpy as np

from counterflow.design.parts.tokens import Kind
from counterflow.design.units.normal_unit import NormalUnit
from counterflow.golden.reference.rules import Floats, Parameter, Rule


class Kept(NamedTuple):
    """What the way back of a token needs: root and gamma [channels], xhat [pixels, channels]."""

    root: Floats
    xhat: Floats
    gamma: Floats


class Normal(ABC):
    """y = gamma xhat + beta, xhat = (x - mean) / sqrt(variance + epsilon), images of `channels`.

    Without ``gamma`` it is 1, and stays so.  With it, its own gradient and dx are those of the
    gamma that the token saw.  ``moves``: they learn; else they stay as they are.  ``frozen``: there
    is no way back, and statistics stay, too.
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
        gamma: bool = False,
        moves: bool = True,
        frozen: bool = False,
    ) -> None:
        self.channels, self.epsilon, self.limits = channels, epsilon, limits
        self.relu, self.wanted, self.delay, self.rule = relu, wanted, delay, rule
        self.moves, self.frozen = moves, frozen
        self.beta, self.updates = Parameter(np.zeros(channels)), 0
        self.gamma = Parameter(np.ones(channels)) if gamma else None
        self._views: dict[int, Any] = {}  # by the update that they follow
        self._kept: dict[int, Kept] = {}  # of tokens under way
        self._backward: dict[int, Any] = {}  # sums, by the slot whose update they belong to

    @classmethod
    def of(cls, unit: NormalUnit, *, delay: int, rule: Rule) -> Self:
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
            gamma=unit.gamma,
            moves=unit.moves,
            frozen=unit.frozen,
            **cls._more(unit),
        )

    @classmethod
    def _more(cls, unit: Any) -> dict[str, Any]:
        """What else a kind is made of."""
        return {}

    @property
    def empties(self) -> int:
        """Slots behind a token's own after which nothing of it is under way: see `NormalStage`."""
        return 0 if self.frozen else self.delay + 1

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What learns by the rule."""
        return (self.beta,) if self.gamma is None else (self.beta, self.gamma)

    @abstractmethod
    def forward(self, slot: int, x: Floats, kind: Kind) -> Floats:
        """y of token `slot`, any shape; one that trains sees a predicted beta and gamma."""

    @abstractmethod
    def backward(self, token: int, dy: Floats, kind: Kind) -> Floats:
        """dx of `token`, which is forgotten; zeros where it does not train.  Any shape."""

    @abstractmethod
    def update(self) -> None:
        """Move what is learnt by its rule, and what else a kind remembers, at a slot's end."""

    @abstractmethod
    def _now(self) -> Any:
        """What tokens see of things as they are."""

    def returns(self, token: int) -> bool:
        """Whether all has been done that the backward pass of `token` must see."""
        return token + self.delay - self.updates <= 1

    def _begin(self) -> None:
        """Let things as they are be what the first slots see."""
        first = self._now()
        self._views = {-2: first, -1: first}

    def _learnt(self) -> tuple[Parameter, ...]:
        """What learns as it is: arrays of a `Parameter` are never written to."""
        return tuple(copy(one) for one in self.parameters)

    def _sent(
        self, slot: int, d: Floats, root: Floats, learnt: Sequence[Parameter], kind: Kind
    ) -> Floats:
        """y of differences d [pixels, channels] from the mean; what the way back needs is kept."""
        xhat = np.clip(d * root, *self.limits)
        seen = [one.predicted(self.rule) if kind.learns else one.value for one in learnt]
        beta, gamma = (*seen, np.ones(self.channels))[:2]
        if not self.frozen:
            self._kept[slot] = Kept(root, xhat, gamma)
        y: Floats = (xhat * gamma + beta).ravel()
        return np.maximum(y, 0) if self.relu else y

    def _gradient(self, errors: Floats, xhat: Floats) -> tuple[Floats, ...]:
        """Of what is learnt, of one token; shapes [pixels, channels]."""
        found = errors.sum(axis=0), (errors * xhat).sum(axis=0)
        return found[: len(self.parameters)]

    def _learn(self, gradient: Sequence[Floats], kind: Kind) -> None:
        """Add the gradient of a token of such a kind to what waits, and perhaps move by it."""
        if not self.moves:
            return
        for one, own in zip(self.parameters, gradient, strict=True):
            one.learn(own, self.rule.of_biases, kind is Kind.TRAIN)

    def _updated(self) -> None:
        """An update is over: what the tokens two slots on see of it."""
        self._views[self.updates] = self._now()
        del self._views[self.updates - 2]
        self.updates += 1
