"""The comparison of mitigations: fair, repeatable, and over when it is interrupted."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from counterflow.data import synthetic
from counterflow.description import Description
from counterflow.planner import plan
from golden.compare import METHODS, Method, Row, compare_mitigations, with_method
from golden.training import train

DATA = synthetic(8, 4, 40, seed=3)


def network(**recipe: Any) -> Description:
    return Description.model_validate(
        {
            "name": "net",
            "inputs": 8,
            "layers": [{"outputs": 6}, {"outputs": 4, "activation": "none"}],
            "recipe": {"epochs": 2, **recipe},
            "fold": {"multipliers": 20},
        }
    )


def test_rows_are_those_of_single_trainings() -> None:
    description = network()
    rows = compare_mitigations(description, DATA, seeds=(3, 4), threads=2)
    assert [row.method for row in rows] == list(METHODS)
    for row in rows:
        changed = with_method(description, row.method)
        assert changed.recipe.mitigation == row.method.mitigation
        single = [
            train(changed, plan(changed).schedule, DATA, seed=seed).epochs[-1].test_accuracy
            for seed in (3, 4)
        ]
        assert list(row.accuracies) == single


def test_slow_mitigations_and_the_float_model_can_be_compared() -> None:
    methods = [Method("pipelined", "stash"), Method("sequential", "none")]
    for model in ("integer", "float"):
        rows = compare_mitigations(
            network(), DATA, seeds=[1], methods=methods, epochs=1, limit=20, model=model
        )
        assert [str(row.method) for row in rows] == ["pipelined, stash", "sequential, none"]
        assert all(len(row.accuracies) == 1 for row in rows)


def test_a_description_of_batches_can_be_compared() -> None:
    changed = with_method(network(scheme="fill-and-drain", batch=4), METHODS[0])
    assert (changed.recipe.scheme, changed.recipe.batch) == ("sequential", 1)
    assert Description.model_validate_json(changed.model_dump_json()) == changed


def test_a_row_has_mean_and_deviation() -> None:
    row = Row(METHODS[0], (0.5, 0.7, 0.9))
    assert row.mean == pytest.approx(0.7)
    assert row.sd == pytest.approx(statistics.stdev([0.5, 0.7, 0.9]))
    assert Row(METHODS[0], (0.5,)).sd == 0


def test_progress_covers_all_trainings() -> None:
    calls: list[tuple[int, int]] = []
    compare_mitigations(
        network(), DATA, seeds=(1, 2), threads=2, on_progress=lambda *both: calls.append(both)
    )
    total = len(METHODS) * 2 * 2 * 40
    assert calls == sorted(calls)
    assert calls[-1] == (total, total)


def test_an_interruption_ends_all_trainings() -> None:
    calls: list[int] = []

    def interrupt(done: int, total: int) -> None:
        calls.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_mitigations(network(), DATA, threads=2, on_progress=interrupt)
    assert len(calls) <= len(METHODS) * 5  # none of them reports twice


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one seed and one method"):
        compare_mitigations(network(), DATA, seeds=[])
