"""What is said of networks that no label judges: errors and ROC, never an accuracy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from counterflow.cli import main
from counterflow.commands import host_report
from counterflow.design.data.friedman import friedman
from counterflow.design.data.training import training_data
from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.compare import METHODS, compare_mitigations
from counterflow.golden.training.epochs import test as tried
from counterflow.golden.training.epochs import train
from counterflow.golden.training.measures import Ruler, roc
from counterflow.golden.training.models import IntegerModel, parts, targets_in
from counterflow.golden.training.start import initial_states
from counterflow.host.course import course
from counterflow.host.outcome import Outcome
from tests.lossy import NETWORKS


def trained(name: str, **options: Any) -> Any:
    description = load(name)
    dataset = training_data(description)
    return train(description, plan(description).schedule, dataset, **options)


# ---- measures -----------------------------------------------------------------------------------


def test_the_area_is_the_chance_that_a_strange_sample_has_the_larger_loss() -> None:
    random = np.random.default_rng(1)
    usual, strange = random.integers(0, 20, 60), random.integers(5, 25, 40)
    pairs = strange[:, None] - usual[None, :]
    exact = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    found = roc(usual.astype(float), strange.astype(float))
    assert found.auc == pytest.approx(exact)
    assert (found.usual, found.strange) == (60, 40)
    assert (found.false[-1], found.true[-1]) == (1.0, 1.0)


@pytest.mark.parametrize(("strange", "area"), [([9.0, 8.0], 1.0), ([0.0], 0.0), ([5.0], 0.5)])
def test_areas_of_cases_known_by_hand(strange: list[float], area: float) -> None:
    assert roc(np.array([5.0, 5.0]), np.array(strange)).auc == area


CHANCES = {**NETWORKS["bce of the input"], "name": "chances", "dataset": "synthetic"}


@pytest.mark.parametrize(
    ("description", "columns"),
    [
        (load("tiny"), ["right"]),
        (load("tiny-mse"), ["RMSE", "explained (R2)"]),
        (Description.model_validate(CHANCES), []),
    ],
    ids=lambda one: one.name if isinstance(one, Description) else " ".join(one),
)
def test_of_a_board_each_loss_has_the_columns_that_its_losses_tell(
    description: Description, columns: list[str]
) -> None:
    dataset, schedule = training_data(description), plan(description).schedule
    way = course(description, schedule, dataset, seed=1, epochs=range(1))
    outcome = Outcome(numbers=schedule.loss.arithmetic, ruler=way.ruler)
    tally = outcome.tally(way.legs[-1], ())
    assert all(shown.startswith("–") for shown in host_report._measures(tally).values())
    tally.add(right=True, bits=300)
    assert list(host_report._measures(tally)) == columns
    assert f"loss {tally.loss:.4f}" in host_report.said_of(tally)
    assert ("rmse" in tally.means) is ("RMSE" in columns)


def test_errors_are_those_of_the_scores_themselves() -> None:
    """RMSE and the explained share from losses equal those from scores and targets, exactly."""
    description = load("tiny-mse")
    dataset, schedule = training_data(description), plan(description).schedule
    _, test = parts(description, dataset)
    states = initial_states(description, schedule, 1)
    model = IntegerModel(description, schedule, states)
    kinds = np.ones(len(test), np.uint8)
    scores, _ = model.chain.run(kinds, np.arange(len(test)), test.samples, test.labels)  # type: ignore[call-arg,arg-type]
    targets = targets_in(description, test)
    off = np.asarray(scores) * 2.0**-8 - targets
    found = tried(description, schedule, dataset, states)
    assert found is not None
    assert dataset.target_scaling is not None
    assert (found.accuracy, found.test_accuracy) == (None, None)
    unit = Ruler.of(description, dataset, targets)
    assert unit is not None
    assert found.test_rmse == pytest.approx(np.sqrt((off**2).mean()) * unit.unit, rel=1e-6)
    explained = 1 - (off**2).mean() / targets.var(axis=0).mean()
    assert found.test_explained == pytest.approx(explained, rel=1e-6)


def test_a_regression_is_beside_a_linear_fit_and_the_float_model() -> None:
    x, t, test_x, test_t = friedman()
    plane, *_ = np.linalg.lstsq(np.c_[x, np.ones(len(x))], t, rcond=None)
    off = np.c_[test_x, np.ones(len(test_x))] @ plane - test_t
    found = trained("friedman")
    last = found.epochs[-1]
    assert found.linear == pytest.approx(np.sqrt((off**2).mean()), rel=2e-3)  # codes are rounded
    assert last.test_rmse < 1.25 < 2.6 < found.linear  # the noise alone is 1
    assert last.test_explained > 0.94
    assert (last.accuracy, last.test_accuracy) == (None, None)


def test_an_autoencoder_tells_the_class_that_it_has_never_seen() -> None:
    description = load("digits-autoencoder")
    dataset = training_data(description)
    assert 9 not in dataset.train_y
    assert 9 not in dataset.test_y
    assert dataset.strange_x is not None
    found = trained("digits-autoencoder")
    assert (found.roc.usual, found.roc.strange) == (len(dataset.test_y), len(dataset.strange_x))
    assert found.roc.auc > 0.8
    assert found.epochs[-1].test_explained > 0.6
    assert found.epochs[-1].test_accuracy is None


@pytest.mark.parametrize("model", ["integer", "float"])
def test_a_class_that_is_not_held_out_is_not_told(model: Any) -> None:
    """The area of noise is a half: a check of the check."""
    description = load("digits-autoencoder")
    dataset = training_data(description)
    schedule = plan(description).schedule
    options: dict[str, Any] = {"epochs": 1, "limit": 40, "model": model}
    found = train(description, schedule, dataset, **options)
    assert found.roc is not None
    half = dataset.test_x[::2]
    alike = train(
        description, schedule, type(dataset)(**{**vars(dataset), "strange_x": half}), **options
    )
    assert alike.roc is not None
    assert alike.roc.auc == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("name", "accuracy"),
    [
        ("mse of a label", True),
        ("bce of a label, one output", True),
        ("bce of the input", False),
        ("mse of data", False),
    ],
)
def test_only_labels_make_an_accuracy(name: str, accuracy: bool) -> None:
    description = Description.model_validate({**NETWORKS[name], "dataset": "synthetic"})
    dataset = training_data(description)
    found = train(description, plan(description).schedule, dataset, epochs=4)
    last = found.epochs[-1]
    assert (last.accuracy is not None, last.test_accuracy is not None) == (accuracy, accuracy)
    assert last.loss < found.epochs[0].loss
    if accuracy:
        assert last.test_accuracy > 0.6


# ---- commands -----------------------------------------------------------------------------------


def said(*arguments: str) -> tuple[str, dict[str, Any]]:
    """What a command shows, and its JSON."""
    found = CliRunner().invoke(main, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    return found.stderr, json.loads(found.stdout)


def test_train_shows_errors_and_no_accuracy(tmp_path: Path) -> None:
    text, found = said("train", "tiny-mse", "--epochs", "2", "-o", str(tmp_path))
    assert "RMSE" in text
    assert "explained" in text
    assert "A linear fit" in text
    assert "accuracy" not in text.lower()
    assert found["accuracy"] is None
    assert found["rmse"] > 0
    assert found["rmse_linear"] > 0
    assert (tmp_path / "train.png").exists()


def test_train_shows_how_a_class_is_told(tmp_path: Path) -> None:
    text, found = said("train", "digits-autoencoder", "--epochs", "1", "-o", str(tmp_path))
    assert "Class 9, held out: AUC" in " ".join(text.split())
    assert "180 samples of it" in " ".join(text.split())
    assert set(found["held_out"]) == {"auc", "usual", "strange"}
    assert (tmp_path / "train-roc.png").stat().st_size > 5_000


def test_plans_count_the_multiplier_and_the_targets_that_wait(tmp_path: Path) -> None:
    _, found = said("plan", "digits-autoencoder", "-o", str(tmp_path))
    (loss,) = found["losses"]
    assert loss["multipliers"] == 1
    assert loss["memory_bits"] > 64 * 8
    units = [*found["units"], *found["norms"], *found["passing"], *found["losses"]]
    assert sum(one["multipliers"] for one in units) == found["multipliers"]
    assert sum(one["memory_bits"] for one in units) == found["memory_bits"]


def test_comparisons_are_of_the_share_explained_or_refused() -> None:
    description = load("tiny-mse")
    dataset = training_data(description)
    (row,) = compare_mitigations(
        description, dataset, seeds=[1], methods=METHODS[:1], epochs=3, threads=1
    )
    assert row.explained
    assert 0.5 < row.mean < 1
    fields = {**NETWORKS["bce of the input"], "dataset": "synthetic"}
    judged_by_nothing = Description.model_validate(fields)
    with pytest.raises(ValueError, match="no accuracy to compare"):
        compare_mitigations(judged_by_nothing, dataset, seeds=[1])
