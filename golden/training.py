"""Training by epochs: the order of the samples, rate drops, evaluation, progress, resumption.

The integer model is that of the hardware, bit for bit; the float model is its float64 reference
under the same schedule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from counterflow.data import Dataset, epoch_order, quantise
from counterflow.description import Description, Recipe
from counterflow.formats import Format
from counterflow.schedule import Schedule
from counterflow.softmax import LOG_FRAC
from counterflow.tokens import Kind, Token
from golden.chain import Chain
from golden.checkpoint import Checkpoint
from golden.dense import DenseState, Settings
from golden.fast import MITIGATIONS, FastChain
from golden.narrow import Integers
from golden.start import initial_states

Callback = Callable[[int, int], None]
Bytes = NDArray[np.uint8]
Codes = NDArray[np.integer[Any]]

BLOCK = 1000  # tokens between two reports of progress


@dataclass(frozen=True)
class Epoch:
    """One pass over the training samples, and how well the test samples did after it.

    Losses are means in nats, accuracies shares; those of training are of each sample when it was
    learnt from.  `seconds` is the time that training took, without the test.
    """

    epoch: int
    samples: int
    seconds: float
    loss: float
    accuracy: float
    test_loss: float | None
    test_accuracy: float | None


@dataclass(frozen=True)
class TrainingResult:
    """The epochs trained, and the state after them (None with the float model)."""

    epochs: tuple[Epoch, ...]
    checkpoint: Checkpoint | None

    @property
    def samples_per_second(self) -> float:
        """Training samples for each second of training."""
        seconds = sum(epoch.seconds for epoch in self.epochs)
        return sum(epoch.samples for epoch in self.epochs) / seconds if seconds else 0.0


@dataclass(frozen=True)
class Part:
    """Samples in the input format, [N, inputs], and their labels, [N]."""

    samples: Codes
    labels: Bytes


class Model(Protocol):
    """What can be trained; `run` returns how many samples were right and their losses' sum."""

    def set(self, extra_shift: int) -> None: ...

    def run(self, kinds: Bytes, indices: Integers, part: Part) -> tuple[int, float]: ...


class IntegerModel:
    """The golden chain, the fast one where it knows the mitigation."""

    def __init__(
        self, description: Description, schedule: Schedule, states: list[DenseState]
    ) -> None:
        fast = description.recipe.mitigation in MITIGATIONS
        self.recipe = description.recipe
        self.chain: FastChain | Chain
        self.chain = (FastChain if fast else Chain)(description, schedule, states)
        self.set(0)

    def set(self, extra_shift: int) -> None:
        self.settings = Settings(self.recipe.predicts, self.recipe.compensates, extra_shift)
        self.chain.set(self.settings)

    def run(self, kinds: Bytes, indices: Integers, part: Part) -> tuple[int, float]:
        if isinstance(self.chain, FastChain):
            scores, losses = self.chain.run(kinds, indices, part.samples, part.labels)
            expected = part.labels[indices[kinds != Kind.BUBBLE]]
            right, bits = int((scores.argmax(axis=1) == expected).sum()), int(losses.sum())
        else:
            found = self.chain.run(_tokens(kinds, indices), part.samples, part.labels)
            right, bits = sum(one.correct for one in found), sum(one.loss for one in found)
        return right, bits * 2.0**-LOG_FRAC * math.log(2)

    @property
    def states(self) -> list[DenseState]:
        return self.chain.states


class FloatModel:
    """The float64 reference, fed with what the input format makes of the samples."""

    def __init__(self, description: Description, schedule: Schedule, seed: int) -> None:
        from golden.reference import reference_chain

        self.chain = reference_chain(description, schedule, seed)
        self.input = description.formats.input

    def set(self, extra_shift: int) -> None:
        self.chain.drop_rate(extra_shift)

    def run(self, kinds: Bytes, indices: Integers, part: Part) -> tuple[int, float]:
        real = indices[kinds != Kind.BUBBLE]
        places = np.cumsum(kinds != Kind.BUBBLE) - 1
        samples = part.samples[real] * 2.0**-self.input.frac
        found = self.chain.run(_tokens(kinds, places), samples, part.labels[real])
        return sum(one.correct for one in found), sum(one.loss for one in found)


