"""docs/waves.md names scopes and signals that are in the waveforms, and files that are left."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from pywellen import Var, Waveform

import counterflow
from counterflow.cli import main
from counterflow.design.parts.tokens import Kind
from counterflow.surfer import MAPPINGS
from counterflow.waves import waves_in
from tests.kept import kept
from tests.surfing import misread
from tests.test_documents import FENCED

PAGE = (Path(__file__).parents[1] / "docs" / "waves.md").read_text(encoding="utf-8")
(COMMAND,) = (text.strip() for kind, text in FENCED.findall(PAGE) if kind == "sh")
CYCLE = 10_000  # picoseconds, in which time stands in the file


def rises(one: Var) -> int:
    """When a signal of one bit rises first, in cycles."""
    return next(time for time, value in one.signal if value == 1) // CYCLE


def test_kinds_are_those_of_tokens() -> None:
    rows = re.findall(r"^\| (\d) \| (\w+):", PAGE, re.MULTILINE)
    assert [(int(number), name) for number, name in rows] == [
        (kind.value, kind.name.lower()) for kind in Kind
    ]


def names_in(folder: Path) -> set[str]:
    """Files for viewers."""
    found = (one.relative_to(folder) for one in folder.rglob("*") if one.is_file())
    kinds = (".gtkw", ".sucl", ".txt")
    return {str(one) for one in found if one.suffix in kinds}


@pytest.mark.slow
def test_the_page_names_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, [*shlex.split(COMMAND)[1:], "--quiet"])
    assert result.exit_code == 0, result.output
    waves = waves_in(Path("out"))
    assert waves is not None
    for name in re.findall(r"`(out/[\w.-]+)`", PAGE):  # VCD in place of FST here and there
        assert (Path(name) if "dump" not in name else waves.path).is_file(), name
    assert kept("out/simulate.json")["equal"]

    found = {one.full_name: one for one in Waveform(str(waves.path)).all_vars()}
    scopes = {path.rpartition(".")[0] for path in found}
    for scope in re.findall(r"`(bench_top(?:\.\w+)*)` \|", PAGE):
        assert scope in scopes, scope
    unit = "bench_top.chain.dense0"
    rows = re.findall(r"^\| (`\w+__\w+`.*?) \|", PAGE, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(names) > 15
    for name in (*names, "x__payload.data", "x__payload.kind"):
        assert f"{unit}.{name}" in found, name
    for name in ("dx__valid", "dx__ready", "dx__payload"):
        assert f"bench_top.chain.dense1.{name}" in found
        assert f"{unit}.{name}" not in found
    shown = re.findall(r"^\+\{[^}]+\} (\S+)$", Path("out/simulate.gtkw").read_text(), re.MULTILINE)
    assert len(shown) > 20
    escape = "\\" if waves.path.suffix == ".vcd" else ""  # of names with a point, in GTKWave
    assert f"{unit}.{escape}x__payload.kind[1:0]" in shown
    assert {one.replace("\\", "").split("[")[0] for one in shown} <= found.keys()
    assert misread(Path("out/simulate.sucl"), Path("out") / MAPPINGS, waves.path) == []
    left = names_in(Path("out"))
    assert "simulate.gtkw" in left
    # From Python the same is left for viewers.
    counterflow.simulate("tiny", samples=12, waves="python")
    assert names_in(Path("python")) == left
    for name in left:
        text = (Path("python") / name).read_text(encoding="utf-8")
        there = (Path("out") / name).read_text(encoding="utf-8")
        assert text.replace("python/", "out/") == there
    # The first slot of the trace begins in the cycle that the page counts.
    recording, issue = rises(found["bench_top.recording"]), rises(found[f"{unit}.now__issue"])
    assert waves.begin // CYCLE == recording
    begins = re.search(r'"ts":(\d+)', Path("out/simulate-trace.json").read_text(encoding="utf-8"))
    assert begins is not None
    assert issue - recording == int(begins[1])
