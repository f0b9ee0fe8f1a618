"""Components and heads: what a description can say of them, and what becomes of it."""

from __future__ import annotations

from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import pytest
from pydantic import ValidationError

from counterflow.design.network.complaints import complaint
from counterflow.design.network.description import Description, Fold
from counterflow.design.network.files import load, parse, to_toml
from counterflow.design.parts.horizon import END_TO_END, Horizon
from counterflow.design.schedule.initial import generator_states, initial_floats
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.pooling import Pooling
from counterflow.golden.training.start import initial_chain
from counterflow.hw.tops.verilog import to_verilog
from tests.fast_pair import Pair, mixed, trained

LAST = {"outputs": 4, "activation": "none"}
CONV = {"kind": "convolution", "outputs": 2, "kernel": 3, "padding": 1}
LINEAR = {**CONV, "activation": "none", "formats": {"activation": "s12.5"}}
POOL = {"kind": "max-pool", "kernel": 2}
GAMMA = {"kind": "norm", "gamma": True}
HEAD = {"kind": "head", "layers": [LAST]}
HIDDEN = {"outputs": 5}
IMAGES = {"inputs": [8, 8, 1], "layers": [CONV, POOL, CONV, LAST]}


def fields(**changes: Any) -> dict[str, Any]:
    """Those of a chain of four dense layers, changed so."""
    return {"name": "net", "inputs": 6, "layers": [HIDDEN, HIDDEN, HIDDEN, LAST], **changes}


def described(**changes: Any) -> Description:
    return Description.model_validate(fields(**changes))


