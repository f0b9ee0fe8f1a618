"""What a simulation can put hardware through beyond a plain training, and what a run of it did.

A plain run trains on good samples without a stall.  A harsh one goes on with runs in which kinds of
tokens and settings change, streams stand still, registers are read meanwhile, samples are spoilt, a
reset strikes and all state is read out and loaded again; its block memories give noise where they
promise nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import BUBBLE, Kind, Token, drained
from counterflow.design.schedule.planner import Plan
from counterflow.golden.training.models import settings_in
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.update import Settings
from counterflow.sim.bench.job import Job

CYCLES, ORDER = "counterflow.sim.bench.cycles", "counterflow.sim.bench.order"
MOST = 48  # samples of each of the harsh runs: enough to fill and drain what it exercises
SEED = 7
SPOILT = (0, 5, 6, 20)  # tokens whose samples are too short or too long
WIDE = (1, 2, 3, 4)  # seeds of numbers of all sizes: low bits are seen through rare carries alone
UNKNOWN = (3, 5, 30)  # tokens whose labels no class has
READS = 40  # cycles at most between accesses of registers in training
STALLED = 12  # times as many tokens as other stalled runs have long ones
LONG_STALLS = ("none", "long", "burst")


class Exercise(NamedTuple):
    """A run: its name in reports, the bench and its job."""

    name: str
    bench: str
    job: Job


EXERCISED = (
    "inference",
    "accumulation",
    "bubbles among samples",
    "rate drops",
    "mitigation off",
    "stalls",
    "registers read in training",
    "bad samples",
    "reset in training",
    "state read out and loaded",
    "numbers of all sizes",
    "colliding accesses of memories",
)
"""What runs may exercise, in the words of the report."""


def mixed_tokens(planned: Plan, count: int, seed: int = SEED) -> tuple[Token, ...]:
    """All kinds of tokens in random order, a train token first and last, drained at the end."""
    random = np.random.default_rng(seed)
    most = planned.description.recipe.accumulate - 1
    tokens, waiting = [Token(Kind.TRAIN, 0)], 0
    for index in range(1, count):
        kind = Kind(int(random.choice([2, 1, 0], p=[0.7, 0.15, 0.15])))
        if kind is Kind.TRAIN and waiting < most and random.random() < 0.7:
            kind = Kind.ACCUMULATE
        if kind.learns:
            waiting = waiting + 1 if kind is Kind.ACCUMULATE else 0
        tokens.append(BUBBLE if kind is Kind.BUBBLE else Token(kind, index))
    return tuple(drained([*tokens, Token(Kind.TRAIN, count - 1)], planned.schedule.delay))


def settings_of(planned: Plan) -> list[Settings]:
    """Those of every epoch of the recipe, and with prediction and compensation off."""
    recipe = planned.description.recipe
    found = [settings_in(recipe, epoch) for epoch in range(recipe.epochs)]
    off = replace(found[-1], predict=False, compensate=False)
    return list(dict.fromkeys([*found, off]))


def harsh_runs(planned: Plan, plain: Job, samples: int) -> Iterator[Exercise]:
    """The runs that follow the `plain` one; of at most `samples` samples each."""
    count = min(samples, MOST, len(plain.samples))
    mixed = mixed_tokens(planned, count)
    changes = [(index * len(mixed), one) for index, one in enumerate(settings_of(planned))]
    job = replace(plain, tokens=mixed, settings=(), slots_shown=0)
    several = replace(job, tokens=mixed * len(changes), settings=tuple(changes))
    yield Exercise("kinds of tokens and settings change", CYCLES, several)
    stalls = [("random", "random", "random"), ("burst", "slow", "long"), ("late", "none", "slow")]
    for gates in stalls:
        yield Exercise(f"stalls {', '.join(gates)}", ORDER, replace(job, stalls=gates))
    read = replace(job, stalls=("none", "burst", "none"), reads=READS)
    yield Exercise("registers read in training", ORDER, read)
    yield Exercise("spoilt samples", ORDER, _spoilt(planned, job, count))
    cycle = planned.schedule.interval * min(count, planned.schedule.delay + 2) // 2 + 3
    interrupted = replace(job, scenario="reset", interrupt=cycle)
    yield Exercise(f"reset in cycle {cycle}", ORDER, interrupted)
    again = replace(job, scenario="power_cycle", tokens=mixed * 2)
    yield Exercise("power cycle", ORDER, again)
    for seed in WIDE:
        yield Exercise(f"numbers of all sizes {seed}", CYCLES, _wide(planned, several, seed))


def long_runs(planned: Plan, plain: Job, samples: int) -> list[Exercise]:
    """Numbers of all sizes for long: the lowest bits of an update are seen once in many.

    Of about so many samples, those of the `plain` run again and again; then of fewer under stalls,
    in which all that waits fills up and empties in ways that 24 samples do not show.
    """
    mixed = mixed_tokens(planned, min(samples, len(plain.samples)))
    several = settings_of(planned)
    starts = range(0, max(1, samples // len(mixed)) * len(mixed), len(mixed))
    changes = [(start, several[number % len(several)]) for number, start in enumerate(starts)]
    job = replace(plain, tokens=mixed * len(changes), settings=tuple(changes), slots_shown=0)
    stalled = replace(job, tokens=mixed * STALLED, settings=(), stalls=LONG_STALLS)
    stalled = replace(stalled, seed=plain.seed + 10)  # other stalls than those of 24 samples
    name = f"stalls {', '.join(LONG_STALLS)}, long"
    return [
        Exercise("numbers of all sizes, long", CYCLES, _wide(planned, job, SEED)),
        Exercise(name, ORDER, _wide(planned, stalled, SEED + 1)),
    ]


def _wide(planned: Plan, job: Job, seed: int) -> Job:
    """Samples, weights and velocities up to the ends of their formats, most of them smaller."""
    random = np.random.default_rng(seed)

    def some(number: Format, shape: tuple[int, ...]) -> NDArray[np.int64]:
        values = random.integers(number.min, number.max, shape, endpoint=True)
        values >>= random.integers(0, number.bits, shape)
        ends = random.choice([number.min, number.max], shape)
        return np.where(random.random(shape) < 0.2, ends, values)

    states = initial_states(job.description, planned.schedule, job.seed)
    for stage, state in zip(planned.schedule.stages, states, strict=True):
        if stage in planned.schedule.weighted:
            for one in stage.parameters:
                setattr(state, one.name, some(one.number, one.shape))
    samples = some(job.description.formats.input, job.samples.shape)
    return replace(job, states=tuple(states), samples=samples)


def _spoilt(planned: Plan, job: Job, count: int) -> Job:
    """Some samples of wrong length or class among good ones, under stalls."""
    trained = [Token(Kind.TRAIN, index) for index in range(count)]
    tokens = tuple(drained(trained, planned.schedule.delay))
    inputs, classes = planned.description.elements, planned.description.classes
    wrong = dict(zip(SPOILT, (1, inputs - 1, inputs + 1, 3 * inputs), strict=True))
    lengths = tuple(wrong.get(index, inputs) or inputs + 1 for index in range(len(tokens)))
    labels = job.labels.copy()
    labels[[index for index in UNKNOWN if index < count]] = classes
    return replace(
        job,
        scenario="spoilt",
        tokens=tokens,
        lengths=lengths,
        labels=labels,
        stalls=("random", "none", "burst"),
    )


def exercised(runs: Sequence[Exercise], *, worst_memories: bool) -> dict[str, bool]:
    """Which of `EXERCISED` these runs did, told from their jobs."""
    jobs = [run.job for run in runs]
    kinds = {token.kind for job in jobs for token in job.tokens}
    settings = [change for job in jobs for change, _ in job.runs() if change is not None]
    done = (
        Kind.INFER in kinds,
        Kind.ACCUMULATE in kinds,
        any(_bubbles_inside(job.tokens) for job in jobs),
        len({one.extra_shift for one in settings}) > 1,
        len({(one.predict, one.compensate) for one in settings}) > 1,
        any(set(job.stalls) != {"none"} for job in jobs),
        any(job.reads for job in jobs),
        any(job.scenario == "spoilt" for job in jobs),
        any(job.scenario == "reset" for job in jobs),
        any(job.scenario == "power_cycle" for job in jobs),
        any(job.states for job in jobs),
        worst_memories,
    )
    return dict(zip(EXERCISED, done, strict=True))


def _bubbles_inside(tokens: Sequence[Token]) -> bool:
    """Whether a sample follows a bubble."""
    places = [index for index, token in enumerate(tokens) if token.kind is Kind.BUBBLE]
    return any(token.kind is not Kind.BUBBLE for token in tokens[places[0] :]) if places else False
