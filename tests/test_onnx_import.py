"""ONNX graphs become descriptions and weights; what no layer is, is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import counterflow
from counterflow.cli import main
from counterflow.design.data.sets import load as load_set
from counterflow.design.network.description import Description
from counterflow.design.network.files import load_file
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.planner import plan
from counterflow.exchange import weights
from counterflow.exchange.floats.network import float_model
from counterflow.exchange.imported.formats import holding
from counterflow.exchange.imported.network import Imported, read_pieces
from counterflow.exchange.imported.source import read, source_of
from counterflow.exchange.imported.trial import calibrated, states_of, tried, with_samples
from counterflow.exchange.integer.network import integer_model
from tests.exchanged import (
    COARSE,
    FILES,
    MLP,
    WIDE,
    described,
    drawn,
    expected,
    first,
    flat,
    golden_scores,
)
from tests.graphs import Graph

TORCH = ("mlp", "cnn", "cnn-dynamo", "resnet", "resnet-dynamo")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def imported(graph: Graph, **options: Any) -> Imported:
    return read_pieces(source_of(graph.model(**options), "graph.onnx")).imported("net", "synthetic")


def exactly(found: Imported) -> Imported:
    """The same in formats in which sixteenths are exact."""
    fields = found.description.model_dump(mode="json", exclude_none=True)
    plain = [_without_formats(one) for one in fields["layers"]]
    changed = {**fields, "layers": plain, "formats": _wide(plain), **COARSE}
    return Imported(Description.model_validate(changed), found.weights, found.notes)


def _without_formats(layer: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in layer.items() if key != "formats"}
    for chain in ("body", "shortcut"):
        if chain in found:
            found[chain] = [_without_formats(one) for one in found[chain]]
    return found


def _wide(layers: list[dict[str, Any]]) -> dict[str, str]:
    """`WIDE`, signed where a layer has no ReLU."""
    signed = any(one.get("activation") == "none" or "body" in one for one in layers[:-1])
    return {**WIDE, "activation": "s30.16"} if signed else dict(WIDE)


def scores(found: Imported, samples: Any) -> Any:
    """The golden model's, as real numbers."""
    network = found.description
    given = golden_scores(network, plan(network).schedule, states_of(found), samples)
    return given * 2.0**-network.formats.logit.frac


def assert_same(graph: Graph, image: tuple[int, int, int]) -> Imported:
    """That what is imported gives the numbers of the graph, bit for bit; it is returned."""
    found = exactly(imported(graph))
    random = np.random.default_rng(3)
    samples = random.integers(0, 16, (10, int(np.prod(image)))) * 16
    assert found.description.image == image
    given = (first(samples, image) * 2.0**-8).astype(np.float32)
    (wanted,) = ReferenceEvaluator(graph.model()).run(None, {"x": given.reshape(10, *graph.shape)})
    np.testing.assert_array_equal(scores(found, samples), wanted)
    return found


@pytest.mark.parametrize("name", TORCH[:3])
def test_a_network_of_torch_gives_the_numbers_of_torch(name: str) -> None:
    """Bit for bit, of files of both of its exporters: all is in sixteenths."""
    found = exactly(counterflow.from_onnx(FILES / f"{name}.onnx"))
    samples, wanted = expected(name.removesuffix("-dynamo"))
    np.testing.assert_array_equal(scores(found, samples), wanted)


@pytest.mark.parametrize("name", TORCH[3:])
def test_a_residual_network_of_torch_is_close_to_it(name: str) -> None:
    """Its norms are taken into convolutions, whose weights are then no longer exact."""
    with np.load(FILES / "resnet.npz") as arrays:
        x, wanted = arrays["x"], arrays["scores"]
    found = counterflow.from_onnx(FILES / f"{name}.onnx", samples=x)
    layers = found.description.layers
    assert [one.kind for one in layers] == [
        *("convolution", "residual", "residual", "average-pool", "flatten", "dense")
    ]
    samples = (flat(x) * 2**8).astype(np.int64)
    spread = np.abs(wanted).max()
    assert np.abs(scores(found, samples) - wanted).max() < 0.02 * spread


