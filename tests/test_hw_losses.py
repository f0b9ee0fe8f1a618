"""Losses of each output by itself in hardware: golden's bits under any stalls, the schedule's
cycles, and faults that are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Value

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.tokens import Kind
from counterflow.design.units.bce import BinaryCrossEntropy
from counterflow.design.units.latency import QUEUE
from counterflow.design.units.mse import SquaredError
from counterflow.design.units.pointwise import Pointwise
from counterflow.golden.units import UNITS as GOLDEN
from counterflow.hw.losses.pointwise import PointwiseLoss
from counterflow.hw.units import UNITS as HARDWARE
from counterflow.hw.units import bce, mse
from counterflow.sim.bench.stalls import pattern
from counterflow.sim.streams import Taken, quiet, receive, send, simulate

F = Format.parse
LABELS = 4
NUMBERS: dict[str, tuple[str, Any]] = {
    "mse, targets": ("mse", SquaredError(3, F("s12.8"), F("s10.8"), F("u8.8"), targets=4)),
    "mse, fine targets": ("mse", SquaredError(2, F("s10.4"), F("s8.5"), F("s12.11"), targets=4)),
    "mse, labels": ("mse", SquaredError(4, F("s12.6"), F("s10.8"), None)),
    "mse, one label": ("mse", SquaredError(1, F("s9.4"), F("s18.16"), None)),
    "mse, truncated": (
        "mse",
        SquaredError(3, F("s14.12"), F("s7.5"), F("s8.7"), Rounding.TRUNCATE, targets=2),
    ),
    "bce, labels": ("bce", BinaryCrossEntropy(4, F("s12.6"), F("s10.8"), None)),
    "bce, one label": ("bce", BinaryCrossEntropy(1, F("s16.10"), F("s14.12"), None)),
    "bce, targets": ("bce", BinaryCrossEntropy(3, F("s12.6"), F("s12.10"), F("u8.8"), targets=4)),
    "bce, targets to 1 and above": (
        "bce",
        BinaryCrossEntropy(2, F("s8.2"), F("s18.16"), F("u8.6"), targets=4),
    ),
}
STALLS = {  # of scores, targets, labels, errors, predictions
    "none": ("none",) * 5,
    "random": ("random",) * 5,
    "burst": ("burst",) * 5,
    "late targets": ("none", "late", "none", "none", "none"),
    "late labels": ("none", "none", "late", "none", "none"),
    "late scores": ("late", "none", "none", "none", "none"),
    "slow errors": ("none", "none", "none", "slow", "none"),
    "slow predictions": ("none", "none", "none", "none", "slow"),
}


class Given(NamedTuple):
    """One token at the unit."""

    scores: list[int]
    targets: list[int]
    kind: int
    label: int


def some(number: Format, count: int, random: np.random.Generator) -> list[int]:
    """Numbers of all sizes, some at the ends of their format."""
    values = random.integers(number.min, number.max, count, endpoint=True)
    values >>= random.integers(0, number.bits, count)
    ends = random.choice([number.min, number.max], count)
    return [int(one) for one in np.where(random.random(count) < 0.2, ends, values)]


def tokens_of(numbers: Pointwise, count: int, kinds: tuple[Kind, ...] = (Kind.TRAIN,)) -> Any:
    random = np.random.default_rng(numbers.classes)
    return [
        Given(
            some(numbers.logit, numbers.classes, random),
            some(numbers.given, numbers.classes, random),
            kinds[at % len(kinds)],
            int(random.integers(0, numbers.labels)),
        )
        for at in range(count)
    ]


def answered(
    kind: str,
    numbers: Pointwise,
    tokens: list[Given],
    stalls: str = "none",
    made: type[PointwiseLoss] | None = None,
) -> tuple[list[Taken], list[Taken]]:
    """(errors, predictions) of back-to-back tokens, which are compared with golden's."""
    n, golden = numbers.classes, GOLDEN[kind](numbers)
    unit: Any = (made or HARDWARE[kind])(numbers=numbers, labels=LABELS)
    wanted_errors: list[int] = []
    wanted: list[tuple[int, int, int, int]] = []
    for token in tokens:
        given = np.array(token.targets) if numbers.target else token.label
        error, loss = golden(np.array(token.scores), given)
        wanted_errors += error.tolist() if Kind(token.kind).learns else [0] * n
        if token.kind != Kind.BUBBLE:
            wanted += [(one, loss, token.kind, i == n - 1) for i, one in enumerate(token.scores)]
    gates = [pattern(name, seed) for seed, name in enumerate(STALLS[stalls])]
    errors: list[Taken] = []
    predictions: list[Taken] = []
    scores = unit.x0 if numbers.target else unit.x
    dx = unit.dx0 if numbers.target else unit.dx

    async def scores_in(ctx: Any) -> None:
        items = [{"data": value, "kind": t.kind} for t in tokens for value in t.scores]
        await send(ctx, scores, items, gates[0])

    async def targets_in(ctx: Any) -> None:
        if numbers.target:
            items = [{"data": value, "kind": t.kind} for t in tokens for value in t.targets]
            await send(ctx, unit.x1, items, gates[1])

    async def labels_in(ctx: Any) -> None:
        items = [{"kind": token.kind, "label": token.label} for token in tokens]
        await send(ctx, unit.labels, items, gates[2])

    async def errors_out(ctx: Any) -> None:
        errors.extend(await receive(ctx, dx, len(wanted_errors), gates[3]))
        await quiet(ctx, dx, 30)

    async def predictions_out(ctx: Any) -> None:
        predictions.extend(await receive(ctx, unit.predictions, len(wanted), gates[4]))
        await quiet(ctx, unit.predictions, 30)

    processes = (scores_in, targets_in, labels_in, errors_out, predictions_out)
    simulate(unit, *processes, limit=12_000)
    assert [one.payload for one in errors] == wanted_errors
    found = [(p.payload.score, p.payload.loss, p.payload.kind, p.payload.last) for p in predictions]
    assert found == wanted
    return errors, predictions


