"""The pooling unit equals its golden twin and leaves at the times foretold, whatever stalls."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Value

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.pooling import Pooling
from counterflow.golden.units.pool import Pool as Golden
from counterflow.hw.parts.modules import convert
from counterflow.hw.pooling.gradient_rows import GradientRows
from counterflow.hw.pooling.raster import Raster
from counterflow.hw.pooling.rings import Line
from counterflow.hw.units.pool import Pool
from counterflow.sim.bench.stalls import pattern
from counterflow.sim.streams import Taken, every, quiet, receive, send, simulate
from tests.thinned import combined

SHAPES = (  # height, width, channels, kernel
    (4, 6, 3, (2, 2)),
    (4, 4, 1, (2, 2)),
    (6, 2, 1, (2, 2)),  # one window a row
    (2, 4, 5, (2, 2)),  # one row of windows
    (3, 4, 1, (1, 2)),
    (4, 3, 1, (2, 1)),
    (6, 1, 1, (2, 1)),  # one element a row
    (1, 8, 3, (1, 2)),
    (3, 6, 5, (3, 3)),
    (6, 3, 1, (3, 3)),
    (4, 6, 3, (2, 3)),
    (4, 8, 1, (4, 4)),
    (4, 4, 3, (4, 4)),
    (2, 2, 35, (2, 2)),  # lines longer than a memory that is read at once
    (2, 72, 1, (2, 2)),
    (7, 5, 2, (7, 5)),  # the whole image
)
FORMATS = (  # of x, dy and dx
    ("s8.4", "s10.6", "s10.6"),
    ("u8.4", "s12.8", "s9.5"),  # a coarser dx, rounded and saturated
    ("u1.0", "s6.2", "s14.9"),  # equal elements everywhere, a finer dx
    ("s12.10", "s8.0", "s4.0"),
)
STALLS = {  # of x, y, dy, dx
    "none": ("none", "none", "none", "none"),
    "random": ("random", "random", "random", "random"),
    "burst": ("burst", "burst", "burst", "burst"),
    "late gradients": ("none", "none", "late", "none"),
    "late outputs": ("none", "late", "none", "none"),
    "slow x": ("slow", "none", "none", "none"),
    "slow y": ("none", "slow", "none", "none"),
    "slow dy": ("none", "none", "slow", "none"),
    "slow dx": ("none", "none", "none", "slow"),
}


def pooling(
    shape: tuple[int, int, int, tuple[int, int]] = SHAPES[0],
    formats: tuple[str, str, str] = FORMATS[0],
    average: bool = False,
    **changes: Any,
) -> Pooling:
    """A unit of `shape`; two tokens may be between their passes."""
    height, width, channels, kernel = shape
    x, dy, dx = map(Format.parse, formats)
    nearest = Rounding.NEAREST_EVEN
    numbers: dict[str, Any] = {"relu": False, "tokens": 2} | changes
    return Pooling(
        height, width, channels, kernel, average, x=x, dy=dy, dx=dx,
        round_activation=nearest, round_error=nearest, **numbers,
    )  # fmt: skip


class Tokens(NamedTuple):
    """What enters and what golden makes of it, [tokens, elements]; the kind of each token."""

    x: Any
    y: Any
    dy: Any
    dx: Any
    kinds: list[int]


def tokens_of(numbers: Pooling, count: int, seed: int = 1) -> Tokens:
    """Tokens of all kinds, whole ranges with their ends; every other x has many equal elements."""
    source = np.random.default_rng(seed)
    golden = Golden(numbers)

    def noise(number: Format, size: int) -> Any:
        wide = source.integers(number.min, number.max + 1, (count, size))
        ends = source.choice([number.min, number.max], (count, size))
        return np.where(source.random((count, size)) < 0.2, ends, wide)

    x, dy = noise(numbers.x, numbers.inputs), noise(numbers.dy, numbers.outputs)
    few = source.integers(-1, 2, x.shape)
    x[::2] = np.clip(few, numbers.x.min, numbers.x.max)[::2]
    y = np.array([golden.forward(token) for token in x])
    dx = np.array([golden.backward(token) for token in dy])
    return Tokens(x, y, dy, dx, source.integers(0, 3, count).tolist())


class Seen(NamedTuple):
    """Transfers on the four borders, in cycles."""

    x: list[int]
    y: list[Taken]
    dy: list[int]
    dx: list[Taken]


def run(
    unit: Pool,
    tokens: Tokens,
    gates: tuple[Iterator[bool], ...],
    lag: int = 0,
    limit: int = 20_000,
) -> Seen:
    """All `tokens` through `unit`; no dy before its own y has left, none before `lag` have."""
    seen = Seen([], [], [], [])
    outputs = tokens.y.size
    left = [0]

    async def count(ctx: Any, port: Any, cycles: list[int], most: int) -> None:
        cycle, seen = 0, every(ctx, port.valid, port.ready)
        while len(cycles) < most:
            if all(await anext(seen)):
                cycles.append(cycle)
            cycle += 1

    def causal() -> Iterator[bool]:
        sent = 0
        for is_open in gates[2]:
            may = is_open and left[0] >= max(sent + 1, lag)
            sent += may
            yield may

    async def x_in(ctx: Any) -> None:
        kinds = zip(tokens.x.tolist(), tokens.kinds, strict=True)
        items = [{"data": value, "kind": kind} for token, kind in kinds for value in token]
        await send(ctx, unit.x, items, gates[0])

    async def dy_in(ctx: Any) -> None:
        await send(ctx, unit.dy, tokens.dy.ravel().tolist(), causal())

    async def y_out(ctx: Any) -> None:
        seen.y.extend(await receive(ctx, unit.y, outputs, gates[1]))
        await quiet(ctx, unit.y, 20)

    async def y_count(ctx: Any) -> None:
        cycles = every(ctx, unit.y.valid, unit.y.ready)
        while left[0] < outputs:
            left[0] += all(await anext(cycles))

    async def dx_out(ctx: Any) -> None:
        seen.dx.extend(await receive(ctx, unit.dx, tokens.dx.size, gates[3]))
        await quiet(ctx, unit.dx, 20)

    async def x_count(ctx: Any) -> None:
        await count(ctx, unit.x, seen.x, tokens.x.size)

    async def dy_count(ctx: Any) -> None:
        await count(ctx, unit.dy, seen.dy, outputs)

    simulate(unit, x_in, y_out, y_count, dy_in, dx_out, x_count, dy_count, limit=limit)
    return seen


def stalled(name: str) -> tuple[Iterator[bool], ...]:
    return tuple(pattern(part, seed) for seed, part in enumerate(STALLS[name]))


def at(cycles: Any) -> Iterator[bool]:
    """A gate that is open in these cycles, of a border where nobody ever waits."""
    wanted = set(cycles.ravel().tolist())
    return (cycle in wanted for cycle in itertools.count())


def check(
    numbers: Pooling,
    count: int = 6,
    stalls: str = "none",
    lag: int = 0,
    kind: type[Pool] = Pool,
) -> tuple[Tokens, Seen]:
    """What leaves is what golden makes of it, element by element, with the kinds that came."""
    tokens = tokens_of(numbers, count)
    seen = run(kind(pooling=numbers), tokens, stalled(stalls), lag)
    found = np.array([taken.payload.data for taken in seen.y]).reshape(tokens.y.shape)
    np.testing.assert_array_equal(found, tokens.y)
    kinds = [taken.payload.kind for taken in seen.y]
    assert kinds == np.repeat(tokens.kinds, numbers.outputs).tolist()
    found = np.array([taken.payload for taken in seen.dx]).reshape(tokens.dx.shape)
    np.testing.assert_array_equal(found, tokens.dx)
    return tokens, seen


MODES = [(shape, average) for shape in SHAPES for average in (False, True)]
CASES = [
    *((shape, FORMATS[0]) for shape in SHAPES),
    *((SHAPES[0], formats) for formats in FORMATS[1:]),
    *((SHAPES[3], formats) for formats in FORMATS[1:]),
]
STALLED = (  # shape, average, over a ReLU
    (SHAPES[0], False, False),
    (SHAPES[0], True, False),
    (SHAPES[0], True, True),
    (SHAPES[6], False, False),
    (SHAPES[10], False, False),
    (SHAPES[10], True, True),
)


@pytest.mark.parametrize(("shape", "formats"), CASES, ids=str)
def test_the_maximum_and_its_gradient_equal_golden(shape: Any, formats: Any) -> None:
    check(pooling(shape, formats))


@pytest.mark.parametrize(("case", "relu"), combined(CASES, [False, True], every=2), ids=str)
def test_the_average_and_its_gradient_equal_golden(case: Any, relu: bool) -> None:
    check(pooling(*case, average=True, relu=relu))


@pytest.mark.parametrize("what", ["round_activation", "round_error"])
def test_truncation_is_done_where_it_is_asked_for(what: str) -> None:
    for shape in (SHAPES[0], SHAPES[8]):
        check(replace(pooling(shape, FORMATS[1], average=True), **{what: Rounding.TRUNCATE}))


@pytest.mark.parametrize(("case", "stalls"), combined(STALLED, STALLS, every=3), ids=str)
def test_nothing_is_lost_doubled_or_reordered_whatever_stalls(case: Any, stalls: str) -> None:
    shape, average, relu = case
    check(pooling(shape, average=average, relu=relu), 4, stalls)


@pytest.mark.parametrize("gradient_rows", [1, 3])
@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("average", [False, True])
def test_any_depth_will_do(average: bool, tokens: int, gradient_rows: int) -> None:
    for shape in (SHAPES[0], SHAPES[6]):
        numbers = pooling(
            shape, average=average, relu=True, tokens=tokens, gradient_rows=gradient_rows
        )
        check(numbers, stalls="random")


@pytest.mark.parametrize("average", [False, True])
def test_as_many_tokens_as_promised_go_ahead_of_their_gradients_and_then_x_waits(
    average: bool,
) -> None:
    numbers = pooling(average=average, relu=True, tokens=3)
    _, seen = check(numbers, 8, "late gradients", lag=numbers.tokens * numbers.outputs)
    first = seen.dy[0]
    before = sum(cycle < first for cycle in seen.x)
    assert numbers.tokens * numbers.inputs <= before < (numbers.tokens + 1) * numbers.inputs


def test_without_anything_to_remember_x_never_waits() -> None:
    _, seen = check(pooling(average=True, tokens=1), 8, lag=6 * pooling().outputs)
    assert seen.x == list(range(len(seen.x)))


@pytest.mark.parametrize(("shape", "average"), combined(SHAPES, [False, True], every=2), ids=str)
def test_a_stall_free_run_moves_one_element_a_cycle_on_x_and_on_dx(
    shape: Any, average: bool
) -> None:
    numbers = pooling(shape, average=average, relu=True, tokens=4)
    _, seen = check(numbers)
    assert seen.x == list(range(len(seen.x)))
    cycles = [taken.cycle for taken in seen.dx]
    start = len(cycles) // 6  # the first token waits for its y, element by element
    assert cycles[start:] == list(range(cycles[start], cycles[start] + len(cycles) - start))


@dataclass(frozen=True)
class Exact(Pooling):
    """Memories of so many words, whole rows and tokens or not."""

    waiting: int = 0
    stashed: int = 0

    @property
    def gradient_words(self) -> int:
        return max(2, self.waiting)

    @property
    def stash_words(self) -> int:
        return self.stashed


def steady(numbers: Pooling, gaps: str, count: int) -> tuple[Pooling, Any, Any]:
    """Arrivals of x and of dy, [tokens, elements], as close as is promised, in random patterns.

    The unit comes back with memories just as deep as is needed for them.
    """
    source = pattern(gaps, 7)

    def arrivals(size: int) -> Any:
        cycles = np.flatnonzero([next(source) for _ in range(4 * size + 300)])
        return cycles[:size] - cycles[0]

    x, dy = arrivals(numbers.inputs), arrivals(numbers.outputs)
    interval = max(numbers.interval, numbers.gradient_interval(dy), x[-1] + 1, dy[-1] + 1)
    dy += numbers.output_times(x)[-1] + 3  # after all of y
    exact = Exact(
        **{part.name: getattr(numbers, part.name) for part in fields(Pooling)},
        waiting=numbers.gradients_held(dy, interval),
        stashed=numbers.stash_held(x, dy, interval),
    )
    starts = interval * np.arange(count)[:, None]
    return exact, starts + x, starts + dy


@pytest.mark.parametrize(
    ("mode", "gaps"), combined(MODES, ["random", "none", "burst"], every=3), ids=str
)
def test_every_element_leaves_in_the_cycle_foretold(mode: Any, gaps: str) -> None:
    shape, average = mode
    numbers, x, dy = steady(pooling(shape, average=average, relu=True), gaps, 5)
    gates = (at(x), pattern("none", 0), at(dy), pattern("none", 0))
    seen = run(Pool(pooling=numbers), tokens_of(numbers, 5), gates)
    assert seen.x == x.ravel().tolist()
    assert seen.dy == dy.ravel().tolist()
    wanted = np.array([numbers.output_times(times) for times in x])
    assert [taken.cycle for taken in seen.y] == wanted.ravel().tolist()
    wanted = np.array([numbers.gradient_times(times) for times in dy])
    assert [taken.cycle for taken in seen.dx] == wanted.ravel().tolist()


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("gaps", ["none", "random", "burst"])
def test_a_word_less_than_foretold_and_somebody_waits(gaps: str, average: bool) -> None:
    exact, x, dy = steady(pooling(average=average, relu=True), gaps, 5)
    tokens = tokens_of(exact, 5)
    for memory, border in (("waiting", 2), ("stashed", 0)):
        numbers = replace(exact, **{memory: getattr(exact, memory) - 1})
        gates = (at(x), pattern("none", 0), at(dy), pattern("none", 0))
        seen = run(Pool(pooling=numbers), tokens, gates)
        assert seen[border] != (x, None, dy)[border].ravel().tolist()


class LastOfEquals(Pool):
    """Of equal elements the last one is remembered."""

    def _both(self, old: Any, new: Any) -> Value:
        return Mux(new.value >= old.value, new.as_value(), old.as_value())


class NoMask(Pool):
    """Gradients pass where the ReLU below was shut."""

    def _forward(self, m: Module, stash: Any) -> None:
        super()._forward(m, stash)
        m.d.comb += stash.word.eq(1)


class ShortLine(Pool):
    """The line of partial results is a word too short."""

    def _line(self, words: int) -> Line:
        return super()._line(words - 1 if words == self.pooling.row_words else words)


class SkippedWord(GradientRows):
    """A word of the circle is never read."""

    def _address(self, m: Module, raster: Raster) -> Value:
        address = super()._address(m, raster)
        return Mux(address == 1, 2, address)


class WrongRow(Pool):
    """Some windows get their neighbour's gradient."""

    def __init__(self, *, pooling: Pooling) -> None:
        super().__init__(pooling=pooling)
        self.rows.__class__ = SkippedWord


