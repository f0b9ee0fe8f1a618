"""The hybrid scheme: pipelined training that goes on sequentially, in either model.

The scheme is that of Zhang & Abdelrahman, arXiv 1912.12675.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from counterflow.commands.compare import compare
from counterflow.commands.recovered import recovered
from counterflow.design.data.sets import Dataset, synthetic
from counterflow.design.network.description import Description
from counterflow.design.parts.beside import StoppedError
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.recipe import MITIGATIONS, Recipe
from counterflow.design.parts.tokens import Kind, runs
from counterflow.design.schedule.planner import plan
from counterflow.golden.chain import Chain
from counterflow.golden.fast.chain import FastChain
from counterflow.golden.training.apart import train_apart
from counterflow.golden.training.checkpoint import load, save
from counterflow.golden.training.compare import (
    METHODS,
    Method,
    Row,
    compare_mitigations,
    methods_with_hybrid,
    with_method,
)
from counterflow.golden.training.epochs import TrainingResult, train
from counterflow.golden.training.models import (
    FloatModel,
    IntegerModel,
    Part,
    epoch_runs,
    settings_in,
)
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.convolution import UnitState
from counterflow.golden.units.update import Settings
from tests.thinned import combined

SEED = 5
COUNT = 40  # samples of an epoch
DENSE = {"inputs": 8, "layers": [{"outputs": 9}, {"outputs": 7}, {"outputs": 4}]}
IMAGES = {
    "inputs": [2, 4, 1],
    "layers": [
        {"kind": "convolution", "outputs": 5, "kernel": [2, 1], "padding": [1, 0]},
        {"kind": "max-pool", "kernel": [1, 2]},
        {"outputs": 4},
    ],
}
NORMED = {
    "inputs": [2, 4, 1],
    "layers": [
        {
            **{"kind": "convolution", "outputs": 3, "kernel": 1, "activation": "none"},
            "formats": {"activation": "s12.5"},
        },
        {"kind": "norm"},
        {"outputs": 4},
    ],
}
DATA = synthetic(8, 4, COUNT, seed=3, shape=(2, 4, 1))


def network(shape: dict[str, Any] = DENSE, **recipe: Any) -> Description:
    layers = [*shape["layers"][:-1], {**shape["layers"][-1], "activation": "none"}]
    fields = {"learning_rate": 2.0**-7, "epochs": 3, "seed": SEED, **recipe}
    return Description.model_validate(
        {"name": "net", **shape, "layers": layers, "recipe": fields, "fold": {"multipliers": 40}}
    )


def trained(description: Description, data: Dataset = DATA, **options: Any) -> TrainingResult:
    return train(description, plan(description).schedule, data, **options)


def states_of(result: TrainingResult) -> list[UnitState]:
    assert result.checkpoint is not None
    return result.checkpoint.states


def assert_same(found: list[UnitState], expected: list[UnitState]) -> None:
    for one, other in zip(found, expected, strict=True):
        for name in ("weight", "velocity", "bias", "bias_velocity", "generator"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def same(found: list[UnitState], expected: list[UnitState]) -> bool:
    return all(
        np.array_equal(one.weight, other.weight) and np.array_equal(one.bias, other.bias)
        for one, other in zip(found, expected, strict=True)
    )


# ---- runs --------------------------------------------------------------------------------------


@hypothesis_settings(derandomize=True, deadline=None)
@given(count=st.integers(1, 30), after=st.integers(1, 100), epochs=st.integers(1, 4))
def test_every_sample_is_in_one_run_and_the_switch_is_after_so_many(
    count: int, after: int, epochs: int
) -> None:
    recipe = Recipe(sequential_after=after)
    schemes: list[str] = []
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(count)
        found = runs(recipe, order, before=epoch * count)
        assert np.concatenate([samples for _, samples in found]).tolist() == order.tolist()
        assert all(len(samples) for _, samples in found)
        for one, samples in found:
            schemes += [one.scheme] * len(samples)
    pipelined = min(after, epochs * count)
    assert schemes == ["pipelined"] * pipelined + ["sequential"] * (epochs * count - pipelined)


def test_the_run_after_the_switch_neither_predicts_nor_compensates() -> None:
    recipe = Recipe(
        sequential_after=13, mitigation="lwpv+sc", rate_drops=[{"epoch": 1, "shift": 2}]
    )
    first, second = epoch_runs(recipe, np.arange(10), delay=3, epoch=1, before=10)
    assert first.settings == Settings(predict=True, compensate=True, extra_shift=2)
    assert second.settings == Settings(predict=False, compensate=False, extra_shift=2)
    train_, none = Kind.TRAIN, Kind.BUBBLE
    assert first.kinds.tolist() == [train_] * 3 + [none] * 3
    assert second.kinds.tolist() == [train_, none, none, none] * 7
    assert first.indices.tolist() == [0, 1, 2, -1, -1, -1]
    assert second.indices[::4].tolist() == list(range(3, 10))


def test_no_gradient_waits_at_the_switch() -> None:
    """Weights move by what was summed up, however few samples that were."""
    recipe = Recipe(sequential_after=5, accumulate=3)
    first, second = epoch_runs(recipe, np.arange(9), delay=1, epoch=0, before=0)
    letters = {Kind.TRAIN: "T", Kind.ACCUMULATE: "a", Kind.BUBBLE: "."}
    assert "".join(letters[Kind(kind)] for kind in first.kinds) == "aaTaT."
    assert "".join(letters[Kind(kind)] for kind in second.kinds) == "a.a.T.T."


@pytest.mark.parametrize("scheme", ["pipelined", "sequential"])
def test_without_a_switch_an_epoch_is_one_run(scheme: str) -> None:
    recipe = Recipe(scheme=scheme)
    (one,) = epoch_runs(recipe, np.arange(7), delay=2, epoch=4, before=28)
    assert one.settings == settings_in(recipe, 4)


# ---- integers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "mitigation", "after"),
    combined([DENSE, IMAGES], MITIGATIONS, [1, 17, COUNT, COUNT + 11], every=3),
)
def test_a_hybrid_training_is_a_pipelined_one_and_then_a_sequential_one_bit_for_bit(
    shape: dict[str, Any], mitigation: str, after: int
) -> None:
    """Each part in a chain of its own, which knows nothing of the other but the states."""
    drops = [{"epoch": 1, "shift": 1}]
    recipe = {"mitigation": mitigation, "rate_drops": drops, "epochs": 2}
    description = network(shape, **recipe, sequential_after=after)
    hybrid = trained(description)

    pixels = DATA.scaling.codes(DATA.train_x, description.formats.input)
    part = Part(pixels, DATA.train_y)
    orders = [epoch_order(COUNT, SEED, epoch) for epoch in range(2)]
    states, left = initial_states(description, plan(description).schedule, SEED), after
    for scheme in ("pipelined", "sequential"):
        one = network(shape, **recipe, scheme=scheme)
        model = IntegerModel(one, plan(one).schedule, states)
        known = mitigation in ("none", "lwpv", "sc", "lwpv+sc")
        assert isinstance(model.chain, FastChain if known else Chain)
        for epoch, order in enumerate(orders):
            samples = order[:left] if scheme == "pipelined" else order
            if not len(samples):
                continue
            (run,) = epoch_runs(one.recipe, samples, model.delay, epoch, before=epoch * COUNT)
            model.set(run.settings)
            model.run(run.kinds, run.indices, part)
            orders[epoch] = order[len(samples) :]
            left -= len(samples)
        states = model.states
    assert_same(states_of(hybrid), states)


@pytest.mark.parametrize("model", ["integer", "float"])
def test_without_mitigation_one_pipelined_sample_is_a_sequential_one(model: Any) -> None:
    """Nothing is in flight before it; but its update is compensated, where that is on."""
    first = {"mitigation": "none", "epochs": 2}
    found = trained(network(**first, sequential_after=1), model=model)
    expected = trained(network(**first, scheme="sequential"), model=model)
    for one, other in zip(found.epochs, expected.epochs, strict=True):
        assert one.accuracy == other.accuracy
        assert one.test_loss == other.test_loss
    if model == "integer":
        assert_same(states_of(found), states_of(expected))
    compensated = trained(network(mitigation="sc", sequential_after=1, epochs=2), model=model)
    assert compensated.epochs[-1].test_loss != expected.epochs[-1].test_loss


@pytest.mark.parametrize("model", ["integer", "float"])
def test_a_switch_after_the_end_changes_nothing(model: Any) -> None:
    never = trained(network(epochs=2), model=model)
    late = trained(network(epochs=2, sequential_after=2 * COUNT), model=model)
    early = trained(network(epochs=2, sequential_after=2 * COUNT - 9), model=model)
    for one, other in zip(never.epochs, late.epochs, strict=True):
        assert replace(one, seconds=0.0) == replace(other, seconds=0.0)
    assert early.epochs[0].loss == never.epochs[0].loss
    assert early.epochs[1].loss != never.epochs[1].loss


def test_a_hybrid_training_differs_from_both_of_its_schemes() -> None:
    hybrid = states_of(trained(network(sequential_after=COUNT)))
    assert not same(hybrid, states_of(trained(network())))
    assert not same(hybrid, states_of(trained(network(scheme="sequential"))))


@pytest.mark.parametrize(
    ("after", "done"), combined([17, COUNT, COUNT + 11, 2 * COUNT], [1, 2], every=2)
)
def test_a_resumed_training_switches_where_the_whole_one_does(
    tmp_path: Path, after: int, done: int
) -> None:
    """Checkpoints before and after the switch; with the statistics of every epoch."""
    description = network(sequential_after=after)
    schedule = plan(description).schedule
    whole, begun = trained(description), trained(description, epochs=done)
    assert begun.checkpoint is not None
    assert begun.checkpoint.settings.predict == (done * COUNT <= after)
    save(tmp_path / "part.npz", begun.checkpoint)
    rest = trained(description, resume=load(tmp_path / "part.npz", description, schedule))
    assert_same(states_of(rest), states_of(whole))
    for one, other in zip(whole.epochs, begun.epochs + rest.epochs, strict=True):
        assert replace(one, seconds=0.0) == replace(other, seconds=0.0)


def test_progress_counts_samples_across_the_switch() -> None:
    calls: list[tuple[int, int]] = []
    description = network(sequential_after=COUNT + 11, epochs=2)
    trained(description, on_progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert (COUNT + 11, 2 * COUNT) in calls
    assert calls[-1] == (2 * COUNT, 2 * COUNT)


# ---- floats ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("placement", "mitigation"),
    combined([None, (), (1,), (1, 2)], ["none", "lwpv+sc", "lwpw", "stash"], every=2),
)
def test_the_float_model_is_sequential_sgd_behind_the_switch(
    mitigation: str, placement: tuple[int, ...] | None
) -> None:
    """From the weights and velocities at the switch on, bit for bit, whatever came before."""
    recipe = {"mitigation": mitigation, "sequential_after": 17, "placement": placement}
    description = network(**recipe)
    sequential = network(mitigation=mitigation, scheme="sequential")
    part = Part(DATA.scaling.codes(DATA.train_x, description.formats.input), DATA.train_y)
    model = FloatModel(description, plan(description).schedule, SEED)
    assert model.delay == (model.chain.delay if placement is None else 2 * len(placement))
    first, second = epoch_runs(description.recipe, np.arange(COUNT), model.delay, 0, before=0)
    assert len(first.kinds) == 17 + model.delay
    assert len(second.kinds) == (COUNT - 17) * (1 + model.delay)
    model.set(first.settings)
    model.run(first.kinds, first.indices, part)
    other = FloatModel(sequential, plan(sequential).schedule, SEED)
    for one, copy in zip(model.chain.units, other.chain.units, strict=True):
        for name in ("weight", "bias"):
            ours, theirs = getattr(one, name), getattr(copy, name)
            theirs.value, theirs.step = ours.value, ours.step
            assert ours.step.any()
    model.set(second.settings)
    model.run(second.kinds, second.indices, part)
    (rest,) = epoch_runs(sequential.recipe, np.arange(17, COUNT), other.delay, 0, before=17)
    other.set(rest.settings)
    other.run(rest.kinds, rest.indices, part)
    for one, copy in zip(model.chain.units, other.chain.units, strict=True):
        np.testing.assert_array_equal(one.weight.value, copy.weight.value)
        np.testing.assert_array_equal(one.bias.step, copy.bias.step)


# ---- compare -----------------------------------------------------------------------------------


def test_a_comparison_trains_what_each_method_says() -> None:
    """Sequential, pipelined and hybrid as in the paper; the recipe's own switch is left out."""
    description = network(sequential_after=3, epochs=2)
    hybrid = Method("pipelined", "none", sequential_after=50)
    assert methods_with_hybrid(None) == METHODS
    assert methods_with_hybrid(50) == (*METHODS, hybrid)
    assert str(hybrid) == "hybrid, none"
    rows = compare_mitigations(
        description, DATA, seeds=[SEED], methods=[METHODS[0], METHODS[1], hybrid], threads=1
    )
    for row, recipe in zip(
        rows,
        ({"scheme": "sequential"}, {}, {"sequential_after": 50}),
        strict=True,
    ):
        expected = trained(network(mitigation="none", epochs=2, **recipe))
        assert row.accuracies == (expected.epochs[-1].test_accuracy,)


