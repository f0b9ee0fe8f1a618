"""Frozen layers: what they keep and pass back, in the golden, the fast and the float chain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from counterflow.commands.frozen import with_frozen
from counterflow.design.network.description import Description
from counterflow.design.network.files import DescriptionError, load, parse, to_toml
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.schedule.standstill import _learning
from counterflow.golden.chain import Chain
from counterflow.golden.reference.chain import reference_chain
from counterflow.golden.reference.units.norm import Norm
from counterflow.golden.training.start import initial_chain, initial_states
from counterflow.golden.units import UNITS
from tests.fast_pair import Pair, convolution, mixed, network, pool, some_network, trained
from tests.frozen import (
    ABOVE,
    BELOW,
    BETWEEN,
    GROUPS,
    NETWORKS,
    SIGNED,
    TANH,
    TRUNK,
    design,
    some_states,
)

CONVOLUTIONS = [convolution(3), pool("max"), convolution(4, 2), {"outputs": 6}, {"outputs": 4}]


SLOW = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 60)]


def some_frozen(*frozen: int, layers: list[dict[str, Any]] = CONVOLUTIONS) -> Description:
    """A network whose layers of these numbers are frozen."""
    chosen = [{**one, "frozen": True} if at in frozen else one for at, one in enumerate(layers)]
    return network(inputs=[8, 7, 2], layers=chosen)


# ---- what is built -----------------------------------------------------------------------------


def test_below_all_that_learn_nothing_comes_back_and_nothing_waits_for_it() -> None:
    found = design(BELOW).schedule
    assert [stage.delay > 0 for stage in found.weighted] == [False, False, True, True]
    for stage in found.weighted[:2]:
        assert stage.tiling.products == 1
        assert stage.tiling.multipliers == stage.tiling.lane_count
        assert [border.port for border in stage.borders] == ["y"]
        assert (stage.depths.stash, stage.depths.errors, stage.depths.gradients) == (0, 0, 0)
        assert {name for name, bits in stage.held.items() if bits} == {
            "weights",
            "windows",
            "queues",
        }
    assert found.weighted[2].tiling.first
    assert not any(edge.wanted for edge in found.graph.edges[:4])


@pytest.mark.parametrize(
    ("name", "learning"), [(TRUNK, ["dense5", "dense6"]), (GROUPS, ["conv3", "norm4", "dense5"])]
)
def test_below_all_that_learn_units_of_every_kind_only_go_forward(
    name: str, learning: list[str]
) -> None:
    schedule = design(name).schedule
    below = schedule.units[: [unit.name for unit in schedule.units].index(learning[0])]
    for unit in below:
        assert not any(edge.wanted for edge in (*unit.unit.inputs, *unit.unit.outputs))
        assert all(border.forward for border in unit.borders), unit.name
        assert unit.delay == 0
        assert not any(unit.returning)
        held = {what for what, bits in unit.held.items() if bits}
        assert not held & {"stash", "errors", "input gradients", "gradient sums"}, unit.name
    norms = [unit for unit in schedule.norms if unit.unit.frozen]
    assert {stage.unit.gamma for stage in norms} == {False, True}
    groups = 3 if name == GROUPS else 1  # products: of statistics, too
    assert [len(one.numbers.products) for one in norms] == [
        groups + one.unit.gamma for one in norms
    ]
    assert not any(
        "velocity" in one.name or "control" in one.name
        for stage in norms
        for one in stage.parameters
    )
    assert [unit.name for unit in schedule.stages if unit not in below] == learning


def test_the_trunks_have_a_frozen_unit_of_each_kind() -> None:
    kinds = {
        unit.unit.kind
        for name in (TRUNK, GROUPS)
        for unit in design(name).schedule.units
        if not any(edge.wanted for edge in unit.unit.outputs)
    }
    one_component = set(UNITS) - {"rejoin", "split", "mse", "bce"}
    assert kinds == one_component


def test_a_frozen_layer_between_others_passes_gradients_and_keeps_a_bit_of_what_it_got() -> None:
    _, _, frozen, learning, *_ = design(BETWEEN).schedule.weighted
    assert frozen.tiling.products == 2
    assert [border.port for border in frozen.borders] == ["y", "dx"]
    assert frozen.held["gradient sums"] == 0
    assert frozen.held["stash"] == frozen.depths.stash * frozen.tiling.lanes.inputs
    assert learning.held["stash"] == (
        learning.depths.stash * learning.tiling.lanes.inputs * learning.arithmetic.x.bits
    )


def test_frozen_weights_have_the_operands_format_and_no_velocity() -> None:
    for name in NETWORKS:
        for stage in design(name).schedule.weighted:
            names = [one.name for one in stage.parameters]
            if not stage.unit.frozen:
                assert names == ["weight", "velocity", "bias", "bias_velocity"]
                continue
            assert names == ["weight", "bias"]
            assert {one.number for one in stage.parameters} == {stage.arithmetic.operand}
            assert stage.arithmetic.word_bits == stage.arithmetic.operand.bits


def test_descriptions_without_a_frozen_layer_are_what_they_were() -> None:
    plain, frozen = some_frozen(), some_frozen(0)
    assert "frozen" not in to_toml(plain)
    assert parse(to_toml(frozen)) == frozen
    assert plain.hash() != frozen.hash()


def test_only_what_learns_is_asked_whether_it_can_move() -> None:
    learning = [one.name for one in design(BETWEEN).description.weighted if not one.frozen]
    assert len(list(_learning(design(BETWEEN).schedule))) == len(learning) == 3


# ---- what is refused ---------------------------------------------------------------------------


def residual(**layer: Any) -> dict[str, Any]:
    inner = {**convolution(2, 3, padding=1), **layer}
    return {"kind": "residual", "body": [inner], "shortcut": [], "formats": {"activation": "s12.5"}}


@pytest.mark.parametrize(
    ("layers", "more", "sentence"),
    [
        (
            [{"outputs": 4, "frozen": True}, {"outputs": 3, "frozen": True}],
            {},
            "all layers with weights are frozen",
        ),
        (
            [convolution(2, 1, **SIGNED), {"kind": "norm", "frozen": True}, {"outputs": 3}],
            {},
            "layers[1], a norm layer: it is frozen, but something below it learns",
        ),
        (
            [residual(), {"kind": "norm", "frozen": True}, {"outputs": 3}],
            {},
            "layers[1], a norm layer: it is frozen, but something below it learns",
        ),
        (
            [{"kind": "norm", "frozen": True}, {"outputs": 4}, {"outputs": 3}],
            {"components": [2, 1], "interlocking": 1},
            "layers[0] is frozen, but the network is cut into components",
        ),
        (
            [{"outputs": 4, "frozen": True}, {"outputs": 4}, {"outputs": 3}],
            {"components": [2, 1], "interlocking": 1},
            "layers[0] is frozen, but the network is cut into components",
        ),
        (
            [
                {"outputs": 4, "frozen": True},
                {"kind": "head", "layers": [{"outputs": 3, "activation": "none"}]},
                {"outputs": 3},
            ],
            {},
            "layers[0] is frozen, but the network is cut into components, whose layers all learn; "
            "leave out frozen, or the heads",
        ),
        (
            [pool("max") | {"frozen": True}, {"outputs": 3}],
            {},
            "unknown key 'frozen' in layers[0]",
        ),
        ([{"outputs": 4, "frozen": 1}, {"outputs": 3}], {}, "layers[0].frozen is 1, expected"),
    ],
)
def test_what_cannot_be_frozen_is_said_in_a_sentence(
    layers: list[dict[str, Any]], more: dict[str, Any], sentence: str
) -> None:
    import tomli_w

    layers[-1]["activation"] = "none"
    text = tomli_w.dumps({"name": "net", "inputs": [4, 4, 2], "layers": layers, **more})
    with pytest.raises(DescriptionError) as raised:
        parse(text)
    assert sentence in str(raised.value)


# ---- what is computed --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_that_are_frozen_stay_and_all_others_move(name: str) -> None:
    planned = design(name)
    before = some_states(planned)
    chain = Chain(planned.description, planned.schedule, [state.copy() for state in before])
    random = np.random.default_rng(3)
    samples = random.integers(0, 256, (16, planned.description.elements))
    chain.run(trained(60), samples, random.integers(0, 3, 16))
    for stage, old, new in zip(planned.schedule.stages, before, chain.states, strict=True):
        same = all(np.array_equal(values, new.arrays[one]) for one, values in old.arrays.items())
        assert same is stage.unit.frozen, stage.name
        assert (old.generator == new.generator) is stage.unit.frozen


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_fast_chain_equals_the_golden_one(name: str, extreme: bool) -> None:
    pair = Pair(design(name).description, seed=5, extreme=extreme)
    pair.run(mixed(80, seed=6, accumulate=design(name).description.recipe.accumulate))


@pytest.mark.parametrize("seed", [*range(8), *SLOW])
def test_the_fast_chain_equals_the_golden_one_whatever_is_frozen(seed: int) -> None:
    random = np.random.default_rng([seed, 77])
    found = None
    while found is None:
        try:
            fields = some_network(random).model_dump(mode="json")
            for layer in fields["layers"]:
                if "outputs" in layer and layer["kind"] != "subsample":
                    layer["frozen"] = bool(random.random() < 0.5)
                    if layer["activation"] == "none" and random.random() < 0.3:
                        layer |= TANH
            found = Description.model_validate(fields)
            plan(found)
        except ValueError:
            found = None
    pair = Pair(found, seed=seed, extreme=bool(seed % 2))
    pair.run(mixed(40, seed=seed, accumulate=found.recipe.accumulate))


def test_a_norm_and_a_residual_layer_learn_above_frozen_layers() -> None:
    frozen = {"frozen": True}
    signed = {"activation": "none", "formats": {"activation": "s9.4"}}
    inner = convolution(2, 3, padding=1)
    body = {"kind": "residual", "body": [inner, {**inner, **frozen}], "activation": "relu"}
    layers = [{**convolution(2, 3), **signed, **frozen}, {"kind": "norm"}, body, {"outputs": 3}]
    pair = Pair(network(inputs=[6, 5, 1], layers=layers), seed=2)
    assert [stage.delay > 0 for stage in pair.schedule.stages] == [False, *[True] * 4]
    pair.run(mixed(60, seed=4))


@pytest.mark.parametrize("frozen", [(0,), (0, 2), (2,), (2, 4)])
def test_in_floats_what_learns_moves_at_first_as_if_nothing_were_frozen(
    frozen: tuple[int, ...],
) -> None:
    """The gradient of one sample is the same, whatever else moves by it."""
    plain, part = some_frozen(), some_frozen(*frozen)
    schedule = plan(plain).schedule
    chains = [reference_chain(plain, schedule), reference_chain(part, plan(part).schedule)]
    random = np.random.default_rng(1)
    samples, labels = random.random((2, plain.elements)), np.array([1, 2])
    initial = [unit.weight.value.copy() for unit in chains[0].units]
    for chain in chains:
        tokens = [Token(Kind.TRAIN, 0), *[Token(Kind.BUBBLE, -1)] * chain.delay]
        chain.run(tokens, samples, labels)
    where = [at for at, layer in enumerate(plain.layers) if hasattr(layer, "frozen")]
    for at, before, one, other in zip(where, initial, *(c.units for c in chains), strict=True):
        expected = before if at in frozen else one.weight.value
        np.testing.assert_array_equal(other.weight.value, expected)
        assert not np.array_equal(one.weight.value, before)


def test_in_floats_a_frozen_trunk_keeps_its_norms_and_what_learns_moves_as_without_it() -> None:
    """The gradient of the first sample is the same; later ones find other statistics."""
    plain = load("tiny-res")
    part = with_frozen(plain, "5")
    schedules = plan(plain).schedule, plan(part).schedule
    chains = [reference_chain(one, two) for one, two in zip((plain, part), schedules, strict=True)]
    random = np.random.default_rng(1)
    samples, labels = random.random((4, plain.elements)), np.array([1, 2, 0, 1])
    alone = [Token(Kind.TRAIN, 0), *[Token(Kind.BUBBLE, -1)] * 30]
    scores = [chain.run(alone, samples, labels)[0].scores for chain in chains]
    np.testing.assert_array_equal(*scores)
    learnt, moved = (chain.units[-1].weight.value for chain in chains)
    np.testing.assert_array_equal(learnt, moved)
    chains[1].run([Token(Kind.TRAIN, index % 4) for index in range(20)], samples, labels)
    for stage, unit in zip(
        schedules[1].norms, [u for u in chains[1].units if isinstance(u, Norm)], strict=True
    ):
        assert stage.unit.frozen
        assert not unit.running.mean.any()
        assert (unit.running.variance == 1).all()
        assert not unit.beta.value.any()
        assert not unit._kept


@pytest.mark.parametrize("name", [TRUNK, GROUPS])
def test_a_frozen_trunk_makes_of_samples_what_a_learnt_one_does(name: str) -> None:
    """Its norms have what others have as a token sees it that is not learnt from."""
    planned = design(name)
    states, fields = some_states(planned), planned.description.model_dump(mode="json")
    plain = plan(Description.model_validate(_thawed(fields)))
    as_plain = initial_states(plain.description, plain.schedule, 3)
    for stage, own, state in zip(plain.schedule.stages, as_plain, states, strict=True):
        for parameter in stage.parameters:
            found = getattr(state, parameter.name, None)
            if found is not None:
                lift = (
                    parameter.number.frac - dict(_formats(planned))[stage.name, parameter.name].frac
                )
                setattr(own, parameter.name, found << lift)
    chains = [
        Chain(planned.description, planned.schedule, states),
        Chain(plain.description, plain.schedule, as_plain),
    ]
    samples = np.random.default_rng(2).integers(0, 256, (12, planned.description.elements))
    tokens = [Token(Kind.INFER, index) for index in range(12)]
    said, plainly = (chain.run(tokens, samples, np.zeros(12, np.int64)) for chain in chains)
    for one, other in zip(said, plainly, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
    assert len({tuple(one.scores) for one in said}) > 6


def _thawed(value: Any) -> Any:
    """A description without its keys `frozen`."""
    if isinstance(value, list):
        return [_thawed(one) for one in value]
    if isinstance(value, dict):
        return {key: _thawed(one) for key, one in value.items() if key != "frozen"}
    return value


def _formats(planned: Plan) -> Iterator[tuple[tuple[str, str], Format]]:
    for stage in planned.schedule.stages:
        yield from (((stage.name, one.name), one.number) for one in stage.parameters)


def test_frozen_layers_make_of_samples_what_learnt_ones_do() -> None:
    """Weights narrowed once, as they are loaded, are the operands that learning ones show."""
    plain, part = some_frozen(), some_frozen(0, 2, 3)
    chains = [initial_chain(one, plan(one).schedule, seed=4) for one in (plain, part)]
    samples = np.random.default_rng(2).integers(0, 256, (12, plain.elements))
    tokens = [Token(Kind.INFER, index) for index in range(12)]
    labels = np.zeros(12, np.int64)
    plain_said, part_said = (chain.run(tokens, samples, labels) for chain in chains)
    for one, other in zip(plain_said, part_said, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


def test_the_networks_have_a_frozen_layer_of_each_kind() -> None:
    kinds = {
        (stage.unit.frozen, stage.delay > 0, stage.tiling.lanes.shared, stage.arithmetic.masks)
        for name in (BELOW, BETWEEN, ABOVE)
        for stage in design(name).schedule.weighted
    }
    assert (True, False, True, True) in kinds
    assert {
        (True, True, False, True),
        (True, True, True, True),
        (True, False, False, False),
    } <= kinds
    assert (True, True, False, False) in kinds  # behind activations that can be negative
