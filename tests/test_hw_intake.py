"""The intake admits whole, valid samples with their labels, and drops and counts all others."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import pytest

from counterflow.design.bus.registers import IntakeRegister
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import Kind
from counterflow.design.units.latency import BUS_NODE, INTAKE, QUEUE
from counterflow.hw.intake import Intake
from counterflow.sim.bench.stalls import pattern
from counterflow.sim.streams import Taken, quiet, receive, send, simulate

CLASSES = 5
IDENTITY = 0xC0FFEE42
STALLS = {  # of samples, labels, activations, admitted labels
    "none": ("none", "none", "none", "none"),
    "random": ("random", "random", "random", "random"),
    "burst": ("burst", "burst", "burst", "burst"),
    "late labels": ("none", "late", "none", "none"),
    "late samples": ("late", "none", "none", "random"),
    "slow chain": ("none", "none", "slow", "none"),
    "slow loss": ("none", "none", "none", "slow"),
}


class Element(NamedTuple):
    data: int
    first: bool
    last: bool


class Label(NamedTuple):
    kind: int
    label: int


Sample = list[Element]
BUBBLE = Label(Kind.BUBBLE, 77)  # its label is not looked at


def whole(values: list[int]) -> Sample:
    """A sample as it should be."""
    end = len(values) - 1
    return [Element(value, n == 0, n == end) for n, value in enumerate(values)]


def sample(number: int, inputs: int = 6) -> Sample:
    """A whole sample of values that occur in no other one."""
    return whole([number * 20 + n + 1 for n in range(inputs)])


def marked(sample: Sample, place: int, **marks: bool) -> Sample:
    """The sample with other marks at one place."""
    return [*sample[:place], sample[place]._replace(**marks), *sample[place:][1:]]


SPOILT: dict[str, tuple[Callable[[Sample], Sample], int]] = {  # and how many bad samples it makes
    "too short": (lambda s: [*s[:-2], s[-1]], 1),
    "too long": (lambda s: [*s[:-1], Element(1, False, False), s[-1]], 1),
    "far too long": (lambda s: [*s[:-1], *[Element(1, False, False)] * 20, s[-1]], 1),
    "first mark missing": (lambda s: marked(s, 0, first=False), 1),
    "last mark missing": (lambda s: marked(s, -1, last=False), 1),
    "both marks missing": (lambda s: marked(marked(s, -1, last=False), 0, first=False), 1),
    "ends in mid-sample": (lambda s: s[:2], 1),
    "ends behind its first element": (lambda s: s[:1], 1),
    "both marks on one element, alone": (lambda s: [Element(9, True, True)], 1),
    "a first mark in mid-sample": (lambda s: marked(s, 2, first=True), 2),
    "a first mark on the last element": (lambda s: marked(s, -1, first=True), 2),
    "a last mark in mid-sample": (lambda s: marked(s, 2, last=True), 2),
    "a last mark on the first element": (lambda s: marked(s, 0, last=True), 2),
}


class Expected(NamedTuple):
    """What must come of transfers and labels, by a derivation of its own."""

    x: list[tuple[int, int]]
    admitted: list[Label]
    bad_samples: int
    bad_labels: int


def verdicts(transfers: Sample, inputs: int) -> list[list[int] | None]:
    """The samples in the order of their ends; None for a bad one, an unfinished one left out."""
    found: list[list[int] | None] = []
    current: Sample = []
    for element in transfers:
        if current and element.first:
            found.append(None)
            current = []
        current.append(element)
        if element.last:
            good = len(current) == inputs and current[0].first
            found.append([e.data for e in current] if good else None)
            current = []
    return found


def expected_of(transfers: Sample, labels: list[Label], inputs: int) -> Expected:
    samples = iter(verdicts(transfers, inputs))
    x: list[tuple[int, int]] = []
    admitted: list[Label] = []
    bad_samples = bad_labels = 0
    for label in labels:
        bubble = label.kind == Kind.BUBBLE
        values = [0] * inputs if bubble else next(samples)
        if values is None:
            bad_samples += 1
        elif not bubble and label.label >= CLASSES:
            bad_labels += 1
        else:
            x += [(value, label.kind) for value in values]
            admitted.append(label._replace(label=0) if bubble else label)
    return Expected(x, admitted, bad_samples, bad_labels)


def taken_in(
    intake: Intake, transfers: Sample, labels: list[Label], stalls: str
) -> tuple[list[Taken], list[Taken]]:
    """(activations, admitted labels); all registers are compared with what is expected."""
    expected = expected_of(transfers, labels, intake.inputs)
    x: list[Taken] = []
    admitted: list[Taken] = []
    gates = [pattern(name, seed) for seed, name in enumerate(STALLS[stalls])]
    ended = 0

    async def counted(work: Coroutine[Any, Any, Any]) -> Any:
        nonlocal ended
        result = await work
        ended += 1
        return result

    async def samples(ctx: Any) -> None:
        await counted(send(ctx, intake.samples, [e._asdict() for e in transfers], gates[0]))

    async def tokens(ctx: Any) -> None:
        await counted(send(ctx, intake.labels, [one._asdict() for one in labels], gates[1]))

    async def activations(ctx: Any) -> None:
        x.extend(await counted(receive(ctx, intake.x, len(expected.x), gates[2])))

    async def kept_labels(ctx: Any) -> None:
        count = len(expected.admitted)
        admitted.extend(await counted(receive(ctx, intake.admitted, count, gates[3])))

    async def bus(ctx: Any) -> None:
        while ended < 4:
            await ctx.tick()
        ctx.set(intake.admitted.ready, 1)
        await quiet(ctx, intake.x, 2 * intake.interval)
        for register, value in (
            (IntakeRegister.IDENTITY, IDENTITY),
            (IntakeRegister.TOKENS, len(expected.admitted)),
            (IntakeRegister.BAD_SAMPLES, expected.bad_samples),
            (IntakeRegister.BAD_LABELS, expected.bad_labels),
        ):
            ctx.set(intake.bus_i, {"valid": 1, "next": 1, "node": 0, "register": register})
            await ctx.tick().repeat(BUS_NODE)
            response = ctx.get(intake.bus_o)
            assert (response.done, response.data) == (1, value), register.name

    simulate(intake, samples, tokens, activations, kept_labels, bus, limit=6000)
    assert [(t.payload.data, t.payload.kind) for t in x] == expected.x
    assert [(t.payload.kind, t.payload.label) for t in admitted] == expected.admitted
    return x, admitted


def intake_of(inputs: int, interval: int = 12, text: str = "u8.8") -> Intake:
    sizes = {"inputs": inputs, "classes": CLASSES, "interval": interval}
    return Intake(**sizes, number=Format.parse(text), identity=IDENTITY)


@pytest.mark.parametrize("stalls", ["none", "random", "burst", "slow chain"])
@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_spoilt_sample_is_counted_and_dropped_with_its_label_and_harms_no_other(
    spoilt: str, stalls: str
) -> None:
    spoil, bad = SPOILT[spoilt]
    parts = [spoil(sample(n)) if n % 2 else sample(n) for n in range(7)]
    labels = []
    for number, kind in enumerate((2, 2, 1, 3, 3, 1, 2)):
        labels += [Label(kind, number % CLASSES)] * (bad if number % 2 else 1)
    labels.insert(3, BUBBLE)
    transfers = [element for part in parts for element in part]
    expected = expected_of(transfers, labels, 6)
    assert expected.bad_samples == 3 * bad
    assert [label.label for label in expected.admitted if label.kind] == [0, 2, 4, 1]
    taken_in(intake_of(6), transfers, labels, stalls)


@pytest.mark.parametrize("stalls", ["none", "random", "late labels", "slow loss"])
@pytest.mark.parametrize("bad", [Label(2, CLASSES), Label(1, 255), Label(3, CLASSES)])
def test_a_label_out_of_range_is_counted_and_dropped_with_its_sample(
    bad: Label, stalls: str
) -> None:
    labels = [Label(2, 0), bad, Label(2, CLASSES - 1), bad, bad, BUBBLE, Label(1, 3)]
    transfers = [element for number in range(6) for element in sample(number)]
    assert expected_of(transfers, labels, 6).bad_labels == 3
    taken_in(intake_of(6), transfers, labels, stalls)


@pytest.mark.parametrize(("inputs", "text"), [(1, "u8.8"), (2, "s6.4"), (6, "s12.4")])
@pytest.mark.parametrize("stalls", STALLS)
def test_any_mixture_of_samples_labels_and_bubbles_is_sorted_out(
    stalls: str, inputs: int, text: str
) -> None:
    source, number = random.Random(inputs), Format.parse(text)
    transfers: Sample = []
    for _ in range(24):
        part = whole([source.randint(number.min, number.max) for _ in range(inputs)])
        spoil = source.choice([s for s, _ in SPOILT.values()])
        transfers += part if source.random() < 0.6 or inputs < 3 else spoil(part)
        if source.random() < 0.1:
            transfers += [Element(1, bool(source.randrange(2)), bool(source.randrange(2)))]
    transfers += whole([0] * inputs)  # it ends whatever is unfinished
    labels: list[Label] = []
    for _ in verdicts(transfers, inputs):
        labels += [BUBBLE] * source.choice((0, 0, 1, 3))
        kind = source.choice((Kind.TRAIN, Kind.INFER, Kind.TRAIN, Kind.ACCUMULATE))
        labels.append(Label(kind, source.choice((*range(CLASSES), CLASSES))))
    expected = expected_of(transfers, labels, inputs)
    assert min(len(expected.admitted), expected.bad_labels, expected.bad_samples) > 0
    taken_in(intake_of(inputs, text=text), transfers, labels, stalls)


@pytest.mark.parametrize(
    ("inputs", "interval"),
    [(6, 12), (6, 7), (6, 6), (2, 2), (1, 5), (1, 2)],
)
def test_tokens_are_admitted_one_an_interval_at_the_cycles_of_the_schedule(
    inputs: int, interval: int
) -> None:
    count = 5
    transfers = [element for number in range(count) for element in sample(number, inputs)]
    x, admitted = taken_in(intake_of(inputs, interval), transfers, [Label(2, 1)] * count, "none")
    first = inputs - 1 + INTAKE  # an element a cycle from cycle 0 on
    assert [t.cycle for t in x[:inputs]] == list(range(first, first + inputs))
    assert [t.cycle for t in x[::inputs]] == [first + interval * n for n in range(count)]
    assert [t.cycle for t in admitted] == [inputs - 1 + QUEUE + interval * n for n in range(count)]