FAULTS = {
    "the last of equals": (LastOfEquals, pooling()),
    "no mask": (NoMask, pooling(average=True, relu=True)),
    "a short line of maxima": (ShortLine, pooling()),
    "a short line of sums": (ShortLine, pooling(average=True)),
    "a skipped word": (WrongRow, pooling()),
}


@pytest.mark.parametrize(("fault", "numbers"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(fault: type[Pool], numbers: Pooling) -> None:
    check(numbers)
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        check(numbers, kind=fault)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[6], SHAPES[13]], ids=str)
def test_the_memories_are_those_of_the_description(shape: Any, average: bool) -> None:
    numbers = pooling(shape, average=average, relu=True)
    text = convert(Pool(pooling=numbers), "pool")
    modules = {
        (name, int(words), int(bits)): text.count(f"  {name} ") + text.count(f"  \\{name} ")
        for name, words, bits in re.findall(r"module (pool__memory_(\d+)x(\d+)\w*)\(", text)
    }
    found = [(words, bits) for (_, words, bits), count in modules.items() for _ in range(count)]
    for bits, words in re.findall(r"reg \[(\d+):0\] \S+ \[(\d+):0\];", text):
        found.append((int(words) + 1, int(bits) + 1))
    assert sorted(found) == sorted((words, bits) for _, words, bits in numbers.memories)


def test_the_verilog_has_no_signal_of_zero_bits() -> None:
    for average in (False, True):
        for shape in ((2, 1, 1, (2, 1)), (1, 2, 1, (1, 2)), SHAPES[1]):
            text = convert(Pool(pooling=pooling(shape, average=average, relu=True)), "pool")
            assert not re.findall(r"\[-\d+:|(?<![\w'])0'[sS]?[bodhBODH]", text)


def test_the_verilog_does_not_grow_with_the_image() -> None:
    small, large = (
        len(convert(Pool(pooling=pooling((size, size, 16, (2, 2)), tokens=4)), "pool"))
        for size in (16, 256)
    )
    assert large < 1.02 * small
