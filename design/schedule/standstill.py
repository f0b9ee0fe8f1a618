"""Recipes under which no weight can ever move or decay: refused before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Rounding
from counterflow.design.parts.recipe import Recipe
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.arithmetic import UnitArithmetic


def check_moves(description: Description, schedule: Schedule) -> None:
    """ValueError, which says what would do, where no gradient can move any weight from rest.

    Likewise where no weight can decay that the recipe wants to.
    """
    every = list(_learning(schedule))
    decaying = [one for one in every if one.decay_shift]
    if decaying and not any(one.decays for one in decaying):
        widest = max(one.weight.bits for one in decaying)
        raise ValueError(
            f"recipe.weight_decay is {description.recipe.weight_decay:g} "
            f"(2^-{description.recipe.decay_shift}), with which no weight can decay: that is under "
            f"half a last place even of the largest, and rounding.update is "
            f"'{description.rounding.update}'; set rounding.update 'stochastic', or a decay of at "
            f"least 2^-{widest - 1}"
        )
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


def decay_stands(schedule: Schedule) -> str | None:
    """Which weights do not decay, in a sentence; None where all that shall do."""
    where = {
        stage.name: stage.arithmetic.weight.value(1 << (stage.arithmetic.decay_shift - 1))
        for stage in schedule.weighted
        if stage.arithmetic.decay_shift and stage.arithmetic.round_update is Rounding.NEAREST_EVEN
    }
    if not where:
        return None
    values = ", ".join(f"{name} {value:.3g}" for name, value in where.items())
    return (
        "Rounded to nearest, weights do not decay any more once they are no larger than these: "
        f"{values}. With rounding.update 'stochastic' they do."
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
