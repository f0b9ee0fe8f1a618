"""Groups of layers in one stage: delays, descriptions, and training in the float model.

The scheme is that of Zhang & Abdelrahman, arXiv 1912.12675.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from counterflow.design.data.sets import synthetic
from counterflow.design.network.complaints import complaint
from counterflow.design.network.description import Description
from counterflow.design.network.files import parse, to_toml
from counterflow.design.network.grouping import hybrid_speedup, placed_delays, stale_share
from counterflow.design.parts.recipe import MITIGATIONS
from counterflow.design.parts.tokens import Kind, Token, epoch
from counterflow.design.schedule.initial import initial_floats
from counterflow.design.schedule.planner import plan
from counterflow.golden.fast.chain import FastChain
from counterflow.golden.reference.chain import Chain, reference_chain, rule_of
from counterflow.golden.reference.rules import Floats
from counterflow.golden.reference.units.convolution import Convolution
from counterflow.golden.reference.units.loss import cross_entropy
from counterflow.golden.training.epochs import train
from counterflow.golden.training.models import IntegerModel
from counterflow.golden.training.start import initial_chain, initial_states
from tests import goldens

WIDTHS = (6, 9, 8, 7, 3)  # four layers
DATA = synthetic(6, 3, 80, seed=2)
SEED = 3
SAMPLES = DATA.train_x / 256


def network(placement: tuple[int, ...] | None = None, **recipe: Any) -> Description:
    fields = {"placement": placement, "learning_rate": 2.0**-8, "seed": SEED, **recipe}
    return goldens.network(WIDTHS, multipliers=12, **fields)


IMAGES: dict[str, Any] = {
    "name": "images",
    "inputs": [4, 6, 1],
    "layers": [
        {"kind": "convolution", "outputs": 3, "kernel": 3, "padding": 1},
        {"kind": "max-pool"},
        {"kind": "convolution", "outputs": 5, "kernel": 2},
        {"kind": "average-pool", "kernel": [1, 2]},
        {"outputs": 4, "activation": "none"},
    ],
}


def trained(description: Description) -> Chain:
    chain = reference_chain(description, plan(description).schedule)
    data = synthetic(description.elements, 3, 80, seed=2)
    tokens = epoch(description.recipe, np.arange(80), chain.delay)
    chain.run(tokens, data.train_x / 256, data.train_y)
    initial = initial_floats(description, SEED)
    for unit, weight in zip(chain.units, initial, strict=True):
        assert (unit.weight.value != weight).mean() > 0.4  # it has learnt: none died
    return chain


def assert_same(found: Chain, expected: Chain) -> None:
    for one, other in zip(found.units, expected.units, strict=True):
        np.testing.assert_array_equal(one.weight.value, other.weight.value)
        np.testing.assert_array_equal(one.weight.step, other.weight.step)
        np.testing.assert_array_equal(one.bias.value, other.bias.value)


# ---- delays ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("placement", "delays"),
    [
        ((), (0, 0, 0, 0, 0)),
        ((1,), (2, 0, 0, 0, 0)),
        ((3,), (2, 2, 2, 0, 0)),
        ((4,), (2, 2, 2, 2, 0)),
        ((1, 3), (4, 2, 2, 0, 0)),
        ((2, 3, 4), (6, 6, 4, 2, 0)),
    ],
)
def test_a_partition_has_two_slots_of_delay_for_each_register_behind_it(
    placement: tuple[int, ...], delays: tuple[int, ...]
) -> None:
    assert placed_delays(placement, 5) == delays


@pytest.mark.parametrize("layers", [1, 2, 3, 7, 20])
def test_registers_behind_every_layer_give_the_textbooks_delays(layers: int) -> None:
    """Kosson et al., arXiv 2003.11666: 2 (S - s) for stage s of S, counted from 1."""
    everywhere = tuple(range(1, layers))
    assert placed_delays(everywhere, layers) == tuple(2 * (layers - s - 1) for s in range(layers))


@pytest.mark.parametrize("horizon", [1, 2])
def test_the_chain_takes_delays_and_horizons_from_the_placement(horizon: int) -> None:
    chain = trained(network((1, 3), horizon=horizon))
    assert [unit.delay for unit in chain.units] == [4, 2, 2, 0]
    assert [unit.rule.horizon for unit in chain.units] == [4 * horizon, 2 * horizon, 2 * horizon, 0]
    assert chain.delay == 4


def test_stale_weights_are_those_before_the_last_register() -> None:
    description = network()
    sizes = [(inputs + 1) * outputs for inputs, outputs in pairwise(WIDTHS)]
    assert sum(sizes) == description.parameters
    assert stale_share(description, ()) == 0
    assert stale_share(description, (1,)) == 63 / 230
    assert stale_share(description, (1, 2)) == stale_share(description, (2,)) == 143 / 230
    assert stale_share(description, (1, 2, 3)) == 206 / 230
    images = Description.model_validate(IMAGES)
    assert stale_share(images, (1,)) == 30 / (30 + 65 + 24)


def test_the_ideal_speed_up_of_a_hybrid_training_is_amdahls() -> None:
    assert hybrid_speedup(0, 2) == 1
    assert hybrid_speedup(1, 2) == 2
    assert hybrid_speedup(0.5, 2) == pytest.approx(4 / 3)
    assert hybrid_speedup(0.75, 3) == 2


# ---- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mitigation", MITIGATIONS)
@pytest.mark.parametrize("kind", ["dense", "images"])
def test_without_registers_training_is_sequential_sgd_bit_for_bit(
    kind: str, mitigation: str
) -> None:
    """No delay: nothing to predict, to compensate or to stash, and no bubbles."""
    changes = {"mitigation": mitigation, "learning_rate": 2.0**-8, "seed": SEED}

    def described(**recipe: Any) -> Description:
        if kind == "dense":
            return network(**changes, **recipe)
        return Description.model_validate({**IMAGES, "recipe": {**changes, **recipe}})

    found = trained(described(placement=()))
    assert found.slot == 80
    assert_same(found, trained(described(scheme="sequential")))


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_registers_everywhere_make_the_textbooks_pipeline(mitigation: str) -> None:
    description = network((1, 2, 3), mitigation=mitigation)
    units = []
    for unit, delay, weight in zip(
        description.weighted, (6, 4, 2, 0), initial_floats(description, SEED), strict=True
    ):
        units.append(
            Convolution(
                unit.geometry,
                weight,
                np.zeros(len(weight)),
                relu=delay > 0,
                masks=True,
                delay=delay,
                rule=rule_of(description, delay),
            )
        )
    expected = Chain(units)
    expected.run(epoch(description.recipe, np.arange(80), 6), SAMPLES, DATA.train_y)
    assert_same(trained(description), expected)


def test_a_partition_is_one_stage_written_out() -> None:
    """Two layers of delay 2 before two of delay 0, in plain SGD with momentum.

    In slot j the first partition learns from sample j - 2: what it put out then is kept, but both
    of its layers are read as they are now.
    """
    description = network((2,), mitigation="none")
    eta, m = description.recipe.learning_rate, description.recipe.momentum
    w = initial_floats(description, SEED)
    b = [np.zeros(len(one)) for one in w]
    u, ub = [np.zeros_like(one) for one in w], [np.zeros_like(one) for one in b]
    kept: list[list[Floats]] = []
    errors: list[Floats] = []

    def layer(index: int, x: Floats) -> Floats:
        y = w[index] @ x + b[index]
        return np.maximum(y, 0) if index < 3 else y

    def learn(layers: range, x: list[Floats], dy: Floats) -> Floats:
        """Each layer's input gradient first, then its update."""
        for index in reversed(layers):
            dx = dy @ w[index] * (x[index] > 0)
            u[index] = m * u[index] + eta * np.outer(dy, x[index])
            ub[index] = m * ub[index] + eta * dy
            w[index], b[index] = w[index] - u[index], b[index] - ub[index]
            dy = dx
        return dy

    count = 40
    for slot in range(count + 2):
        if slot < count:
            x = [SAMPLES[slot]]
            for index in range(4):
                x.append(layer(index, x[-1]))
            kept.append(x)
            error, _ = cross_entropy(x[-1], int(DATA.train_y[slot]))
            errors.append(learn(range(2, 4), x, error))
        if slot >= 2:
            learn(range(2), kept[slot - 2], errors[slot - 2])
    chain = reference_chain(description, plan(description).schedule)
    chain.run(epoch(description.recipe, np.arange(count), 2), SAMPLES, DATA.train_y)
    for unit, weight, bias in zip(chain.units, w, b, strict=True):
        np.testing.assert_array_equal(unit.weight.value, weight)
        np.testing.assert_array_equal(unit.bias.value, bias)


