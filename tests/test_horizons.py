"""What `plan` and `compare` say of networks in components, and of several horizons of one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from counterflow.commands.options import with_interlocking
from counterflow.design.network.files import load
from counterflow.design.schedule.components import components
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.compare import PLAIN_AND_MITIGATED
from tests.commands import read, refuse, run, succeed
from tests.interlocked import BLOCKS, EXITS, design
from tests.kept import kept

pytestmark = pytest.mark.usefixtures("elsewhere")

NET, QUICK = "tiny-local", ("--seeds", "2", "--epochs", "1", "--samples", "60")


# ---- components of a plan ----------------------------------------------------------------------


def test_every_unit_that_learns_is_of_one_component() -> None:
    for planned in (plan(load("deep-digits-local")), plan(load("digits")), design(BLOCKS)):
        found = components(planned)
        parts = [part for one in found for part in (one.body, one.head) if part is not None]
        names = [name for part in parts for name in part.units]
        assert sorted(names) == sorted(stage.name for stage in planned.schedule.stages)
        held = sum(unit.held.get("stash", 0) for unit in planned.schedule.units)
        assert sum(part.stash for part in parts) == held
        for part in parts:
            delays = [planned.schedule.by_name[name].delay for name in part.units]
            assert list(part.delays) == delays


def test_a_component_learns_from_its_own_loss_or_from_that_at_the_end() -> None:
    local = load("deep-digits-local")
    assert [one.loss for one in components(plan(local))] == [1, 2, 3, 4]
    whole = components(plan(with_interlocking(local, 4)))
    assert [one.loss for one in whole] == [4, 4, 4, 4]
    assert [one.head for one in whole] == [None] * 4
    assert [one.body.units[0] for one in whole] == ["dense0", "dense4", "dense8", "dense12"]
    exits = components(design(EXITS))
    assert [one.loss for one in exits] == [3, 3, 3]
    assert [one.head is None for one in exits] == [False, False, True]


# ---- plan ---------------------------------------------------------------------------------------


def test_plan_lists_components_of_networks_that_have_some() -> None:
    answer = read("plan", NET)["components"]
    assert [one["component"] for one in answer] == [1, 2, 3, 4]
    assert [one["learns_from"] for one in answer] == [1, 2, 3, 4]
    assert answer[1]["units"] == ["dense1"]
    assert answer[1]["delays"] == [4]
    assert answer[1]["head"] == {"units": ["denseh2l0"], "delays": [2], "stash_bits": 152}
    assert answer[3]["head"] is None
    assert "components and the losses" in succeed("plan", NET).stdout
    assert "components" not in read("plan", "tiny")
    assert "components and the losses" not in succeed("plan", "tiny").stdout


def test_the_losses_of_heads_are_no_units_that_a_plan_counts() -> None:
    shown = succeed("plan", NET).stdout
    assert "denseh1l0" in shown
    assert "loss1" not in shown
    assert "branches meet" not in shown  # nothing waits in a fork that one gradient comes back by


def size(path: str) -> tuple[int, int]:
    """Width and height of a PNG file."""
    width, height = struct.unpack(">II", Path(path).read_bytes()[16:24])
    return width, height


def test_plan_has_horizons_side_by_side_and_draws_them() -> None:
    answer = read("plan", NET, "--interlocking", "1,4", "-o", "out")
    assert kept("out/plan.json") == answer
    local, whole = answer["horizons"]
    for sees, one in ((1, local), (4, whole)):
        expected = plan(with_interlocking(load(NET), sees))
        assert one["interlocking"] == sees
        assert one["delay"] == expected.schedule.delay
        assert one["multipliers"] == expected.schedule.multipliers
        assert one["memory_bits"] == expected.memory_bits
        assert one["stash_bits"] == sum(
            part["stash_bits"]
            for component in one["components"]
            for part in (component, component["head"])
            if part
        )
    assert local["delay"] < whole["delay"]
    assert min(size("out/plan-horizons.png")) > 300
    shown = succeed("plan", NET, "--interlocking", "1,4").stdout
    assert "1, local" in shown
    assert "4, end to end" in shown


def test_a_budget_holds_for_every_horizon() -> None:
    answer = read("plan", NET, "--interlocking", "4,1", "--multipliers", "9")
    assert [one["interlocking"] for one in answer["horizons"]] == [4, 1]
    assert all(one["multipliers"] <= 9 for one in answer["horizons"])


# ---- compare ------------------------------------------------------------------------------------


def methods(answer: Any) -> list[Any]:
    return [method for one in answer["horizons"] for method in one["methods"]]


def test_compare_trains_every_horizon_by_every_method_and_tells_of_every_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    answer = read("compare", NET, "--interlocking", "1,4", *QUICK, "-o", "out")
    assert kept("out/compare.json") == answer
    local, whole = answer["horizons"]
    for one, heads in ((local, [1, 2, 3]), (whole, [])):
        assert [(row["scheme"], row["mitigation"]) for row in one["methods"]] == [
            (method.scheme, method.mitigation) for method in PLAIN_AND_MITIGATED
        ]
        for row in one["methods"]:
            assert len(row["accuracies"]) == 2
            assert [head["component"] for head in row["heads"]] == heads
            assert all(len(head["accuracies"]) == 2 for head in row["heads"])
    assert (local["delay"], whole["delay"]) == (5, 9)
    shown = succeed("compare", NET, "--interlocking", "1,4", *QUICK).stdout
    assert "by head" in shown
    assert "4, end to end" in shown


def test_a_horizon_is_trained_as_the_network_that_names_it() -> None:
    """The local one is `tiny-local` itself, and its training is that of `train`."""
    (local,) = read("compare", NET, "--interlocking", "1", *QUICK)["horizons"]
    row = next(one for one in local["methods"] if one["scheme"] == "sequential")
    trained = read(
        *("train", NET, "--scheme", "sequential", "--mitigation", "none"),
        *("--epochs", "1", "--samples", "60"),
    )
    assert row["accuracies"][0] == trained["accuracy"]
    heads = [one["accuracies"][0] for one in row["heads"]]
    assert heads == [one["accuracy"] for one in trained["epochs"][-1]["heads"]]


def test_compare_has_both_kinds_of_numbers_of_a_horizon() -> None:
    answer = read("compare", NET, "--interlocking", "4", *QUICK, "--model", "both")
    assert [one["model"] for one in methods(answer)] == ["integer"] * 3 + ["float"] * 3


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["plan", "compare"])
def test_horizons_that_cannot_be_are_refused_in_a_sentence(command: str) -> None:
    assert "interlocking is 5, but the network has 4 components" in refuse(
        command, NET, "--interlocking", "1,5"
    )
    assert "give components" in refuse(command, "digits", "--interlocking", "2")
    result = run(command, NET, "--interlocking", "local")
    assert result.exit_code == 2
    assert "'local' is no list of" in result.stderr


def test_what_says_nothing_of_horizons_is_refused_beside_them() -> None:
    assert "leave out --stash" in refuse("plan", NET, "--interlocking", "1", "--stash", "all")
    for more in (("--hybrid", "100"), ("--placement", "2", "--model", "float")):
        said = refuse("compare", NET, "--interlocking", "1", *more)
        assert "--interlocking compares neither" in said
    assert "leave out --interlocking" in refuse("plan", NET, "--targets", "--interlocking", "1")
