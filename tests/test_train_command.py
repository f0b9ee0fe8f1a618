"""`counterflow train` and `compare`: results, seeds, checkpoints, other data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import counterflow
from counterflow.design.data.training import training_data
from counterflow.design.network.files import load, to_toml
from tests.commands import read, refuse, run, succeed
from tests.kept import kept

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_train() -> None:
    answer = read("train", "tiny")
    assert {"accuracy", "loss", "samples", "samples_per_second"} <= set(answer)
    assert answer["accuracy"] > 0.8
    assert answer["samples"] == 4 * 200
    assert len(answer["epochs"]) == 4
    assert answer["epochs"][-1]["test_accuracy"] == answer["accuracy"]
    shown = succeed("train", "tiny").stdout
    assert f"{100 * answer['accuracy']:.2f} %" in shown
    assert f"Files: {Path('build/tiny/train.json')}, " in shown
    assert kept("build/tiny/train.json")["accuracy"] == answer["accuracy"]


def scores(*arguments: str) -> list[float]:
    """Test loss of every epoch: a number that hardly ever is the same for two trainings."""
    return [one["test_loss"] for one in read("train", "tiny", *arguments)["epochs"]]


def test_a_training_that_diverges_says_so_in_json_that_all_can_read() -> None:
    fast = {"learning_rate": 1.0, "momentum": 0.9375, "epochs": 2}
    fields = load("tiny-mse").model_dump(mode="json", exclude_none=True)
    wild = counterflow.load({**fields, "recipe": {**fields["recipe"], **fast}})
    Path("wild.toml").write_text(to_toml(wild))
    result = run("train", "wild.toml", "--model", "float", "--json")
    assert result.exit_code == 0, result.output
    assert "Warning: The training diverged in epoch" in result.stderr
    for text in (result.stdout, Path("build/tiny-mse/train.json").read_text()):
        found = json.loads(text, parse_constant=lambda name: pytest.fail(name))
        assert found["epochs"][-1]["loss"] is None


def test_train_is_a_function_of_its_seed() -> None:
    assert scores("--seed", "5") == scores("--seed", "5")
    assert scores("--seed", "5") != scores("--seed", "6")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mitigation", "none"],
        ["--scheme", "sequential"],
        ["--scheme", "fill-and-drain", "--batch", "4"],
        ["--model", "float"],
        ["--samples", "50"],
    ],
)
def test_train_another_way(arguments: list[str]) -> None:
    assert scores("--epochs", "1", *arguments) != scores("--epochs", "1")


def test_train_goes_on_from_a_checkpoint() -> None:
    succeed("train", "tiny", "--epochs", "2", "--checkpoint", "half.npz", "--seed", "9")
    assert scores("--resume", "half.npz") == scores("--seed", "9")[2:]


def test_train_leaves_results_in_a_folder() -> None:
    answer = read("train", "tiny", "--seed", "9", "-o", "out")
    names = {path.name for path in Path("out").iterdir()}
    assert names == {"train.json", "train.png", "train.toml"}
    assert kept("out/train.json") == answer
    facts = answer["provenance"]
    assert facts["seed"] == 9
    assert facts["dataset_sha256"] == training_data(load("tiny")).sha256


def test_train_on_another_data_set() -> None:
    command = ["train", "lenet5", "--dataset", "synthetic", "--samples", "3", "--epochs", "1"]
    succeed(*command, "--quiet", "-o", "out")
    facts = kept("out/train.json")["provenance"]
    assert facts["dataset"] == "synthetic"
    assert facts["description_hash"] != load("lenet5").hash()


def test_train_refuses_a_data_set_of_other_sizes() -> None:
    assert "has 6 inputs" in refuse("train", "tiny", "--dataset", "digits")


def test_compare() -> None:
    answer = read("compare", "tiny", "--seeds", "2", "--epochs", "1", "-o", "out")
    found = {(one["scheme"], one["mitigation"]): one for one in answer["methods"]}
    assert {("sequential", "none"), ("pipelined", "none"), ("pipelined", "lwpv+sc")} <= set(found)
    assert all(len(one["accuracies"]) == 2 for one in found.values())
    assert kept("out/compare.json") == answer
    assert "lwpv+sc" in succeed("compare", "tiny", "--seeds", "1", "--epochs", "1").stdout


def test_compare_has_integers_beside_float64_in_one_command() -> None:
    """Each model's rows are those of that model alone, in the answer as in the tables."""
    quick = ["compare", "tiny", "--seeds", "1", "--epochs", "1", "--samples", "60"]
    both = read(*quick, "--model", "both")["methods"]
    for model in ("integer", "float"):
        assert [one for one in both if one["model"] == model] == read(*quick, "--model", model)[
            "methods"
        ]
    said = succeed(*quick, "--model", "both").stdout
    assert "integers" in said
    assert "float64" in said