def train(
    description: Description,
    schedule: Schedule,
    dataset: Dataset,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    limit: int | None = None,
    evaluate: bool = True,
    model: Literal["integer", "float"] = "integer",
    resume: Checkpoint | None = None,
    on_progress: Callback | None = None,
    on_epoch: Callable[[Epoch, Checkpoint | None], None] | None = None,
) -> TrainingResult:
    """Train until `epochs` epochs are done (default: the recipe's), of `limit` samples at most.

    ``seed`` (default: the recipe's, or that of the checkpoint) decides on initial weights, order
    and random bits.  With ``resume`` the training goes on bit for bit from where that was taken.
    ``on_progress`` is called with the number of training samples done and to do; ``on_epoch`` with
    each epoch and the state after it.
    """
    recipe = description.recipe
    train_part, test_part = _parts(description, dataset)
    first, chosen = _start(recipe, model, seed, resume)
    last = recipe.epochs if epochs is None else epochs
    if first >= last:
        raise ValueError(f"the checkpoint has {first} epochs behind it and {last} are asked for")
    chain: IntegerModel | FloatModel
    if model == "float":
        chain = FloatModel(description, schedule, chosen)
    else:
        states = resume.states if resume else initial_states(description, schedule, chosen)
        chain = IntegerModel(description, schedule, states)
    count = min(limit or len(train_part.labels), len(train_part.labels))
    done, total = 0, (last - first) * count
    results: list[Epoch] = []
    checkpoint = None
    _run(chain, *token_arrays(recipe, np.arange(0), 0), test_part)  # compiles, if need be
    for epoch in range(first, last):
        chain.set(recipe.extra_shift(epoch))
        order = epoch_order(len(train_part.labels), chosen, epoch)[:count]

        def report(part_done: int, before: int = done) -> None:
            if on_progress:
                on_progress(before + part_done, total)

        began = time.perf_counter()
        kinds, indices = token_arrays(recipe, order, schedule.delay)
        accuracy, loss = _run(chain, kinds, indices, train_part, report)
        seconds = time.perf_counter() - began
        done += count
        tested: tuple[float | None, float | None] = (None, None)
        if evaluate and len(test_part.labels):
            every = np.arange(len(test_part.labels))
            tested = _run(chain, np.full(len(every), Kind.INFER, np.uint8), every, test_part)
        results.append(Epoch(epoch, count, seconds, loss, accuracy, tested[1], tested[0]))
        if isinstance(chain, IntegerModel):
            checkpoint = Checkpoint(
                description.hash(), epoch + 1, chosen, chain.settings, chain.states
            )
        if on_epoch:
            on_epoch(results[-1], checkpoint)
    return TrainingResult(tuple(results), checkpoint)


def token_arrays(recipe: Recipe, order: Integers, delay: int) -> tuple[Bytes, Integers]:
    """`counterflow.tokens.epoch` as arrays: kinds and samples, -1 where there is none."""
    count = len(order)
    group = {"pipelined": max(count, 1), "sequential": 1}.get(recipe.scheme, recipe.batch)
    bubbles = -(-count // group) * delay
    kinds = np.full(count + bubbles, Kind.BUBBLE, np.uint8)
    indices = np.full(count + bubbles, -1, np.int64)
    places = np.arange(count) + np.arange(count) // group * delay
    kinds[places], indices[places] = Kind.TRAIN, order
    return kinds, indices


def _tokens(kinds: Bytes, indices: Integers) -> list[Token]:
    pairs = zip(kinds.tolist(), indices.tolist(), strict=True)
    return [Token(Kind(kind), index) for kind, index in pairs]


def _run(
    chain: Model,
    kinds: Bytes,
    indices: Integers,
    part: Part,
    report: Callable[[int], None] | None = None,
) -> tuple[float, float]:
    """All tokens, block by block; returns the share of right answers and the mean loss."""
    right, loss, done = 0, 0.0, 0
    for start in range(0, max(len(kinds), 1), BLOCK):
        block = slice(start, start + BLOCK)
        block_right, block_loss = chain.run(kinds[block], indices[block], part)
        right, loss = right + block_right, loss + block_loss
        done += int((kinds[block] != Kind.BUBBLE).sum())
        if report:
            report(done)
    return right / max(done, 1), loss / max(done, 1)


def _start(
    recipe: Recipe, model: str, seed: int | None, resume: Checkpoint | None
) -> tuple[int, int]:
    """First epoch and seed."""
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
    return resume.epoch, resume.seed


def _parts(description: Description, dataset: Dataset) -> tuple[Part, Part]:
    """Training and test samples in the input format; `ValueError` if the network is another's."""
    pixels = dataset.train_x.shape[1]
    if pixels != description.inputs:
        raise ValueError(
            f"{description.name} has {description.inputs} inputs, but a sample of {dataset.name} "
            f"has {pixels} pixels"
        )
    if dataset.classes > description.classes:
        raise ValueError(
            f"{description.name} knows {description.classes} classes, but {dataset.name} has "
            f"{dataset.classes}"
        )
    target = description.formats.input
    return (
        Part(codes(dataset.train_x, dataset.pixel_max, target), dataset.train_y),
        Part(codes(dataset.test_x, dataset.pixel_max, target), dataset.test_y),
    )


def codes(images: Bytes, pixel_max: int, target: Format) -> Codes:
    """`counterflow.data.quantise` by a table, in bytes if they suffice."""
    table = quantise(
        np.arange(pixel_max + 1, dtype=np.uint8),
        pixel_max,
        target.bits - target.signed,
        target.frac,
    )
    small = table.max() <= np.iinfo(np.uint8).max
    return (table.astype(np.uint8) if small else table)[images]
