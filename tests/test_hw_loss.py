"""The loss unit equals golden's in every bit, for any logits, and takes the cycles scheduled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.tokens import Kind
from counterflow.design.units.latency import LOSS_FIXED, LOSS_TAIL
from counterflow.design.units.loss import LOG_FRAC, LossArithmetic
from counterflow.golden.units.loss import Loss as Golden
from counterflow.hw.units.loss import Loss
from counterflow.sim.bench.stalls import pattern
from counterflow.sim.streams import Taken, quiet, receive, send, simulate

LABELS = 4  # that the unit holds
STALLS = {  # of logits, labels, errors, predictions
    "none": ("none", "none", "none", "none"),
    "random": ("random", "random", "random", "random"),
    "burst": ("burst", "burst", "burst", "burst"),
    "late labels": ("none", "late", "none", "none"),
    "late logits": ("late", "none", "none", "none"),
    "slow errors": ("none", "none", "slow", "none"),
    "slow predictions": ("none", "none", "none", "slow"),
}
FORMATS = (  # of logits and of errors
    ("s12.6", "s10.8"),
    ("s8.0", "s6.4"),
    ("s16.12", "s14.12"),  # an error as fine as the probabilities
    ("s9.4", "s18.16"),  # and a finer one
    ("s32.20", "s20.10"),
)


class Given(NamedTuple):
    """One token at the loss unit."""

    logits: list[int]
    kind: int
    label: int


def numbers_of(
    classes: int, formats: tuple[str, str], rounding: Rounding = Rounding.NEAREST_EVEN
) -> LossArithmetic:
    logit, error = map(Format.parse, formats)
    return LossArithmetic(classes, logit, error, rounding)


def corners(numbers: LossArithmetic) -> list[list[int]]:
    """Logits at the ends of their range, equal ones, one alone at the top or at the bottom."""
    n, low, high = numbers.classes, numbers.logit.min, numbers.logit.max
    rows = [[low] * n, [high] * n, [0] * n, [-1] * n]
    for place in {0, n // 2, n - 1}:
        for own, rest in ((high, low), (low, high), (1, 0), (0, 1), (high, high - 1)):
            rows.append([own if index == place else rest for index in range(n)])
    return rows


def noise(numbers: LossArithmetic, count: int) -> list[list[int]]:
    """Random logits, of all spreads from everything alike to the whole range."""
    source = np.random.default_rng(numbers.classes)
    spreads = np.exp2(source.uniform(0, numbers.logit.bits, (count, 1)))
    rows = np.round(source.normal(0, 1, (count, numbers.classes)) * spreads / 2)
    clipped = np.clip(rows, numbers.logit.min, numbers.logit.max)
    return [[int(value) for value in row] for row in clipped]


def training(rows: list[list[int]]) -> list[Given]:
    """Train tokens, each class the label in its turn."""
    return [Given(row, Kind.TRAIN, index % len(row)) for index, row in enumerate(rows)]


def answered(
    numbers: LossArithmetic, tokens: list[Given], stalls: str = "none"
) -> tuple[list[Taken], list[Taken]]:
    """(errors, predictions) of back-to-back tokens, which are compared with golden's."""
    n, golden = numbers.classes, Golden(numbers)
    unit = Loss(numbers=numbers, labels=LABELS)
    wanted_errors: list[int] = []
    wanted: list[tuple[int, int, int, int]] = []
    for logits, kind, label in tokens:
        error, loss = golden(np.array(logits), label)
        wanted_errors += error.tolist() if Kind(kind).learns else [0] * n
        if kind != Kind.BUBBLE:
            wanted += [(score, loss, kind, i == n - 1) for i, score in enumerate(logits)]
    gates = [pattern(name, seed) for seed, name in enumerate(STALLS[stalls])]
    errors: list[Taken] = []
    predictions: list[Taken] = []

    async def logits_in(ctx: Any) -> None:
        items = [{"data": value, "kind": t.kind} for t in tokens for value in t.logits]
        await send(ctx, unit.x, items, gates[0])

    async def labels_in(ctx: Any) -> None:
        items = [{"kind": token.kind, "label": token.label} for token in tokens]
        await send(ctx, unit.labels, items, gates[1])

    async def errors_out(ctx: Any) -> None:
        errors.extend(await receive(ctx, unit.dx, len(wanted_errors), gates[2]))
        await quiet(ctx, unit.dx, 4 * n + LOSS_TAIL)

    async def predictions_out(ctx: Any) -> None:
        predictions.extend(await receive(ctx, unit.predictions, len(wanted), gates[3]))
        await quiet(ctx, unit.predictions, 4 * n + LOSS_TAIL)

    simulate(unit, logits_in, labels_in, errors_out, predictions_out, limit=12_000)
    found = [(p.payload.score, p.payload.loss, p.payload.kind, p.payload.last) for p in predictions]
    for index, token in enumerate(tokens):
        part = slice(index * n, index * n + n)
        assert [e.payload for e in errors[part]] == wanted_errors[part], token
    assert found == wanted
    return errors, predictions


