"""What ends a command before its end: Ctrl-C, and readers that have enough."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from counterflow.commands.places import tried
from counterflow.surroundings import interrupted_by, undisturbed
from tests.heard import heard

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("target", ["closed", "full", "head"])
def test_output_that_nobody_takes(target: str) -> None:
    command = f"{sys.executable} -m counterflow networks"
    ends = {"closed": ("| true", 141), "full": ("> /dev/full", 2), "head": (">&-", 0)}
    line, status = f"{command} {ends[target][0]}; exit ${{PIPESTATUS[0]}}", ends[target][1]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "90000"}  # more than a pipe holds
    done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, check=False)
    said = done.stderr.decode()
    assert "Traceback" not in said
    assert "Exception" not in said
    assert done.returncode in (status, 0) if target == "closed" else done.returncode == status
    if target == "full":
        assert said.strip() == "Error: No space left on device."


@pytest.mark.parametrize("ends", ["2> /dev/full", "> /dev/full 2>&1", "2>&1 | true"])
def test_an_error_that_nobody_takes_has_its_status(ends: str) -> None:
    """Never 1, which means that hardware differs."""
    whole = f"{sys.executable} -m counterflow plan x.toml {ends}; exit ${{PIPESTATUS[0]}}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["bash", "-c", whole], env=env, check=False).returncode == 2


AT_IMPORT_OF = """
import os, signal, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(Finder)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder)
sys.argv = ["counterflow", "train", "tiny", "--epochs", "1000000", "--quiet"]
from counterflow.__main__ import run
run()
"""

MODULES = (
    *("click", "counterflow.cli", "counterflow.commands.train", "pydantic", "numpy"),
    *("dataclasses", "counterflow.golden.training.epochs", "numba"),
)


def test_nothing_is_imported_before_interrupts_are_heard() -> None:
    program = (
        "import sys, __future__; old = {*sys.modules}; import counterflow; "
        "print({*sys.modules} - old)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "{'counterflow'}"


@pytest.mark.parametrize("name", MODULES)
def test_interrupted_while_it_starts(name: str, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", AT_IMPORT_OF.format(name=name)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        check=False,
        timeout=60,
        preexec_fn=heard,
    )
    assert done.stderr.decode().split() == ["Interrupted."]
    assert done.returncode == 130


@pytest.mark.parametrize(
    "line", ["train tiny --epochs 100000", "compare tiny --seeds 9 --epochs 1000 --model float"]
)
def test_interrupted_at_work(line: str, tmp_path: Path) -> None:
    """All processes of a terminal are told at once; none of them leaves a traceback."""
    assert ended(line, signal.SIGINT, tmp_path, all_told=True) == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_by_another_program_or_with_the_terminal(
    number: signal.Signals, tmp_path: Path
) -> None:
    """What it began is ended with it, and nothing half done is left."""
    assert ended("train tiny --epochs 100000", number, tmp_path) == 128 + number
    assert not list(tmp_path.rglob(".*"))


def test_a_signal_that_another_thread_hears_waits_too() -> None:
    told: list[int] = []
    done: list[bool] = []
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)  # blocks no signal
    other.start()

    def work() -> None:
        with interrupted_by(signal.SIGTERM, heard=told), undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
            done.append(True)

    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        ended.set()
        other.join()
    assert done
    assert told == [signal.SIGTERM]


def test_a_signal_while_a_place_is_tried_waits_until_nothing_of_the_try_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any moment of it: also when its folder is there and not yet known."""
    seen: list[list[Path]] = []
    made = tempfile.mkdtemp

    def interrupted(*args: Any, **given: Any) -> str:
        folder = made(*args, **given)
        signal.raise_signal(signal.SIGINT)
        seen.append(list(tmp_path.iterdir()))
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # none in a background job
    try:
        with pytest.raises(KeyboardInterrupt):
            tried(tmp_path / "result.json", folder=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(seen[0]) == 1
    assert not list(tmp_path.iterdir())


def ended(line: str, number: signal.Signals, folder: Path, *, all_told: bool = False) -> int:
    """Exit status of a command that hears a signal at work, after a sentence."""
    with subprocess.Popen(
        [sys.executable, "-m", "counterflow", *line.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FORCE_COLOR": "1"},
        cwd=folder,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heard,
    ) as process:
        assert process.stderr is not None
        began = process.stderr.read(1)  # the bar: training, or about to
        (os.killpg if all_told else os.kill)(process.pid, number)
        said = (began + process.stderr.read()).decode()
    assert "Traceback" not in said
    assert said.strip().endswith("Interrupted.")
    return process.returncode
