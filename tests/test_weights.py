"""Weights go out and come back the same, in PyTorch's layouts; what does not match is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file, save_file

import counterflow
from counterflow.cli import main
from counterflow.design.data.training import training_data
from counterflow.design.network.files import load as network_of
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.tokens import epoch
from counterflow.design.schedule.planner import plan
from counterflow.design.units.loss import NATS
from counterflow.exchange import files, weights
from counterflow.exchange.tensors import LEAVES, Tensors
from counterflow.golden.chain import Chain
from counterflow.golden.training.epochs import train
from counterflow.sim.compiled.long_run import long_run
from tests.exchanged import CNN, FILES, MLP, described, drawn, expected, golden_scores

WRITERS = {".safetensors": files.safetensors, ".npz": files.npz}
NETWORKS = (
    *("tiny", "tiny-conv", "tiny-res", "digits-resnet", "deep-digits-pairwise", "lenet5"),
    *("tiny-mse", "digits-autoencoder"),
)
TORCH = {"mlp": MLP, "cnn": CNN}
GAMMA = {
    "name": "gammas",
    "inputs": [4, 4, 1],
    "layers": [
        {"kind": "convolution", "outputs": 2, "kernel": 3, "activation": "none"},
        {"kind": "norm", "gamma": True},
        {"outputs": 2, "activation": "none", "formats": {"error": "s10.8"}},
    ],
    "formats": {"activation": "s12.5", "error": "s12.12"},
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_exported_is_loaded(name: str, ending: str, tmp_path: Path) -> None:
    network = network_of(name)
    schedule = plan(network).schedule
    states, tensors = drawn(schedule, seed=1), Tensors(schedule)
    path = tmp_path / f"weights{ending}"
    path.write_bytes(WRITERS[ending](tensors, states, {"network": name}))
    found = weights.load(path, network, schedule, seed=3)
    assert not found.saturated
    assert not found.matched.renamed
    taken = 0
    for stage, one, other in zip(schedule.stages, states, found.states, strict=True):
        for parameter in stage.parameters:
            values = getattr(other, parameter.name)
            if parameter.name not in LEAVES or stage.unit.serves:
                initial = stage.initial()[parameter.name]
                np.testing.assert_array_equal(values, initial)
            else:
                np.testing.assert_array_equal(values, getattr(one, parameter.name))
                taken += values.size
    assert taken == found.values


@pytest.mark.parametrize("name", TORCH)
def test_a_state_dict_of_torch_gives_the_numbers_of_torch(name: str) -> None:
    """Bit for bit, since all is in sixteenths; the columns behind an image are channels first."""
    network, schedule = described(TORCH[name])
    path = FILES / f"{name}.safetensors"
    found = weights.load(path, network, schedule, seed=1)
    samples, scores = expected(name)
    given = golden_scores(network, schedule, found.states, samples)
    np.testing.assert_array_equal(given * 2.0**-network.formats.logit.frac, scores)


def test_names_of_others_are_matched_by_shape_and_said() -> None:
    network, schedule = described(CNN)
    found = weights.load(FILES / "cnn.safetensors", network, schedule, seed=1)
    pairs = {"conv0": "conv1", "conv2": "conv2", "dense4": "fc1", "dense5": "fc2"}
    assert found.matched.renamed == pairs
    assert "fc1 is dense4" in "; ".join(found.sentences())


def test_of_modules_of_one_shape_the_first_by_number_is_the_first_unit(tmp_path: Path) -> None:
    layers = [{"outputs": 4}] * 11 + [{"outputs": 4, "activation": "none"}]
    network, schedule = described({"name": "deep", "inputs": 4, "layers": layers})
    arrays = {f"net.{index}.weight": np.full((4, 4), index / 16) for index in range(12)}
    arrays |= {f"net.{index}.bias": np.zeros(4) for index in range(12)}
    save_file(arrays, tmp_path / "w.safetensors")
    found = weights.load(tmp_path / "w.safetensors", network, schedule, seed=1)
    scale = 2.0 ** -schedule.weighted[0].arithmetic.weight.frac
    assert [float(state.weight[0, 0]) * scale * 16 for state in found.states] == list(range(12))


def test_values_are_rounded_to_the_nearest_and_saturations_counted(tmp_path: Path) -> None:
    network, schedule = described({**MLP, "formats": {}})
    arrays = load_file(FILES / "mlp.safetensors")
    unit = 2.0**-18
    arrays["0.weight"] = np.zeros((5, 6))
    arrays["0.weight"][0] = [0.6 * unit, 1.5 * unit, -0.6 * unit, 7, -9, 2]
    save_file(arrays, tmp_path / "w.safetensors")
    found = weights.load(tmp_path / "w.safetensors", network, schedule, seed=1)
    most = schedule.weighted[0].arithmetic.weight
    assert found.states[0].weight[0].tolist() == [1, 2, -1, most.max, most.min, most.max]
    assert found.saturated == {"dense0.weight": 3}
    assert found.largest == {"dense0.weight": 9.0}


def test_a_bias_that_is_not_there_is_zero_and_said(tmp_path: Path) -> None:
    network, schedule = described(MLP)
    arrays = load_file(FILES / "mlp.safetensors")
    del arrays["2.bias"]
    save_file(arrays, tmp_path / "w.safetensors")
    found = weights.load(tmp_path / "w.safetensors", network, schedule, seed=1)
    assert not found.states[1].bias.any()
    assert "zero: dense1.bias" in "; ".join(found.sentences())


def test_exported_numbers_say_how_they_came_about(tmp_path: Path) -> None:
    from safetensors import safe_open

    schedule = plan(network_of("digits-resnet")).schedule
    states, tensors = drawn(schedule, seed=1), Tensors(schedule)
    path = tmp_path / "w.safetensors"
    path.write_bytes(files.safetensors(tensors, states, {"network": "n", "epoch": 3}))
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
        norm = next(name for name in tensors.ones)
        assert (file.get_tensor(norm) == 1).all()
    scales = json.loads(metadata["scales"])
    assert metadata["epoch"] == "3"
    assert scales["conv0.weight"] == 2.0**-18
    assert scales["norm1b0.running_var"] == 2.0 ** -(8 + 10)  # of squares of s12.5


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "not there": ({"2.weight": None, "2.bias": None}, "no tensor dense1.weight"),
    "shape": ({"2.weight": np.zeros((4, 6))}, "no tensor dense1.weight"),
    "too many": ({"6.weight": np.zeros((2, 2))}, "6.weight [2, 2], for which mlp has no place"),
    "bias": ({"2.bias": np.zeros(5)}, "2.bias has the shape [5], but that of mlp has [4]"),
    "nan": ({"4.bias": np.array([0, np.nan, 0])}, "4.bias[1] is nan, expected finite"),
    "infinite": ({"4.weight": np.full((3, 4), np.inf)}, "4.weight[0, 0] is inf"),
    "integers": ({"4.bias": np.zeros(3, np.int64)}, "4.bias has the type int64, expected real"),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_what_does_not_match_is_one_sentence(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    network, schedule = described(MLP)
    arrays = {**load_file(FILES / "mlp.safetensors"), **changes}
    path = tmp_path / "w.safetensors"
    save_file({name: one for name, one in arrays.items() if one is not None}, path)
    with pytest.raises(ValueError, match=r"w\.safetensors") as found:
        weights.load(path, network, schedule, seed=1)
    assert message in str(found.value)


def test_a_gamma_needs_a_norm_that_has_one(tmp_path: Path) -> None:
    network, schedule = described(GAMMA)
    path = tmp_path / "w.npz"
    path.write_bytes(files.npz(Tensors(schedule), drawn(schedule, seed=2), {}))
    weights.load(path, network, schedule, seed=1)
    fields = {**GAMMA["layers"][1], "gamma": False}
    layers = [GAMMA["layers"][0], fields, GAMMA["layers"][2]]
    plain, without = described({**GAMMA, "layers": layers})
    with pytest.raises(ValueError, match="norm1 has no gamma; give its layer gamma = true"):
        weights.load(path, plain, without, seed=1)


DAMAGED = {
    "empty.npz": (b"", "damaged, or something else than an NPZ file"),
    "empty.safetensors": (b"", "cannot be read as safetensors"),
    "cut.safetensors": ((FILES / "cnn.safetensors").read_bytes()[:700], "cannot be read"),
    "short.safetensors": (
        b'\x3a\0\0\0\0\0\0\0{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}   \0\0',
        "it holds numbers of the type BF16, expected F16, F32 or F64",
    ),
    "text.npz": (b"weights", "damaged, or something else"),
    "weights.pth": (b"", "files that end in .safetensors or .npz"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_sentence(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED[name]
    path = tmp_path / name
    path.write_bytes(content)
    result = run("train", "tiny", "--weights", path, "--out", tmp_path, "--quiet")
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.count("\n") == 1


def test_commands_export_and_train_on(tmp_path: Path) -> None:
    checkpoint, out = tmp_path / "c.npz", tmp_path / "out"
    options = ("--quiet", "--out", out)
    first = run("train", "tiny", "--epochs", 1, "--checkpoint", checkpoint, *options)
    assert first.exit_code == 0, first.output
    accuracy = json.loads((out / "train.json").read_text())["accuracy"]
    for ending in WRITERS:
        path = tmp_path / f"w{ending}"
        done = run("export", "tiny", checkpoint, "--to", ending[1:], "-o", path, "--json")
        assert done.exit_code == 0, done.output
        trained = run("train", "tiny", "--weights", path, "--epochs", 1, *options, "--json")
        assert trained.exit_code == 0, trained.output
        before = json.loads((out / "train.json").read_text())["weights"]
        assert before["accuracy"] == accuracy
        assert before["saturated"] == {}
    result = run("train", "tiny", "--weights", checkpoint, *options)
    assert "it is a checkpoint" in result.output


@pytest.mark.slow
def test_simulated_hardware_begins_with_them(tmp_path: Path) -> None:
    checkpoint, path = tmp_path / "c.npz", tmp_path / "w.safetensors"
    assert run("train", "tiny", "--checkpoint", checkpoint, "--out", tmp_path).exit_code == 0
    assert run("export", "tiny", checkpoint, "--to", "safetensors", "-o", path).exit_code == 0
    description = network_of("tiny")
    schedule = plan(description).schedule
    begun = weights.load(path, description, schedule, description.recipe.seed)
    data = training_data(description)
    order = epoch_order(len(data.train_x), description.recipe.seed, 0)[:12]
    chain = Chain(description, schedule, begun.states)
    samples = data.scaling.codes(data.train_x, description.formats.input)
    tokens = list(epoch(description.recipe, order, schedule.delay))
    expected = [one.loss * NATS for one in chain.run(tokens, samples, data.train_y)]
    assert counterflow.simulate("tiny", samples=12, weights=path).losses == expected
    done = run("simulate", "tiny", "--samples", 12, "--weights", path, "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "simulate.json").read_text())["weights"]["sha256"]
    assert counterflow.simulate("tiny", samples=12).losses != expected


@pytest.mark.slow
def test_long_runs_begin_with_them(tmp_path: Path) -> None:
    network = network_of("tiny")
    schedule, data = plan(network).schedule, training_data(network)
    found = train(network, schedule, data, epochs=1).checkpoint
    assert found is not None
    report = long_run(plan(network), data, seed=1, epochs=1, limit=60, states=found.states)
    assert report.equal
    again = train(network, schedule, data, epochs=1, limit=60, states=found.states)
    assert report.losses == pytest.approx([again.epochs[0].loss])


@pytest.mark.parametrize("other", ["--resume", "--model"])
def test_weights_stand_alone(other: str, tmp_path: Path) -> None:
    value = "float" if other == "--model" else tmp_path / "c.npz"
    result = run("train", "tiny", "--weights", FILES / "mlp.safetensors", other, value)
    assert result.exit_code == 2
    assert "--weights" in result.output


def test_a_state_dict_is_loaded_by_torch(tmp_path: Path) -> None:
    """Strictly, into modules named as the units are."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as torch_load

    network = network_of("digits-resnet")
    schedule = plan(network).schedule
    path = tmp_path / "w.safetensors"
    path.write_bytes(files.safetensors(Tensors(schedule), drawn(schedule, seed=1), {}))
    module = torch.nn.Module()
    for stage in schedule.stages:
        shape = stage.unit.inputs[0].shape
        if stage.unit.kind == "norm":
            made = torch.nn.BatchNorm2d(shape[2])
        elif stage.name.startswith("dense"):
            made = torch.nn.Linear(stage.unit.geometry.inputs, stage.unit.geometry.outputs)
        else:
            geometry = stage.unit.geometry
            made = torch.nn.Conv2d(geometry.channels, geometry.outputs, geometry.kernel)
        module.add_module(stage.name, made)
    module.load_state_dict(torch_load(path))
