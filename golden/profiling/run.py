"""A training in float64 and in integers, of which the first samples of every epoch are watched.

The whole training is that of `golden.training.epochs`, by the compiled twin where there is one; a
copy of the chain, at rest between two epochs, makes the watched slots again in the readable model.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from counterflow.design.choice.homes import Home, Homes
from counterflow.design.choice.tally import Tally
from counterflow.design.data.sets import Dataset
from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.chain import Chain
from counterflow.golden.profiling.inputs import input_tally
from counterflow.golden.profiling.watch import FloatWatch, IntegerWatch
from counterflow.golden.training.epochs import Callback, TrainingResult, train
from counterflow.golden.training.models import FloatModel, IntegerModel, Part, Run, tokens_of

WATCHED = 1500  # samples in all, spread over the epochs
LEAST = 20  # of an epoch


@dataclass(frozen=True)
class Profile:
    """What was counted in both models, and how well both learnt."""

    integers: dict[Home, Tally]
    floats: dict[Home, Tally]
    integer_result: TrainingResult
    float_result: TrainingResult


def profile(
    description: Description,
    schedule: Schedule,
    dataset: Dataset,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    limit: int | None = None,
    on_progress: Callback | None = None,
) -> Profile:
    """Train as `golden.training.epochs.train` does, in both models, and count."""
    homes = Homes(description)
    count = description.recipe.epochs if epochs is None else epochs
    each = max(LEAST, WATCHED // count)
    options: dict[str, Any] = {"seed": seed, "epochs": epochs, "limit": limit}

    def half(second: int) -> Callback | None:
        if on_progress is None:
            return None
        return lambda done, total: on_progress(second * total + done, 2 * total)

    of_integers = IntegerWatch(homes, schedule)

    def see_integers(model: Any, runs: Sequence[Run], part: Part) -> None:
        assert isinstance(model, IntegerModel)
        chain = copy.deepcopy(model.chain)
        if not isinstance(chain, Chain):
            chain = Chain(description, schedule, model.states)
        chain.set(runs[0].settings)
        of_integers.run(chain, beginning(runs[0], each, model.delay), part)

    integer_result = train(
        description,
        schedule,
        dataset,
        **options,
        on_start=see_integers,
        on_progress=half(0),
        may_stand=True,  # that is what its user wants to know
    )
    of_floats = FloatWatch(homes, schedule, of_integers.edges)

    def see_floats(model: Any, runs: Sequence[Run], part: Part) -> None:
        assert isinstance(model, FloatModel)
        chain = copy.deepcopy(model.chain)
        chain.set(runs[0].settings)
        samples = part.samples * 2.0**-model.input.frac
        with threadpool_limits(1):
            of_floats.run(chain, beginning(runs[0], each, model.delay), samples, part)

    float_result = train(
        description,
        schedule,
        dataset,
        **options,
        model="float",
        on_start=see_floats,
        on_progress=half(1),
    )
    given = homes.activations[description.graph.source.number]
    inputs = {given: input_tally(given, dataset)}
    return Profile(
        {**inputs, **of_integers.tallies},
        {**inputs, **of_floats.tallies},
        integer_result,
        float_result,
    )


def beginning(run: Run, samples: int, delay: int) -> list[Token]:
    """The first tokens of a run, until so many samples have come back."""
    places = np.flatnonzero(run.kinds != Kind.BUBBLE)
    if len(places) > samples:
        end = int(places[samples - 1]) + 1 + delay
        return tokens_of(run.kinds[:end], run.indices[:end])
    return tokens_of(run.kinds, run.indices)
