"""A simulated board and the host program, as two processes with a pseudo-terminal between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from counterflow.cli import main
from counterflow.design.data.training import training_data
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.exchange import files
from counterflow.exchange.tensors import Tensors
from counterflow.exchange.weights import load as read_weights
from counterflow.golden.training import checkpoint as checkpoints
from counterflow.golden.training.epochs import train
from counterflow.golden.training.start import initial_states
from counterflow.host.course import course
from counterflow.host.device import Device
from counterflow.host.journal import RECORD, beside
from counterflow.host.progress import Progress
from counterflow.host.training import Training
from counterflow.host.transport import SerialPort
from tests import headed
from tests.kept import kept

NET = "tiny"
COUNTERFLOW = (sys.executable, "-m", "counterflow.cli")
SECONDS = 900  # for a process on a busy machine
PATIENT = ("--timeout", "60")

pytestmark = pytest.mark.xdist_group("board")  # one build of the board


@dataclass
class Board:
    """A running `counterflow board-sim`."""

    process: subprocess.Popen[str]
    port: str

    def end(self) -> dict[str, object]:
        """Stop it; what it says that passed."""
        self.process.send_signal(signal.SIGTERM)
        text, _ = self.process.communicate(timeout=SECONDS)
        found: dict[str, object] = json.loads(text)
        return found


@contextmanager
def board_sim(*options: str, net: str = NET) -> Iterator[Board]:
    process = subprocess.Popen(
        [*COUNTERFLOW, "board-sim", net, "--quiet", "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Board(process, json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    with board_sim() as found:
        yield found


def host(
    *arguments: str, folder: Path, seconds: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run `counterflow host` to its end in `folder`."""
    return subprocess.run(
        [*COUNTERFLOW, "host", *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )


def result(*arguments: str, folder: Path, seconds: float = SECONDS) -> dict[str, object]:
    done = host(*arguments, "--json", "--quiet", folder=folder, seconds=seconds)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def killed(port: str, folder: Path, seconds: float, *options: str) -> int:
    """Start a training, kill it so many seconds after its first token; its exit status."""
    process = subprocess.Popen(
        [*COUNTERFLOW, "host", "train", NET, "--port", port, "--quiet", *PATIENT, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    mark = folder / "build" / NET / "host-progress.json"
    started = time.monotonic()
    while not mark.exists() and process.poll() is None and time.monotonic() < started + SECONDS:
        time.sleep(0.02)
    time.sleep(seconds)
    process.kill()
    return process.wait()


def accepted(port: str, folder: Path) -> int:
    """Tokens of the training under way that the board has accepted."""
    with Device.open(port, plan(load(NET)), timeout=60) as device:
        counted = device.rest().tokens
    mark = folder / "build" / NET / "host-progress.json"
    return counted - int(json.loads(mark.read_text())["base"]) if mark.exists() else 0


def killed_in_training(
    port: str, folder: Path, *options: str, before: int = 0, seconds: float = 0.5
) -> tuple[int, float]:
    """Kill hosts, later and later, until one has had the board accept more than `before` tokens.

    Tokens accepted then, and the seconds that it lived.
    """
    while True:
        assert killed(port, folder, seconds, *options) == -signal.SIGKILL, "it had ended"
        now = accepted(port, folder)
        if now > before:
            return now, seconds
        seconds *= 1.7


def golden_states(epochs: int) -> tuple[list[object], float | None]:
    """States and test accuracy of the golden model after so many epochs."""
    description = load(NET)
    schedule, data = plan(description).schedule, training_data(description)
    found = train(description, schedule, data, epochs=epochs, evaluate="last")
    assert found.checkpoint is not None
    return list(found.checkpoint.states), found.epochs[-1].test_accuracy


def assert_equal_to_golden(path: Path, epochs: int) -> float | None:
    description = load(NET)
    kept = checkpoints.load(path, description, plan(description).schedule)
    states, accuracy = golden_states(epochs)
    assert kept.epoch == epochs
    for found, wanted in zip(kept.states, states, strict=True):
        for name in (*wanted.arrays, "generator"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
    return accuracy


@pytest.mark.slow
def test_a_training_that_begins_with_weights_of_others_is_goldens(
    board: Board, tmp_path: Path
) -> None:
    description = load(NET)
    schedule, data = plan(description).schedule, training_data(description)
    before = train(description, schedule, data, epochs=1).checkpoint
    assert before is not None
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(files.safetensors(Tensors(schedule), before.states, {}))
    begun = read_weights(weights, description, schedule, description.recipe.seed)
    result(
        *("train", NET, "--port", board.port, "--weights", str(weights), "--fresh"),
        *("--checkpoint", "c.npz", "--epochs", "1", *PATIENT),
        folder=tmp_path,
    )
    expected = train(description, schedule, data, epochs=1, states=begun.states).checkpoint
    assert expected is not None
    kept = checkpoints.load(tmp_path / "c.npz", description, schedule)
    for found, wanted in zip(kept.states, expected.states, strict=True):
        for name in (*wanted.arrays, "generator"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name)), name


@pytest.mark.slow
def test_a_killed_host_is_resumed_and_ends_with_the_golden_models_weights(
    board: Board, tmp_path: Path
) -> None:
    options = ("--epochs", "40")
    killed_in_training(board.port, tmp_path, *options)
    found = result(
        *("train", NET, "--port", board.port, "--checkpoint", "c.npz", "--verify", "1000"),
        *(*PATIENT, *options),
        folder=tmp_path,
    )
    assert 0 < int(str(found["resumed_at"])) < int(str(found["tokens"]))
    assert int(str(found["verified"])) > 1
    assert int(str(found["compared"])) > int(str(found["verified"])) * load(NET).parameters
    accuracy = assert_equal_to_golden(tmp_path / "c.npz", 40)
    assert found["accuracy"] == accuracy
    # The verbs that follow a training: save, load, test.
    where = ("--port", board.port, *PATIENT)
    assert result("checkpoint", NET, *where, "-o", "d.npz", folder=tmp_path)["epoch"] == 40
    assert_equal_to_golden(tmp_path / "d.npz", 40)
    assert result("restore", NET, *where, "d.npz", folder=tmp_path)["epoch"] == 40
    assert result("evaluate", NET, *where, folder=tmp_path)["accuracy"] == accuracy
    for verb in (("info", NET), ("monitor", NET, "--times", "1"), ("evaluate", NET)):
        about = result(*verb, *where, folder=tmp_path)["provenance"]
        assert isinstance(about, dict)
        assert about["description_hash"] == load(NET).hash()
        assert about["command"].startswith(f"counterflow host {' '.join(verb)} --port")
    done = host("checkpoint", NET, *where, "-o", "e.npz", folder=tmp_path)
    assert done.returncode == 2
    assert "tells of no training of this board" in done.stderr


def killed_after(port: str, folder: Path, heard: int, *options: str) -> None:
    """Kill a host by signal 9 once it has kept so many predictions of the board."""
    process = subprocess.Popen(
        [*COUNTERFLOW, "host", "train", NET, "--port", port, "--quiet", *PATIENT, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    journal, until = beside(folder / "build" / NET / "host-progress.json"), heard * RECORD.size
    while not journal.exists() or journal.stat().st_size <= until:
        assert process.poll() is None, "it had ended"
        time.sleep(0.01)
    process.kill()
    process.wait()


def table_of(said: str) -> list[str]:
    """The lines of the table of epochs."""
    lines = [line.split() for line in said.splitlines()]
    return [" ".join(line) for line in lines if line and line[0].rstrip(",").isdigit()]


def test_a_host_killed_in_its_second_epoch_and_again_keeps_the_whole_history(
    board: Board, tmp_path: Path
) -> None:
    options = ("--epochs", "8", "--evaluate", "each")
    line = ("train", NET, "--port", board.port, *PATIENT, *options)
    other = tmp_path / "whole"
    other.mkdir()
    whole = host(*line, folder=other)
    assert whole.returncode == 0, whole.stderr
    killed_after(board.port, tmp_path, 450, *options)  # of 200 to learn and 100 to test an epoch
    killed_after(board.port, tmp_path, 900, *options)
    resumed = host(*line, folder=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "tokens; going on." in resumed.stderr
    assert table_of(resumed.stdout) == table_of(whole.stdout)
    assert len(table_of(whole.stdout)) == 16
    found, wanted = (
        kept(str(one / f"build/{NET}/host.json")) for one in (tmp_path, tmp_path / "whole")
    )
    assert found["resumed_at"] > 600
    assert [(one["epoch"], one["tests"]) for one in found["epochs"]] == [
        (epoch, tests) for epoch in range(8) for tests in (False, True)
    ]
    for name in ("epochs", "accuracy", "loss", "samples"):
        assert found[name] == wanted[name]
    assert {one["lost"] for one in found["epochs"]} == {0}
    assert found["provenance"]["dataset_sha256"]
    pictures = [
        (one / f"build/{NET}/host.png").read_bytes() for one in (tmp_path, tmp_path / "whole")
    ]
    assert pictures[0] == pictures[1]
    longer = host(*line[:-3], "9", *line[-2:], folder=tmp_path)  # epochs
    assert longer.returncode == 2
    assert "has ended a training with epochs 8, not 9; --fresh begins anew" in longer.stderr


@pytest.mark.slow
def test_heads_are_trained_verified_and_reported(tmp_path: Path) -> None:
    net = tmp_path / f"{headed.NAME}.toml"
    net.write_text(headed.TOML)
    with board_sim(net=str(net)) as several:
        where = (str(net), "--port", several.port, *PATIENT)
        found = result("train", *where, "--epochs", "2", "--verify", "100", folder=tmp_path)
        tested = result("evaluate", *where, folder=tmp_path)
        about = result("info", *where, folder=tmp_path)
        said = host("evaluate", *where, folder=tmp_path).stdout
    assert (about["heads"], about["version"]) == (2, 2)
    assert int(str(found["verified"])) > 4
    heads = found["heads"]
    assert isinstance(heads, dict)
    assert list(heads) == ["1", "2"]
    assert (tested["accuracy"], tested["loss"], tested["heads"]) == (
        *(found[name] for name in ("accuracy", "loss")),
        heads,
    )
    model = headed.tested(epochs=2)
    assert {int(number): one["accuracy"] for number, one in heads.items()} == {
        number: one for number, one in model.items() if number
    }
    assert f"Head 2: {100 * heads['2']['accuracy']:.2f} % right" in said


def test_a_board_with_another_network_is_refused(board: Board, tmp_path: Path) -> None:
    done = host("info", "digits", "--port", board.port, *PATIENT, folder=tmp_path)
    assert done.returncode == 2
    assert "the board has 'tiny' with the hash ed1401c09710, not 'digits'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_busy_port_is_named(board: Board, tmp_path: Path) -> None:
    port = SerialPort(board.port, 1_000_000)
    try:
        done = host("info", NET, "--port", board.port, folder=tmp_path)
    finally:
        port.close()
    assert done.returncode == 2
    assert done.stderr == f"Error: {board.port}: the port is in use by another program; " + (
        "end that first.\n"
    )


def test_a_missing_port_is_named(tmp_path: Path) -> None:
    done = host("info", NET, "--port", "/dev/ttyNONE", folder=tmp_path)
    assert done.returncode == 2
    assert "/dev/ttyNONE: there is no such port; serial ports here:" in done.stderr


@pytest.mark.slow
def test_a_faulty_line_and_a_pulled_cable_change_nothing(tmp_path: Path) -> None:
    with board_sim("--faults", "1e-3", "--cable-pull", "2") as faulty:
        found = result(
            *("train", NET, "--port", faulty.port, "--epochs", "4", "--checkpoint", "c.npz"),
            *PATIENT,
            folder=tmp_path,
        )
        said = faulty.end()
    assert_equal_to_golden(tmp_path / "c.npz", 4)
    faults = said["faults"]
    assert isinstance(faults, dict)
    assert sum(faults.values()) > 5
    assert int(str(found["resent"])) > 0


def test_unplugging_is_one_sentence(tmp_path: Path) -> None:
    with board_sim() as unplugged:
        process = subprocess.Popen(
            [*COUNTERFLOW, "host", "train", NET, "--port", unplugged.port, "--epochs", "500"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        mark = tmp_path / "build" / NET / "host-progress.json"
        while not mark.exists() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.3)
        unplugged.process.kill()
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert "the port has gone, as if unplugged" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_twenty_killed_hosts_leave_weights_equal_to_the_golden_models(
    board: Board, tmp_path: Path
) -> None:
    epochs, at, seconds = 1000, 0, 0.5
    description = load(NET)
    design, data = plan(description), training_data(description)
    states = initial_states(description, design.schedule, 1)
    way = course(description, design.schedule, data, seed=1, epochs=range(epochs))
    for _ in range(20):
        options = ("--epochs", str(epochs))
        at, seconds = killed_in_training(
            board.port, tmp_path, *options, before=at, seconds=0.8 * seconds
        )
        about = Progress.load(tmp_path / "build" / NET / "host-progress.json")
        assert about is not None
        with Device.open(board.port, design, timeout=60) as device:
            training = Training(device, way, states, verify=1)
            assert training.resume(about) == at
            training.check(at)


@pytest.mark.slow
def test_a_thousand_faults_are_survived(tmp_path: Path) -> None:
    with board_sim("--faults", "2e-3") as faulty:
        result(
            *("train", NET, "--port", faulty.port, "--epochs", "48", "--checkpoint", "c.npz"),
            *PATIENT,
            folder=tmp_path,
            seconds=3 * SECONDS,
        )
        said = faulty.end()
    assert_equal_to_golden(tmp_path / "c.npz", 48)
    faults = said["faults"]
    assert isinstance(faults, dict)
    assert sum(faults.values()) >= 1000


@pytest.mark.slow
def test_a_board_gets_targets_behind_samples_and_tells_errors_in_place_of_an_accuracy(
    tmp_path: Path,
) -> None:
    with board_sim(net="tiny-mse") as other:
        options = ("--epochs", "1", "--samples", "60", "--verify", "20", *PATIENT)
        found = result("train", "tiny-mse", "--port", other.port, *options, folder=tmp_path)
        text = host("evaluate", "tiny-mse", "--port", other.port, *PATIENT, folder=tmp_path).stdout
    assert (found["accuracy"], found["verified"]) == (None, 6)
    assert isinstance(found["loss"], float)
    assert found["loss"] > 0
    assert "right" not in text
    # The board's losses are the golden model's, and so are the errors behind them.
    words = ["train", "tiny-mse", "--epochs", "1", "--samples", "60", "--json", "--quiet"]
    golden = json.loads(CliRunner().invoke(main, words).stdout)
    assert golden["rmse"] > 0
    assert {name: found[name] for name in ("loss", "rmse", "explained")} == {
        name: golden[name] for name in ("loss", "rmse", "explained")
    }
    assert f"loss {golden['loss']:.4f}, RMSE {golden['rmse']:.4f}, " in text