def _tanh_and_average(graph: Graph) -> None:
    graph.convolution(3, 2, strides=[2, 1], pads=[1, 1, 1, 1])
    graph.then("Tanh")
    graph.then("AveragePool", kernel_shape=[3, 2], strides=[1, 2])
    graph.then("Flatten")
    graph.dense(4, 6)


def test_formats_of_a_tanh_are_signed_and_fit_its_table() -> None:
    graph = Graph(2, 5, 5)
    _tanh_and_average(graph)
    layer = imported(graph).description.layers[0].model_dump(mode="json")
    assert layer["activation"] == "tanh"
    assert (layer["formats"]["preactivation"], layer["formats"]["activation"]) == ("s12.8", "s9.8")


def _maxima(graph: Graph) -> None:
    graph.convolution(3, 2)
    graph.then("MaxPool", kernel_shape=[2, 2], strides=[1, 1], pads=[1, 1, 1, 1])
    graph.then("Relu")
    graph.then("Reshape", np.array([-1, 48]))
    graph.dense(4, 48)


def _matmul(graph: Graph) -> None:
    graph.then("Flatten")
    graph.then("MatMul", np.arange(150).reshape(50, 3) % 16 / 16)
    graph.then("Add", np.array([0.5, -0.25, 1]))
    graph.then("Clip", np.float32(0), "")
    graph.dense(4, 3)
    graph.then("Softmax", axis=-1)
    graph.last = graph.nodes.pop().input[0]


def _identity(graph: Graph) -> None:
    before = graph.convolution(2, 2, pads=[1, 1, 1, 1])
    graph.convolution(3, 2, pads=[1, 1, 1, 1])
    graph.then("Relu")
    graph.convolution(2, 3, pads=[1, 1, 1, 1])
    graph.then("Add", before)
    graph.then("Relu")
    graph.then("Flatten")
    graph.dense(4, 50)


def _scaled_input(graph: Graph) -> None:
    graph.then("Sub", np.array([0.5, 0.25]).reshape(2, 1, 1))
    graph.then("Mul", np.float32(2))
    graph.convolution(2, 2)
    graph.then("Relu")
    graph.then("Dropout")
    graph.then("Flatten")
    graph.dense(4, 18)


def _pooled(factor: float, pads: int, kind: str = "MaxPool") -> Callable[[Graph], None]:
    """An input that is shifted and scaled goes through a pool before any weights."""

    def build(graph: Graph) -> None:
        graph.then("Sub", np.array([0.5, 0.25]).reshape(2, 1, 1))
        graph.then("Mul", np.float32(factor))
        padding = {"count_include_pad": 1} if kind == "AveragePool" else {}
        graph.then(kind, kernel_shape=[2, 2], strides=[1, 1], pads=[pads] * 4, **padding)
        graph.then("Flatten")
        graph.dense(4, 72 if pads else 32)

    return build


EXACT: dict[str, Callable[[Graph], None]] = {
    "a maximum before its ReLU": _maxima,
    "products and sums": _matmul,
    "an identity around a body": _identity,
    "an input that is scaled": _scaled_input,
    "an input that is scaled before a maximum": _pooled(2, 0),
}


@pytest.mark.parametrize("build", EXACT.values(), ids=EXACT)
def test_what_is_imported_gives_the_numbers_of_the_graph(build: Callable[[Graph], None]) -> None:
    graph = Graph(2, 5, 5)
    build(graph)
    assert_same(graph, (5, 5, 2))


def test_a_vector_may_become_an_image_at_the_beginning() -> None:
    graph = Graph(50)
    graph.then("Reshape", np.array([-1, 2, 5, 5]))
    _maxima(graph)
    assert_same(graph, (5, 5, 2))


def test_a_softmax_at_the_end_is_left_out_and_said() -> None:
    graph = Graph(6)
    graph.dense(4, 6)
    graph.then("LogSoftmax", axis=-1)
    assert imported(graph).notes == (
        "LogSoftmax 'LogSoftmax1' is left out: it is part of the loss",
    )


NORM = [np.array([1, 2, 0.5]), np.array([0.5, 0, -1]), np.array([0.25, 0, 1]), np.array([4, 1, 2])]


