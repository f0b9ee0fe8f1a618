"""Layers in a chain: what units they become, what is said where they cannot, and their TOML."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from counterflow.design.graph import Edge, Unit
from counterflow.design.network.complaints import complaint
from counterflow.design.network.description import Description
from counterflow.design.network.files import parse, to_toml
from counterflow.design.parts.geometry import Geometry
from counterflow.design.parts.recipe import Recipe
from counterflow.design.schedule.planner import plan
from counterflow.design.units.convolution import Convolution, ConvolutionUnit, Dense, Flatten
from counterflow.design.units.loss import SoftmaxUnit
from counterflow.design.units.pool import Pool, PoolUnit
from counterflow.sim.shapes import network, random_network

CONV: dict[str, Any] = {"kind": "convolution", "outputs": 4, "kernel": 3}
LAST: dict[str, Any] = {"outputs": 3, "activation": "none"}
SIGNED = {"activation": "none", "formats": {"activation": "s8.4"}}
MAX, MEAN = {"kind": "max-pool"}, {"kind": "average-pool"}


def units(image: Any, *layers: dict[str, Any]) -> tuple[Unit, ...]:
    return network(image, list(layers)).graph.units


# ---- units -------------------------------------------------------------------------------------


def test_layers_become_units_of_the_shapes_that_reach_them() -> None:
    layers = [
        {**CONV, "kernel": [2, 3], "stride": [1, 2], "padding": [0, 1]},
        {**MAX, "kernel": [4, 5]},
        {"kind": "flatten"},
        {"outputs": 6},
    ]
    first = Geometry((9, 10, 2), 4, (2, 3), (1, 2), (0, 1))
    assert first.result == (8, 5, 4)
    description = network((9, 10, 2), layers)
    found, formats = description.graph.units, description.formats
    names = [(unit.name, unit.where, type(unit)) for unit in found]
    assert names == [
        ("conv0", "layers[0]", ConvolutionUnit),
        ("pool1", "layers[1]", PoolUnit),
        ("dense3", "layers[3]", ConvolutionUnit),
        ("dense4", "layers[4]", ConvolutionUnit),
        ("loss", "the loss", SoftmaxUnit),
    ]
    shapes = [unit.geometry for unit in found if isinstance(unit, ConvolutionUnit)]
    assert shapes == [first, Geometry.dense(8, 6), Geometry.dense(6, 3)]
    assert [(one.kernel, one.average) for one in found if isinstance(one, PoolUnit)] == [
        ((4, 5), False)
    ]
    x, error = formats.activation, formats.error
    edges = [
        Edge(0, (9, 10, 2), formats.input, error, paths=(), rectified=False),
        Edge(1, (8, 5, 4), x, error, paths=(1,), rectified=True),
        Edge(2, (2, 1, 4), x, error, paths=(1,), rectified=True),
        Edge(3, (1, 1, 6), x, error, paths=(1,), rectified=True),
        Edge(4, (1, 1, 3), formats.logit, error, paths=(1,), rectified=False),
    ]
    assert list(description.graph.edges) == edges
    assert [unit.outputs for unit in found] == [*((edge,) for edge in edges[1:]), ()]
    edges[2] = replace(edges[2], shape=(1, 1, 8))  # as it is flattened
    assert [unit.inputs for unit in found] == [(edge,) for edge in edges]


def test_flattening_may_be_left_out() -> None:
    flat = {"kind": "flatten"}
    shapes = [[u.geometry for u in network((4, 4, 1), layers).weighted] for layers in ([], [flat])]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("between", "pool_masks", "next_masks"),
    [
        ([CONV], [], True),
        ([{**CONV, **SIGNED}], [], False),
        ([CONV, MAX], [True], True),
        ([{**CONV, **SIGNED}, MAX], [False], False),
        ([CONV, MEAN], [True], False),
        ([CONV, MEAN, MAX], [True, False], False),
        ([CONV, MAX, MEAN], [True, True], False),
        ([CONV, {"kind": "flatten"}], [], True),
        ([{**CONV, **SIGNED, "activation": "tanh"}, MEAN], [False], False),
        ([{**CONV, **SIGNED, "activation": "tanh"}, MAX, MEAN], [False, False], False),
    ],
)
def test_the_derivative_of_a_relu_is_applied_once(
    between: list[dict[str, Any]], pool_masks: list[bool], next_masks: bool
) -> None:
    """By the next unit with weights; by an average, behind which nobody could any more."""
    found = units((14, 14, 1), *between)
    masks = [unit.inputs[0].rectified for unit in found if isinstance(unit, PoolUnit)]
    assert masks == pool_masks
    assert [unit.numbers.relu for unit in found if isinstance(unit, PoolUnit)] == pool_masks
    last = found[-2]
    assert isinstance(last, ConvolutionUnit)
    assert last.arithmetic(Recipe(), 0, 0, back=True).masks == next_masks


def test_one_number_stands_for_both_directions() -> None:
    one = network((9, 9, 1), [{**CONV, "stride": 2, "padding": 1}, {**MAX, "kernel": 5}])
    pairs = {"kernel": [3, 3], "stride": [2, 2], "padding": [1, 1]}
    two = network((9, 9, 1), [{**CONV, **pairs}, {**MAX, "kernel": [5, 5]}])
    assert one == two
    assert one.hash() == two.hash()


@pytest.mark.parametrize("given", [MAX, {**MAX, "kernel": 2, "padding": 0}], ids=str)
def test_what_windows_do_not_say_stays_out_of_a_description(given: dict[str, Any]) -> None:
    """So that those from before there were strides keep their hash and their file."""
    description = network((6, 6, 2), [CONV, given])
    assert description.model_dump()["layers"][1] == {"kind": "max-pool", "kernel": (2, 2)}
    assert description.hash() == "cab01a01159b"


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        ({"kernel": 3, "stride": 2}, (4, 3, 4)),
        ({"kernel": 3, "stride": 1, "padding": 1}, (9, 8, 4)),
        ({"kernel": [2, 3], "stride": [3, 2], "padding": [0, 1]}, (3, 4, 4)),
        ({"kernel": 4}, (2, 2, 4)),
        ({"kernel": "all"}, (1, 1, 4)),
    ],
    ids=str,
)
def test_windows_lie_as_those_of_convolutions(fields: dict[str, Any], result: Any) -> None:
    for kind in (MAX, MEAN):
        description = network((11, 10, 2), [CONV, {**kind, **fields}])
        pool = description.graph.units[1]
        assert isinstance(pool, PoolUnit)
        assert pool.outputs[0].shape == result
        image = pool.inputs[0].shape
        if fields["kernel"] != "all" and max(pool.stride) <= min(pool.kernel):
            shape = Geometry(image, 4, pool.kernel, pool.stride, pool.padding)
            assert shape.result == result
        assert parse(to_toml(description)) == description


def test_parameters_are_weights_and_biases_of_every_output() -> None:
    description = network((6, 6, 2), [CONV, MAX])
    assert description.parameters == 4 * (3 * 3 * 2 + 1) + 3 * (2 * 2 * 4 + 1)
    assert description.widths == (72, 64, 3)
    assert description.elements == 72


# ---- TOML --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_toml_and_python_mean_the_same_network(seed: int) -> None:
    description = random_network(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = parse(to_toml(description))
        assert again == description
        assert again.hash() == description.hash()
        assert again.graph == description.graph


def test_python_values_and_plain_fields_mean_the_same() -> None:
    values = (
        Convolution(outputs=4, kernel=(3, 3)),
        Pool(kind="max-pool"),
        Flatten(kind="flatten"),
        Dense(outputs=3, activation="none"),
    )
    description = Description(name="net", dataset="synthetic", inputs=(6, 6, 2), layers=values)
    assert description == network((6, 6, 2), [CONV, MAX, {"kind": "flatten"}])


# ---- what cannot be ----------------------------------------------------------------------------

IMAGE = [8, 8, 2]
SIZE = "an integer from 1 to 64 or [vertical, horizontal]"
KINDS = (
    "'dense', 'convolution', 'flatten', 'norm', 'max-pool', 'average-pool', 'subsample', "
    "'residual' or 'head'"
)
WINDOW = "an integer from 1 to 64, [vertical, horizontal] or 'all'"
WHOLE = "expected an integer from 1 to 4096 or [height, width, channels]"
VECTOR = "needs an image; give inputs = [height, width, channels], of height 1 for a signal"


def around(*body: Any) -> dict[str, Any]:
    return {"kind": "residual", "body": list(body)}


WRONG: list[tuple[Any, list[Any], str]] = [
    # a kernel and its image
    (
        IMAGE,
        [{**CONV, "kernel": 9}],
        "layers[0], a convolution layer: its kernel has a height of 9",
    ),
    (
        IMAGE,
        [{**CONV, "kernel": [3, 9]}],
        "a width of 9, but the padded image only 8; use a smaller",
    ),
    (
        IMAGE,
        [CONV, {**CONV, "kernel": 7}],
        "layers[1], a convolution layer: its kernel has a height",
    ),
    (
        IMAGE,
        [{**CONV, "padding": 3}],
        "its padding of 3 is not smaller than its kernel's height of 3",
    ),
    (
        [64, 64, 1],
        [{**CONV, "kernel": 1, "outputs": 512}],
        "64x64x512 has 2,097,152 elements; at most 1,048,576",
    ),
    # a chain
    (
        128,
        [CONV],
        "layers[0], a convolution layer: it gets a vector of 128 elements, but a kernel of",
    ),
    (IMAGE, [{"outputs": 5}, CONV], f"a vector of 5 elements, but a kernel of 3x3 {VECTOR}"),
    (IMAGE, [{"kind": "flatten"}, CONV], f"a vector of 128 elements, but a kernel of 3x3 {VECTOR}"),
    # windows
    (
        IMAGE,
        [CONV, {**MAX, "kernel": [2, 7]}],
        "layers[1], a max-pool layer: its kernel has a width of 7, but the padded image only 6",
    ),
    (
        IMAGE,
        [CONV, {**MEAN, "kernel": 9, "padding": 1}],
        "layers[1], an average-pool layer: its kernel has a height of 9, but the padded image only",
    ),
    (IMAGE, [CONV, {**MAX, "kernel": 1}], "its kernel of 1x1 does nothing; leave the layer out"),
    (
        IMAGE,
        [CONV, {**MAX, "kernel": 1, "stride": 2}],
        "its kernel of 1x1 pools nothing; give the layer before it the stride",
    ),
    (
        IMAGE,
        [CONV, {**MAX, "padding": [1, 2]}],
        "its padding of 2 is not smaller than its kernel's width of 2, so that whole windows would "
        "be outside; use at most 1",
    ),
    (
        [12, 12, 2],
        [CONV, {**MAX, "kernel": [2, 9], "stride": 1}],
        "with its stride of 1 a pixel is in 9 windows of a width of 9, but at most 8 are possible; "
        "use a stride of at least 2",
    ),
    (
        IMAGE,
        [CONV, {**MAX, "kernel": "all", "stride": 1}],
        "its kernel is all of the image, which leaves nothing to a stride or padding; leave them",
    ),
    (IMAGE, [CONV, {**MAX, "kernel": "all", "padding": 1}], "its kernel is all of the image"),
    (
        [2, 70, 2],
        [{**CONV, "kernel": 1}, {**MEAN, "kernel": "all"}],
        "it gets images of 2x70x4, but a kernel has at most 64 pixels in each direction; pool in",
    ),
    (
        IMAGE,
        [{**CONV, "formats": {"activation": "u28.8"}}, {**MEAN, "kernel": 3}],
        "average-pool layer: the mean of 9 elements, which divides sums in u28.8, takes products "
        "of 64 bits, but at most 62 are possible; use a smaller kernel or fewer bits",
    ),
    (IMAGE, [{**CONV, "activation": "none"}], "layers[0] has activation 'none', but its format of"),
    (
        IMAGE,
        [{**CONV, "activation": "none"}],
        "u8.4, holds no negative numbers; give it 'relu' or a",
    ),
    # keys and values
    (IMAGE, [{**CONV, "kernel": 0}], f"layers[0].kernel is 0, expected {SIZE}"),
    (IMAGE, [{**CONV, "stride": 65}], f"layers[0].stride is 65, expected {SIZE}"),
    (
        IMAGE,
        [{**CONV, "padding": -1}],
        "layers[0].padding is -1, expected an integer from 0 to 64 or",
    ),
    (IMAGE, [{**CONV, "kernel": [3]}], f"layers[0].kernel is [3], expected {SIZE}"),
    (IMAGE, [{**CONV, "kernel": [3, 0]}], f"layers[0].kernel is [3, 0], expected {SIZE}"),
    (IMAGE, [{**CONV, "kernel": 3.0}], f"layers[0].kernel is 3.0, expected {SIZE}"),
    (IMAGE, [{**CONV, "kernel": True}], f"layers[0].kernel is true, expected {SIZE}"),
    (IMAGE, [{**CONV, "kernel": "3"}], f"layers[0].kernel is the text '3', expected {SIZE}"),
    (IMAGE, [CONV, {**MAX, "kernel": 0}], f"layers[1].kernel is 0, expected {WINDOW}"),
    (IMAGE, [CONV, {**MAX, "kernel": "any"}], f"kernel is the text 'any', expected {WINDOW}"),
    (IMAGE, [CONV, {**MAX, "stride": 0}], f"layers[1].stride is 0, expected {SIZE}."),
    (IMAGE, [CONV, {**MAX, "stride": [2]}], f"layers[1].stride is [2], expected {SIZE}."),
    (IMAGE, [CONV, {**MAX, "padding": -1}], "layers[1].padding is -1, expected an integer from 0"),
    (
        IMAGE,
        [{"kind": "convolution", "outputs": 4}],
        f"layers[0].kernel is missing, expected {SIZE}",
    ),
    (
        IMAGE,
        [{"kind": "convolution", "kernel": 3}],
        "layers[0].outputs is missing, expected an integer",
    ),
    (IMAGE, [{**CONV, "kernal": 3}], "unknown key 'kernal' in layers[0]; did you mean 'kernel'?"),
    (IMAGE, [CONV, {**MAX, "outputs": 4}], "unknown key 'outputs' in layers[1]; Possible are kind"),
    (
        IMAGE,
        [{**CONV, "activation": "elu"}],
        "layers[0].activation is the text 'elu', expected 'relu'",
    ),
    (IMAGE, [{**CONV, "formats": {"error": "x"}}], "layers[0].formats.error: 'x' is not a number"),
    (
        IMAGE,
        [{**CONV, "kind": "conv"}],
        "layers[0].kind is the text 'conv'; did you mean 'convolution'",
    ),
    (IMAGE, [{**CONV, "kind": "maxpool"}], f"did you mean 'max-pool'? Possible are {KINDS}"),
    (IMAGE, [{**CONV, "kind": "relu"}], f"layers[0].kind is the text 'relu', expected {KINDS}"),
    (IMAGE, [{**CONV, "kind": 3}], f"layers[0].kind is 3, expected {KINDS}"),
    (IMAGE, [{**CONV, "kind": [3]}], f"layers[0].kind is [3], expected {KINDS}"),
    (IMAGE, [{**CONV, "kernel": 0}], "or [vertical, horizontal]."),  # one finding, not two
    # a chain of a layer
    (IMAGE, [CONV, around(5)], "layers[1].body[0] is 5, expected a table with the keys kind, out"),
    (
        IMAGE,
        [CONV, around({**CONV, "kind": "x"})],
        f"layers[1].body[0].kind is the text 'x', expected {KINDS}",
    ),
    (
        IMAGE,
        [CONV, around({**CONV, "kernel": 0})],
        f"layers[1].body[0].kernel is 0, expected {SIZE}.",
    ),
    (
        IMAGE,
        [CONV, around({**CONV, "kernal": 3})],
        "unknown key 'kernal' in layers[1].body[0]; did",
    ),
    (
        IMAGE,
        [CONV, around({**CONV, "kernel": 7})],
        "layers[1].body[0], a convolution layer: its kern",
    ),
    (
        IMAGE,
        [CONV, around({**CONV, "formats": {"eror": "s8.4"}})],
        "unknown key 'eror' in layers[1].body[0].formats; did you mean 'error'?",
    ),
    # inputs
    ([8, 8], [CONV], f"inputs is [8, 8], {WHOLE}"),
    ([8, 8, 0], [CONV], f"inputs is [8, 8, 0], {WHOLE}"),
    ([8, 8, 2.0], [CONV], f"inputs is [8, 8, 2.0], {WHOLE}"),
    ([8] * 9, [CONV], f"inputs is an array of 9, {WHOLE}"),
    ("8x8", [CONV], f"inputs is the text '8x8', {WHOLE}"),
    (
        [1024, 1025, 1],
        [CONV],
        "inputs name 1,049,600 elements a sample; at most 1,048,576 are possible",
    ),
]


def said_about(fields: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Description.model_validate({"name": "net", **fields})
    said = complaint(caught.value, Description)
    assert "\n" not in said
    assert "pydantic" not in said
    return said


@pytest.mark.parametrize(("inputs", "layers", "words"), WRONG, ids=[w[2][-40:] for w in WRONG])
def test_message(inputs: Any, layers: list[Any], words: str) -> None:
    assert words in said_about({"inputs": inputs, "layers": [*layers, LAST]})


@pytest.mark.parametrize(
    ("last", "named"),
    [
        (CONV, "a convolution layer"),
        (MEAN, "an average-pool layer"),
        ({"kind": "flatten"}, "flatten"),
    ],
)
def test_message_of_a_last_layer_without_scores(last: dict[str, Any], named: str) -> None:
    said = said_about({"inputs": IMAGE, "layers": [CONV, last]})
    assert "the last layer is " in said
    assert named in said
    assert "needs the scores of a dense layer" in said


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (
            {"scheme": "fill-and-drain", "batch": 6, "accumulate": 4},
            "recipe: accumulate 4 does not divide batch 6, so that updates would be pending",
        ),
        ({"accumulate": 257}, "recipe.accumulate is 257, expected an integer from 1 to 256"),
        (
            {"scheme": "sequential", "sequential_after": 5},
            "recipe: sequential_after 5 needs scheme 'pipelined', which it ends, not 'sequential'",
        ),
        (
            {"sequential_after": 0},
            "recipe.sequential_after is 0, expected an integer from 1 to 1099511627776",
        ),
    ],
)
def test_message_of_a_recipe(recipe: dict[str, Any], words: str) -> None:
    assert words in said_about({"inputs": 6, "layers": [LAST], "recipe": recipe})


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        ([{"outputs": 1, "inputs": 1}], "fold.lanes has 1 entries for 2 layers with weights"),
        ([{"outputs": 1, "inputs": 7}], "has only 4 outputs and 6 taps in a row of its kernel"),
        (
            [{"outputs": 1, "inputs": 1}, {"outputs": 2, "inputs": 36}],
            "makes 2 outputs every 1 cycles, but its output stream",
        ),
    ],
)
def test_message_of_a_fold(lanes: list[dict[str, int]], words: str) -> None:
    """A pooling layer takes no lanes."""
    if "entries" not in words and len(lanes) < 2:
        lanes = [*lanes, {"outputs": 1, "inputs": 1}]
    with pytest.raises(ValueError, match=re.escape(words)):
        plan(network((8, 8, 2), [CONV, MAX], fold={"lanes": lanes}))
