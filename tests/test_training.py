"""Training by epochs: what it feeds the chain, what it measures, and where it stops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from counterflow.design.data.sets import Dataset, load, synthetic
from counterflow.design.network.description import Description
from counterflow.design.network.files import load as network_of
from counterflow.design.parts.formats import Format
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.tokens import Kind, Token, drained, epoch
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.loss import NATS
from counterflow.golden.chain import Chain
from counterflow.golden.training.checkpoint import Checkpoint
from counterflow.golden.training.epochs import Epoch, TrainingResult, train
from counterflow.golden.training.models import parts, token_arrays
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.update import Settings

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
    x, test_x = CLUSTERS.train_x, CLUSTERS.test_x  # u8.8 of bytes are they themselves
    epochs = []
    for number in range(recipe.epochs):
        chain.set(Settings(recipe.predicts, recipe.compensates, recipe.extra_shift(number)))
        order = epoch_order(len(x), seed, number)
        found = chain.run(epoch(recipe, order, schedule.delay), x, CLUSTERS.train_y)
        infer = drained([Token(Kind.INFER, index) for index in range(len(test_x))], schedule.delay)
        tested = chain.run(infer, test_x, CLUSTERS.test_y)
        epochs.append(
            Epoch(
                number,
                len(order),
                0.0,
                float(np.mean([one.loss for one in found])) * NATS,
                float(np.mean([one.correct for one in found])),
                float(np.mean([one.loss for one in tested])) * NATS,
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
    for one, wanted in zip(result.epochs, expected, strict=True):
        assert one.heads == ()
        numbers, expected_numbers = (
            {name: value for name, value in vars(epoch).items() if name != "heads"}
            for epoch in (replace(one, seconds=0.0), wanted)
        )
        assert numbers == pytest.approx(expected_numbers)
    assert result.checkpoint is not None
    for state, wanted in zip(result.checkpoint.states, chain.states, strict=True):
        np.testing.assert_array_equal(state.weight, wanted.weight)
        np.testing.assert_array_equal(state.bias_velocity, wanted.bias_velocity)
        assert state.generator == wanted.generator


def test_it_learns() -> None:
    result = trained(network(epochs=5))
    losses = [one.test_loss for one in result.epochs]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < losses[0] / 2
    assert (result.epochs[-1].test_accuracy or 0) > 0.9
    assert result.samples_per_second > 0


def test_the_float_model_learns_the_same() -> None:
    description = network(epochs=3)
    floats, integers = trained(description, model="float"), trained(description)
    assert floats.checkpoint is None
    for one, other in zip(floats.epochs, integers.epochs, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=0.1, abs=0.05)
        assert one.test_accuracy == pytest.approx(other.test_accuracy, abs=0.1)


def test_a_seed_decides_everything() -> None:
    description = network(epochs=1)
    first, again, other = (trained(description, seed=seed) for seed in (7, 7, 8))
    assert replace(first.epochs[0], seconds=0) == replace(again.epochs[0], seconds=0)
    assert first.epochs[0].loss != other.epochs[0].loss
    by_recipe = trained(network(epochs=1, seed=7))
    assert by_recipe.epochs[0].loss == first.epochs[0].loss


def test_limit_and_epochs_are_kept() -> None:
    result = trained(network(), epochs=3, limit=17, evaluate=False)
    assert [(one.epoch, one.samples) for one in result.epochs] == [(0, 17), (1, 17), (2, 17)]
    assert [one.test_loss for one in result.epochs] == [None] * 3
    assert trained(network(), limit=1000, epochs=1).epochs[0].samples == 60


def test_progress_is_reported_to_the_end() -> None:
    calls: list[tuple[int, int]] = []
    epochs: list[Epoch] = []
    result = trained(
        network(scheme="sequential"),
        on_progress=lambda done, total: calls.append((done, total)),
        on_epoch=lambda one, checkpoint: epochs.append(one),
    )
    assert calls[-1] == (120, 120)
    assert calls == sorted(calls)
    assert tuple(epochs) == result.epochs


@pytest.mark.parametrize("mitigation", ["lwpv+sc", "stash"])
def test_a_resumed_training_goes_on_bit_for_bit(mitigation: str) -> None:
    drops = [{"epoch": 2, "shift": 1}]
    description = network(epochs=4, rate_drops=drops, mitigation=mitigation)
    whole, half = trained(description), trained(description, epochs=2)
    rest = trained(description, resume=half.checkpoint)
    assert whole.checkpoint is not None
    assert rest.checkpoint is not None
    assert rest.checkpoint.epoch == 4
    for one, other in zip(whole.epochs, half.epochs + rest.epochs, strict=True):
        assert replace(one, seconds=0) == replace(other, seconds=0)
    for one, other in zip(whole.checkpoint.states, rest.checkpoint.states, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
        np.testing.assert_array_equal(one.velocity, other.velocity)
        np.testing.assert_array_equal(one.bias, other.bias)
        assert one.generator == other.generator


def test_the_states_of_a_checkpoint_stay() -> None:
    found: list[Checkpoint] = []

    def keep(one: Epoch, checkpoint: Checkpoint | None) -> None:
        assert checkpoint is not None
        found.append(checkpoint)

    for mitigation in ("none", "stash"):
        found.clear()
        trained(network(mitigation=mitigation), on_epoch=keep)
        first, second = (one.states[0].weight for one in found)
        assert not np.array_equal(first, second)


def test_what_cannot_be_resumed_is_refused() -> None:
    description = network()
    half = trained(description, epochs=1).checkpoint
    with pytest.raises(ValueError, match="with which the float model cannot go on"):
        trained(description, resume=half, model="float")
    with pytest.raises(ValueError, match="was trained with seed 1, not 2"):
        trained(description, resume=half, seed=2)
    with pytest.raises(ValueError, match="epochs is 1, but must be more than the 1"):
        trained(description, resume=half, epochs=1)
    other = network(mitigation="sc")
    with pytest.raises(ValueError, match=f"{description.hash()}, not of net, which is"):
        trained(other, resume=half)
    form = network(mitigation="lwpw")
    with pytest.raises(ValueError, match="'lwpw' predicts from the last change of each weight"):
        trained(form, resume=trained(form, epochs=1).checkpoint)


def test_data_of_another_network_are_refused() -> None:
    description = network()
    schedule = plan(description).schedule
    with pytest.raises(
        ValueError, match="net has 8 inputs, but the samples of digits are images of 8x8x1"
    ):
        train(description, schedule, load("digits"))
    many: Dataset = synthetic(8, 5, 20, seed=1)
    with pytest.raises(ValueError, match="net tells 4 classes apart, but synthetic-8x5 has 5"):
        train(description, schedule, many)


@pytest.mark.parametrize("shape", [(4, 2, 1), (2, 2, 2)])
def test_images_of_another_shape_are_refused_even_if_as_large(shape: tuple[int, int, int]) -> None:
    description = network()
    image = type(description).model_validate(description.model_dump() | {"inputs": [2, 4, 1]})
    data = synthetic(8, 4, 20, seed=1, shape=shape)
    with pytest.raises(ValueError, match=r"inputs = \[2, 4, 1\], but the samples of .* are images"):
        train(image, plan(image).schedule, data)
    assert train(description, plan(description).schedule, data, epochs=1).epochs  # a vector is one


@pytest.mark.parametrize("text", ["u8.8", "u8.4", "u5.4", "u12.10", "s9.8", "s9.4"])
def test_samples_are_codes_of_the_input_format(text: str) -> None:
    description = network()
    fields = description.model_dump() | {"formats": {"input": text}}
    target = Format.parse(text)
    found, tested = parts(type(description).model_validate(fields), CLUSTERS)
    exact = (CLUSTERS.train_x.astype(int) * 2**target.frac * 2 + 256) // 512
    np.testing.assert_array_equal(found.samples, np.minimum(exact, target.max))
    assert len(tested.samples) == len(CLUSTERS.test_x)
    assert (found.samples.dtype == np.uint8) == (target.max <= 255)


@pytest.mark.parametrize("count", [0, 1, 7, 12])
@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"scheme": "sequential"},
        {"scheme": "fill-and-drain", "batch": 4},
        {"accumulate": 3},
        {"scheme": "sequential", "accumulate": 5},
        {"scheme": "fill-and-drain", "batch": 4, "accumulate": 2},
    ],
)
def test_token_arrays_are_the_tokens_of_an_epoch(recipe: dict[str, Any], count: int) -> None:
    description = network(**recipe)
    order = np.random.default_rng(1).permutation(count)
    kinds, indices = token_arrays(description.recipe, order, 5)
    tokens = list(epoch(description.recipe, order, 5))
    assert kinds.tolist() == [token.kind for token in tokens]
    assert indices.tolist() == [token.sample for token in tokens]


def test_the_digits_are_learnt() -> None:
    description = network_of("digits")
    result = train(description, plan(description).schedule, load("digits"))
    accuracy = result.epochs[-1].test_accuracy
    assert accuracy is not None
    assert accuracy > 0.955
