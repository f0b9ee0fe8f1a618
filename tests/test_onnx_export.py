"""Exported graphs of integers give the golden model's logits, bit for bit, in two evaluators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from counterflow.design.data.sources import DataError
from counterflow.design.data.training import training_data
from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.exchange.integer import convolution, rounding
from counterflow.exchange.integer.network import UNITS, integer_model
from counterflow.golden.training.models import parts
from counterflow.golden.units.state import State
from tests.exchanged import described, drawn, first, head_scores, trained

CONVOLUTION = {"kind": "convolution", "outputs": 4, "kernel": 3, "activation": "none"}
SCORES = {"outputs": 3, "activation": "none", "formats": {"error": "s10.8"}}
WITH_NORMS = {
    "formats": {"activation": "s12.5", "error": "s12.12"},
    "dataset": "synthetic",
    "inputs": [6, 6, 1],
}
SMALL: dict[str, dict[str, Any]] = {
    "tanh and averages": {
        "layers": [
            {**CONVOLUTION, "activation": "tanh"},
            {"kind": "average-pool", "kernel": 3, "stride": 1, "padding": 1},
            SCORES,
        ],
        "formats": {"activation": "s8.7"},
        "inputs": [6, 6, 2],
        "dataset": "synthetic",
    },
    "a maximum beyond the image": {
        "layers": [
            {**CONVOLUTION, "stride": 2, "padding": 1},
            {"kind": "max-pool", "kernel": 3, "stride": 2, "padding": 1},
            SCORES,
        ],
        "formats": {"activation": "s12.5"},
        "inputs": [6, 6, 2],
        "dataset": "synthetic",
    },
    "truncated": {
        "layers": [{"outputs": 5}, SCORES],
        "rounding": {"activation": "truncate", "operand": "truncate"},
        "inputs": 6,
        "dataset": "synthetic",
    },
    "saturating": {
        "layers": [{**CONVOLUTION, "activation": "relu"}, SCORES],
        "formats": {"activation": "u5.4", "logit": "s9.6"},
        "inputs": [6, 6, 2],
        "dataset": "synthetic",
    },
    "a gamma": {"layers": [CONVOLUTION, {"kind": "norm", "gamma": True}, SCORES], **WITH_NORMS},
    "groups": {
        "layers": [CONVOLUTION, {"kind": "norm", "statistics": "group", "group": 2}, SCORES],
        **WITH_NORMS,
    },
    "groups and a gamma": {
        "layers": [
            CONVOLUTION,
            {"kind": "norm", "statistics": "group", "group": 4, "gamma": True},
            SCORES,
        ],
        **WITH_NORMS,
    },
}
NAMED = ("tiny", "tiny-conv", "tiny-res", "digits", "digits-resnet", "lenet5", "lenet5-classic")
HEADED = ("deep-digits-local", "deep-digits-pairwise")


def samples_of(network: Description) -> Any:
    """The test half in the input format."""
    data = training_data(network)
    return data.scaling.codes(data.test_x, network.formats.input)


def evaluated(content: bytes, samples: Any, runtime: bool) -> list[Any]:
    """What a graph gives, in onnx's reference evaluator or in ONNX Runtime."""
    model: Any
    if runtime:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = onnxruntime.InferenceSession(content, options)
    else:
        model = ReferenceEvaluator(onnx.load_from_string(content))
    return list(model.run(None, {"samples": samples}))


def same(
    network: Description, schedule: Schedule, states: list[State], samples: Any, runtime: bool
) -> bool:
    """Whether every score of every sample is that of the golden model."""
    content = integer_model(network, schedule, states, {})
    found = evaluated(content, first(samples, network.image), runtime)
    expected = head_scores(network, schedule, states, samples)
    assert len(found) == len(expected)
    return all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("runtime", [False, True], ids=["reference", "runtime"])
@pytest.mark.parametrize("name", [*NAMED, *HEADED])
def test_logits_are_those_of_the_golden_model(name: str, runtime: bool) -> None:
    """Of every sample of the test half after some training; synthetic where that has to be got."""
    network = load(name)
    if network.dataset == "mnist":
        network = network.model_copy(update={"dataset": "synthetic"})
    schedule = plan(network).schedule
    states = trained(network, schedule)
    assert same(network, schedule, states, samples_of(network), runtime)


