"""Data with numbers to be learnt: columns of tables, arrays, scaling, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from counterflow.cli import main
from counterflow.design.data.friedman import friedman
from counterflow.design.data.own.read import read
from counterflow.design.data.sources import DataError
from counterflow.design.data.training import training_data
from counterflow.design.network.description import Description
from counterflow.design.network.files import load, to_toml
from counterflow.design.network.reading import Reading
from counterflow.design.schedule.planner import plan
from counterflow.golden.training import checkpoint
from counterflow.golden.training.epochs import train
from counterflow.golden.training.models import parts
from tests.lossy import NETWORKS

LINES = ["a,b,warm,cold", *(f"{i},{i % 3},{i / 4},{-i}" for i in range(20))]


def network(outputs: int = 1, inputs: int = 2, **fields: Any) -> Description:
    layers = ({"outputs": 4}, {"outputs": outputs, "activation": "none"})
    given = {"name": "net", "inputs": inputs, "layers": layers, "loss": "mse", **fields}
    return Description.model_validate(given)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_text("\n".join(LINES), encoding="utf-8")
    return path


def test_columns_are_targets_by_their_names_and_all_others_features(table: Path) -> None:
    found = read(table, Reading(label=("cold", "warm")), targets=True)
    assert found.train_t is not None
    assert found.test_t is not None
    assert (found.train_x.shape, found.train_t.shape, found.test_t.shape) == (
        (16, 2),
        (16, 2),
        (4, 2),
    )
    assert (found.train_t[:, 0] == -found.train_x[:, 0].astype(float)).all()
    assert (found.train_t[:, 1] == found.train_x[:, 0] / 4).all()
    assert found.told[0] == "The targets are column 4 (cold), column 3 (warm)."
    assert "2 targets of -19" in found.summary


@pytest.mark.parametrize("columns", ["cold,warm", "4, 3", "last,warm"])
def test_the_command_line_names_several_with_commas(table: Path, columns: str) -> None:
    several = read(table, Reading(label=("cold", "warm")), targets=True)
    shown = CliRunner().invoke(main, ["data", "show", str(table), "--label", columns, "--targets"])
    assert shown.exit_code == 0, shown.output
    assert "The targets are column 4 (cold), column 3 (warm)." in shown.output
    assert several.sha256[:12] in shown.output
    mine = table.with_name("mine.toml")
    mine.write_text(to_toml(network(2)), encoding="utf-8")
    few = ["--epochs", "1", "--json", "--quiet", "-o", str(table.parent)]
    done = CliRunner().invoke(
        main, ["train", str(mine), "--data", str(table), "--label", columns, *few]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["provenance"]["dataset_sha256"] == several.sha256


def test_a_column_whose_name_has_a_comma_is_one(table: Path) -> None:
    lines = ["a;b;warm, at noon;cold", *(line.replace(",", ";") for line in LINES[1:])]
    table.write_text("\n".join(lines), encoding="utf-8")
    found = read(table, Reading(label="warm, at noon"), targets=True)
    assert found.told[0] == "The target is column 3 (warm, at noon)."


def test_several_columns_are_targets_only(table: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(table, Reading(label=("cold", "warm")))
    assert str(caught.value) == (
        f"{table}: label names 2 columns, which are targets then: targets of a regression need "
        'loss = "mse" in the description, and --targets in data show; of classes name one column.'
    )


def test_a_target_that_is_no_number_is_told_where_it_stands(table: Path) -> None:
    table.write_text("a,b,warm\n1,2,3\n4,5,six\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 3, column 3 \(warm\) is 'six', expected a number"):
        read(table, targets=True)
    table.write_text("a,b,warm\n1,2,3\n4,5,\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 3, column 3 \(warm\) is empty, expected a number"):
        read(table, Reading(label="warm"), targets=True)
    words = np.array([["1", "2"], ["3", "x"]])
    with pytest.raises(DataError, match=r"y_train\[1, 1\] is 'x', expected a number"):
        read((np.ones((2, 2)), words), targets=True)


def test_a_description_says_which_columns_are_targets(table: Path) -> None:
    description = network(2, dataset=str(table), data={"label": ["warm", 4]})
    found = training_data(description)
    train_part, _ = parts(description, found)
    assert train_part.samples.shape == (16, 4)  # two features, two targets
    assert not train_part.labels.any()


@pytest.mark.parametrize("form", ["csv", "npz", "npy", "arrays", "folder"])
def test_every_form_of_data_has_the_same_targets(form: str, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    x, t = random.random((30, 2)), random.normal(size=(30, 1))
    both = np.c_[x, t]
    given: Any = (x, t)
    if form == "csv":
        given = tmp_path / "a.csv"
        np.savetxt(given, both, delimiter=",", fmt="%.17g")
    elif form == "npz":
        given = tmp_path / "a.npz"
        np.savez(given, x=x, y=t)
    elif form == "npy":
        given = tmp_path / "a.npy"
        np.save(given, both)
    elif form == "folder":
        given = tmp_path
        np.save(tmp_path / "x.npy", x)
        np.save(tmp_path / "y.npy", t)
    wanted, found = read((x, t), targets=True), read(given, targets=True)
    assert found.sha256 == wanted.sha256
    assert found.train_t is not None
    assert wanted.train_t is not None
    assert (found.train_t == wanted.train_t).all()


def test_a_row_of_numbers_of_any_type_is_one_target_each() -> None:
    for kind in (np.int32, np.float32, np.uint8, bool):
        t = (np.arange(20) % 2).astype(kind)
        found = read((np.zeros((20, 2)), t), targets=True)
        assert found.train_t is not None
        assert found.train_t.shape == (16, 1)


def test_targets_are_scaled_by_their_range_into_the_input_format() -> None:
    x = np.linspace(0, 1, 50)[:, None] * [1.0, 2.0]
    t = np.c_[3 * x[:, 0] - 1, 100 * x[:, 1]]
    description = network(2, formats={"input": "s12.11"})
    dataset = training_data(description, (x, t))
    samples = parts(description, dataset)[0].samples
    assert dataset.target_scaling is not None
    scale = np.array(dataset.target_scaling.scale)
    real = samples[:, 2:] * 2.0**-11 * scale + np.array(dataset.target_scaling.zero)
    assert dataset.train_t is not None
    assert np.abs(real - dataset.train_t).max() <= (scale * 2.0**-12).max() * 1.001
    assert scale.tolist() == [2.0, 128.0]  # powers of two, not below half the range


def test_a_checkpoint_keeps_the_scaling_of_targets(tmp_path: Path) -> None:
    x = np.random.default_rng(1).random((60, 2))
    description = network()
    first = training_data(description, (x, x[:, :1]))
    schedule = plan(description).schedule
    found = train(description, schedule, first, epochs=1)
    assert found.checkpoint is not None
    checkpoint.save(tmp_path / "a.npz", found.checkpoint)
    kept = checkpoint.load(tmp_path / "a.npz", description, schedule)
    other = training_data(description, (x, 8 * x[:, :1]))
    assert other.target_scaling != first.target_scaling
    assert checkpoint.going_on(kept, other, other_data=True).target_scaling == first.target_scaling
    with pytest.raises(ValueError, match="was trained on"):
        checkpoint.going_on(kept, other)


def test_the_formula_gives_the_same_numbers_everywhere() -> None:
    x, t, test_x, test_t = friedman()
    assert (x.shape, t.shape, test_x.shape, test_t.shape) == (
        (2000, 10),
        (2000, 1),
        (1000, 10),
        (1000, 1),
    )
    described = training_data(load("friedman"))
    assert described.sha256[:12] == "3b74ae06f301"
    exact = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    noise = t[:, 0] - exact - 10 * x[:, 3] - 5 * x[:, 4]
    assert abs(noise.mean()) < 0.06
    assert noise.std() == pytest.approx(1, abs=0.03)


FAULTS: list[tuple[Description, Any, list[str]]] = [
    (network(), ([[1, 2]] * 9, [1.0, np.nan] * 4 + [1]), ["y_train[1] is nan", "finite number"]),
    (network(), ([[1, 2]] * 9, [np.inf] * 9), ["y_train[0] is inf", "finite"]),
    (network(), ([[1, 2]] * 9, ["a"] * 9), ["y_train[0]", "'a'", "a number"]),
    (network(), ([[1, 2]] * 9, [1.0] * 8), ["y_train", "(8,)", "9 samples"]),
    (network(), ([[1, 2]] * 9, [[1.0, 2.0]] * 9), ["1 outputs", "2 targets", "needs 2 outputs"]),
    (network(2), ([[1, 2]] * 9, [1.0] * 9), ["2 outputs", "1 targets", "needs 1 outputs"]),
    (
        Description.model_validate({**NETWORKS["bce of data"], "inputs": 2}),
        ([[1, 2]] * 9, [[0.5, 1.5]] * 9),
        ["0.5..1.5", "'bce'", "0 to 1"],
    ),
    (
        network(3, loss="softmax"),
        ([[1, 2]] * 9, [0.5] * 9),
        ["0.5", "whole number", 'loss = "mse"'],
    ),
    (
        network(3, loss="softmax"),
        ([[1, 2]] * 9, [[0.5, 1]] * 9),
        ["shape (9, 2)", "argmax", 'loss = "mse"'],
    ),
]


@pytest.mark.parametrize(("description", "data", "words"), FAULTS)
def test_what_cannot_be_learnt_is_refused_in_a_sentence(
    description: Description, data: Any, words: list[str]
) -> None:
    x, y = data
    with pytest.raises(ValueError, match=r".") as caught:
        training_data(description, (np.array(x), np.array(y)))
    for word in words:
        assert word in str(caught.value)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (("warm", "warm"), ["column 3 (warm) twice"]),
        (("a", "b", "warm", "cold"), ["all 4 columns"]),
        (("warm", "hot"), ["no column 'hot'"]),
        ("warm,hot", ["no column 'hot'"]),
        ("warm,,cold", ["no column ''"]),
        ("warm, warm", ["column 3 (warm) twice"]),
    ],
)
def test_columns_that_cannot_be_targets_are_refused(
    table: Path, label: Any, words: list[str]
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read(table, Reading(label=label), targets=True)
    for word in [str(table), *words]:
        assert word in str(caught.value)


def test_a_cell_that_is_no_number_is_told_with_its_line(table: Path) -> None:
    table.write_text("\n".join([*LINES[:5], "4,1,warm,2", *LINES[6:]]), encoding="utf-8")
    with pytest.raises(ValueError, match=r".") as caught:
        read(table, Reading(label="warm"), targets=True)
    assert "line 6, column 3 (warm) is 'warm', expected a number" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "held_out", "words"),
    [
        ("digits", 10, ["held_out is 10", "0..9"]),
        ("synthetic", 200, ["held_out is 200", "0..1"]),
    ],
)
def test_a_class_that_is_not_there_cannot_be_held_out(
    name: str, held_out: int, words: list[str]
) -> None:
    fields = load("digits-autoencoder").model_dump(exclude_none=True)
    if name == "synthetic":
        fields |= NETWORKS["mse of the input"]
    description = Description.model_validate({**fields, "dataset": name, "held_out": held_out})
    with pytest.raises(ValueError, match=r".") as caught:
        training_data(description)
    for word in words:
        assert word in str(caught.value)