@pytest.mark.parametrize(
    ("formats", "rounding"),
    [*((formats, Rounding.NEAREST_EVEN) for formats in FORMATS), (FORMATS[0], Rounding.TRUNCATE)],
)
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_errors_scores_and_losses_equal_golden(
    classes: int, formats: tuple[str, str], rounding: Rounding
) -> None:
    numbers = numbers_of(classes, formats, rounding)
    answered(numbers, training([*corners(numbers), *noise(numbers, 120 // classes)]))


def test_the_smallest_probability_is_not_taken_for_zero() -> None:
    """2**-12 is where the unit's shifts end: the exponent has to be 12 exactly, the error fine."""
    numbers = numbers_of(2, ("s18.12", "s14.12"))
    near = round(12 * np.log(2) * 2**12)  # a difference of logits that makes about 2**-12
    rows = [[0, -one] for one in range(near - 100, near + 100)]
    exact = [row for row in rows if Golden(numbers)(np.array(row), 1)[1] == 12 << LOG_FRAC]
    assert exact
    assert {int(Golden(numbers)(np.array(row), 0)[0][1]) for row in exact} == {1}
    answered(numbers, training(exact[:8]))


def test_as_many_classes_as_are_possible_equal_golden() -> None:
    numbers = numbers_of(256, FORMATS[0])
    rows = [[0] * 256, corners(numbers)[-1], *noise(numbers, 2)]
    tokens = [
        Given(row, Kind.TRAIN, label) for row, label in zip(rows, (255, 0, 128, 77), strict=True)
    ]
    answered(numbers, tokens)


def test_the_error_sums_to_zero_whichever_class_is_the_label() -> None:
    numbers = numbers_of(10, FORMATS[0])
    tokens = training(noise(numbers, 20))
    errors, _ = answered(numbers, tokens)
    for index, token in enumerate(tokens):
        values = [taken.payload for taken in errors[10 * index : 10 * index + 10]]
        assert sum(values) == 0
        assert values[token.label] <= 0


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("classes", [2, 10])
def test_tokens_that_are_learnt_from_have_errors_and_all_but_bubbles_a_prediction_whatever_stalls(
    classes: int, stalls: str
) -> None:
    numbers = numbers_of(classes, FORMATS[0])
    source = np.random.default_rng(3)
    tokens = [
        Given(row, int(source.integers(0, 4)), int(source.integers(0, classes)))
        for row in noise(numbers, 20)
    ]
    assert {token.kind for token in tokens} == set(Kind)
    answered(numbers, tokens, stalls)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_latency_and_time_a_token_are_those_of_the_schedule(classes: int) -> None:
    numbers, count = numbers_of(classes, FORMATS[0]), 5
    errors, predictions = answered(numbers, training(noise(numbers, count)))
    last_logit = classes - 1  # one a cycle from cycle 0 on
    start = last_logit + 2 * classes + LOSS_FIXED
    period = 3 * classes + LOSS_TAIL
    cycles = [start + token * period + n for token in range(count) for n in range(classes)]
    assert [taken.cycle for taken in errors] == cycles
    assert [taken.cycle for taken in predictions] == cycles