@pytest.mark.slow
def test_logits_of_ten_thousand_images() -> None:
    """Of the test half of Fashion-MNIST, where that is here."""
    network = load("lenet5").model_copy(update={"dataset": "fashion-mnist"})
    schedule = plan(network).schedule
    try:
        samples = samples_of(network)
    except DataError:
        pytest.skip("Fashion-MNIST is not here")
    states = trained(network, schedule, 2000)
    for start in range(0, len(samples), 500):
        for runtime in (False, True):
            assert same(network, schedule, states, samples[start : start + 500], runtime)


@pytest.mark.parametrize("runtime", [False, True], ids=["reference", "runtime"])
@pytest.mark.parametrize("name", SMALL)
def test_every_kind_is_exported(name: str, runtime: bool) -> None:
    """Whatever its parameters are: some trained, some drawn from all that formats hold."""
    network, schedule = described({"name": "small", **SMALL[name]})
    samples = samples_of(network)
    for states in (trained(network, schedule), drawn(schedule, seed=1), drawn(schedule, seed=2)):
        assert same(network, schedule, states, samples, runtime)


def _shift(drawing: Any, x: Any, frac: int, target: Any, way: Any) -> Any:
    return rounding.saturate(
        drawing, rounding.round_off(drawing, x, frac - target.frac + 1, way), target
    )


def _truncating(drawing: Any, x: Any, frac: int, target: Any, way: Any) -> Any:
    return rounding.saturate(drawing, rounding.dropped(drawing, x, frac - target.frac), target)


def _unsaturated(drawing: Any, x: Any, frac: int, target: Any, way: Any) -> Any:
    return rounding.round_off(drawing, x, frac - target.frac, way)


@pytest.mark.parametrize("fault", [_shift, _truncating, _unsaturated])
def test_a_wrong_narrowing_is_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network, schedule = described({"name": "small", **SMALL["saturating"]})
    states, samples = drawn(schedule, seed=3), samples_of(network)
    assert same(network, schedule, states, samples, runtime=False)
    monkeypatch.setattr(convolution, "narrow", fault)
    assert not same(network, schedule, states, samples, runtime=False)


@pytest.mark.parametrize("runtime", [False, True], ids=["reference", "runtime"])
@pytest.mark.parametrize("name", ["digits-autoencoder", "tiny-mse"])
def test_a_graph_takes_samples_without_their_targets(name: str, runtime: bool) -> None:
    """Its outputs are the network's, whatever the loss behind them was."""
    network = load(name)
    schedule = plan(network).schedule
    states, (_, test) = trained(network, schedule), parts(network, training_data(network))
    content = integer_model(network, schedule, states, {})
    samples = test.samples[:, : network.features]
    (found,) = evaluated(content, first(samples, network.image), runtime)
    (wanted,) = head_scores(network, schedule, states, test.samples)
    assert np.array_equal(found, wanted)


def test_every_kind_of_unit_has_its_export() -> None:
    from counterflow.design.units import KINDS

    assert set(UNITS) == set(KINDS) - {"split", "loss", "mse", "bce"}  # a graph ends in scores


def test_the_file_says_what_its_numbers_are() -> None:
    network = load("tiny-conv")
    schedule = plan(network).schedule
    content = integer_model(network, schedule, drawn(schedule, seed=1), {"network": "tiny-conv"})
    model = onnx.load_from_string(content)
    texts = {one.key: one.value for one in model.metadata_props}
    assert texts["network"] == "tiny-conv"
    assert texts["scales"] == '{"samples": 0.00390625, "logits": 0.015625}'
    shapes = [one.type.tensor_type.shape.dim for one in (*model.graph.input, *model.graph.output)]
    assert [[dim.dim_param or dim.dim_value for dim in shape] for shape in shapes] == [
        ["batch", 1, 6, 6],
        ["batch", 3],
    ]


def test_the_same_states_leave_the_same_bytes() -> None:
    network = load("digits-resnet")
    schedule = plan(network).schedule
    states = drawn(schedule, seed=1)
    assert integer_model(network, schedule, states, {}) == integer_model(
        network, schedule, states, {}
    )