def said_about(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        described(**changes)
    return complaint(caught.value, Description)


# ---- what cannot be ----------------------------------------------------------------------------

SIZES = "an array of sizes, each a number of layers from 1 on, or 'residual'"
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "too few layers": ({"components": [1, 2]}, ["components is [1, 2]", "3 layers", "has 4"]),
    "too many layers": ({"components": [4, 1]}, ["components is [4, 1]", "5 layers", "has 4"]),
    "a size of none": ({"components": [0, 4]}, ["components is [0, 4]", SIZES]),
    "no sizes": ({"components": []}, ["components is []", SIZES]),
    "a word": ({"components": "blocks"}, ["components is the text 'blocks'", SIZES]),
    "no residual layer": ({"components": "residual"}, ["'residual'", "there is none", "sizes"]),
    "a part without weights": (
        {**IMAGES, "components": [1, 1, 2]},
        ["the head behind layers[1]", "component 2", "no layer with weights"],
    ),
    "a head behind nothing": ({"layers": [HEAD, LAST]}, ["layers[0]", "component 1", "no layer"]),
    "two heads in a row": (
        {"layers": [HIDDEN, HEAD, HEAD, LAST]},
        ["layers[2]", "component 2", "no layer with weights"],
    ),
    "cut twice": (
        {"layers": [HIDDEN, HEAD, HIDDEN, LAST], "components": [2, 2]},
        ["components", "layers[1]", "leave one of them out"],
    ),
    "layers of heads that are nowhere": ({"head": [LAST]}, ["head has layers", "give components"]),
    "a head in a head": (
        {"layers": [HIDDEN, {"kind": "head", "layers": [HEAD, LAST]}, LAST]},
        ["layers[1]", "a head among its layers", "outermost"],
    ),
    "a head in a body": (
        {**IMAGES, "layers": [CONV, {"kind": "residual", "body": [CONV, HEAD]}, LAST]},
        ["layers[1].body[1]", "outermost layers"],
    ),
    "a head at the end": ({"layers": [HIDDEN, HEAD]}, ["last layer is a head layer", "dense"]),
    "a head that ends in a pool": (
        {**IMAGES, "layers": [CONV, {"kind": "head", "layers": [LAST, POOL]}, LAST]},
        ["layers[1]", "last layer is a max-pool layer", "dense layer"],
    ),
    "other scores than classes": (
        {"layers": [HIDDEN, {"kind": "head", "layers": [HIDDEN]}, LAST]},
        ["layers[1]", "gives 5 scores", "4 classes", "the same labels"],
    ),
    "scores behind a ReLU": (
        {"components": [2, 2], "interlocking": 1, "head": [{"outputs": 4}]},
        ["the head behind layers[1].layers[0]", "'relu'", "feeds the loss"],
    ),
    "a head with other keys": (
        {"layers": [HIDDEN, {"kind": "head", "outputs": 4}, LAST]},
        ["unknown key 'outputs' in layers[1]", "kind, layers"],
    ),
    "a horizon of none": (
        {"components": [2, 2], "interlocking": 0},
        ["interlocking is 0", "2 components", "1 to 2 losses"],
    ),
    "beyond the end": (
        {"components": [2, 2], "interlocking": 3},
        ["interlocking is 3", "2 components", "1 to 2 losses"],
    ),
    "a horizon in words": ({"interlocking": "local"}, ["interlocking", "'local'", "an integer"]),
    "a horizon of one component": ({"interlocking": 2}, ["interlocking is 2", "give components"]),
    "exits of one component": ({"exits": True}, ["exits is true", "give components"]),
    "gradients of several losses through a gamma": (
        {**IMAGES, "layers": [CONV, LINEAR, GAMMA, CONV, LAST], "components": [1, 2, 2]}
        | {"interlocking": 2},
        ["layers[2], a norm layer", "2 losses", "gamma", "leave gamma out", "interlocking be 1"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_said_in_a_sentence(name: str) -> None:
    changes, words = WRONG[name]
    said = said_about(**changes)
    for word in words:
        assert word in said
    assert said.count(". ") == 0
    assert said.endswith(".")


# ---- what is ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("horizon", "own", "paths", "built"),
    [
        (END_TO_END, [1], [(1,)], ()),
        (Horizon(4, 1), [1, 2, 3, 4], [(1,), (2,), (3,), (4,)], (1, 2, 3)),
        (Horizon(4, 2), [2, 3, 4, 4], [(2,), (2, 3), (3, 4), (4,)], (2, 3)),
        (Horizon(4, 3), [3, 4, 4, 4], [(3,), (3, 4), (3, 4), (4,)], (3,)),
        (Horizon(4, 4), [4, 4, 4, 4], [(4,), (4,), (4,), (4,)], ()),
        (Horizon(4, 4, exits=True), [4, 4, 4, 4], [(4,), (4,), (4,), (4,)], (1, 2, 3)),
    ],
)
def test_who_learns_from_which_loss(
    horizon: Horizon, own: list[int], paths: list[tuple[int, ...]], built: tuple[int, ...]
) -> None:
    numbers = range(1, horizon.components + 1)
    assert [horizon.own(one) for one in numbers] == own
    assert [horizon.paths(one) for one in numbers] == paths
    assert horizon.built == built
    assert [one for one in numbers if horizon.teaches(one)] == [
        one for one in built if not horizon.exits
    ]


SIGNED = {"activation": "s12.5", "error": "s14.12"}


def test_heads_of_no_layers_are_made_for_what_comes() -> None:
    """A norm where values can be negative, a pool where images are larger than 4x4; scores."""
    linear = {**CONV, "activation": "none"}
    description = described(
        inputs=[8, 8, 1],
        layers=[linear, CONV, POOL, CONV, HIDDEN, LAST],
        components=[1, 2, 1, 1, 1],
        interlocking=1,
        formats=SIGNED,
    )
    units = [unit for unit in description.graph.units if unit.outputs]
    heads = {
        number: [(unit.kind, unit.outputs[0].shape) for unit in units if unit.head == number]
        for number in (1, 2, 3, 4)
    }
    scores = ("convolution", (1, 1, 4))
    assert heads == {
        1: [("norm", (8, 8, 2)), ("pool", (4, 4, 2)), scores],
        2: [scores],
        3: [scores],
        4: [scores],
    }


def test_sizes_and_layers_of_the_description_make_the_same_network() -> None:
    head = [HIDDEN, LAST]
    sizes = described(components=[2, 2], interlocking=1, head=head)
    layers = [HIDDEN, HIDDEN, {"kind": "head", "layers": head}, HIDDEN, LAST]
    for one, other in zip(
        sizes.graph.units, described(layers=layers, interlocking=1).graph.units, strict=True
    ):
        assert (one.kind, one.head, one.outputs) == (other.kind, other.head, other.outputs)


def test_residual_components_end_behind_each_block_but_the_last() -> None:
    blocks = [{"kind": "residual", "body": [CONV]} for _ in range(3)]
    network = {"inputs": [4, 4, 1], "layers": [CONV, *blocks, HIDDEN, LAST], "interlocking": 1}
    description = described(**network, components="residual", formats=SIGNED)
    forks = [unit.name for unit in description.graph.units if unit.name.startswith("forkh")]
    assert forks == ["forkh1", "forkh2"]
    losses = [unit.inputs[0].paths for unit in description.graph.units if unit.kind == "loss"]
    assert losses == [(1,), (2,), (3,)]


def test_a_file_keeps_what_is_said_of_components() -> None:
    for changes in (
        {"components": [1, 1, 2], "interlocking": 1, "head": [HIDDEN, LAST]},
        {"layers": [HIDDEN, HEAD, LAST], "interlocking": 1},
        {"components": [2, 2], "exits": True},
    ):
        description = described(**changes)
        assert parse(to_toml(description)) == description
    assert "interlocking" not in to_toml(described())


# ---- end to end is the plain chain --------------------------------------------------------------


IDENTITY = 0x5EED_5EED  # of any
WHOLE: list[dict[str, Any]] = [
    {"components": [1, 1, 2], "interlocking": 3},
    {"components": [4]},
    {"interlocking": 1},
    {"layers": [HIDDEN, HEAD, HIDDEN, HIDDEN, LAST]},
]


@cache
def text(cut: int | None) -> str:
    """Verilog, but for the hash of the description in it."""
    planned = plan(described(**({} if cut is None else WHOLE[cut])))
    with mock.patch.object(Description, "identity", IDENTITY):
        return to_verilog(planned)


def test_the_hash_that_is_left_out_would_tell_descriptions_apart() -> None:
    whole, cut = described(), described(**WHOLE[1])
    assert whole.identity != cut.identity


@pytest.mark.parametrize("cut", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_end_to_end_and_one_component_have_the_verilog_of_the_plain_chain(cut: int) -> None:
    assert text(cut) == text(None)


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_end_to_end_and_one_component_learn_as_the_plain_chain_bit_for_bit(cut: int) -> None:
    plans = [plan(described()), plan(described(**WHOLE[cut]))]
    times = [
        [(one.start, one.delay, one.memory_bits) for one in planned.schedule.stages]
        for planned in plans
    ]
    assert times[0] == times[1]
    random = np.random.default_rng(1)
    samples, labels = random.integers(0, 16, (16, 6)), random.integers(0, 4, 16)
    chains = [initial_chain(one.description, one.schedule, 3) for one in plans]
    said = [chain.run(trained(40), samples, labels) for chain in chains]
    for one, other in zip(*said, strict=True):
        assert (one.scores.tolist(), one.loss) == (other.scores.tolist(), other.loss)
        assert not other.heads
    for one, other in zip(chains[0].states, chains[1].states, strict=True):
        assert one.generator == other.generator
        for name, value in one.arrays.items():
            assert value.tolist() == other.arrays[name].tolist()


# ---- pools that no gradient passes --------------------------------------------------------------


def test_an_exit_may_begin_with_a_pool_which_keeps_nothing_for_gradients() -> None:
    made = described(**IMAGES, components=[1, 3], exits=True)
    pair = Pair(made, seed=1)
    pools = [one for one in pair.schedule.passing if isinstance(one.numbers, Pooling)]
    first, second = sorted(pools, key=lambda one: one.numbers.wanted)
    assert (first.unit.head, second.unit.head) == (1, 0)
    assert [one.numbers.wanted for one in (first, second)] == [False, True]
    assert first.gradients == ()
    assert not {"stash", "errors"} & {name for name, bits in first.held.items() if bits}
    assert {"stash", "errors"} <= {name for name, bits in second.held.items() if bits}
    pair.run(mixed(30, 1))
    assert not pair.golden.passing[first.name].remembered


# ---- one stream of predictions ------------------------------------------------------------------


@pytest.mark.parametrize(("components", "bound"), [(1, 26), (5, 26), (7, 28), (9, 36)])
def test_an_interval_is_not_shorter_than_the_scores_of_all_losses(
    components: int, bound: int
) -> None:
    layers = [*[{"outputs": 4}] * (components - 1), LAST]
    cut: dict[str, Any] = {"components": [1] * components, "interlocking": 1}
    made = described(layers=layers, **(cut if components > 1 else {}))
    assert made.graph.slowest.bound == bound
    if components > 5:
        with pytest.raises(ValueError, match=rf"interval is {bound - 1} .* at least {bound}"):
            plan(made.model_copy(update={"fold": Fold(interval=bound - 1)}))


# ---- delays -------------------------------------------------------------------------------------


def deep(sizes: list[int], *, head: int = 1, sees: int = 1) -> Schedule:
    """A chain of dense layers that take most of a slot each, and so do those of its heads."""
    last = {"outputs": 10, "activation": "none"}
    hidden = {"outputs": 32}
    return plan(
        described(
            inputs=32,
            layers=[*[hidden] * (sum(sizes) - 1), last],
            components=sizes,
            head=[*[hidden] * (head - 1), last],
            interlocking=sees,
            fold={"interval": 384},
        )
    ).schedule


@pytest.mark.parametrize(
    ("sizes", "head"), [([4, 4, 4, 5], 1), ([4, 4, 4, 5], 2), ([2, 3, 1, 2], 1), ([3, 2], 3)]
)
def test_delays_are_two_slots_for_each_unit_up_to_the_loss(sizes: list[int], head: int) -> None:
    """A unit with so many others up to its loss has 2 n + 1: the last before a head 2 H + 1."""
    found = [stage.delay for stage in deep(sizes, head=head).stages]
    expected: list[int] = []
    for number, size in enumerate(sizes, 1):
        units = size if number == len(sizes) else size + head
        expected += [2 * (units - place) - 1 for place in range(units)]
    assert found == expected


def test_components_in_the_middle_make_no_delay_longer() -> None:
    short, long = deep([4, 3, 4]), deep([4, 3, 3, 3, 3, 3, 4])
    assert short.delay == long.delay == 9
    assert deep([4, 3, 4], sees=3).delay == 21
    assert deep([4, 3, 3, 3, 3, 3, 4], sees=7).delay == 45


# ---- heads count nowhere else -------------------------------------------------------------------


def test_initial_weights_and_generators_of_bodies_are_those_without_heads() -> None:
    plain, cut = described(), described(components=[1, 1, 2], interlocking=1)
    weights = {
        unit.name: matrix for unit, matrix in zip(cut.weighted, initial_floats(cut, 5), strict=True)
    }
    schedule, without = plan(cut).schedule, plan(plain).schedule
    generators = dict(
        zip([one.name for one in schedule.stages], generator_states(schedule, 5), strict=True)
    )
    for unit, matrix in zip(plain.weighted, initial_floats(plain, 5), strict=True):
        assert weights[unit.name].tolist() == matrix.tolist()
    for stage, state in zip(without.stages, generator_states(without, 5), strict=True):
        assert generators[stage.name] == state
    assert len(set(generators.values())) == len(generators) == 6


def test_networks_that_are_named_after_another_are_cut_as_it_says() -> None:
    whole, local = load("deep-digits"), load("deep-digits-local")
    assert local.interlocking == 1
    assert local.name == "deep-digits-local"
    assert local.layers == whole.layers
    assert [unit.head for unit in local.graph.units if unit.kind == "loss"] == [1, 2, 3, 0]
    assert local.hash() != whole.hash()