def test_later_registers_leave_more_weights_stale() -> None:
    """Each placement trains to other weights, and none as a pipeline of single layers does."""
    chains = [trained(network(placement)) for placement in (None, (), (1,), (2,), (1, 2), (3,))]
    found = {chain.units[0].weight.value.tobytes() for chain in chains}
    assert len(found) == len(chains)


def test_the_float_model_trains_with_as_few_bubbles_as_the_placement_needs() -> None:
    description = network((2,), epochs=10)
    result = train(description, plan(description).schedule, DATA, model="float")
    assert result.epochs[-1].loss < result.epochs[0].loss / 2
    chain = reference_chain(description, plan(description).schedule)
    data = [Token(Kind.TRAIN, index) for index in range(80)]
    before = chain.units[0].weight.value
    chain.run(data[:2], SAMPLES, DATA.train_y)
    assert chain.units[0].weight.value is before
    chain.run(data[2:3], SAMPLES, DATA.train_y)
    assert chain.units[0].weight.value is not before


# ---- descriptions ------------------------------------------------------------------------------


def test_integer_models_refuse_groups_of_layers() -> None:
    description = network((1, 3))
    schedule = plan(description).schedule
    states = initial_states(description, schedule, SEED)
    said = description.recipe.float_only
    assert said is not None
    assert said.startswith("recipe.placement [1, 3] puts groups of layers in one stage")
    assert "a stage of its own, in the integer model and the hardware too" in said
    for refuses in (
        lambda: FastChain(description, schedule, states),
        lambda: IntegerModel(description, schedule, states),
        lambda: initial_chain(description, schedule),
        lambda: train(description, schedule, DATA),
    ):
        with pytest.raises(ValueError, match=r"recipe.placement \[1, 3\] puts groups") as error:
            refuses()
        assert str(error.value) == said
    assert network().recipe.float_only is None


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"placement": [2, 1]}, ["placement [2, 1] must increase"]),
        ({"placement": [1, 1]}, ["placement [1, 1] must increase"]),
        ({"placement": [0, 1]}, ["recipe.placement [0, 1]", "at least 1 and less than 4"]),
        ({"placement": [1, 4]}, ["recipe.placement [1, 4]", "between the 4 layers with weights"]),
        ({"placement": [1], "scheme": "sequential"}, ["placement [1] needs", "'pipelined', not"]),
        ({"placement": [1.0]}, ["recipe.placement[0] is 1.0, expected an integer"]),
        ({"placement": ["1"]}, ["recipe.placement[0] is the text '1', expected an integer"]),
        ({"placement": [True]}, ["recipe.placement[0] is true, expected an integer"]),
        ({"placement": 3}, ["recipe.placement is 3, expected an array of integers"]),
    ],
)
def test_a_placement_that_cannot_be_is_named(recipe: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        network(**recipe)
    said = complaint(caught.value, Description)
    for word in words:
        assert word in said


@pytest.mark.parametrize("placement", [None, (), (1,), (1, 2, 3)])
def test_a_placement_is_written_and_read(placement: tuple[int, ...] | None) -> None:
    description = network(placement)
    assert parse(to_toml(description)) == description
    assert (network().hash() == description.hash()) == (placement is None)
