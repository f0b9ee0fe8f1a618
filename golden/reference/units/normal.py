"""What norms in float64 have in common: a beta that learns, and which of them a token sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

from counterflow.design.parts.tokens import Kind
from counterflow.design.units.normal_unit import NormalUnit
from counterflow.golden.reference.rules import Floats, Parameter, Rule


class Normal(ABC):
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
        self.beta, self.updates = Parameter(np.zeros(channels)), 0
        self._views: dict[int, Any] = {}  # by the update that they follow
        self._kept: dict[int, tuple[Floats, Floats]] = {}  # root and xhat of tokens under way
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
            **cls._more(unit),
        )

    @classmethod
    def _more(cls, unit: Any) -> dict[str, Any]:
        """What else a kind is made of."""
        return {}

    @property
    def empties(self) -> int:
        """Slots behind a token's own after which nothing of it is under way: see `NormalStage`."""
        return self.delay + 1

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What learns by the rule."""
        return (self.beta,)

    @abstractmethod
    def forward(self, slot: int, x: Floats, kind: Kind) -> Floats:
        """y of token `slot`, any shape; one that trains sees a predicted beta."""

    @abstractmethod
    def backward(self, token: int, dy: Floats, kind: Kind) -> Floats:
        """dx of `token`, which is forgotten; zeros where it does not train.  Any shape."""

    @abstractmethod
    def update(self) -> None:
        """Move beta by its rule, and what else a kind remembers, at the end of a slot."""

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

    def _sent(self, slot: int, d: Floats, root: Floats, beta: Parameter, kind: Kind) -> Floats:
        """y of differences d [pixels, channels] from the mean; root and xhat are kept."""
        xhat = np.clip(d * root, *self.limits)
        self._kept[slot] = root, xhat
        y: Floats = (xhat + (beta.predicted(self.rule) if kind.learns else beta.value)).ravel()
        return np.maximum(y, 0) if self.relu else y

    def _updated(self) -> None:
        """An update is over: what the tokens two slots on see of it."""
        self._views[self.updates] = self._now()
        del self._views[self.updates - 2]
        self.updates += 1
