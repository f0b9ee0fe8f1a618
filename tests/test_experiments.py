"""The experiments: what is done is kept and never done twice, however a run of them ends."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from counterflow.design.data.sets import Dataset
from counterflow.design.data.training import training_data
from counterflow.design.network.files import load, to_toml
from counterflow.design.network.provenance import provenance
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.compare import Method, with_method
from counterflow.golden.training.epochs import Callback, train
from counterflow.results import accuracy, experiments
from counterflow.results.accuracy import Run
from counterflow.results.experiments import Curve, Job, jobs, main, run_all, run_job, undelayed
from counterflow.results.settings import WAYS, Setting

TINY = Setting("tiny", "synthetic", epochs=2, seeds=(2, 1))
ALL = jobs([TINY])


def made_up(job: Job, dataset: Dataset, on_progress: Callback) -> Run:
    on_progress(1, 2)
    return Run(
        way=job.way.name,
        seed=job.seed,
        samples=10,
        delays=job.setting.delays,
        test_accuracy=(0.5, 0.75),
        test_loss=(1.0, 0.5),
        curve=(),
        provenance=provenance(job.setting.description, seed=job.seed),
        description=to_toml(job.setting.description),
    )


class Stops:
    """Raises `error` in place of training number `after`."""

    def __init__(self, after: int, error: BaseException) -> None:
        self.after, self.error, self.made = after, error, list[Job]()

    def __call__(self, job: Job, dataset: Dataset, on_progress: Callback) -> Run:
        if len(self.made) == self.after:
            raise self.error
        self.made.append(job)
        return made_up(job, dataset, on_progress)


def test_every_way_and_seed_is_tried_once() -> None:
    assert len(ALL) == len(set(ALL)) == 4 * 2 + 1


def test_a_first_seed_of_every_way_comes_before_a_second_of_any() -> None:
    first = ALL[: len(WAYS)]
    assert {job.way for job in first} == set(WAYS)
    assert {job.seed for job in first} == {1}
    assert first[-1].way.model == "float"  # which takes longest


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    trainer = Stops(3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_all(ALL, tmp_path, trainer=trainer)
    assert len(accuracy.read(tmp_path, TINY)) == 3
    rest = Stops(100, KeyboardInterrupt())
    assert run_all(ALL, tmp_path, trainer=rest) == len(ALL) - 3
    assert sorted(map(str, trainer.made + rest.made)) == sorted(map(str, ALL))
    assert run_all(ALL, tmp_path, trainer=Stops(0, AssertionError())) == 0


SLOW = """
import sys, time
from pathlib import Path
from tests import test_experiments as t
def slow(*arguments):
    time.sleep(0.2)
    return t.made_up(*arguments)
t.run_all(t.ALL, Path(sys.argv[1]), trainer=slow)
"""


def test_a_killed_run_leaves_whole_files(tmp_path: Path) -> None:
    path = accuracy.path_of(tmp_path, TINY)
    root = Path(__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)], cwd=root) as process:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    done = len(accuracy.read(tmp_path, TINY))
    assert 1 <= done < len(ALL)
    assert run_all(ALL, tmp_path, trainer=made_up) == len(ALL) - done


def test_a_full_disk_leaves_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_all(ALL[:2], tmp_path, trainer=made_up)
    before = accuracy.path_of(tmp_path, TINY).read_bytes()

    def full(*arguments: Any) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(accuracy, "write_atomically", full)
    monkeypatch.setattr(experiments, "SETTINGS", (TINY,))
    monkeypatch.setattr(experiments, "run_all", lambda *a, **k: run_all(*a, trainer=made_up, **k))
    assert main(["--out", str(tmp_path)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert accuracy.path_of(tmp_path, TINY).read_bytes() == before


def test_a_network_that_was_changed_is_trained_anew(tmp_path: Path) -> None:
    run_all(ALL, tmp_path, trainer=made_up)
    longer = Setting("tiny", "synthetic", epochs=3, seeds=(2, 1))
    assert run_all(jobs([longer]), tmp_path, trainer=made_up) == len(ALL)


def test_an_unknown_network_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing"]) == 1
    assert capsys.readouterr().err.startswith("error: there is no network 'nothing'")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_training_is_that_of_its_command_line(way: Any) -> None:
    data = training_data(TINY.description)
    done: list[int] = []
    run = run_job(Job(TINY, way, 3), data, lambda count, total: done.append(count))
    command = TINY.command(way, 3)
    assert command[:5] == ["counterflow", "train", "tiny", "--epochs", "2"]
    description = with_method(load("tiny"), Method(way.scheme, way.mitigation))
    expected = train(
        description, plan(description).schedule, data, seed=3, epochs=2, model=way.model
    )
    assert run.test_accuracy == tuple(one.test_accuracy for one in expected.epochs)
    losses = [one.test_loss for one in expected.epochs]
    assert run.test_loss == pytest.approx(losses, rel=1e-9)
    assert run.curve
    assert done[-1] == 2 * run.samples


def test_sequential_training_in_one_stage_needs_no_bubbles() -> None:
    description = undelayed(with_method(load("tiny"), Method("sequential", "none")))
    assert description.recipe.scheme == "pipelined"
    assert description.recipe.placement == ()


def test_a_curve_has_points_of_at_least_its_step() -> None:
    curve = Curve(100)
    for _ in range(5):
        curve.add(60, 30, 120.0)
    assert curve.points == [(120, 2.0, 0.5), (240, 2.0, 0.5)]