@pytest.mark.parametrize("name", NUMBERS)
def test_errors_scores_and_losses_equal_golden(name: str) -> None:
    kind, numbers = NUMBERS[name]
    answered(kind, numbers, tokens_of(numbers, 240 // numbers.classes))


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("name", ["mse, targets", "bce, one label"])
def test_tokens_of_all_kinds_are_right_whatever_stalls(name: str, stalls: str) -> None:
    kind, numbers = NUMBERS[name]
    answered(kind, numbers, tokens_of(numbers, 40, tuple(Kind)), stalls)


@pytest.mark.parametrize("name", NUMBERS)
def test_latency_and_time_a_token_are_those_of_the_schedule(name: str) -> None:
    """A score a cycle; predictions follow the last one."""
    kind, numbers = NUMBERS[name]
    n, count = numbers.classes, 6
    errors, predictions = answered(kind, numbers, tokens_of(numbers, count))
    first = errors[0].cycle
    assert [one.cycle - first for one in errors] == list(range(n * count))
    last = first + n - 1  # the error of the first token's last score
    expected = [last + token * n + place for token in range(count) for place in range(n)]
    assert [one.cycle for one in predictions] == expected
    began = first - numbers.latency - QUEUE  # when the first score is taken
    assert 0 <= began <= 2  # behind the first target and label, which pass their queues


def test_room_is_no_more_than_it_takes() -> None:
    """With a place less for errors the rate falls: the test above would see it."""
    kind, numbers = NUMBERS["bce, labels"]

    class Short(type(numbers)):  # type: ignore[misc]
        error_words = numbers.latency + 1

    short = Short(**vars(numbers))
    errors, _ = answered(kind, short, tokens_of(numbers, 6))
    assert errors[-1].cycle - errors[0].cycle > 6 * numbers.classes - 1


# ---- faults -------------------------------------------------------------------------------------


def test_a_loss_of_the_last_score_alone_is_found() -> None:
    kind, numbers = NUMBERS["mse, targets"]
    predict = PointwiseLoss._predict

    def forgets(self: PointwiseLoss, m: Module, late: Any, share: Value) -> Value:
        return predict(self, m, late, Mux(late.last, share, 0))

    with (
        mock.patch.object(HARDWARE[kind], "_predict", forgets),
        pytest.raises(AssertionError),
    ):
        answered(kind, numbers, tokens_of(numbers, 20))


def test_the_target_of_another_output_is_found() -> None:
    kind, numbers = NUMBERS["bce, labels"]
    target = PointwiseLoss._target

    def beside(self: PointwiseLoss, m: Module, label: Value, *given: Value) -> Any:
        return target(self, m, label + 1, *given)

    with (
        mock.patch.object(HARDWARE[kind], "_target", beside),
        pytest.raises(AssertionError),
    ):
        answered(kind, numbers, tokens_of(numbers, 20))


def wrong_rounding(module: Any) -> Callable[..., Any]:
    narrow = module.narrow

    def rounded(value: Value, frac: int, target: Format, how: Rounding) -> Any:
        return narrow(value, frac, target, Rounding.TRUNCATE)

    return rounded


@pytest.mark.parametrize(("module", "name"), [(mse, "mse, fine targets"), (bce, "bce, labels")])
def test_an_error_that_is_rounded_otherwise_is_found(module: Any, name: str) -> None:
    kind, numbers = NUMBERS[name]
    with (
        mock.patch.object(module, "narrow", wrong_rounding(module)),
        pytest.raises(AssertionError),
    ):
        answered(kind, numbers, tokens_of(numbers, 60))


def test_a_table_with_one_wrong_entry_is_found() -> None:
    kind, numbers = NUMBERS["bce, one label"]
    table = list(bce.EXP2)
    table[32] += 16  # the lowest bits are shifted out: a chance is at most a half
    tokens = tokens_of(numbers, 400)
    with mock.patch.object(bce, "EXP2", tuple(table)), pytest.raises(AssertionError):
        answered(kind, numbers, tokens)
