"""The trainings behind the page of results: every network, data set, way to train and seed.

    python -m counterflow.results.experiments [NETWORK ...]

Each training is kept as soon as it is done and is skipped from then on, so that this may be stopped
and started again at any time.  A training of a network that has been changed is made anew.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from counterflow.commands.display import Display
from counterflow.design.data.sets import Dataset
from counterflow.design.data.training import training_data
from counterflow.design.network.description import Description
from counterflow.design.network.files import load, to_toml
from counterflow.design.network.provenance import provenance
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.compare import Method, with_method
from counterflow.golden.training.epochs import Callback, train
from counterflow.results.accuracy import Point, Run, add, is_done, read
from counterflow.results.settings import FOLDER, SETTINGS, WAYS, Setting, Way

POINTS = 40  # of a curve
FLOAT_COST, BUBBLE_COST = 20.0, 0.4  # against a sample in integers; the time left hangs on them


class Job(NamedTuple):
    """One training."""

    setting: Setting
    way: Way
    seed: int

    def __str__(self) -> str:
        return f"{self.setting.name}, {self.way.name}, seed {self.seed}"

    def cost(self, samples: int) -> int:
        """Roughly how long it takes, in thousands of products."""
        schedule = plan(self.setting.description).schedule
        bubbles = schedule.delay if self.way.scheme == "sequential" else 0
        slot = FLOAT_COST if self.way.model == "float" else 1 + BUBBLE_COST * bubbles
        return int(samples * self.setting.epochs * schedule.useful * slot) // 1000


@dataclass
class Curve:
    """Blocks of a training joined to points that are at least `step` samples apart."""

    step: int
    points: list[Point] = field(default_factory=list)
    _done: int = 0
    _right: int = 0
    _loss: float = 0.0

    def add(self, samples: int, right: int, loss: float) -> None:
        """As `golden.training.epochs.OnBlock`."""
        before = self.points[-1][0] if self.points else 0
        self._done, self._right, self._loss = (
            self._done + samples,
            self._right + right,
            self._loss + loss,
        )
        count = self._done - before
        if samples and count >= self.step:
            point = (self._done, round(self._loss / count, 5), round(self._right / count, 5))
            self.points.append(point)
            self._right, self._loss = 0, 0.0


Trainer = Callable[[Job, Dataset, Callback], Run]


def run_job(job: Job, dataset: Dataset, on_progress: Callback) -> Run:
    """Train, and keep what the page needs."""
    setting, way, seed = job
    description = with_method(setting.description, Method(way.scheme, way.mitigation))
    samples = len(dataset.train_x)
    curve = Curve(samples * setting.epochs // POINTS)
    result = train(
        undelayed(description) if way.model == "float" else description,
        plan(description).schedule,
        dataset,
        seed=seed,
        epochs=setting.epochs,
        model=way.model,
        on_progress=on_progress,
        on_block=curve.add,
    )
    command = setting.command(way, seed)
    return Run(
        way=way.name,
        seed=seed,
        samples=samples,
        delays=setting.delays,
        test_accuracy=tuple(one.test_accuracy or 0.0 for one in result.epochs),
        test_loss=tuple(one.test_loss or 0.0 for one in result.epochs),
        curve=tuple(curve.points),
        provenance=provenance(
            setting.description, seed=seed, command=command, data=dataset.identity
        ),
        description=to_toml(setting.description),
    )


def undelayed(description: Description) -> Description:
    """What trains as a sequential `description` does in the float model, without its bubbles.

    All layers in one stage have no delay, so that a sample needs a single slot.
    """
    if description.recipe.scheme != "sequential":
        return description
    changes = {"scheme": "pipelined", "placement": ()}
    recipe = description.recipe.model_copy(update=changes)
    return description.model_copy(update={"recipe": recipe})


def jobs(settings: Sequence[Setting] = SETTINGS, ways: Sequence[Way] = WAYS) -> list[Job]:
    """All trainings, a seed of each after the other, of a seed those last that take longest.

    So the page has something of everything early.
    """

    def order(job: Job) -> tuple[int, bool, bool]:
        return job.seed, job.way.model == "float", job.way.scheme == "sequential"

    return sorted(_jobs(settings, ways), key=order)


def _jobs(settings: Sequence[Setting], ways: Sequence[Way]) -> Iterator[Job]:
    for setting in settings:
        for way in ways:
            for seed in range(1, setting.count(way) + 1):
                yield Job(setting, way, seed)


def run_all(
    wanted: Sequence[Job],
    folder: Path,
    *,
    trainer: Trainer = run_job,
    on_progress: Callback | None = None,
    on_done: Callable[[Job, Run, float], None] | None = None,
) -> int:
    """Make those of the `wanted` trainings that `folder` does not have; return their number.

    ``on_progress`` is called with the work done and to do, ``on_done`` with a training and the
    seconds that it took.
    """
    left = [one for one in wanted if not is_done(read(folder, one.setting), *one)]
    data: dict[str, Dataset] = {}
    for job in left:
        if job.setting.dataset not in data:
            data[job.setting.dataset] = training_data(job.setting.description)
    costs = [job.cost(len(data[job.setting.dataset].train_x)) for job in left]
    for number, job in enumerate(left):
        began = time.monotonic()

        def report(count: int, total: int, at: int = number) -> None:
            if on_progress:
                part = costs[at] * count // max(total, 1)
                on_progress(sum(costs[:at]) + part, sum(costs))

        run = trainer(job, data[job.setting.dataset], report)
        add(folder, job.setting, run)
        if on_done:
            on_done(job, run, time.monotonic() - began)
    return len(left)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m counterflow.results.experiments``; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m counterflow.results.experiments")
    parser.add_argument("networks", nargs="*", help="names (default: all that are on the page)")
    parser.add_argument("--out", type=Path, default=FOLDER, help=f"folder (default: {FOLDER})")
    options = parser.parse_args(arguments)
    display = Display()

    def done(job: Job, run: Run, seconds: float) -> None:
        display.note(f"{job}: {100 * run.accuracy:.2f} % in {seconds:.0f} s")

    try:
        names = [load(name).name for name in options.networks]
        settings = [one for one in SETTINGS if not names or one.network in names]
        with display.progress("Experiments") as on_progress:
            count = run_all(jobs(settings), options.out, on_progress=on_progress, on_done=done)
    except KeyboardInterrupt:
        print("Stopped; what was done is kept.", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    display.note(f"{count} trainings made; all are in {options.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
