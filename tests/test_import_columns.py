"""Models that were trained on a table: their first layer takes in how columns are scaled here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import counterflow
from counterflow.cli import main
from counterflow.design.data.own.read import read
from counterflow.design.network.files import load_file
from counterflow.design.network.reading import Reading
from counterflow.exchange.files import read as read_file
from tests.graphs import Graph

MEANS = np.array([[50.0, 0.3, 700.0], [58.0, 0.5, 720.0], [55.0, 0.1, 800.0]])
SPREAD = np.array([2.0, 0.05, 15.0])
COUNT = 240


def samples() -> tuple[Any, Any]:
    """Columns of very different sizes, of three kinds."""
    random = np.random.default_rng(1)
    kinds = np.arange(COUNT) % 3
    return MEANS[kinds] + random.normal(size=(COUNT, 3)) * SPREAD, kinds


def fitted(x: Any, wanted: Any, *, hidden: bool = True) -> Graph:
    """What fits `wanted` [N, outputs] to the columns x by least squares, perhaps behind ReLUs."""
    plane, *_ = np.linalg.lstsq(np.c_[x, np.ones(len(x))], wanted, rcond=None)
    if not hidden:
        graph = Graph(3)
        graph.then("Gemm", plane[:3].T, plane[3], transB=1)
        return graph
    split = np.concatenate([np.eye(3), -np.eye(3)])
    graph = Graph(3)
    graph.then("Gemm", split, np.zeros(6), transB=1)
    graph.then("Relu")
    graph.then("Gemm", np.c_[plane[:3].T, -plane[:3].T], plane[3], transB=1)
    return graph


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CSV of kinds and of two numbers to be learnt, and models of it."""
    monkeypatch.chdir(tmp_path)
    x, kinds = samples()
    numbers = np.c_[3 * x[:, 0] - 200 * x[:, 1], x[:, 2] / 10 + x[:, 0]]
    rows = [
        ",".join([*(f"{value:.6f}" for value in (*features, *two)), f"kind{kind}"])
        for features, two, kind in zip(x, numbers, kinds, strict=True)
    ]
    Path("all.csv").write_text("\n".join(["a,b,c,price,rent,kind", *rows]), encoding="utf-8")
    for name, keep in (("kinds", (0, 1, 2, 5)), ("numbers", (0, 1, 2, 3, 4))):
        lines = Path("all.csv").read_text(encoding="utf-8").splitlines()
        cut = [",".join(line.split(",")[at] for at in keep) for line in lines]
        Path(f"{name}.csv").write_text("\n".join(cut), encoding="utf-8")
    first = read(Path("kinds.csv"), Reading())
    seen = first.train_x.reshape(-1, 3)
    standard = (x - seen.mean(axis=0)) / seen.std(axis=0)
    fitted(x, 8 * np.eye(3)[kinds], hidden=False).save(tmp_path / "raw.onnx")
    fitted(standard, 8 * np.eye(3)[kinds]).save(tmp_path / "standard.onnx")
    fitted(standard, numbers).save(tmp_path / "numbers.onnx")
    return tmp_path / "kinds.csv"


def imported(model: str, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["import", f"{model}.onnx", "-o", "mine", "--json", *words])
    assert done.exit_code == code, done.output
    return done


@pytest.mark.parametrize("model", ["raw", "standard"])
def test_a_model_of_columns_is_as_right_here_as_there(model: str) -> None:
    said = json.loads(imported(model, "--data", "kinds.csv", "--columns", model).stdout)
    assert said["accuracy_float"] >= 0.95
    assert abs(said["accuracy"] - said["accuracy_float"]) <= 1 / 48
    assert said["test_samples"] == 48
    assert "the scaling of columns is taken into the weights behind it" in said["notes"]
    words = ("train", f"mine/{model}.toml", "--weights", f"mine/{model}.safetensors")
    few = ("--epochs", "1", "--json", "--quiet", "-o", "out")
    trained = json.loads(CliRunner().invoke(main, [*words, *few]).stdout)
    assert trained["weights"]["accuracy"] == said["accuracy"]
    assert trained["accuracy"] >= 0.9


