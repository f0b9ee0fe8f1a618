"""The host's row of tokens, its file of progress, its settings, and the faults of a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from counterflow.cli import main
from counterflow.design.data.training import training_data
from counterflow.design.network.files import load
from counterflow.design.parts.recipe import RateDrop, Recipe
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.epochs import train
from counterflow.golden.training.models import IntegerModel
from counterflow.golden.training.start import initial_states
from counterflow.host.course import course
from counterflow.host.progress import Progress
from counterflow.sim.boards.line_faults import LineFaults

PROGRESS = Progress("0123456789ab", 1, 0, 4, None, "last", "sha", mark=7, base=99)


def test_the_course_is_the_training_of_the_golden_model() -> None:
    tiny = load("tiny")
    recipe = Recipe(epochs=3, rate_drops=(RateDrop(epoch=1, shift=2),), accumulate=2)
    description = tiny.model_copy(update={"recipe": recipe})
    schedule, data = plan(description).schedule, training_data(description)
    way = course(description, schedule, data, seed=5, epochs=range(3), limit=37, evaluate="each")
    model = IntegerModel(description, schedule, initial_states(description, schedule, 5))
    for leg in way.legs:
        model.set(leg.settings)
        model.run(leg.kinds, leg.indices, way.part(leg))
    wanted = train(description, schedule, data, seed=5, epochs=3, limit=37, evaluate=True)
    assert wanted.checkpoint is not None
    for found, state in zip(model.states, wanted.checkpoint.states, strict=True):
        assert np.array_equal(found.weight, state.weight)
        assert found.generator == state.generator
    assert way.tokens == sum(len(leg.kinds) for leg in way.legs)
    assert [leg.first for leg in way.legs[1:]] == [leg.end for leg in way.legs[:-1]]
    assert [leg.epoch for leg in way.legs if way.ends_epoch(leg)] == [0, 1, 2]
    assert all((leg.kinds == Kind.INFER).all() == leg.tests for leg in way.legs)


def test_progress_comes_back_and_says_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    assert Progress.load(path) is None
    PROGRESS.save(path)
    assert Progress.load(path) == PROGRESS
    other = Progress("0123456789ab", 2, 0, 4, None, "last", "sha", mark=0, base=0)
    assert PROGRESS.differs(other) == "seed 1, not 2"
    assert PROGRESS.differs(PROGRESS) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seed": 1}', "\0"])
def test_another_file_is_no_progress(tmp_path: Path, text: str) -> None:
    path = tmp_path / "progress.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not a file about a training under way"):
        Progress.load(path)


def test_faults_are_the_same_for_the_same_seed_and_every_kind_shows() -> None:
    data = bytes(range(256)) * 200
    first, second = LineFaults(1e-2, seed=3), LineFaults(1e-2, seed=3)
    assert first.spoil(data) == second.spoil(data[:999]) + second.spoil(data[999:])
    assert min(first.injected[kind] for kind in first.kinds) > 10
    assert first.spoil(data) != data
    assert LineFaults(0).spoil(data) == data


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--faults", "much"), "'much' does not begin with a number"),
        (("--faults", "2"), "the rate of faults is 2.0, expected 0 to below 1"),
        (("--faults", "1e-3,bend"), "bend is no kind of fault; possible are flip, lose"),
        (("--baud", "9000000"), "a clock of 12 MHz is too slow for 9,000,000 baud"),
    ],
)
def test_bad_options_of_the_simulated_board_are_one_sentence(
    options: tuple[str, ...], said: str
) -> None:
    done = CliRunner().invoke(main, ["board-sim", "tiny", *options])
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
