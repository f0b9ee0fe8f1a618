"""The table of times is that of the JSON that it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from counterflow.results import times
from counterflow.results.settings import FOLDER
from counterflow.results.times import BEGIN, COMMANDS, PAGE, renewed

ROOT = Path(__file__).parents[1]


def test_the_document_says_what_was_measured() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert renewed(text, ROOT / FOLDER) == text, "run python -m counterflow.results.times"


def test_every_time_that_was_kept_is_of_a_command_that_would_be_measured_today() -> None:
    for path in (ROOT / FOLDER).glob("time-*.json"):
        command = json.loads(path.read_text(encoding="utf-8"))["command"]
        assert command.removeprefix("counterflow ") in COMMANDS


def test_a_command_is_measured_and_stands_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)
    PAGE.write_text(f"{BEGIN}\nold\n<!-- end -->\n", encoding="utf-8")
    assert times.main(["networks"]) == 0
    found = json.loads((FOLDER / "time-networks.json").read_text(encoding="utf-8"))
    assert found["processor_seconds"] > 0
    assert found["seconds"] > 0
    assert found["bytes"] == 0
    spent = f"{found['processor_seconds']:.1f}"
    row = f"| `counterflow networks`, [JSON](results/time-networks.json) | {spent} | "
    assert row in PAGE.read_text(encoding="utf-8")


def test_what_is_left_in_files_is_counted() -> None:
    assert times.measured("verilog tiny")["bytes"] > 10_000


def test_a_command_that_fails_is_no_time() -> None:
    with pytest.raises(ValueError, match="nothing"):
        times.measured("plan nothing")


def test_words_of_no_command_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert times.main(["nothing"]) == 2
    assert "'nothing' is in none of: networks, plan digits" in capsys.readouterr().err