def test_as_a_network_here_gets_them_the_columns_do_not_fit() -> None:
    """What the others say is no accident."""
    said = json.loads(imported("raw", "--data", "kinds.csv", "--columns", "scaled").stdout)
    assert said["accuracy_float"] < 0.7
    assert said["notes"] == []


def test_the_first_layer_has_the_scales_and_the_least_of_each_column() -> None:
    imported("raw", "--data", "kinds.csv")
    plain, stored = counterflow.from_onnx("raw.onnx"), read_file(Path("mine/raw.safetensors"))
    description = load_file(Path("mine/raw.toml"))
    x = read(Path("kinds.csv"), Reading()).train_x.reshape(-1, 3)
    zero = x.min(axis=0)
    scale = 2.0 ** np.ceil(np.log2(np.ptp(x, axis=0)))
    weight = plain.weights["dense0.weight"]
    np.testing.assert_array_equal(stored.tensors["dense0.weight"], (weight * scale).astype("f4"))
    bias = plain.weights["dense0.bias"] + weight.astype(float) @ zero
    np.testing.assert_allclose(stored.tensors["dense0.bias"], bias, rtol=1e-6)
    assert description.inputs == 3


def test_of_a_regression_the_last_layer_takes_in_the_targets() -> None:
    learnt = ("--loss", "mse", "--label", "price,rent", "--columns", "standard")
    said = json.loads(imported("numbers", "--data", "numbers.csv", *learnt).stdout)
    assert said["explained_float"] > 0.99
    assert said["explained"] > 0.98
    assert "the scaling of targets is taken into the last layer" in said["notes"]
    description = load_file(Path("mine/numbers.toml"))
    assert description.data is not None
    assert description.data.label == "price,rent"


def test_python_names_the_columns_that_are_learnt() -> None:
    found = counterflow.from_onnx(
        "numbers.onnx", data="numbers.csv", label="price,rent", columns="standard", loss="mse"
    )
    assert found.trial is not None
    assert not found.trial.judged
    assert found.trial.integers > 0.98


def test_python_does_the_same() -> None:
    imported("standard", "--data", "kinds.csv", "--columns", "standard")
    found = counterflow.from_onnx(
        "standard.onnx", name="standard", data="kinds.csv", columns="standard"
    )
    stored = read_file(Path("mine/standard.safetensors")).tensors
    for name, values in found.weights.items():
        np.testing.assert_array_equal(values, stored[name])
    ours = found.description.model_copy(update={"dataset": "", "data": None})
    theirs = load_file(Path("mine/standard.toml"))
    assert ours == theirs.model_copy(update={"dataset": "", "data": None})
    assert found.trial is not None
    assert found.trial.samples == 48
    assert found.trial.floats >= 0.95
    with pytest.raises(ValueError, match="columns is 'zscore', expected 'raw', 'standard' or 's"):
        counterflow.from_onnx("raw.onnx", data="kinds.csv", columns="zscore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="columns is 'standard', which is about samples; give"):
        counterflow.from_onnx("raw.onnx", columns="standard")
    with pytest.raises(ValueError, match="leave out samples, or data"):
        counterflow.from_onnx("raw.onnx", data="kinds.csv", samples=np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--columns", "standard"), "--columns is about samples; bring some with --data"),
        (
            ("--columns", "standard", "--dataset", "digits"),
            "--columns is 'standard', but the elements of digits are scaled together",
        ),
    ],
)
def test_columns_of_what_is_no_table_are_refused(words: tuple[str, ...], sentence: str) -> None:
    graph = Graph(64)
    graph.dense(10, 64)
    graph.save(Path("pixels.onnx"))
    assert sentence in imported("pixels", *words, code=2).output
