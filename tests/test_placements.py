"""Several placements of one netlist: each as by itself, the fastest kept, nothing left behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from counterflow.cli import main
from counterflow.design.fpga.targets import target
from counterflow.design.tools import placements, programs
from counterflow.design.tools.follow import ToolError, follow
from counterflow.design.tools.placements import Placements, place
from counterflow.design.tools.routing import LOG, Routed
from counterflow.design.tools.synthesis import NETLIST
from tests.kept import kept

SPEEDS = {1: 40.0, 2: 50.0, 3: 45.0, 4: 50.0}


def routed(fmax: float) -> Routed:
    return Routed(fmax=fmax, paths=(), cells={}, arrivals={})


def fake(monkeypatch: pytest.MonkeyPatch, failing: Sequence[int] = ()) -> list[Path]:
    """A router that makes of a seed what `SPEEDS` says; where it worked."""
    folders: list[Path] = []

    def route(_target: Any, folder: Path, on_line: Any, *, seed: int, **_aim: Any) -> Routed:
        folders.append(folder)
        assert (folder / NETLIST).read_text() == "netlist"
        on_line("Info: Routing..")
        (folder / LOG).write_text(f"of seed {seed}")
        (folder / "bits").write_text(f"bits of seed {seed}")
        if seed in failing:
            raise ToolError(f"no way for {seed}", folder / LOG)
        return routed(SPEEDS[seed])

    monkeypatch.setattr(placements, "route", route)
    return folders


def placed(folder: Path, seeds: Sequence[int], heard: Any = None, **more: Any) -> Placements:
    (folder / NETLIST).write_text("netlist")
    hear = heard or (lambda _seed, _line: None)
    return place(target("ecp5-25f"), folder, seeds, hear, frequency=100.0, **more)


def test_the_fastest_is_kept_with_its_log_and_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders = fake(monkeypatch)
    heard: list[tuple[int, str]] = []
    on_line = placements.followed([1, 2, 3, 4], lambda *one: heard.append(one))  # type: ignore[arg-type]
    found = placed(tmp_path, [1, 2, 3, 4], on_line, kept=("bits",))
    assert found.best == 2  # of equals the first, whichever ended first
    assert found.median == 47.5
    assert found.frequencies == SPEEDS
    assert str(found) == "seed 2, the best of 4 (median 47.50 MHz)"
    assert (tmp_path / LOG).read_text() == "of seed 2"
    assert (tmp_path / "bits").read_text() == "bits of seed 2"
    assert {path.name for path in tmp_path.iterdir()} == {NETLIST, LOG, "bits"}
    assert len(set(folders)) == 4
    assert sorted(heard) == [("route", f"seed {seed}: ") for seed in SPEEDS]


def test_seeds_without_a_route_are_told_and_the_others_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake(monkeypatch, failing=[2, 4])
    found = placed(tmp_path, [1, 2, 3, 4])
    assert found.failed == {2: "no way for 2", 4: "no way for 4"}
    assert str(found) == "seed 3, the best of 4 (median 42.50 MHz, 2 not routed)"


def test_where_no_seed_has_a_route_the_first_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake(monkeypatch, failing=[1, 2])
    with pytest.raises(ToolError, match="no way for 1") as caught:
        placed(tmp_path, [1, 2], kept=("bits",))
    assert caught.value.log == tmp_path / LOG
    assert (tmp_path / LOG).read_text() == "of seed 1"
    assert {path.name for path in tmp_path.iterdir()} == {NETLIST, LOG}


def test_a_seed_alone_is_called_by_its_number() -> None:
    assert str(Placements({7: routed(20.0)}, {})) == "seed 7"


def test_a_program_that_another_thread_stops_ends_at_once(tmp_path: Path) -> None:
    stopped = threading.Event()
    threading.Timer(0.3, stopped.set).start()
    begun = time.monotonic()
    with pytest.raises(ToolError, match="It failed"):
        follow(
            ["sleep", "60"], tmp_path, "log", lambda _line: None, what="It", stopped=stopped.is_set
        )
    assert time.monotonic() - begun < 30


def test_an_interrupt_stops_every_router(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended: list[int] = []
    both = threading.Barrier(2)

    def route(*_arguments: Any, seed: int, stopped: threading.Event, **_aim: Any) -> Routed:
        both.wait(60)
        if seed == 1:
            raise KeyboardInterrupt
        assert stopped.wait(60)
        ended.append(seed)
        raise ToolError("stopped", None)

    monkeypatch.setattr(placements, "route", route)
    monkeypatch.setattr(placements, "processes", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        placed(tmp_path, [1, 2])
    assert ended == [2]


def test_each_of_several_is_what_it_is_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for program in (programs.YOSYS, *programs.ROUTERS.values()):
        pytest.importorskip(program.module, reason=f"the package {program.package} is missing")
    monkeypatch.chdir(tmp_path)

    def synthesised(*options: str) -> Any:
        arguments = ["synth", "tiny", "--unit", "intake", "--target", "up5k", "-o", "out"]
        result = CliRunner().invoke(main, [*arguments, *options, "--json"])
        assert result.exit_code == 0, result.output
        answer = json.loads(result.stdout)
        assert answer == kept("out/synth.json")
        return answer

    several, one = synthesised("--seeds", "2"), synthesised("--seed", "2")
    assert several["fmax_by_seed"]["2"] == one["fmax_by_seed"]["2"] == one["fmax"]
    assert several["fmax"] == max(several["fmax_by_seed"].values())
    assert several["seed"] == int(max(several["fmax_by_seed"], key=several["fmax_by_seed"].get))