def test_a_norm_behind_weights_is_taken_into_them() -> None:
    graph = Graph(2, 5, 5)
    graph.convolution(3, 2)
    graph.then("BatchNormalization", *NORM, epsilon=0.0)
    graph.then("Relu")
    graph.then("Flatten")
    graph.dense(4, 27)
    found = imported(graph)
    assert [one.kind for one in found.description.layers] == ["convolution", "flatten", "dense"]
    (wanted,) = ReferenceEvaluator(graph.model()).run(None, {"x": np.full((1, 2, 5, 5), 0.75, "f")})
    given = scores(found, np.full((1, 50), 192))
    assert np.abs(given - wanted).max() < 0.02 * np.abs(wanted).max()


def test_a_norm_behind_a_sum_is_a_norm_layer() -> None:
    graph = Graph(2, 6, 6)
    before = graph.convolution(3, 2, pads=[1, 1, 1, 1])
    graph.convolution(3, 3, pads=[1, 1, 1, 1])
    graph.then("Add", before)
    graph.then("BatchNormalization", *NORM, epsilon=1e-5)
    graph.then("Relu")
    graph.then("ReduceMean", np.array([2, 3]), keepdims=0)
    graph.dense(4, 3)
    found = imported(graph)
    kinds = [one.kind for one in found.description.layers]
    assert kinds == ["convolution", "residual", "norm", "average-pool", "dense"]
    np.testing.assert_array_equal(found.weights["norm2.weight"], NORM[0])
    ours = 4.0 ** -found.description.graph.units[4].inputs[0].x.frac
    np.testing.assert_allclose(found.weights["norm2.running_var"] + ours, NORM[3] + 1e-5)


def _conv1d(graph: Graph) -> None:
    graph.then("Reshape", np.array([-1, 2, 25]))
    graph.then("Conv", np.zeros((3, 2, 3)))


def _groups(graph: Graph) -> None:
    graph.then("Conv", np.zeros((2, 1, 3, 3)), group=2)


def _three(graph: Graph) -> None:
    before = graph.convolution(2, 2, pads=[1, 1, 1, 1])
    for _ in range(2):
        graph.then("Relu", reads=before)
    graph.then("Add", before)
    graph.then("Add", graph.nodes[1].output[0])


def _parted(graph: Graph) -> None:
    before = graph.convolution(2, 2, pads=[1, 1, 1, 1])
    other = graph.convolution(2, 2, pads=[1, 1, 1, 1])
    graph.then("Concat", before, axis=1)
    del other


def _matmul_by(graph: Graph, weight: Any) -> None:
    graph.then("Flatten")
    graph.then("MatMul", weight)


