"""The command line: what scripts rely on, and bad input answered with a sentence and no damage."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import counterflow
from counterflow.cli import TRACEBACK, main
from counterflow.commands import train
from counterflow.commands.display import spark
from counterflow.commands.networks import layers
from counterflow.design.data.training import training_data
from counterflow.design.network.files import load, parse, shipped, to_toml
from counterflow.design.parts.recipe import MITIGATIONS
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.tools import programs
from counterflow.sim.bench.reports import SimulationReport, SlotTime
from tests.kept import kept
from tests.norms import design

TINY = """
name = "mine"
dataset = "synthetic"
inputs = 6
layers = [{ outputs = 5 }, { outputs = 4, activation = "none" }]
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in an empty folder, so that anything left behind shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TRACEBACK, raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def succeed(*arguments: str) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def read(*arguments: str) -> Any:
    """What a command prints with --json, which must be all of its standard output."""
    return json.loads(succeed(*arguments, "--json").stdout)


def refuse(*arguments: str) -> str:
    """What a command says that must refuse its input, leaving nothing behind."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    said = result.stderr.split("Error: ")[-1].strip()
    assert "\n" not in said
    assert 0 < said.count(". ") + said.endswith(("?", ".")) <= 2
    after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert after == before
    return said


# What works


def test_networks() -> None:
    shown = succeed("networks").stdout
    assert all(name in shown for name in shipped())
    found = read("networks")["networks"]
    assert [one["name"] for one in found] == list(shipped())
    assert found[list(shipped()).index("digits")] == {
        "name": "digits",
        "widths": [64, 32, 32, 10],
        "parameters": 3466,
        "dataset": "digits",
        "multipliers": plan(load("digits")).schedule.multipliers,
        "interval": plan(load("digits")).schedule.interval,
        "fits": "ecp5-45f",
    }


def test_widths_in_short() -> None:
    assert layers((64, 32, 32, 10)) == "64-32-32-10"
    assert layers((64, *[32] * 16, 10)) == "64-[32]x16-10"


@pytest.mark.parametrize("name", ["tiny", "digits", "deep-digits", "mnist"])
def test_plan(name: str) -> None:
    expected = plan(load(name))
    answer = read("plan", name)
    assert answer["interval"] == expected.schedule.interval
    assert answer["multipliers"] == expected.schedule.multipliers
    assert answer["memory_bits"] == expected.memory_bits
    assert answer["utilisation"] == expected.schedule.utilisation
    assert [unit["delay"] for unit in answer["units"]] == [u.delay for u in expected.units]
    for unit in answer["units"]:
        assert {"name", "lanes", "cycles", "delay", "multipliers", "memory_bits"} <= set(unit)
        assert set(unit["lanes"]) == {"outputs", "inputs", "shared"}
    shown = succeed("plan", name).stdout
    assert f"{expected.memory_bits:,}" in shown
    assert succeed("plan", name, "--quiet").output == ""


def test_plan_of_norms() -> None:
    """They have a delay, multipliers and memory, with a target and without."""
    norms = design("two in a residual body")
    Path("norms.toml").write_text(to_toml(norms.description), encoding="utf-8")
    expected = [
        {
            "name": norm.name,
            "delay": norm.delay,
            "multipliers": 5,
            "memory_bits": norm.memory_bits,
        }
        for norm in norms.schedule.norms
    ]
    answer = read("plan", "norms.toml")
    assert answer["norms"] == expected
    assert answer["multipliers"] == norms.schedule.multipliers
    assert answer["memory_bits"] == norms.memory_bits > sum(one["memory_bits"] for one in expected)
    for arguments in (("plan", "norms.toml"), ("plan", "norms.toml", "--target", "ecp5-85f")):
        shown = succeed(*arguments).stdout
        (row,) = (line.split() for line in shown.splitlines() if line.split()[:1] == ["norm1b0"])
        assert "5" in row[2:]
    fitted = read("plan", "norms.toml", "--target", "ecp5-85f")
    assert [fitted["needs"][one["name"]]["multipliers"] for one in expected] == [5, 5]
    assert all(fitted["needs"][one["name"]]["luts"] > 2_000 for one in expected)
    failed = run("plan", "norms.toml", "--target", "up5k")
    assert failed.exit_code == 2
    assert "at least 14 multipliers (one a unit with weights, 10 in others)" in failed.output


def test_plan_within_a_budget() -> None:
    answer = read("plan", "digits", "--multipliers", "28", "--memory", "200000")
    assert answer["multipliers"] <= 28
    assert answer["memory_bits"] <= 200_000
    assert sum(unit["multipliers"] for unit in answer["units"]) == answer["multipliers"]
    assert read("plan", "digits", "--interval", "1000")["interval"] <= 1000


def test_plan_with_multipliers_of_luts_beside_those_of_a_budget_or_a_target() -> None:
    plain = read("plan", "lenet5")
    more = read("plan", "lenet5", "--lut-multipliers", "57")
    assert more["multipliers"] == 156 - 2 + 57  # lanes of three each
    assert more["interval"] < plain["interval"]
    lanes = [unit["lanes"] for unit in more["units"] if "lanes" in unit]
    assert [one.get("in_luts", 0) for one in lanes] == [0, 19, 0, 0, 0]
    assert [unit["delay"] for unit in more["units"]] == [unit["delay"] for unit in plain["units"]]
    assert read("plan", "lenet5", "--lut-multipliers", "56")["multipliers"] <= 156 + 54
    few, many = (
        read("plan", "lenet5", "--target", "ecp5-85f", "--multipliers", "100", *more)
        for more in ((), ("--lut-multipliers", "24"))
    )
    assert few["total"]["multipliers"] <= 100
    assert many["total"]["multipliers"] <= 100 < many["multipliers"] <= 100 + 24
    assert many["interval"] < few["interval"]
    failed = run("plan", "waveforms", "--interval", "2000", "--lut-multipliers", "9")
    assert failed.exit_code == 2
    assert "fold.lut_multipliers is 9, but there is no fold.multipliers" in failed.output


def test_plan_for_a_target() -> None:
    answer = read("plan", "digits", "--target", "ecp5-25f", "--freq", "50")
    assert answer["target"] == "ecp5-25f"
    assert answer["fits"] is True
    assert answer["available"]["multipliers"] == 28
    for name in ("multipliers", "block_rams", "luts"):
        assert answer["total"][name] == sum(unit[name] for unit in answer["needs"].values())
        assert answer["total"][name] <= answer["available"][name]
    assert set(answer["needs"]) == {"intake", "dense0", "dense1", "dense2", "loss"}
    assert answer["total"]["multipliers"] == answer["multipliers"]
    slowest = max(answer["units"], key=lambda unit: unit["cycles"])
    assert slowest["name"] in answer["bottleneck"]
    assert answer["next"]["interval"] < answer["interval"]
    assert "multipliers" in answer["lacking"]
    assert answer["samples_per_second"] == 50e6 / answer["interval"]
    shown = succeed("plan", "digits", "--target", "ecp5-25f").stdout
    assert "which digits-conv has reached" in shown  # of those routed it is most alike
    for name, unit in answer["needs"].items():
        assert re.search(rf"{name} .* {unit['block_rams']} +{unit['luts']:,}", shown)
    assert all(line in shown for line in (answer["advice"][0], answer["advice"][2]))


def test_plan_says_samples_a_second_without_a_target_too() -> None:
    answer = read("plan", "tiny", "--freq", "30")
    assert answer["samples_per_second"] == 30e6 / answer["interval"]
    assert "At 30 MHz it trains on" in succeed("plan", "tiny", "--freq", "30").stdout


def test_what_does_not_fit_a_target_is_refused_with_what_would() -> None:
    said = refuse("plan", "digits", "--target", "up5k")
    assert re.match(r"digits does not fit up5k: it needs at least \d+ block RAMs, most of ", said)
    assert "It fits xc7a35t (every " in said
    result = run("plan", "digits", "--target", "up5k", "--json")
    assert result.exit_code == 2
    answer = json.loads(result.stdout)
    short, stages = answer.pop("short"), answer.pop("stages")
    assert answer.pop("provenance")["network"] == "digits"
    assert answer == {"network": "digits", "target": "up5k", "fits": False, "advice": [said]}
    assert short[0]["resource"] == "block_rams"
    assert short[0]["needed"] - short[0]["available"] == short[0]["short"] > 0
    assert f"at least {short[0]['needed']} block RAMs" in said
    assert [stage["image"] for stage in stages] == [[1, 1]]
    assert sum(stages[0]["held"].values()) == stages[0]["memory_bits"]
    assert re.search(rf"block RAMs +{short[0]['needed']} +30 +{short[0]['short']} ", result.stderr)
    for command in ("verilog", "simulate", "train"):
        assert refuse(command, "digits", "--target", "up5k") == said


def test_plan_on_every_target_says_what_is_short() -> None:
    answer = read("plan", "digits", "--targets")
    found = {one["target"]: one for one in answer["targets"]}
    assert found["ecp5-25f"]["fits"] is True
    assert (
        found["ecp5-25f"]["interval"] == read("plan", "digits", "--target", "ecp5-25f")["interval"]
    )
    assert found["up5k"]["fits"] is False
    assert found["up5k"]["short"][0]["resource"] == "block_rams"
    shown = succeed("plan", "digits", "--targets").stdout
    assert len(shown.splitlines()) == len(found)
    assert re.search(r"^hx8k +short of 3 multipliers \(3 of 0\)$", shown, re.MULTILINE)
    assert refuse("plan", "digits", "--targets", "--target", "up5k").endswith("leave out --target.")


def test_plan_with_stashes_outside_says_what_passes_and_is_a_plan_only() -> None:
    plain = read("plan", "digits-conv")
    assert "outside" not in plain
    answer = read("plan", "digits-conv", "--stash", "all", "--freq", "50")
    outside = answer["outside"]
    assert answer["interval"] == plain["interval"]
    bytes_ = sum(2 * unit["image_bytes"] for unit in outside["units"])
    assert outside["sample_bytes"] == bytes_ > 0
    assert answer["samples_per_second"] == 50e6 / answer["interval"]
    assert outside["bandwidth"] == bytes_ * answer["samples_per_second"]
    held = [
        sum(stage["held"].get("stash", 0) for stage in one["stages"]) for one in (plain, answer)
    ]
    assert held[0] - held[1] == sum(unit["freed_bits"] for unit in outside["units"])
    assert "This is a plan only" in succeed("plan", "digits-conv", "--stash", "all").stdout
    said = refuse("verilog", "digits-conv", "--stash", "all")
    assert said == "--stash all can be planned, but no hardware is made for it yet; leave it out."


def test_what_does_not_fit_is_drawn_where_it_was_asked_for() -> None:
    assert run("plan", "digits", "--target", "up5k", "-o", "out").exit_code == 2
    assert {path.name for path in Path("out").iterdir()} == {
        *("plan-memory.png", "plan.json", "plan.toml")
    }
    assert kept("out/plan.json")["fits"] is False


def test_a_fold_for_a_target_is_generated_as_it_was_planned() -> None:
    planned = read("plan", "tiny", "--target", "ecp5-25f", "--multipliers", "4")
    succeed("verilog", "tiny", "--target", "ecp5-25f", "--multipliers", "4", "-o", "out")
    lanes = parse(Path("out/tiny-verilog.toml").read_text()).fold.lanes
    assert lanes is not None
    assert [one.model_dump() for one in lanes] == [unit["lanes"] for unit in planned["units"]]
    assert planned["multipliers"] <= 4


def test_plan_of_a_file_is_that_of_its_network() -> None:
    Path("copy.toml").write_text(to_toml(load("digits")))
    of_file, of_name = read("plan", "copy.toml"), read("plan", "digits")
    for answer, net in ((of_file, "copy.toml"), (of_name, "digits")):
        assert answer["provenance"].pop("command") == f"counterflow plan {net} --json"
    assert of_file == of_name


def test_output_folder_says_where_it_comes_from() -> None:
    succeed("plan", "tiny", "--multipliers", "9", "-o", "out")
    names = {path.name for path in Path("out").iterdir()}
    assert names == {"plan.json", "plan-stages.png", "plan-memory.png", "plan.toml"}
    facts = kept("out/plan.json")["provenance"]
    description = parse(Path("out/plan.toml").read_text())
    assert description.fold.multipliers == 9
    assert facts["description_hash"] == description.hash()
    assert facts["command"] == "counterflow plan tiny --multipliers 9 -o out"
    assert facts["seed"] == description.recipe.seed
    assert {"counterflow", "numpy", "amaranth", "verilator"} <= set(facts["versions"])


def test_verilog() -> None:
    answer = read("verilog", "tiny", "-o", "out")
    assert set(answer["files"]) == {
        str(Path("out") / name) for name in ("tiny.v", "tiny-verilog.toml", "tiny-verilog.json")
    }
    assert kept("out/tiny-verilog.json") == answer
    assert "module tiny" in Path("out/tiny.v").read_text()
    assert parse(Path("out/tiny-verilog.toml").read_text()) == load("tiny")
    first = Path("out/tiny.v").read_bytes()
    succeed("verilog", "tiny")
    assert Path("build/tiny/tiny.v").read_bytes() == first


def test_help_teaches_by_example() -> None:
    assert "counterflow demo" in succeed("--help").stdout
    for name in main.commands:
        shown = succeed(name, "--help").stdout
        assert f"counterflow {name}" in shown
        assert "Example" in shown
    assert "version" in succeed("--version").stdout


def test_choices_are_those_of_the_recipe() -> None:
    assert train.MITIGATIONS == MITIGATIONS


def test_help_starts_without_the_slow_packages() -> None:
    code = (
        "import sys; from counterflow.cli import main; main(['plan', 'tiny', '--json'], "
        "standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    )
    root = Path(counterflow.__file__).parent.parent
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    modules = set(result.stderr.split())
    assert not modules & {"amaranth", "cocotb", "matplotlib", "numba", "rich.progress"}


def test_spark() -> None:
    assert spark([0.0, 0.5, 1.0]) == "▁▅█"
    assert spark([2.0]) == "▁"
    assert spark([1.0, float("inf"), 2.0, float("nan")]) == "▁×█×"
    assert spark([float("nan")]) == "×"


# Training


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


# Simulation: what the command makes of a report


def report(**changes: Any) -> SimulationReport:
    made = SimulationReport(
        cycles=5000,
        samples=8,
        compared=123_456,
        mismatches=0,
        utilisation_planned=0.99,
        utilisation_measured=0.98,
        first_divergence=None,
        seconds=0.5,
        losses=[2.0] * 8,
        golden_losses=[2.0] * 8,
        correct=[True] * 8,
        slots=[
            SlotTime("dense0", slot, 60 * slot, 60 * slot + 60, slot, slot - 2) for slot in range(8)
        ],
    )
    return dataclasses.replace(made, **changes)


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Callable[[SimulationReport], dict[str, Any]]:
    """Makes `sim.simulate` return a given report; gives back what it was asked for."""

    def use(answer: SimulationReport) -> dict[str, Any]:
        asked: dict[str, Any] = {}

        def simulate(design: Plan, dataset: object, **options: Any) -> SimulationReport:
            asked.update(options, plan=design)
            options["on_progress"](1, 2)
            return answer

        module = types.ModuleType("counterflow.sim.simulate")
        module.simulate = simulate  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "counterflow.sim.simulate", module)
        return asked

    return use


Simulation = Callable[[SimulationReport], dict[str, Any]]


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


# Bad input

COMMANDS = ("plan", "train", "verilog", "simulate", "compare")

BAD_FILES = {
    "wrong key": ("layrs = 3", ["bad.toml", "unknown key 'layrs'", "did you mean 'layers'?"]),
    "wrong type": ("[recipe]\nepochs = 'ten'", ["recipe.epochs", "'ten'", "an integer"]),
    "wrong width": ("[fold]\nmultipliers = 0", ["fold.multipliers is 0", "from 1 to"]),
    "no epochs": ("[recipe]\nepochs = 0", ["recipe.epochs is 0", "from 1 to"]),
    "no format": ("[formats]\nweight = 'x20'", ["formats.weight", "'x20'", "'s20.18'"]),
    "formats that do not fit": ("[formats]\nvelocity = 's14.9'", ["s14.9", "s20.18", "equally"]),
    "no TOML": ("[recipe", ["bad.toml", "not TOML", "expected"]),
    "budget": ("[fold]\nmultipliers = 1", ["fold.multipliers is 1", "needs at least 2"]),
    "interval": ("[fold]\ninterval = 5", ["fold.interval is 5", "needs at least"]),
    "memory": ("[fold]\nmemory = 9", ["fold.memory is 9 bits", "needs"]),
    "lanes": (
        "[fold]\nlanes = [{ outputs = 9, inputs = 1 }, { outputs = 1, inputs = 1 }]",
        ["layers[0]", "9x1", "5 outputs"],
    ),
    "rate too low": ("[recipe]\nlearning_rate = 9.5367431640625e-07", ["layers[0]", "2^-20"]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", BAD_FILES)
def test_bad_file(command: str, fault: str) -> None:
    text, words = BAD_FILES[fault]
    Path("bad.toml").write_text(TINY + text)
    said = refuse(command, "bad.toml")
    for word in words:
        assert word in said


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_shape(command: str) -> None:
    Path("bad.toml").write_text(TINY.replace('activation = "none"', 'activation = "relu"'))
    said = refuse(command, "bad.toml")
    assert "layers[1]" in said
    assert "'none'" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_network(command: str) -> None:
    assert "did you mean 'digits'?" in refuse(command, "digts")
    assert "cannot be read (No such file or directory)" in refuse(command, "none.toml")


@pytest.mark.parametrize("command", ["train", "simulate", "compare"])
def test_bad_data(command: str) -> None:
    folder = Path("data")
    folder.mkdir()
    assert "there is no train-images" in refuse(command, "mnist", "--data", "data")
    damaged = folder / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(gzip.compress(b"\0" * 999)[:-9])
    (folder / "train-labels-idx1-ubyte").write_bytes(b"\0" * 9)
    assert str(damaged) in refuse(command, "mnist", "--data", "data")
    Path("wide.toml").write_text(TINY.replace("synthetic", "digits"))
    assert "6 inputs" in refuse(command, "wide.toml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "tiny", "--multipliers", "0"], "0 is not in the range 1<=x<=1000000"),
        (["plan", "tiny", "--multipliers", "many"], "'many' is not a valid integer"),
        (["plan", "tiny", "--multiplier", "3"], "--multiplier"),
        (["plan"], "NET"),
        (["plan", "tiny", "--target", "ecp5-85"], "did you mean 'ecp5-85f'? There are ecp5-25f, "),
        (["plan", "tiny", "--target", "hx8k"], "it needs at least 2 multipliers (one a unit)"),
        (["plan", "tiny", "--target", "up5k", "--interval", "2"], "needs at least 26, whatever"),
        (
            ["synth", "tiny", "--target", "hx8k"],
            "it needs 2 multipliers of 0 (2 too many). It fits",
        ),
        (["synth", "digits", "--target", "up5k"], "multipliers of 8 (56 too many) and "),
        (["train", "tiny", "--epochs", "0"], "0 is not in the range 1<=x<=1000000"),
        (
            ["verilog", "tiny", "-o", "-"],
            "'-' is no file here, and nothing goes to standard output",
        ),
        (["train", "tiny", "--checkpoint", "-"], "name one, or ./-"),
        (["train", "tiny", "--epochs", "-3"], "-3 is not in the range 1<=x<=1000000"),
        (["train", "tiny", "--seed", "-1"], "-1 is not in the range"),
        (["train", "tiny", "--scheme", "gpipe"], "'gpipe'"),
        (["train", "tiny", "--mitigation", "magic"], "'magic'"),
        (["train", "tiny", "--batch", "4"], "batch 4 needs scheme 'fill-and-drain'"),
        (["tarin", "tiny"], "tarin"),
    ],
)
def test_bad_arguments(arguments: list[str], words: str) -> None:
    assert words in refuse(*arguments)


def test_bad_checkpoint() -> None:
    assert "there is no such checkpoint" in refuse("train", "tiny", "--resume", "none.npz")
    Path("junk.npz").write_bytes(b"junk")
    assert "junk.npz: cannot be read" in refuse("train", "tiny", "--resume", "junk.npz")
    succeed("train", "tiny", "--epochs", "1", "--checkpoint", "tiny.npz")
    assert "checkpoint of the network" in refuse("train", "digits", "--resume", "tiny.npz")
    assert "checkpoint" in refuse("train", "tiny", "--resume", "tiny.npz", "--mitigation", "none")
    assert "seed 1, not 2" in refuse("train", "tiny", "--resume", "tiny.npz", "--seed", "2")
    assert "epochs is 1" in refuse("train", "tiny", "--resume", "tiny.npz", "--epochs", "1")
    assert "float" in refuse("train", "tiny", "--resume", "tiny.npz", "--model", "float")


def test_output_folder_that_cannot_be() -> None:
    Path("file").write_text("precious")
    for command in ("plan", "verilog"):
        said = refuse(command, "tiny", "-o", "file/below")
        assert "file/below cannot be made: file is a file" in said
    assert "file/x cannot be made" in refuse("train", "tiny", "--checkpoint", "file/x")
    assert Path("file").read_text() == "precious"


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(ValueError, match="no network"):
        CliRunner().invoke(main, ["plan", "none"], catch_exceptions=False)


def test_every_command_is_there() -> None:
    wanted = {"networks", "data", "plan", "train", "verilog", "simulate", "demo", "compare"}
    wanted |= {"synth", "boards", "build", "program", "board-sim", "host", "prove"}
    wanted |= {"import", "export", "profile"}
    assert set(main.commands) == wanted
    assert all(isinstance(command, click.Command) for command in main.commands.values())
