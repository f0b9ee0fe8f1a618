"""`counterflow plan`: folds, targets and budgets, as they are shown and as they are kept."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from counterflow.commands.networks import layers
from counterflow.design.network.files import load, parse, to_toml
from counterflow.design.schedule.planner import plan
from tests.commands import read, refuse, run, succeed
from tests.kept import kept
from tests.norms import design

pytestmark = pytest.mark.usefixtures("elsewhere")


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