FAULTS: dict[str, tuple[Callable[[Graph], None], str]] = {
    "unknown": (
        lambda graph: graph.then("Sigmoid") and None,
        "the operator Sigmoid 'Sigmoid0' cannot be expressed",
    ),
    "one dimension": (_conv1d, "Reshape 'Reshape0' makes [2, 25] of [2, 5, 5]"),
    "groups": (_groups, "Conv 'Conv0' has 2 groups; one is possible"),
    "dilated": (
        lambda graph: graph.convolution(2, 2, dilations=[2, 1]) and None,
        "Conv 'Conv0' has dilations of [2, 1]",
    ),
    "one side": (
        lambda graph: graph.convolution(2, 2, pads=[0, 0, 1, 1]) and None,
        "pads by [0, 0, 1, 1]; the same on both sides",
    ),
    "automatic": (
        lambda graph: graph.convolution(2, 2, auto_pad="SAME_UPPER") and None,
        "has auto_pad = SAME_UPPER",
    ),
    "ceil": (
        lambda graph: (
            graph.then("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1) and None
        ),
        "MaxPool 'MaxPool0' has ceil_mode = 1",
    ),
    "padding left out": (
        lambda graph: graph.then("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]) and None,
        "leaves its padding out of the mean",
    ),
    "no scores": (
        lambda graph: graph.convolution(2, 2) and None,
        "it ends in the operator 'Conv0', but a network ends in the scores of a dense layer",
    ),
    "a ReLU at first": (lambda graph: graph.then("Relu") and None, "is behind the beginning"),
    "three readers": (_three, "is the third that reads 'Conv0.y'"),
    "not finite": (
        lambda graph: graph.then("Conv", np.full((2, 2, 3, 3), np.nan)) and None,
        "Conv 'Conv0' has a constant 'c0' that holds what is no finite number",
    ),
    "too large": (
        lambda graph: _matmul_by(graph, np.full((50, 2), 1e30)),
        "the operator 'MatMul1': its weight, of the constant 'c0', reaches 1e+30; magnitudes below "
        "2^31 = 2.15e+09 are possible",
    ),
    "a bias too large": (
        lambda graph: (
            (graph.then("Flatten"), graph.then("Gemm", np.ones((50, 2)), np.full(2, 1e9)))
            and graph.then("Add", np.float32(2e30))
            and None
        ),
        "the operator 'Gemm1': its bias, of the constant 'c1', reaches 2e+30; magnitudes below",
    ),
    "maxima of what changed sign": (
        _pooled(-1, 0),
        "MaxPool 'MaxPool2' takes maxima of what the operator Sub 'Sub0' multiplies by -1; "
        "expected above 0",
    ),
    "maxima of a shift and padding": (_pooled(1, 1), "pads what the operator Sub 'Sub0' has shif"),
    "means of a shift and padding": (_pooled(1, 1, "AveragePool"), "'AveragePool2' pads what"),
    "a branch that parts": (_parted, "'Concat2' cannot be expressed"),
}


@pytest.mark.parametrize(("build", "message"), FAULTS.values(), ids=FAULTS)
def test_what_no_layer_is_is_named(build: Callable[[Graph], None], message: str) -> None:
    graph = Graph(2, 5, 5)
    build(graph)
    with pytest.raises(ValueError, match=r"^graph\.onnx: ") as found:
        imported(graph)
    assert message in str(found.value)
    assert "\n" not in str(found.value)


def test_shapes_must_be_fixed() -> None:
    graph = Graph(2, "height", 5)
    graph.convolution(2, 2)
    with pytest.raises(ValueError, match=r"shape of the input 'x' is not fixed \(\[2, '\?', 5\]"):
        imported(graph)


def test_control_flow_is_named(tmp_path: Path) -> None:
    graph = Graph(6)
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "branch", [], [made])
    graph.nodes.append(
        helper.make_node(
            "If", [graph.constant(1)], ["z"], "choice", then_branch=branch, else_branch=branch
        )
    )
    graph.last = "z"
    with pytest.raises(ValueError, match="If 'choice' is control flow"):
        imported(graph)


def test_several_inputs_are_refused() -> None:
    model = Graph(6).model()
    model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6]))
    with pytest.raises(ValueError, match=r"it has 2 inputs \(x, y\), expected one"):
        source_of(model, "graph.onnx")


def test_numbers_of_other_types_are_refused() -> None:
    model = Graph(6).model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    with pytest.raises(ValueError, match="its input 'x' has the type double, expected float"):
        source_of(model, "graph.onnx")


def test_the_network_in_integers_is_refused_with_what_to_import(tmp_path: Path) -> None:
    """What `export --to onnx` wrote comes back as another kind of file of the same training."""
    network, schedule = described(MLP)
    states = drawn(schedule, 1)
    path = tmp_path / "integers.onnx"
    path.write_bytes(integer_model(network, schedule, states, {}))
    with pytest.raises(ValueError, match=r"integers\.onnx: it is the network in integers") as found:
        counterflow.from_onnx(path)
    assert "import what `export --to onnx-float` writes" in str(found.value)
    path.write_bytes(float_model(network, schedule, states, {}))
    assert counterflow.from_onnx(path).description.parameters == network.parameters


def test_values_that_no_format_holds_are_named() -> None:
    """Of what comes out, for the samples that choose formats; each factor alone is possible."""
    graph = Graph(6)
    graph.then("MatMul", np.full((6, 5), 1e9))
    graph.dense(3, 5)
    samples = np.full((4, 6), 100, np.float32)
    read_in = read_pieces(source_of(graph.model(), "graph.onnx"))
    with pytest.raises(ValueError, match=r"^graph\.onnx: the operator '\w+': its values reach"):
        with_samples(read_in, "net", "synthetic", samples)


