"""What `counterflow host train` refuses before a board hears of it."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from counterflow.commands import host_train
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.host.progress import ASKED, Progress
from tests.commands import run
from tests.test_standstill import REFUSED, write

PORT = ("--port", "/dev/none")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def opened(net: str, **_: Any) -> tuple[Any, Any]:
        """A plan, and a board that nobody may talk to."""
        return plan(load(net)), nullcontext()

    monkeypatch.setattr(host_train, "opened", opened)


def test_a_training_in_which_no_weight_can_move_is_refused() -> None:
    result = run("host", "train", write("still.toml", 32), *PORT)
    assert result.exit_code == 2
    assert re.search(REFUSED, result.stderr)
    assert not list(Path().rglob("host.json"))


def test_one_in_which_a_weight_can_gets_to_the_board() -> None:
    result = run("host", "train", write("moves.toml", 9), *PORT)
    assert isinstance(result.exception, AttributeError)  # of the board that is none
    assert not re.search(REFUSED, result.stderr)


def test_weights_and_a_checkpoint_are_not_taken_together() -> None:
    result = run("host", "train", "tiny", *PORT, "--weights", "w.npz", "--resume", "c.npz")
    assert result.exit_code == 2
    assert "--resume has weights already; leave it out, or --weights" in result.stderr


@pytest.mark.parametrize("command", [["train"], ["host", "train"]])
def test_other_data_without_a_checkpoint_are_refused(command: list[str]) -> None:
    ports = PORT if command[0] == "host" else []
    result = run(*command, "tiny", *ports, "--other-data")
    assert result.exit_code == 2
    assert "leave it out, or name a checkpoint with --resume" in " ".join(result.stderr.split())


def test_a_training_with_other_weights_is_another_one() -> None:
    one = Progress("net", 1, 0, 2, None, "last", "data", mark=1, base=0, weights="abc")
    assert one.differs(one) is None
    assert one.differs(replace(one, weights=None)) == "weights abc, not None"
    assert set(ASKED) <= set(Progress.__dataclass_fields__)
