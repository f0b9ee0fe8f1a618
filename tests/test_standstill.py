"""Trainings in which no weight can move are refused; those in which none did say so."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.network.description import Description
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.standstill import check_moves
from counterflow.design.units.arithmetic import RANDOM_BITS, UnitArithmetic
from counterflow.golden.training.epochs import TrainingResult, train
from counterflow.golden.training.moved import standing
from counterflow.golden.units.update import Settings, updated
from tests.commands import run, succeed

CLUSTERS = synthetic(8, 4, 60, seed=3)
REFUSED = r"recipe\.learning_rate is \S+ \(2\^-(\d+)\), with which no weight can move"


def network(rate: int, rounding: str = "nearest-even", **recipe: Any) -> Description:
    return Description.model_validate(
        {
            "name": "net",
            "dataset": "synthetic",
            "inputs": 8,
            "layers": [{"outputs": 6}, {"outputs": 4, "activation": "none"}],
            "rounding": {"update": rounding},
            "recipe": {"learning_rate": 2.0**-rate, "epochs": 2, **recipe},
            "fold": {"multipliers": 20},
        }
    )


def trained(description: Description, **options: Any) -> TrainingResult:
    return train(description, plan(description).schedule, CLUSTERS, **options)


def checked(description: Description) -> None:
    check_moves(description, plan(description).schedule)


def numbers_of(description: Description) -> list[UnitArithmetic]:
    return [stage.arithmetic for stage in plan(description).schedule.weighted]


@pytest.mark.parametrize("mitigation", ["none", "lwpv+sc"])
@pytest.mark.parametrize("momentum", [0.0, 0.875])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_what_cannot_move_is_what_the_largest_gradient_does_not_move(
    mitigation: str, momentum: float, accumulate: int
) -> None:
    told = set()
    for rate in range(14, 26):
        recipe = {"mitigation": mitigation, "momentum": momentum, "accumulate": accumulate}
        for numbers in numbers_of(network(rate, **recipe)):
            most = numbers.positions * numbers.accumulate * numbers._largest_product
            zero = np.zeros(2, np.int64)
            settings = Settings(numbers.predicts, numbers.compensates)
            gradient = np.array([most, -most])
            weight, velocity, _ = updated(numbers, settings, zero, zero, gradient, zero)
            assert numbers.moves == bool(weight.any() or velocity.any())
            told.add(numbers.moves)
    assert told == {True, False}


@pytest.mark.parametrize("rounding", ["stochastic", "truncate"])
def test_other_roundings_can_move_a_weight_however_small_the_rate(rounding: str) -> None:
    description = network(22, rounding, mitigation="none", momentum=0.0)
    checked(description)
    for numbers in numbers_of(description):
        assert numbers.moves
        zero, all_bits = np.zeros(1, np.int64), np.array([(1 << RANDOM_BITS) - 1])
        moved, _, _ = updated(numbers, Settings(), zero, zero, np.array([-1]), all_bits * 0)
        raised, _, _ = updated(numbers, Settings(), zero, zero, np.array([1]), all_bits)
        assert moved.any() or raised.any()


def test_a_training_that_cannot_move_is_refused_with_a_rate_that_would_do() -> None:
    description = network(32)
    with pytest.raises(ValueError, match=REFUSED) as caught:
        trained(description)
    text = str(caught.value)
    assert "2.32831e-10" in text
    assert "rounding.update 'stochastic'" in text
    (rate,) = map(int, re.findall(r"at 2\^-(\d+) weights of all layers can move", text))
    assert all(one.moves for one in numbers_of(network(rate)))
    assert not all(one.moves for one in numbers_of(network(rate + 1)))  # it is the least
    checked(network(rate))


def test_what_is_refused_would_have_moved_nothing() -> None:
    result = trained(network(32), may_stand=True)
    assert dict(result.moved) == {"dense0": 0.0, "dense1": 0.0}
    assert str(standing(result.moved)).startswith("No weight has moved")


def test_floats_are_never_refused() -> None:
    result = trained(network(32), model="float")
    assert all(share > 0.5 for share in result.moved.values())


def test_a_training_that_moved_says_nothing() -> None:
    result = trained(network(7))
    assert all(share > 0.5 for share in result.moved.values())
    assert standing(result.moved) is None


def test_units_that_stood_still_are_named() -> None:
    said = standing({"dense0": 0.0, "dense1": 0.4, "norm2": 0.0})
    assert said is not None
    assert "No weight of dense0, norm2 has moved" in said


def test_shares_are_of_weights_and_biases_and_count_every_one() -> None:
    description = network(7)
    result = trained(description, epochs=1)
    assert result.checkpoint is not None
    resumed = trained(description, resume=replace(result.checkpoint, data=None), epochs=2, limit=1)
    assert resumed.checkpoint is not None
    pairs = zip(result.checkpoint.states, resumed.checkpoint.states, strict=True)
    for name, (before, after) in zip(resumed.moved, pairs, strict=True):
        differ = [(before.arrays[one] != after.arrays[one]).ravel() for one in ("weight", "bias")]
        assert resumed.moved[name] == np.concatenate(differ).mean()


# On the command line


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, rate: int) -> str:
    Path(name).write_text(
        f"""
name = "still"
dataset = "synthetic"
inputs = 8
layers = [{{ outputs = 6 }}, {{ outputs = 4, activation = "none" }}]
[rounding]
update = "nearest-even"
[recipe]
learning_rate = {2.0**-rate!r}
mitigation = "none"
momentum = 0.0
"""
    )
    return name


@pytest.mark.parametrize(
    "command",
    [("train",), ("compare", "--seeds", "1")],
    ids=["train", "compare"],
)
def test_a_command_refuses_it_and_leaves_nothing(command: tuple[str, ...]) -> None:
    result = run(*command[:1], write("still.toml", 32), *command[1:], "-o", "out")
    assert result.exit_code == 2
    assert re.search(REFUSED, result.stderr)
    assert not list(Path("out").glob("*.json"))


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_one_in_which_nothing_moved_says_so_at_its_end(quiet: list[str]) -> None:
    file = write("slow.toml", 20)  # a gradient of 2 would move a weight, but none is above 1
    result = succeed("train", file, "--epochs", "1", "--json", "-o", "out", *quiet)
    answer = json.loads(result.stdout)
    assert "Warning: No weight has moved" in result.stderr
    assert answer["warning"] in result.stderr
    assert answer["moved"] == {"dense0": 0.0, "dense1": 0.0}
    learns = succeed("train", write("fast.toml", 9), "--epochs", "1", "--json", "-o", "out")
    assert "Warning" not in learns.stderr
    assert json.loads(learns.stdout)["warning"] is None