def test_a_placement_is_for_pipelined_methods() -> None:
    description = network(placement=(1,), epochs=2)
    methods = [METHODS[0], METHODS[1]]
    for method, placement in zip(methods, (None, (1,)), strict=True):
        changed = with_method(description, method)
        assert changed.recipe.placement == placement
        assert Recipe.model_validate(changed.recipe.model_dump()) == changed.recipe
    rows = compare_mitigations(
        description, DATA, seeds=[SEED], methods=methods, model="float", threads=1
    )
    for row, recipe in zip(rows, ({"scheme": "sequential"}, {"placement": (1,)}), strict=True):
        expected = trained(network(mitigation="none", epochs=2, **recipe), model="float")
        assert row.accuracies == (expected.epochs[-1].test_accuracy,)


def test_floats_in_processes_of_their_own_are_the_same() -> None:
    description, methods = network(NORMED, epochs=2), METHODS[:2]
    counts: list[tuple[int, int]] = []
    alone, apart = (
        compare_mitigations(
            description,
            DATA,
            seeds=[SEED],
            methods=methods,
            model="float",
            threads=threads,
            on_progress=lambda *now: counts.append(now),
        )
        for threads in (1, 2)
    )
    assert apart == alone
    assert counts[-1][0] == counts[-1][1]