def test_values_beyond_floats_are_named() -> None:
    """Where the graph itself gives nothing finite for the samples."""
    graph = Graph(2)
    for _ in range(5):
        graph.then("MatMul", np.full((2, 2), 1e9))
    graph.dense(3, 2)
    read_in = read_pieces(source_of(graph.model(), "graph.onnx"))
    samples = np.ones((4, 2), np.float32)
    with pytest.raises(ValueError, match=r"^graph\.onnx: the operator '\w+': its values reach"):
        with_samples(read_in, "net", "synthetic", samples)


def test_weights_that_the_description_has_no_place_for_are_named() -> None:
    """Whatever the walk made of a graph, what is written fits what is written beside it."""
    graph = Graph(6)
    graph.dense(5, 6)
    graph.dense(3, 5)
    found = read_pieces(source_of(graph.model(), "graph.onnx"))
    found.pieces[1].tensors["weight"] = np.ones((3, 4))
    with pytest.raises(ValueError, match=r"'Gemm1': its weight has the shape \[3, 4\], but .*3, 5"):
        found.imported("net", "synthetic")


def test_an_import_goes_on_from_where_it_stands(tmp_path: Path) -> None:
    """With the recipe that is written beside the weights, no epoch costs what was learnt."""
    out = tmp_path / "out"
    done = run("import", FILES / "digits-lenet.onnx", "--dataset", "digits", "-o", out, "--json")
    assert done.exit_code == 0, done.output
    weights_of = ("--weights", out / "digits-lenet.safetensors")
    trained = run(
        *("train", out / "digits-lenet.toml", *weights_of, "--epochs", 2, "-o", out),
        *("--json", "--quiet"),
    )
    assert trained.exit_code == 0, trained.output
    said = json.loads(trained.stdout)
    for epoch in said["epochs"]:
        assert epoch["test_accuracy"] > said["weights"]["accuracy"] - 0.02


def test_weights_may_lie_beside_the_model(tmp_path: Path) -> None:
    """As the newer exporter of PyTorch leaves them; without them a sentence says so."""
    model, path = onnx.load(FILES / "mlp.onnx"), tmp_path / "mlp.onnx"
    onnx.save(model, path, save_as_external_data=True, location="mlp.data", size_threshold=0)
    found = counterflow.from_onnx(path)
    for name, values in counterflow.from_onnx(FILES / "mlp.onnx").weights.items():
        np.testing.assert_array_equal(found.weights[name], values)
    (tmp_path / "mlp.data").unlink()
    with pytest.raises(ValueError, match=r"mlp\.onnx: is no ONNX model .*mlp\.data"):
        counterflow.from_onnx(path)


