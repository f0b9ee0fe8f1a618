"""Training by epochs: what it feeds the chain, what it measures, and where it stops."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from counterflow.data import Dataset, epoch_order, load, quantise, synthetic
from counterflow.description import Description
from counterflow.files import load as network_of
from counterflow.formats import Format
from counterflow.planner import plan
from counterflow.schedule import Schedule
from counterflow.softmax import LOG_FRAC
from counterflow.tokens import Kind, Token, drained, epoch
from golden.chain import Chain
from golden.checkpoint import Checkpoint
from golden.dense import Settings
from golden.models import codes, token_arrays
from golden.start import initial_states
from golden.training import Epoch, TrainingResult, train

CLUSTERS = synthetic(8, 4, 60, seed=3)


def network(**recipe: Any) -> Description:
    return Description.model_validate(
        {
            "name": "net",
            "inputs": 8,
            "layers": [{"outputs": 6}, {"outputs": 4, "activation": "none"}],
            "recipe": {"learning_rate": 2.0**-7, "epochs": 2, **recipe},
            "fold": {"multipliers": 20},
        }
    )


def trained(description: Description, **options: Any) -> TrainingResult:
    return train(description, plan(description).schedule, CLUSTERS, **options)


def golden(description: Description, schedule: Schedule, seed: int) -> tuple[Chain, list[Epoch]]:
    """The same training written down plainly with the golden chain."""
    recipe = description.recipe
    chain = Chain(description, schedule, initial_states(description, schedule, seed))
    images = (CLUSTERS.train_x, CLUSTERS.test_x)
    x, test_x = (quantise(part, CLUSTERS.pixel_max, 8, 8) for part in images)
    epochs = []
    for number in range(recipe.epochs):
        chain.set(Settings(recipe.predicts, recipe.compensates, recipe.extra_shift(number)))
        order = epoch_order(len(x), seed, number)
        found = chain.run(epoch(recipe, order, schedule.delay), x, CLUSTERS.train_y)
        infer = drained([Token(Kind.INFER, index) for index in range(len(test_x))], schedule.delay)
        tested = chain.run(infer, test_x, CLUSTERS.test_y)
        nats = math.log(2) / 2**LOG_FRAC
        epochs.append(
            Epoch(
                number,
                len(order),
                0.0,
                float(np.mean([one.loss for one in found])) * nats,
                float(np.mean([one.correct for one in found])),
                float(np.mean([one.loss for one in tested])) * nats,
                float(np.mean([one.correct for one in tested])),
            )
        )
    return chain, epochs


@pytest.mark.parametrize("mitigation", ["lwpv+sc", "none", "lwpw", "stash"])
@pytest.mark.parametrize("scheme", ["pipelined", "sequential"])
def test_training_is_that_of_the_golden_chain(scheme: str, mitigation: str) -> None:
    drops = [{"epoch": 1, "shift": 2}]
    description = network(scheme=scheme, mitigation=mitigation, rate_drops=drops)
    chain, expected = golden(description, plan(description).schedule, seed=5)
    result = trained(description, seed=5)
    assert [replace(one, seconds=0.0) for one in result.epochs] == [
        pytest.approx(one) if isinstance(one, float) else _close(one) for one in expected
    ]
    assert result.checkpoint is not None
    for state, wanted in zip(result.checkpoint.states, chain.states, strict=True):
        np.testing.assert_array_equal(state.weight, wanted.weight)
        np.testing.assert_array_equal(state.bias_velocity, wanted.bias_velocity)
        assert state.generator == wanted.generator


class _close:
    """Equal to an epoch whose numbers are the same but for the order of a sum."""

    def __init__(self, epoch: Epoch) -> None:
        self.epoch = epoch

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Epoch) and vars(other) == pytest.approx(vars(self.epoch))
