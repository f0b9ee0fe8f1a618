"""`counterflow simulate` and `demo`: what they make of a report, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from counterflow.design.tools import programs
from tests.commands import read, refuse, run, succeed
from tests.kept import kept
from tests.reported import Simulation, report, simulation

__all__ = ["simulation"]  # a fixture

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_simulate_says_how_much_was_compared(simulation: Simulation) -> None:
    asked = simulation(report())
    answer = read("simulate", "tiny", "--samples", "8", "--seed", "3", "-o", "out")
    assert asked["samples"] == 8
    assert asked["seed"] == 3
    assert asked["log"].name == "simulate.log"
    said = ("cycles", "samples", "equal", "compared", "mismatches")
    assert {key: answer[key] for key in said} == {
        "cycles": 5000,
        "equal": True,
        "samples": 8,
        "compared": 123_456,
        "mismatches": 0,
    }
    assert answer["utilisation"] == {"planned": 0.99, "measured": 0.98}
    assert answer["first_divergence"] is None
    assert kept("out/simulate.json") == answer
    assert answer["provenance"]["seed"] == 3
    shown = succeed("simulate", "tiny").stdout
    assert "123,456 values over 5,000 cycles compared, 0 mismatches" in shown


def test_simulate_says_what_a_run_exercised_and_what_not(simulation: Simulation) -> None:
    asked = simulation(report(counters=11, exercised={"inference": True, "stalls": False}))
    answer = read("simulate", "tiny")
    assert not asked["harsh"]
    assert answer["counters"] == 11
    assert answer["exercised"] == {"inference": True, "stalls": False}
    shown = " ".join(succeed("simulate", "tiny").stdout.split())
    assert "Exercised: training, 11 counters, inference." in shown
    assert "Not exercised: stalls (--harsh)." in shown
    simulation(report(exercised={"rate drops": False, "stalls": True}))
    shown = " ".join(succeed("simulate", "tiny", "--harsh").stdout.split())
    assert "Not exercised: rate drops." in shown
    assert "choose one" in refuse("simulate", "tiny", "--harsh", "--long")


def test_simulate_fails_where_something_differs(simulation: Simulation) -> None:
    found = "cycle 77: dense1 weights[3] is 4, expected 5"
    simulation(report(mismatches=2, first_divergence=found))
    result = run("simulate", "tiny", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["first_divergence"], answer["mismatches"]) == (found, 2)
    assert answer["equal"] is False
    assert found in run("simulate", "tiny").stdout


def test_simulate_fails_where_nothing_was_compared(simulation: Simulation) -> None:
    simulation(report(compared=0))
    result = run("simulate", "tiny")
    assert result.exit_code == 1
    assert "Nothing was compared" in result.stdout
    answer = kept("build/tiny/simulate.json")
    assert (answer["equal"], answer["compared"], answer["mismatches"]) == (False, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "2"], "--epochs needs --long"),
        (["--jobs", "2"], "--jobs needs --long"),
        (["--long", "--jobs", "0"], "0 is not in the range 1<=x<=1024"),
        (["--long", "--waves"], "no waveforms"),
        (["--simulator", "modelsim"], "'verilator', 'icarus'"),
    ],
)
def test_simulate_refuses_what_does_not_go_together(arguments: list[str], words: str) -> None:
    assert words in refuse("simulate", "tiny", *arguments)


def test_missing_tools_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    for arguments in (["simulate", "tiny"], ["demo"]):
        said = refuse(*arguments)
        assert "a C++ compiler" in said
        assert "apt-get install g++ make perl" in said
    assert "iverilog" in refuse("simulate", "tiny", "--simulator", "icarus")


def test_demo_shows_everything_once(simulation: Simulation) -> None:
    asked = simulation(report())
    answer = read("demo", "--net", "tiny", "-o", "out")
    assert asked["samples"] == 200
    assert answer["compared"] == 123_456
    assert answer["training"]["accuracy"] > 0.8
    names = {path.name for path in Path("out").iterdir()}
    drawn = {"demo.png", "demo-slots.png", "demo-stages.png"}
    assert names == {"demo.v", *drawn, "demo.json", "demo.toml"}
    simulation(report(mismatches=1))
    assert run("demo", "--net", "tiny", "-o", "out", "--quiet").exit_code == 1
