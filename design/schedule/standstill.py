"""Recipes under which no weight can ever move: refused before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from counterflow.design.network.description import Description
from counterflow.design.parts.recipe import Recipe
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.arithmetic import UnitArithmetic


def check_moves(description: Description, schedule: Schedule) -> None:
    """ValueError, which says what would do, where no gradient can move any weight from rest."""
    every = list(_learning(schedule))
    if any(one.moves for one in every):
        return
    shifts = [_shift_that_moves(one) for one in every]
    most = min((one for one in shifts if one is not None), default=None)
    stochastic = "rounding.update 'stochastic'"
    remedy = f"set {stochastic}, or give weights and velocities more fraction bits"
    if most is not None:
        remedy = f"at 2^-{most} weights of all layers can move, as they can with {stochastic}"
    raise ValueError(
        f"recipe.learning_rate is {_said(description.recipe)}, with which no weight can move: even "
        f"the largest gradient changes none by half a last place, and rounding.update is "
        f"'{description.rounding.update}'; {remedy}"
    )


def _learning(schedule: Schedule) -> Iterator[UnitArithmetic]:
    """How all that learns moves."""
    weighted = (stage.arithmetic for stage in schedule.weighted)
    yield from (numbers for numbers in weighted if not numbers.frozen)
    yield from (moves for stage in schedule.norms for moves, _ in stage.moving.values())


def _shift_that_moves(numbers: UnitArithmetic) -> int | None:
    """e of the least learning rate 2^-e with which a weight can move; None if there is none."""
    shifts = range(numbers.rate_shift, -1, -1)
    return next((one for one in shifts if replace(numbers, rate_shift=one).moves), None)


def _said(recipe: Recipe) -> str:
    return f"{recipe.learning_rate:g} (2^-{recipe.rate_shift})"
