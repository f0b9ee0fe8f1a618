"""Descriptions that are written into other folders find their data, also once both were moved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import counterflow
from counterflow.cli import main
from counterflow.design.data.places import place_from, placed
from counterflow.design.network.files import load_file
from tests.graphs import Graph


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two clusters as a table, in it and in a folder, and a model of them."""
    folder = tmp_path / "project"
    (folder / "tables").mkdir(parents=True)
    monkeypatch.chdir(folder)
    y = np.arange(60) % 2
    x = np.random.default_rng(1).normal(size=(60, 3)) + 4 * y[:, None]
    rows = [
        ",".join([*(f"{one:.3f}" for one in row), f"k{kind}"])
        for row, kind in zip(x, y, strict=True)
    ]
    Path("two.csv").write_text("\n".join(["a,b,c,kind", *rows]), encoding="utf-8")
    shutil.copy("two.csv", "tables/two.csv")
    graph = Graph(3)
    graph.then("Gemm", np.array([[-1.0, -1, -1], [1, 1, 1]]), np.array([6.0, -6.0]), transB=1)
    graph.save(Path("two.onnx"))
    return folder


def run(*words: str) -> dict[str, object]:
    done = CliRunner().invoke(main, [*words, "--json", "--quiet"])
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("folder", "data", "said"),
    [
        ("mine", "two.csv", "../two.csv"),
        ("tables", "tables/two.csv", "two.csv"),
        (".", "tables/two.csv", "tables/two.csv"),
        (".", "tables", "./tables"),
        ("../other", "../other/two.csv", "two.csv"),
    ],
)
def test_data_that_can_be_moved_along_have_a_relative_path(
    folder: str, data: str, said: str
) -> None:
    assert place_from(Path(folder), Path(data)) == said


def test_data_elsewhere_have_an_absolute_path(project: Path) -> None:
    assert place_from(Path("mine"), Path("../two.csv")) == str(project.parent / "two.csv")
    assert place_from(Path("../mine"), Path("two.csv")) == str(project / "two.csv")


def test_a_folder_with_the_name_of_a_set_is_no_set() -> None:
    assert place_from(Path(), Path("digits")) == "./digits"


@pytest.mark.parametrize("python", [False, True])
def test_an_imported_network_trains_where_its_folder_was_moved_to(
    project: Path, monkeypatch: pytest.MonkeyPatch, python: bool
) -> None:
    if python:
        counterflow.from_onnx("two.onnx", name="two", data="two.csv").write(Path("mine"))
    else:
        run("import", "two.onnx", "--data", "two.csv", "-o", "mine")
    assert str(project) not in Path("mine/two.toml").read_text(encoding="utf-8")
    moved = project.parent / "moved"
    project.rename(moved)
    monkeypatch.chdir(moved.parent)
    words = ("--weights", "moved/mine/two.safetensors", "--epochs", "1", "-o", "out")
    assert run("train", "moved/mine/two.toml", *words)["accuracy"] == 1


@pytest.mark.parametrize("words", [(), ("--frozen", "1"), ("--scheme", "sequential")])
def test_what_a_training_leaves_behind_finds_the_data_of_its_network(
    words: tuple[str, ...],
) -> None:
    """Whatever options have made of the description."""
    layers = '[{ outputs = 4 }, { outputs = 2, activation = "none" }]'
    text = f'name = "net"\ndataset = "two.csv"\ninputs = 3\nlayers = {layers}\n'
    Path("tables/net.toml").write_text(text, encoding="utf-8")
    Path("two.csv").unlink()
    run("train", "tables/net.toml", "--epochs", "1", "-o", "out", *words)
    assert load_file(Path("out/train.toml")).dataset == "../tables/two.csv"
    run("train", "out/train.toml", "--epochs", "1", "-o", "again")
    run("train", "tables/net.toml", "--dataset", "synthetic", "--epochs", "1", "-o", "third")
    assert load_file(Path("third/train.toml")).dataset == "synthetic"


def test_a_path_that_leads_to_the_data_anyway_is_left_as_it_is() -> None:
    """Since a description names hardware, with all that is in it."""
    layers = [{"outputs": 2, "activation": "none"}]
    fields = {"name": "net", "dataset": "two.csv", "inputs": 3, "layers": layers}
    description = counterflow.load(fields).found_in(Path())
    assert placed(description, Path("mine")) is description
