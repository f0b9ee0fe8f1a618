"""Descriptions become graphs of units and edges, or a sentence says why they cannot."""

from __future__ import annotations

from typing import Any

import pytest

from counterflow.design.graph import Graph
from counterflow.design.network.description import Description
from counterflow.design.network.files import DescriptionError, load, parse, to_toml
from counterflow.design.parts.recipe import Recipe
from counterflow.design.schedule.planner import plan
from counterflow.sim.shapes import network

HASHES = {  # as they were before networks could branch
    "deep-digits": "9437df94d80c",
    "digits": "3e3ce01bb855",
    "digits-8bit": "56001dc0b3b3",
    "digits-conv": "80eb66df7124",
    "lenet5": "166175733513",
    "lenet5-classic": "6e916431e20a",
    "mnist": "6445bc46f49a",
    "tiny": "ed1401c09710",
    "tiny-conv": "6eb4d3af26f1",
    "vgg-small": "ad5413727582",
}
SIGNED = {"formats": {"activation": "s9.4"}}


def conv(outputs: int, kernel: int = 3, **fields: Any) -> dict[str, Any]:
    padding = {"padding": kernel // 2} if kernel % 2 else {}
    return {"kind": "convolution", "outputs": outputs, "kernel": kernel, **padding, **fields}


def residual(*body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"kind": "residual", "body": list(body), **fields}


def signed(layer: dict[str, Any]) -> dict[str, Any]:
    """`layer` without a ReLU, so that its numbers can be negative."""
    return {**layer, "activation": "none", **SIGNED}


def wires(graph: Graph) -> list[tuple[str, str]]:
    """Maker and reader of every edge, by name."""
    found = []
    for edge in graph.edges:
        maker = graph.maker(edge)
        found.append((maker.name if maker else "intake", graph.reader(edge).name))
    return found


@pytest.mark.parametrize("name", HASHES)
def test_networks_of_before_keep_their_hash(name: str) -> None:
    assert load(name).hash() == HASHES[name]


def test_a_chain_of_layers_is_a_chain_of_units() -> None:
    names = ["conv0", "tanh0", "pool1", "conv2", "tanh2", "pool3"]
    names += ["dense5", "tanh5", "dense6", "tanh6", "dense7"]
    graph = load("lenet5-classic").graph
    assert [unit.name for unit in graph.units] == [*names, "loss"]
    assert wires(graph) == list(zip(["intake", *names], [*names, "loss"], strict=True))
    assert not graph.source.wanted
    assert all(edge.wanted for edge in graph.edges[1:])


def test_a_residual_layer_is_a_fork_its_branches_and_a_sum() -> None:
    inner = residual(conv(4), **SIGNED)
    graph = network(
        (6, 6, 2),
        [conv(4), residual(inner, signed(conv(4)), shortcut=[signed(conv(4, 1))], **SIGNED)],
    ).graph
    assert sorted(wires(graph)) == sorted(
        [
            ("intake", "conv0"),
            ("conv0", "fork1"),
            ("fork1", "fork1b0"),
            ("fork1b0", "conv1b0b0"),
            ("fork1b0", "sum1b0"),
            ("conv1b0b0", "sum1b0"),
            ("sum1b0", "conv1b1"),
            ("conv1b1", "sum1"),
            ("fork1", "conv1s0"),
            ("conv1s0", "sum1"),
            ("sum1", "dense2"),
            ("dense2", "loss"),
        ]
    )
    places = {unit.name: number for number, unit in enumerate(graph.units)}
    for unit in graph.units:
        assert all(places[above.name] > places[unit.name] for above in graph.above(unit))


def test_both_branches_see_what_the_fork_got_and_the_sum_is_what_it_says() -> None:
    graph = network((6, 6, 2), [conv(4), residual(signed(conv(4)), **SIGNED)]).graph
    units = {unit.name: unit for unit in graph.units}
    (came,), branches = units["fork1"].inputs, units["fork1"].outputs
    for edge in branches:
        assert (edge.shape, edge.x, edge.error) == (came.shape, came.x, came.error)
        assert edge.rectified
        assert edge.wanted
    assert str(units["sum1"].outputs[0].x) == "s9.4"
    assert not units["sum1"].outputs[0].rectified


def test_behind_the_input_nobody_wants_gradients_of_a_branch() -> None:
    graph = network((4, 4, 2), [residual(conv(2), shortcut=[conv(2, 1)])]).graph
    units = {unit.name: unit for unit in graph.units}
    assert not any(edge.wanted for edge in units["fork0"].outputs)
    assert not any(units[name].inputs[0].wanted for name in ("conv0b0", "conv0s0"))


def test_a_residual_layer_is_written_as_it_is_read() -> None:
    description = network((6, 6, 2), [conv(4), residual(conv(4), shortcut=[conv(4, 1)])])
    again = parse(to_toml(description), "net.toml")
    assert again == description
    assert again.hash() == description.hash()


def test_a_relu_behind_a_sum_is_written_and_hashed_where_there_is_one() -> None:
    """Without one a description is what it was before there were any."""
    plain = residual(conv(4), shortcut=[signed(conv(4, 1))], **SIGNED)
    bare, named, active = (
        network((6, 6, 2), [conv(4), {**plain, **more}])
        for more in ({}, {"activation": "none"}, {"activation": "relu"})
    )
    assert (bare, bare.hash(), to_toml(bare)) == (named, named.hash(), to_toml(named))
    assert "activation" not in bare.model_dump(mode="json")["layers"][1]
    assert bare.hash() == "ea37691d1dd9"
    assert active.hash() != bare.hash()
    again = parse(to_toml(active), "net.toml")
    assert (again, again.hash()) == (active, active.hash())
    sums = [one.graph.units[-3].outputs[0] for one in (bare, active)]
    assert [edge.rectified for edge in sums] == [False, True]


def test_a_sum_with_a_relu_may_be_unsigned_whatever_its_branches_are() -> None:
    layer = residual(signed(conv(4)), activation="relu")
    units = {unit.name: unit for unit in network((6, 6, 2), [conv(4), layer, conv(3)]).graph.units}
    assert str(units["sum1"].outputs[0].x) == "u8.4"
    assert units["sum1"].numbers.relu  # type: ignore[attr-defined]
    assert units["conv2"].arithmetic(Recipe(), 0, 0, back=True).masks  # type: ignore[attr-defined]


# ---- what cannot be -----------------------------------------------------------------------------

BEGIN = (
    'name = "net"\ninputs = [8, 8, 2]\n'
    '[[layers]]\nkind = "convolution"\noutputs = 4\nkernel = 3\npadding = 1\n'
)
END = '\n[[layers]]\noutputs = 3\nactivation = "none"\n'
CONV = '{ kind = "convolution", outputs = 4, kernel = 3, padding = 1 }'
WRONG = {
    'body = [{ kind = "max-pool" }]': "layers[1], a residual layer: its body has no layer with "
    "weights, so that nothing in it learns.",
    f'body = [{CONV}]\nshortcut = [{{ kind = "max-pool" }}]': "layers[1], a residual layer: its "
    "body gives 8x8x4, but its shortcut 4x4x4; both must have one shape: give it a shortcut with "
    "a convolution, or a subsample layer, of as many outputs and the strides of the body.",
    'body = [{ kind = "convolution", outputs = 5, kernel = 3, padding = 1 }]': "layers[1], a "
    "residual layer: its body gives 8x8x5, but its shortcut, the identity, 8x8x4; both must have "
    "one shape: give it a shortcut with a convolution, or a subsample layer, of as many outputs "
    "and the strides of the body.",
    f'body = [{CONV}]\nshortcut = [{{ kind = "convolution", outputs = 4, kernel = 1, activation = '
    '"none", formats = { activation = "s9.4" } }]': "layers[1], a residual layer: its shortcut "
    "gives activations in s9.4, which can be negative, but their sum has the format u8.4; give "
    "formats.activation a signed format such as s9.4, or the layer the activation 'relu'.",
    'body = [{ kind = "convolutoin", outputs = 4 }]': "layers[1].body[0].kind is the text "
    "'convolutoin'; did you mean 'convolution'? Possible are 'dense', 'convolution', 'flatten', "
    "'norm', 'max-pool', 'average-pool', 'subsample', 'residual' or 'head'.",
    'body = [{ kind = "convolution", outputs = 0, kernel = 3 }]': "layers[1].body[0].outputs is "
    "0, expected an integer from 1 to 4096.",
    'body = [{ kind = "residual", body = [{ kind = "max-pool" }] }]': "layers[1].body[0], a "
    "residual layer: its body has no layer with weights, so that nothing in it learns.",
    'body = [{ kind = "max-pool", kernel = 9 }]': "layers[1].body[0], a max-pool layer: its kernel "
    "has a height of 9, but the padded image only 8; use a smaller kernel or more padding.",
    f"body = [{CONV}]\nshortcutt = []": "unknown key 'shortcutt' in layers[1]; did you mean "
    "'shortcut'? Possible are kind, body, shortcut, activation, formats.",
    f'body = [{CONV}]\nactivation = "tanh"': "layers[1].activation is the text 'tanh', expected "
    "'relu' or 'none'.",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_is_said_in_a_sentence_that_names_it(wrong: str) -> None:
    with pytest.raises(DescriptionError) as error:
        parse(f'{BEGIN}[[layers]]\nkind = "residual"\n{wrong}{END}', "net.toml")
    assert str(error.value) == f"net.toml: {WRONG[wrong]}"


@pytest.mark.parametrize("body", ["[]", "3", "[3]"])
def test_a_body_is_an_array_of_layers(body: str) -> None:
    with pytest.raises(DescriptionError, match=r"layers\[1\]\.body.* expected a"):
        parse(f'{BEGIN}[[layers]]\nkind = "residual"\nbody = {body}{END}', "net.toml")


def test_a_residual_layer_cannot_be_the_last() -> None:
    with pytest.raises(DescriptionError, match="the last layer is a residual layer, but the soft"):
        parse(f'{BEGIN}[[layers]]\nkind = "residual"\nbody = [{CONV}]', "net.toml")


# ---- depth --------------------------------------------------------------------------------------


def deep(units: int) -> Description:
    return network(64, [{"outputs": 32} for _ in range(units - 1)])


def test_two_hundred_units_have_the_delays_of_a_few() -> None:
    stages = plan(deep(200)).schedule.stages
    delays = [2 * (200 - place) - 1 for place in range(200)]
    delays[0] += 1  # the intake's registers are another slot's
    assert [stage.delay for stage in stages] == delays
    assert len({stage.depths for stage in stages[1:-1]}) > 100  # the stash grows with the delay
    few = plan(deep(20)).schedule.stages
    assert [one.depths for one in stages[-18:]] == [one.depths for one in few[-18:]]


def test_two_hundred_residual_units_are_planned_like_two() -> None:
    block = residual(conv(2, 1), signed(conv(2, 1)), **SIGNED)
    schedule = plan(network((2, 2, 2), [conv(2, 1), *[block] * 100])).schedule
    few = plan(network((2, 2, 2), [conv(2, 1), *[block] * 4])).schedule
    assert len(schedule.units) == 403
    queues = [(unit.waiting, unit.returning) for unit in schedule.units[-9:]]
    assert queues == [(unit.waiting, unit.returning) for unit in few.units[-9:]]
