"""Layers with weights in float64."""

from __future__ import annotations

import numpy as np

from counterflow.design.parts.geometry import Geometry
from counterflow.design.parts.tokens import Kind
from counterflow.golden.reference.rules import Floats, Parameter, Rule


class Convolution:
    """One stage, y = f(W x + b) at each position of the kernel, of any delay and rule.

    ``weight`` has the shape [outputs, taps], ``bias`` [outputs].  A dense layer is the case of one
    position.  ``masks``: the layer below ends in a ReLU, whose derivative is applied to dx here.
    ``asides``: the delays of the losses whose gradients it passes on without learning from them;
    ``frozen``: it learns from none.
    """

    def __init__(
        self,
        geometry: Geometry,
        weight: Floats,
        bias: Floats,
        *,
        relu: bool,
        masks: bool,
        delay: int,
        rule: Rule,
        asides: tuple[int, ...] = (),
        frozen: bool = False,
    ) -> None:
        self.geometry = geometry
        self.weight, self.bias = Parameter(weight), Parameter(bias)
        self.relu, self.masks, self.delay, self.rule = relu, masks, delay, rule
        self.asides, self.frozen = asides, frozen
        self.inputs: dict[int, Floats] = {}
        self.errors: dict[int, Floats] = {}
        self.stashed: dict[int, Floats] = {}

    @property
    def empties(self) -> int:
        """Slots behind a token's own after which nothing of it is under way."""
        return max(self.delay, *self.asides, 0)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What learns by the rule."""
        return self.weight, self.bias

    def forward(self, slot: int, x: Floats, kind: Kind) -> Floats:
        """y of token `slot`; x is kept until its gradient is back."""
        self.inputs[slot] = x
        if self.rule.stash:
            self.stashed[slot] = self.weight.value
        weight = self.weight.predicted(self.rule) if kind.learns else self.weight.value
        bias = self.bias.predicted(self.rule) if kind.learns else self.bias.value
        y: Floats = (self.geometry.gathered(x) @ weight.T + bias).ravel()
        return np.maximum(y, 0) if self.relu else y

    def receive(self, token: int, dy: Floats) -> None:
        """Take the gradient of what `forward` gave for `token`."""
        self.errors[token] = dy

    def backward(self, token: int) -> Floats:
        """dx [inputs] of `token`; with `masks`, zero where the ReLU below let nothing through."""
        return self.passed(token, self.errors[token])

    def passed(self, token: int, dy: Floats) -> Floats:
        """As `backward`, of a gradient of any loss."""
        weight = self.stashed[token] if self.rule.stash else self.weight.value
        errors = dy.reshape(self.geometry.positions, self.geometry.outputs)
        dx = self.geometry.scattered(errors @ weight)
        return dx * (self.inputs[token] > 0) if self.masks else dx

    def finish(self, token: int, kind: Kind) -> None:
        """Learn from `token` if its kind says so, and forget its gradient."""
        if kind.learns and not self.frozen:
            errors, update = self._errors(token), kind is Kind.TRAIN
            windows = self.geometry.gathered(self.inputs[token])
            self.weight.learn(errors.T @ windows, self.rule, update)
            self.bias.learn(errors.sum(axis=0), self.rule.of_biases, update)
        del self.errors[token]

    def forget(self, slot: int) -> None:
        """Forget the token whose last gradient came in this slot."""
        for kept in (self.inputs, self.stashed):
            kept.pop(slot - self.empties, None)

    def _errors(self, token: int) -> Floats:
        return self.errors[token].reshape(self.geometry.positions, self.geometry.outputs)