def test_what_goes_wrong_in_a_process_is_told_and_ends_it() -> None:
    description, before = network(epochs=2), multiprocessing.active_children()
    arguments = description, DATA
    with pytest.raises(ValueError, match="epoch"):
        train_apart(*arguments, epochs=0, model="float")

    def stop(done: int, total: int) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        train_apart(*arguments, model="float", on_progress=stop)
    assert multiprocessing.active_children() == before


def test_what_a_hybrid_recovers_is_its_own() -> None:
    """It shares scheme and mitigation with plain pipelining, but is not taken for it."""
    rows = [
        Row(Method("sequential", "none"), (0.875, 0.9375)),
        Row(Method("pipelined", "none"), (0.375, 0.4375)),
        Row(Method("pipelined", "none", 100), (0.75, 0.8125)),
    ]
    found = [recovered(rows, row) for row in rows]
    assert [one and (one.mean, one.interval) for one in found] == [
        (share, (share, share)) for share in (1.0, 0.0, 0.75)
    ]


def test_the_papers_runs_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ["tiny", "--seeds", "1", "--epochs", "1", "--samples", "30"]
    shown = CliRunner().invoke(compare, [*quick, "--hybrid", "10"])
    assert shown.exit_code == 0
    assert "pipelined, then sequential" in shown.stdout
    placed = CliRunner().invoke(compare, [*quick, "--placement", "1", "--model", "float"])
    assert placed.exit_code == 0
    assert "registers behind 1, 59.3 % of weights stale" in " ".join(placed.stdout.split())
    assert "then sequential" not in placed.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--placement", "1"], "which only the float model offers"),
        (["--placement", "2", "--model", "float"], "at least 1 and less than 2"),
        (["--placement", "one", "--model", "float"], "'one' is no list of layers such as 2,4"),
        (["--hybrid", "0"], "0 is not in the range 1<=x"),
    ],
)
def test_options_that_cannot_be_are_refused(options: list[str], words: str) -> None:
    found = CliRunner().invoke(compare, ["tiny", *options])
    assert found.exit_code != 0
    assert words in " ".join((str(found.exception) + found.output).split())
