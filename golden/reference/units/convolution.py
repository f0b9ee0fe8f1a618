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
    ) -> None:
        self.geometry = geometry
        self.weight, self.bias = Parameter(weight), Parameter(bias)
        self.relu, self.masks, self.delay, self.rule = relu, masks, delay, rule
        self.inputs: dict[int, Floats] = {}
        self.errors: dict[int, Floats] = {}
        self.stashed: dict[int, Floats] = {}

    @property
    def empties(self) -> int:
        """Slots behind a token's own after which nothing of it is under way."""
        return self.delay

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
        weight = self.stashed[token] if self.rule.stash else self.weight.value
        dx = self.geometry.scattered(self._errors(token) @ weight)
        return dx * (self.inputs[token] > 0) if self.masks else dx

    def finish(self, token: int, kind: Kind) -> None:
        """Learn from `token` if its kind says so, and forget it."""
        if kind.learns:
            errors, update = self._errors(token), kind is Kind.TRAIN
            windows = self.geometry.gathered(self.inputs[token])
            self.weight.learn(errors.T @ windows, self.rule, update)
            self.bias.learn(errors.sum(axis=0), self.rule, update)
        del self.inputs[token], self.errors[token]
        self.stashed.pop(token, None)

    def _errors(self, token: int) -> Floats:
        return self.errors[token].reshape(self.geometry.positions, self.geometry.outputs)