DAMAGED = {
    "empty": (b"", "is no ONNX model"),
    "text": (b"a model", "is no ONNX model"),
    "cut": ((FILES / "cnn.onnx").read_bytes()[:1000], "is no ONNX model"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_sentence(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED[name]
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    result = run("import", path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_the_package_a_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx.helper", None)
    result = run("import", FILES / "mlp.onnx", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "pip install 'counterflow[onnx]'" in result.output


@pytest.mark.parametrize(
    ("most", "signed", "written"),
    [
        (1.0, False, "u10.10"),
        (0.1, True, "s11.10"),
        (3.9, False, "u10.8"),
        (4.0, False, "u10.8"),
        (4.1, True, "s11.7"),
        (2000.0, False, "u11.0"),
        (0.0, False, "u10.10"),
    ],
)
def test_a_format_holds_a_range(most: float, signed: bool, written: str) -> None:
    assert str(holding(most, 10, signed=signed)) == written


def test_an_import_is_trained_on(tmp_path: Path) -> None:
    """With a data set, whose samples choose formats and tell what rounding costs."""
    graph = Graph(1, 8, 8)
    graph.convolution(2, 1)
    graph.then("Relu")
    graph.then("Flatten")
    graph.dense(10, 72)
    model, out = graph.save(tmp_path / "My Net.onnx"), tmp_path / "out"
    done = run("import", model, "--dataset", "digits", "-o", out, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["provenance"]["network"] == "my-net"
    assert said["test_samples"] == 360
    assert abs(said["accuracy"] - said["accuracy_float"]) < 0.01
    network = load_file(out / "my-net.toml")
    found = weights.load(out / "my-net.safetensors", network, plan(network).schedule, seed=1)
    assert not found.matched.renamed
    assert not found.saturated
    trained = run(
        *("train", out / "my-net.toml", "--weights", out / "my-net.safetensors"),
        *("--samples", 200, "-o", out, "--json", "--quiet"),
    )
    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.stdout)["weights"]["accuracy"] == said["accuracy"]


def principal(features: int) -> Graph:
    """An autoencoder of the digits made of their first principal components."""
    digits = load_set("digits")
    seen = digits.scaling.codes(digits.train_x, Format.parse("u8.8")).reshape(-1, 64) / 256
    mean = seen.mean(axis=0)
    *_, axes = np.linalg.svd(seen - mean, full_matrices=False)
    first = axes[:features].astype(np.float32)
    graph = Graph(64)
    graph.then("MatMul", first.T.copy())
    graph.then("Add", (-mean @ first.T).astype(np.float32))
    graph.then("MatMul", first)
    graph.then("Add", mean.astype(np.float32))
    return graph


def test_an_autoencoder_is_imported_with_what_it_learns_from(tmp_path: Path) -> None:
    model, out = principal(16).save(tmp_path / "components.onnx"), tmp_path / "out"
    learnt = ("--loss", "mse", "--targets", "input")
    done = run("import", model, "--dataset", "digits", *learnt, "-o", out, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["accuracy"] is None
    assert said["explained_float"] > 0.8
    assert abs(said["explained"] - said["explained_float"]) < 0.003
    assert "of the targets' variance explained (R2)" in done.output
    network = load_file(out / "components.toml")
    assert (network.loss, network.target_source) == ("mse", "input")
    trained = run(
        *("train", out / "components.toml", "--weights", out / "components.safetensors"),
        *("--samples", 200, "-o", out, "--json", "--quiet"),
    )
    assert trained.exit_code == 0, trained.output


def test_targets_that_the_outputs_cannot_be_are_refused(tmp_path: Path) -> None:
    model = Graph(8)
    model.dense(10, 8)
    path = model.save(tmp_path / "scores.onnx")
    done = run("import", path, "--loss", "mse", "--targets", "input", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "an output for each of 8 elements of a sample, but it has 10" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["digits-mlp", "digits-lenet"])
def test_an_imported_network_does_as_well_as_in_floats(name: str) -> None:
    """Without any training: of 360 test samples one more or less is right, whatever the formats."""
    pieces = read_pieces(read(FILES / f"{name}.onnx"))
    dataset = load_set("digits")
    without = pieces.imported("net", "digits")
    for found in (without, calibrated(pieces, without, dataset)):
        trial = tried(pieces, found, dataset)
        assert trial is not None
        assert trial.floats > 0.93
        assert abs(trial.floats - trial.integers) < 1.5 / 360


def test_a_module_of_torch_is_imported() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    module.train()
    x = torch.tensor(np.random.default_rng(1).integers(0, 256, (20, 6)) / 256).float()
    found = counterflow.from_torch(module, [6], name="mine", samples=x)
    assert module.training
    wanted = module(x).detach().numpy()
    given = scores(found, (x.numpy() * 256).astype(np.int64))
    assert np.abs(given - wanted).max() < 0.02
    with pytest.raises(ValueError, match="Sigmoid"):
        counterflow.from_torch(torch.nn.Sequential(module, torch.nn.Sigmoid()), [6])
    for wrong in ("model.pt", module.state_dict()):
        with pytest.raises(ValueError, match=r"expected a torch\.nn\.Module"):
            counterflow.from_torch(wrong, [6])
    for inputs in (6, "6", [6.0]):
        with pytest.raises(ValueError, match=r"expected the shape of a sample, as \[13\]"):
            counterflow.from_torch(module, inputs)


def test_reading_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    before = (FILES / "cnn.onnx").read_bytes()
    read_pieces(read(FILES / "cnn.onnx"))
    assert (FILES / "cnn.onnx").read_bytes() == before
    onnx.checker.check_model(onnx.load(FILES / "cnn.onnx"))
