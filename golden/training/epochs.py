"""Training by epochs: the order of the samples, rate drops, evaluation, progress, resumption.

The integer model is that of the hardware, bit for bit; the float model is its float64 reference
under the same schedule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from counterflow.design.data.sets import Dataset
from counterflow.design.network.description import Description
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.schedule.standstill import check_moves
from counterflow.golden.training.checkpoint import Checkpoint, TrainedOn, going_on
from counterflow.golden.training.measures import Roc, Ruler, linear_fit, ruler_of, strange_told
from counterflow.golden.training.models import (
    FloatModel,
    IntegerModel,
    Model,
    Part,
    Run,
    epoch_runs,
    parts,
)
from counterflow.golden.training.moved import moved, weights_of
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.state import State

Callback = Callable[[int, int], None]
OnBlock = Callable[[int, int, float], None]
"""Told of a block of training: samples, right answers, sum of the losses in nats."""
OnStart = Callable[[Model, Sequence[Run], Part], None]
"""Told before each epoch of the model, at rest, and of what it will be fed; changes neither."""

BLOCK = 1000  # tokens between two reports of progress


@dataclass(frozen=True)
class Head:
    """Loss in nats and accuracy of the test samples at the head behind component `component`."""

    component: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Epoch:
    """One pass over the training samples, and how well the test samples did after it.

    Losses are means, in nats or, of squared errors, half their sums; accuracies are shares, None
    where labels do not say what is right.  Those of training are of each sample when it was learnt
    from.  `seconds` is the time that training took, without the test.  ``heads``: the test samples
    at each head, from the first component's on.  ``rmse``, ``test_rmse`` and ``test_explained``,
    of squared errors: see `golden.training.measures`.
    """

    epoch: int
    samples: int
    seconds: float
    loss: float
    accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    heads: tuple[Head, ...] = ()
    rmse: float | None = None
    test_rmse: float | None = None
    test_explained: float | None = None

    @property
    def share(self) -> float | None:
        """What is said of the test samples in one number, of which more is better."""
        return self.test_explained if self.test_accuracy is None else self.test_accuracy


@dataclass(frozen=True)
class TrainingResult:
    """The epochs trained, and the state after them (None with the float model).

    ``moved``: the share of its weights that are not what they were before, by unit that learns;
    ``roc``: how the class that was held out is told, if one was; ``linear``: the error of a linear
    fit to the same samples, of a regression.
    """

    epochs: tuple[Epoch, ...]
    checkpoint: Checkpoint | None
    moved: Mapping[str, float] = field(default_factory=dict)
    roc: Roc | None = None
    linear: float | None = None

    @property
    def samples_per_second(self) -> float:
        """Training samples for each second of training."""
        seconds = sum(epoch.seconds for epoch in self.epochs)
        return sum(epoch.samples for epoch in self.epochs) / seconds if seconds else 0.0


def train(
    description: Description,
    schedule: Schedule,
    dataset: Dataset,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    limit: int | None = None,
    evaluate: bool | Literal["last"] = True,
    model: Literal["integer", "float"] = "integer",
    states: list[State] | None = None,
    resume: Checkpoint | None = None,
    other_data: bool = False,
    on_progress: Callback | None = None,
    on_epoch: Callable[[Epoch, Checkpoint | None], None] | None = None,
    on_block: OnBlock | None = None,
    on_start: OnStart | None = None,
    may_stand: bool = False,
) -> TrainingResult:
    """Train until `epochs` epochs are done (default: the recipe's), of `limit` samples at most.

    ``seed`` (default: the recipe's, or that of the checkpoint) decides on initial weights, order
    and random bits.  ``evaluate`` says whether the test samples are tried: after each epoch, after
    the last one or not at all.  The integer model begins with ``states`` in place of initial ones.
    With ``resume`` the training goes on bit for bit from where that was taken, on the same data or,
    with ``other_data``, on others that are scaled alike.  ``on_progress`` is called with the number
    of training samples done and to do, ``on_epoch`` with each epoch and the state after it,
    ``on_block`` with the results of a thousand tokens at most, as they come, ``on_start`` before
    each epoch.  A training in which no weight can move is refused unless it ``may_stand``.
    """
    recipe = description.recipe
    first, chosen = _start(description, model, seed, resume)
    if resume is not None:
        dataset = going_on(resume, dataset, other_data=other_data)
    elif model == "integer" and not may_stand:
        check_moves(description, schedule)
    train_part, test_part = parts(description, dataset)
    ruler = ruler_of(description, dataset, test_part)
    trained_on = TrainedOn.of(description, dataset)
    last = recipe.epochs if epochs is None else epochs
    if last <= first:
        raise ValueError(f"epochs is {last}, but must be more than the {first} that are done")
    chain: IntegerModel | FloatModel
    if model == "float":
        chain = FloatModel(description, schedule, chosen)
    else:
        begun = resume.states if resume else states
        begun = begun or initial_states(description, schedule, chosen)
        chain = IntegerModel(description, schedule, begun)
    _test(chain, Part(test_part.samples[:0], test_part.labels[:0]))  # compiles, if need be
    count = min(limit or len(train_part), len(train_part))
    before = weights_of(chain, schedule)
    results: list[Epoch] = []
    checkpoint = None
    for epoch in range(first, last):

        def report(done: int, before: int = (epoch - first) * count) -> None:
            if on_progress:
                on_progress(before + done, (last - first) * count)

        began = time.perf_counter()
        order = epoch_order(len(train_part), chosen, epoch)[:count]
        trained = epoch_runs(recipe, order, chain.delay, epoch, before=epoch * count)
        if on_start:
            on_start(chain, trained, train_part)
        loss, accuracy, _ = _run(chain, trained, train_part, report, on_block)
        seconds = time.perf_counter() - began
        wanted = len(test_part) and (epoch == last - 1 if evaluate == "last" else evaluate)
        test_loss, test_accuracy, by_head = _test(chain, test_part) if wanted else (None, None, ())
        heads = tuple(
            Head(one.unit.head, *said)
            for one, said in zip(schedule.losses, by_head, strict=False)  # the network's is last
        )
        results.append(
            measured(
                Epoch(epoch, count, seconds, loss, accuracy, test_loss, test_accuracy, heads),
                ruler,
                judged=description.judged,
            )
        )
        if isinstance(chain, IntegerModel):
            checkpoint = Checkpoint(
                description.hash(),
                epoch + 1,
                chosen,
                chain.settings,
                chain.states,
                data=trained_on,
            )
        if on_epoch:
            on_epoch(results[-1], checkpoint)
    told = strange_told(chain, description, dataset, test_part)
    after = weights_of(chain, schedule)
    linear = linear_fit(description, dataset, train_part.samples, test_part.samples)
    return TrainingResult(tuple(results), checkpoint, moved(before, after), told, linear)


def measured(epoch: Epoch, ruler: Ruler | None, *, judged: bool) -> Epoch:
    """`epoch` with what its losses say, and without accuracies where nothing `judged` them."""
    if judged:
        return epoch
    found = replace(epoch, accuracy=None, test_accuracy=None)
    if ruler is None:
        return found
    found = replace(found, rmse=ruler.errors(epoch.loss).rmse)
    if epoch.test_loss is None:
        return found
    tested = ruler.errors(epoch.test_loss)
    return replace(found, test_rmse=tested.rmse, test_explained=tested.explained)


def test(
    description: Description, schedule: Schedule, dataset: Dataset, states: list[State]
) -> Epoch | None:
    """The test samples under `states`, as an epoch without training; None where there are none."""
    _, part = parts(description, dataset)
    if not len(part):
        return None
    loss, accuracy, _ = _test(IntegerModel(description, schedule, states), part)
    found = Epoch(0, 0, 0.0, loss, accuracy, loss, accuracy)
    return measured(found, ruler_of(description, dataset, part), judged=description.judged)


def _run(
    chain: Model,
    runs: Sequence[Run],
    part: Part,
    report: Callable[[int], None] | None = None,
    on_block: OnBlock | None = None,
) -> tuple[float, float, tuple[tuple[float, float], ...]]:
    """All tokens of all runs, block by block: (mean loss, share of right answers, both by head)."""
    right, loss, done = 0, 0.0, 0
    heads: list[tuple[int, float]] = []
    for run in runs:
        chain.set(run.settings)
        for start in range(0, max(len(run.kinds), 1), BLOCK):
            block = slice(start, start + BLOCK)
            kinds = run.kinds[block]
            found = chain.run(kinds, run.indices[block], part)
            right, loss = right + found.right, loss + found.loss
            if found.heads:  # none where all tokens were bubbles
                before = heads or [(0, 0.0)] * len(found.heads)
                pairs = zip(before, found.heads, strict=True)
                heads = [(one[0] + more[0], one[1] + more[1]) for one, more in pairs]
            samples = int((kinds != Kind.BUBBLE).sum())
            done += samples
            if on_block:
                on_block(samples, found.right, found.loss)
            if report:
                report(done)
    count = max(done, 1)
    return loss / count, right / count, tuple((one[1] / count, one[0] / count) for one in heads)


def _test(chain: Model, part: Part) -> tuple[float, float, tuple[tuple[float, float], ...]]:
    """As `_run`, of every sample forward only; the chain is empty before and after."""
    kinds = np.full(len(part), Kind.INFER, np.uint8)
    return _run(chain, [Run(chain.settings, kinds, np.arange(len(part)))], part)


def _start(
    description: Description, model: str, seed: int | None, resume: Checkpoint | None
) -> tuple[int, int]:
    """First epoch and seed; `ValueError` where `resume` is no way to start."""
    recipe = description.recipe
    if resume is None:
        return 0, recipe.seed if seed is None else seed
    if model == "float":
        raise ValueError("a checkpoint holds integers, with which the float model cannot go on")
    if recipe.mitigation.startswith("lwpw"):
        raise ValueError(
            f"mitigation {recipe.mitigation!r} predicts from the last change of each weight, which "
            "no checkpoint holds; train it from the start"
        )
    if seed not in (None, resume.seed):
        raise ValueError(f"the checkpoint was trained with seed {resume.seed}, not {seed}")
    if resume.network != description.hash():
        raise ValueError(
            f"the checkpoint is of the network {resume.network}, not of {description.name}, which "
            f"is {description.hash()}"
        )
    return resume.epoch, resume.seed
