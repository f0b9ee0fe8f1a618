"""A norm in the graph, whatever its source of statistics: its beta, and the least of its slots."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from counterflow.design.graph import Unit
from counterflow.design.parts.formats import Format
from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.roles import Roundings
from counterflow.design.parts.tokens import updates_in_flight
from counterflow.design.units.arithmetic import UnitArithmetic, compensation_for
from counterflow.design.units.normal import GAMMA_FRAC, Normal
from counterflow.design.units.normal_times import NormalTimes, update_cycles
from counterflow.design.units.tiling import Tiling


@dataclass(frozen=True, kw_only=True)
class NormalUnit(Unit):
    """A norm of the graph, perhaps with a ``gamma``.  Ports: x; y.

    A ``frozen`` one keeps all that is loaded, statistics, too; nothing below it learns.
    """

    weight: Format
    velocity: Format
    rounding: Roundings
    gamma: bool = False
    frozen: bool = False

    @property
    def moves(self) -> bool:
        """Whether beta and gamma learn: not where it is frozen, nor in a copy, whose beta is 0."""
        return not (self.frozen or self.serves)

    @property
    def parameters(self) -> int:
        """Biases, and gammas; nothing reads what a copy adds."""
        return 0 if self.serves else self.inputs[0].shape[2] * (2 if self.gamma else 1)

    @property
    def multipliers(self) -> int:
        return len(self.numbers(Recipe(), 0).products)

    @property
    def bound(self) -> int:
        """See `Unit.bound`: two updates must fit into a slot, too, if there are any."""
        edge = self.inputs[0]
        return max(edge.elements, 0 if self.frozen else 2 * update_cycles(edge.shape[2]))

    def check(self) -> None:
        """ValueError where its formats cannot work together, whatever the recipe."""
        self.numbers(Recipe(), 0).check()

    @abstractmethod
    def numbers(self, recipe: Recipe, delay: int) -> Normal:
        """What it computes where the gradient of a token comes `delay` slots behind it."""

    @abstractmethod
    def times(self, tiling: Tiling | None, recipe: Recipe) -> NormalTimes:
        """See `Unit.times`."""

    def checked(self, recipe: Recipe, delay: int) -> Normal:
        """`numbers`; ValueError where beta or gamma cannot move so."""
        found = self.numbers(recipe, delay)
        for moves, _ in found.learnt.values():
            moves.check(self.where)
        return found

    def common(self, recipe: Recipe, delay: int) -> dict[str, Any]:
        """What `numbers` of every kind are made of: the fields of `Normal`."""
        x, y = self.inputs[0], self.outputs[0]
        height, width, channels = x.shape
        return {
            "channels": channels,
            "pixels": height * width,
            "x": x.x,
            "y": y.x,
            "dy": y.error,
            "dx": x.error if x.wanted else None,
            "round_error": self.rounding.error,
            "parameters": self._beta(recipe, delay),
            "gammas": self._gammas(recipe, delay) if self.gamma else None,
        }

    def _gammas(self, recipe: Recipe, delay: int) -> UnitArithmetic:
        """How gamma moves: as the weight of xhat that each pixel has."""
        frac, weight = min(GAMMA_FRAC, self.weight.frac), self.weight
        operand = Format(True, max(2, weight.bits - weight.frac + frac), frac)
        return replace(self._beta(recipe, delay), x=self.outputs[0].x, operand=operand)

    def _beta(self, recipe: Recipe, delay: int) -> UnitArithmetic:
        """How beta moves: as the bias of an output that each pixel has.

        One that does not has its formats, and neither prediction nor compensation.
        """
        y = self.outputs[0]
        height, width, channels = self.inputs[0].shape
        moves = self.moves
        horizon = updates_in_flight(recipe, delay + 1) * recipe.horizon if moves else 0
        return UnitArithmetic(
            taps=1,
            outputs=channels,
            positions=height * width,
            overlaps=1,
            accumulate=recipe.accumulate,
            relu=False,
            masks=False,
            x=Format(False, 1, 0),
            y=y.x,
            dy=y.error,
            dx=None,
            operand=Format(True, max(2, y.x.bits), y.x.frac),
            weight=self.weight,
            velocity=self.velocity,
            rate_shift=recipe.rate_shift,
            rate_span=recipe.rate_span,
            momentum_shift=recipe.momentum_shift,
            horizon=horizon,
            predicts=recipe.predicts and moves,
            compensates=recipe.compensates and moves,
            compensation=compensation_for(recipe.momentum_shift, horizon),
            round_activation=self.rounding.activation,
            round_operand=self.rounding.operand,
            round_error=self.rounding.error,
            round_update=self.rounding.update,
            frozen=self.frozen,
            clip_shift=recipe.clip_shift if moves else None,
        )
