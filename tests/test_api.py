"""The functions of the package: their examples are true, and they do what the commands do."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import counterflow
from counterflow import api
from counterflow.cli import main
from counterflow.design.network.files import to_toml
from tests.kept import kept
from tests.test_documents import FENCED
from tests.test_host_board import board_sim

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = [text for kind, text in FENCED.findall(PAGE) if kind == "python"]
PORT = "/dev/pts/3"  # that of the page
BUILD = pytest.mark.xdist_group("api")  # they share one of a simulator
DOCTESTS = {one.name: one for one in doctest.DocTestFinder().find(api) if one.examples}


def failures(test: doctest.DocTest) -> str:
    """What the examples of a docstring or a page do that they do not say."""
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    return "".join(said)


def test_every_function_has_an_example() -> None:
    functions = {f"{api.__name__}.{name}" for name in counterflow.__all__ if hasattr(api, name)}
    assert set(DOCTESTS) == functions


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[BUILD] if name.endswith("simulate") else []) for name in DOCTESTS],
)
def test_examples_are_true(name: str) -> None:
    assert failures(DOCTESTS[name]) == ""


def test_an_example_that_is_not_true_is_found() -> None:
    text = ">>> import counterflow\n>>> counterflow.load('tiny').classes\n5\n"
    example = doctest.DocTestParser().get_doctest(text, {}, "wrong", None, 0)
    assert "Expected:\n    5\nGot:\n    4" in failures(example)


@BUILD
def test_the_page_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "\n".join(block for block in BLOCKS if ">>>" in block)
    page = doctest.DocTestParser().get_doctest(text, {}, "docs/python.md", None, 0)
    assert len(page.examples) > 10
    assert failures(page) == ""


@pytest.mark.slow
@pytest.mark.xdist_group("board")  # one build of the board
def test_the_page_trains_a_device() -> None:
    (block,) = [block for block in BLOCKS if PORT in block]
    with board_sim() as board:
        done = subprocess.run(
            [sys.executable, "-c", block.replace(PORT, board.port)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "equal" in done.stdout


def test_the_package_is_imported_in_a_moment_and_has_what_it_names() -> None:
    code = (
        "import counterflow, sys\n"
        "assert not {'numpy', 'pydantic', 'click', 'amaranth'} & set(sys.modules)\n"
        "assert set(counterflow.__all__) <= set(dir(counterflow))\n"
        "for name in counterflow.__all__:\n"
        "    assert callable(getattr(counterflow, name)), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_the_package_does_not_have_is_an_error() -> None:
    with pytest.raises(AttributeError, match="'counterflow' has no attribute 'trian'"):
        counterflow.trian  # type: ignore[attr-defined]  # noqa: B018


def test_a_network_is_a_description_a_plan_a_name_a_path_or_its_keys(tmp_path: Path) -> None:
    tiny = counterflow.load("tiny")
    path = tmp_path / "copy.toml"
    path.write_text(to_toml(tiny), encoding="utf-8")
    keys = tiny.model_dump(mode="json", exclude_none=True)
    for network in (tiny, counterflow.plan(tiny), path, str(path), keys):
        assert counterflow.load(network) == tiny


def test_a_plan_stays_as_it_was_folded() -> None:
    folded = counterflow.plan("digits", target="ecp5-25f")
    assert counterflow.plan(folded) is folded
    assert counterflow.plan("digits", interval=300).schedule.interval <= 300


def test_training_is_that_of_the_command(tmp_path: Path) -> None:
    arguments = ["train", "tiny", "--epochs", "2", "--seed", "3", "-o", str(tmp_path), "--quiet"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    epochs = counterflow.train("tiny", epochs=2, seed=3).epochs
    for one, said in zip(epochs, kept(str(tmp_path / "train.json"))["epochs"], strict=True):
        assert (one.loss, one.test_accuracy) == (said["loss"], said["test_accuracy"])


def test_a_training_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "tiny.npz"
    whole = counterflow.train("tiny", epochs=3, seed=2).checkpoint
    counterflow.train("tiny", epochs=1, seed=2, checkpoint=file)
    parts = counterflow.train("tiny", epochs=3, resume=file).checkpoint
    assert whole is not None
    assert parts is not None
    for one, other in zip(whole.states, parts.states, strict=True):
        for name, array in one.arrays.items():
            assert np.array_equal(array, other.arrays[name])


def test_a_training_begins_with_weights_of_others(tmp_path: Path) -> None:
    half, weights = str(tmp_path / "half.npz"), str(tmp_path / "half.safetensors")
    counterflow.train("tiny", epochs=1, checkpoint=half)
    export = ["export", "tiny", half, "--to", "safetensors", "-o", weights, "--quiet"]
    assert CliRunner().invoke(main, export).exit_code == 0
    command = ["train", "tiny", "--weights", weights, "--epochs", "1", "-o", str(tmp_path)]
    assert CliRunner().invoke(main, [*command, "--quiet"]).exit_code == 0
    result = counterflow.train("tiny", weights=weights, epochs=1)
    assert result.epochs[0].loss == kept(str(tmp_path / "train.json"))["epochs"][0]["loss"]
    assert result.epochs[0].loss < counterflow.train("tiny", epochs=1).epochs[0].loss


def test_verilog_is_that_of_the_command(tmp_path: Path) -> None:
    by_command, by_function = tmp_path / "command", tmp_path / "function"
    arguments = ["verilog", "tiny", "--bus", "axi", "-o", str(by_command), "--quiet"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    files = counterflow.verilog("tiny", by_function, bus="axi")
    for name, text in files.items():
        assert (by_function / name).read_text(encoding="utf-8") == text
        assert (by_command / name).read_text(encoding="utf-8") == text


def test_data_that_a_file_names_stand_beside_it(tmp_path: Path) -> None:
    rows = [f"{n % 5},{n % 7},{int(n % 5 > 2)}" for n in range(100)]
    (tmp_path / "mine.csv").write_text("\n".join(rows), encoding="utf-8")
    layers = [{"outputs": 4}, {"outputs": 2, "activation": "none"}]
    mine = counterflow.load({"name": "mine", "dataset": "mine.csv", "inputs": 2, "layers": layers})
    file = tmp_path / "mine.toml"
    file.write_text(to_toml(mine), encoding="utf-8")
    folded, loaded = counterflow.plan(file), counterflow.load(file)
    changed = loaded.model_copy(update={"name": "other"})
    every = (file, str(file), folded, loaded, changed)
    losses = {counterflow.train(one, epochs=1).epochs[0].loss for one in every}
    assert counterflow.profile(loaded, epochs=1, samples=20).description.beside == tmp_path
    assert counterflow.train(counterflow.plan(loaded, multipliers=3), epochs=1).epochs
    assert loaded == mine
    assert (loaded.hash(), hash(loaded)) == (mine.hash(), hash(mine))
    assert counterflow.train(counterflow.plan(folded, multipliers=3), epochs=1).epochs
    arrays = np.array([[int(cell) for cell in row.split(",")] for row in rows])
    losses.add(counterflow.train(mine, (arrays[:, :2], arrays[:, 2]), epochs=1).epochs[0].loss)
    assert len(losses) == 1
    with pytest.raises(ValueError, match=r"mine\.csv"):
        counterflow.train(mine, epochs=1)


def test_numbers_of_numpy_are_numbers() -> None:
    assert counterflow.plan("tiny", multipliers=np.int64(2)).schedule.multipliers == 2  # type: ignore[arg-type]
    assert counterflow.train("tiny", epochs=np.int8(1), seed=np.uint16(2)).epochs[0].samples == 200  # type: ignore[arg-type]


MASKED = np.ma.masked_less(np.ones((9, 6)) * np.arange(6), 1)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: counterflow.load("tinny"), "no network 'tinny'; did you mean 'tiny'"),
        (lambda: counterflow.load(Path("tiny")), "tiny: cannot be read"),
        (lambda: counterflow.load({"name": "mine"}), "inputs is missing"),
        (lambda: counterflow.plan("tiny", target="ecp6"), "ecp6"),
        (lambda: counterflow.plan("tiny", multipliers=0), "multipliers is 0, expected an integer"),
        (lambda: counterflow.train("tiny", "nowhere"), "nowhere"),
        (lambda: counterflow.train("tiny", epochs=0), "epochs is 0, expected an integer from 1 to"),
        (lambda: counterflow.train("tiny", samples=0), "samples is 0, expected an integer from 1"),
        (lambda: counterflow.train("tiny", seed=-1), "seed is -1, expected an integer from 0 to"),
        (lambda: counterflow.train("tiny", samples=1.5), "samples is 1.5, expected an integer"),  # type: ignore[arg-type]
        (lambda: counterflow.train("tiny", model="float", resume="a"), "of the integer model"),
        (lambda: counterflow.train("tiny", weights="a", resume="b"), "resume has weights already"),
        (lambda: counterflow.train("tiny", weights="none.npz"), "none.npz"),
        (lambda: counterflow.verilog("tiny", module="always"), "always"),
        (lambda: counterflow.verilog("tiny", bus="axi4"), "bus is 'axi4', expected 'streams' or"),  # type: ignore[arg-type]
        (lambda: counterflow.train("tiny", model="floats"), "model is 'floats', expected 'integer"),  # type: ignore[arg-type]
        (lambda: counterflow.simulate("tiny", simulator="vcs"), "simulator is 'vcs', expected 've"),  # type: ignore[arg-type]
        (lambda: counterflow.train("tiny", epochs=True), "epochs is True, expected an integer"),
        (lambda: counterflow.plan("tiny", memory=2.0), "memory is 2.0, expected an integer"),  # type: ignore[arg-type]
        (lambda: counterflow.train("tiny", weights=3), "weights is 3, expected the path of a file"),  # type: ignore[arg-type]
        (lambda: counterflow.train("tiny", weights=0), "weights is 0, expected the path of a file"),  # type: ignore[arg-type]
        (lambda: counterflow.train("tiny", resume=b"a"), "resume is b'a', expected the path of"),  # type: ignore[arg-type]
        (lambda: counterflow.train("tiny", checkpoint=3), "checkpoint is 3, expected the path of"),  # type: ignore[arg-type]
        (lambda: counterflow.simulate("tiny", weights=3), "weights is 3, expected the path of a f"),  # type: ignore[arg-type]
        (
            lambda: counterflow.simulate("tiny", waves=3),
            "waves is 3, expected the path of a fol",
        ),  # type: ignore[arg-type]
        (lambda: counterflow.verilog("tiny", 3), "folder is 3, expected the path of a folder"),  # type: ignore[arg-type]
        (lambda: counterflow.train("tiny", other_data=True), "other_data is about .* give resume"),
        (lambda: counterflow.train("tiny", weights=MASKED), "^weights is of the type MaskedArray,"),  # type: ignore[arg-type]
        (
            lambda: counterflow.train((MASKED, MASKED), "tiny"),  # type: ignore[arg-type]
            "^the network is of the type tuple, expected a name, a path, a mapping, a description",
        ),
        (lambda: counterflow.load(3), "network is 3, expected a name"),  # type: ignore[arg-type]
        (lambda: counterflow.plan(None), "network is None, expected a name, a path"),  # type: ignore[arg-type]
        (lambda: counterflow.train("tiny", checkpoint="/dev/null"), "is a device, expected a file"),
        (lambda: counterflow.verilog("tiny", "/dev/null"), "/dev/null is no folder"),
        (
            lambda: counterflow.Device.open(counterflow.plan("tiny"), "/dev/ttyUSB0"),  # type: ignore[arg-type]
            "port and plan are Plan and str, expected a text and a plan",
        ),
        (lambda: counterflow.simulate("tiny", waves="/dev/null"), "/dev/null is no folder"),
        (
            lambda: counterflow.train("tiny", (MASKED, np.arange(9) % 4)),
            "x_train has masked values",
        ),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
