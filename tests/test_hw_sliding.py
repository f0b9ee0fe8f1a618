"""The pooling unit whose windows lie anyhow equals its golden twin, whatever stalls, and its times
are those foretold."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import C, Cat, Module, Mux, Value

from counterflow.design.parts.formats import Rounding
from counterflow.design.units.sliding import Sliding
from counterflow.hw.parts.modules import convert
from counterflow.hw.pooling.sliding import SlidingPool
from counterflow.hw.pooling.sliding_gradients import SlidingGradients
from counterflow.hw.pooling.sliding_windows import Flags, SlidingWindows
from counterflow.sim.bench.stalls import pattern
from tests.test_hw_pool import STALLS, Seen, Tokens, at, check, run, tokens_of
from tests.test_sliding import CASES, FORMATS, sliding

QUICK = ("random", "slow x", "late gradients")  # other stalls are left to the slow tests
QUEUED = sliding(CASES["padded"], queue_words=5, ahead=3)
STALLED = {
    "overlapping maximum": sliding(CASES["3x3 every 2"]),
    "maximum beyond the image": QUEUED,
    "average beyond the image": sliding(CASES["padded"], True, relu=True, queue_words=2, ahead=2),
    "pixels left out": sliding(CASES["2x2 every 3"], True, relu=True),
}


def checked(numbers: Sliding, count: int = 4, stalls: str = "none", kind: Any = SlidingPool) -> Any:
    """See `tests.test_hw_pool.check`."""
    return check(numbers, count, stalls, kind=kind)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("formats", FORMATS[1:], ids=str)
def test_y_and_dx_equal_golden_in_other_formats(formats: Any, average: bool) -> None:
    for name in ("3x3 every 2", "unequal"):
        rounding = Rounding.TRUNCATE if name == "unequal" else Rounding.NEAREST_EVEN
        checked(sliding(CASES[name], average, formats, rounding), 2)


@pytest.mark.parametrize(
    "stalls",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in STALLS],
)
@pytest.mark.parametrize("numbers", STALLED.values(), ids=STALLED)
def test_nothing_is_lost_doubled_or_reordered_whatever_stalls(
    numbers: Sliding, stalls: str
) -> None:
    checked(numbers, 3, stalls)


@pytest.mark.parametrize("depths", [{"tokens": 1}, {"waiting_words": 40}, {"queue_words": 40}])
@pytest.mark.parametrize("average", [False, True])
def test_any_depth_will_do(average: bool, depths: dict[str, int]) -> None:
    numbers = sliding(CASES["padded"], average, relu=True, queue_words=3, ahead=2)
    checked(replace(numbers, **depths), 3, "random")


# ---- cycles ------------------------------------------------------------------------------------


def steady(numbers: Sliding, gaps: str, count: int) -> tuple[Sliding, Any, Any, int]:
    """Arrivals of x and of dy, [tokens, elements], in random patterns, and their interval.

    They are as close as is promised, and the unit comes back just as deep as they need it.
    """
    source = pattern(gaps, 7)

    def arrivals(size: int) -> Any:
        cycles = np.flatnonzero([next(source) for _ in range(4 * size + 300)])
        return cycles[:size] - cycles[0]

    x, dy = arrivals(numbers.inputs), arrivals(numbers.outputs)
    interval = max(numbers.interval, numbers.gradient_interval(dy), x[-1] + 1, dy[-1] + 1)
    dy += numbers.output_times(x)[-1] + 3  # after all of y
    starts = interval * np.arange(count)[:, None]
    return numbers.sized(x, dy, interval), starts + x, starts + dy, interval


def passed(numbers: Sliding, x: Any, dy: Any, kind: Any = SlidingPool) -> tuple[Tokens, Seen]:
    """What passes where x and dy come so and nobody stalls."""
    tokens = tokens_of(numbers, len(x))
    gates = (at(x), pattern("none", 0), at(dy), pattern("none", 0))
    return tokens, run(kind(pooling=numbers), tokens, gates)


@pytest.mark.parametrize(
    ("name", "gaps"),
    [
        pytest.param(name, gaps, marks=[pytest.mark.slow] * (gaps != "none" and name != "padded"))
        for name in CASES
        for gaps in ("none", "random", "burst")
    ],
)
def test_every_element_equals_golden_and_leaves_in_the_cycle_foretold(name: str, gaps: str) -> None:
    for average in (False, True):
        numbers, x, dy, interval = steady(sliding(CASES[name], average, relu=True), gaps, 3)
        tokens, seen = passed(numbers, x, dy)
        assert [taken.payload.data for taken in seen.y] == tokens.y.ravel().tolist()
        assert [taken.payload for taken in seen.dx] == tokens.dx.ravel().tolist()
        assert seen.x == x.ravel().tolist()
        assert seen.dy == dy.ravel().tolist()
        wanted = np.array([numbers.output_times(times) for times in x])
        assert [taken.cycle for taken in seen.y] == wanted.ravel().tolist()
        first, *others = (numbers.gradient_times(times) for times in dy)
        wanted = np.array([first, *(numbers.followed(one, interval) for one in others)])
        assert [taken.cycle for taken in seen.dx] == wanted.ravel().tolist()


@dataclass(frozen=True)
class Exact(Sliding):
    """Memories of so many words, whole tokens or not, and however few."""

    stashed: int = 0

    @property
    def gradient_words(self) -> int:
        return max(2, self.waiting_words)

    @property
    def stash_words(self) -> int:
        return self.stashed


@pytest.mark.parametrize(
    ("depth", "border", "case"),
    [
        ("queue_words", 0, "padded to the full"),
        ("waiting_words", 2, "2x2 every 3"),
        ("stashed", 0, "2x2 every 3"),
    ],
)
def test_a_word_less_than_foretold_and_somebody_waits(depth: str, border: int, case: str) -> None:
    plain, x, dy, interval = steady(sliding(CASES[case], True, relu=True), "none", 6)
    exact = Exact(
        **{part.name: getattr(plain, part.name) for part in fields(Sliding)},
        stashed=plain.stash_held(x[0], dy[0], interval),
    )
    for less in (0, 1):
        numbers = replace(exact, **{depth: getattr(exact, depth) - less})
        _, seen = passed(numbers, x, dy)
        expected = (x, None, dy)[border].ravel().tolist()
        assert (seen[border] == expected) == (less == 0)


def test_a_walk_that_starts_an_element_sooner_is_late_for_the_next_token() -> None:
    exact, x, dy, _ = steady(sliding(CASES["padded"]), "burst", 4)
    assert exact.ahead > 1
    wanted = np.array([exact.output_times(times) for times in x]).ravel().tolist()
    found = []
    for ahead in (exact.ahead, 1):
        _, seen = passed(replace(exact, ahead=ahead), x, dy)
        found.append([taken.cycle for taken in seen.y] == wanted)
    assert found == [True, False]


# ---- faults ------------------------------------------------------------------------------------


class Stale(SlidingWindows):
    """A window goes on with what was kept of the one before it."""

    def _joined(self, m: Module, name: str, axis: int, flags: Flags, *others: Any) -> Any:
        return super()._joined(m, name, axis, flags._replace(opens=C(0, 1)), *others)


class Beyond(SlidingWindows):
    """What is taken beside the image is joined with its windows."""

    def _joined(self, m: Module, name: str, axis: int, flags: Flags, *others: Any) -> Any:
        return super()._joined(m, name, axis, flags._replace(beyond=C(0, 1)), *others)


class Unmoved(SlidingWindows):
    """The places of a maximum are those of the oldest window."""

    def _placed(self, m: Module, new: Any, offset: int, name: str) -> Any:
        return super()._placed(m, new, 0, name)


class LastOfEquals(SlidingWindows):
    """Of equal elements the last one is remembered."""

    def _both(self, old: Any, new: Any) -> Value:
        return Mux(new.value >= old.value, new.as_value(), old.as_value())


class OneWindow(SlidingGradients):
    """Only the youngest window of an element gives it a gradient."""

    def _terms(self, *given: Any) -> list[Value]:
        first, *others = super()._terms(*given)
        return [first, *(C(0, others[0].shape()) for _ in others)]


class AnyWindow(SlidingGradients):
    """Windows that do not exist give gradients, too."""

    def _terms(self, m: Module, columns: Any, valid: Value, rows: Value, sweep: Any) -> list[Value]:
        return super()._terms(m, columns, Cat(C(1, 1) for _ in valid), rows, sweep)


def faulty(windows: Any = SlidingWindows, gradients: Any = SlidingGradients) -> Any:
    """A unit with such parts."""

    def made(*, pooling: Sliding) -> SlidingPool:
        unit = SlidingPool(pooling=pooling)
        unit.windows.__class__, unit.gradients.__class__ = windows, gradients
        return unit

    return made


FAULTS: dict[str, tuple[Any, Sliding]] = {
    "stale maxima": (faulty(windows=Stale), sliding(CASES["2x2 every 3"])),
    "stale sums": (faulty(windows=Stale), sliding(CASES["2x2 every 3"], True)),
    "beside the image": (faulty(windows=Beyond), QUEUED),
    "sums beside the image": (faulty(windows=Beyond), sliding(CASES["padded"], True)),
    "places not moved": (faulty(windows=Unmoved), sliding(CASES["3x3 every 1"])),
    "the last of equals": (faulty(windows=LastOfEquals), sliding(CASES["2x2 every 1"])),
    "one window": (faulty(gradients=OneWindow), sliding(CASES["2x2 every 1"])),
    "one window of an average": (faulty(gradients=OneWindow), sliding(CASES["3x3 every 2"], True)),
    "any window": (faulty(gradients=AnyWindow), sliding(CASES["3x3 every 2"], True)),
}


@pytest.mark.parametrize(("fault", "numbers"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(fault: Any, numbers: Sliding) -> None:
    checked(numbers, 2, kind=faulty())
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        checked(numbers, 2, kind=fault)


# ---- Verilog -----------------------------------------------------------------------------------


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("name", ["3x3 every 2", "2x2 every 3", "padded", "along columns"])
def test_the_memories_are_those_of_the_description(name: str, average: bool) -> None:
    numbers = sliding(CASES[name], average, relu=True, queue_words=70)
    text = convert(SlidingPool(pooling=numbers), "pool")
    assert not re.findall(r"\[-\d+:|(?<![\w'])0'[sS]?[bodhBODH]", text)  # no signals of zero bits
    modules = {
        (name, int(words), int(bits)): text.count(f"  {name} ") + text.count(f"  \\{name} ")
        for name, words, bits in re.findall(r"module (pool__memory_(\d+)x(\d+)\w*)\(", text)
    }
    found = [(words, bits) for (_, words, bits), count in modules.items() for _ in range(count)]
    for bits, words in re.findall(r"reg \[(\d+):0\] \S+ \[(\d+):0\];", text):
        found.append((int(words) + 1, int(bits) + 1))
    assert sorted(found) == sorted((words, bits) for _, words, bits in numbers.memories)


@pytest.mark.slow
def test_the_verilog_does_not_grow_with_the_image() -> None:
    small, large = (
        len(convert(SlidingPool(pooling=sliding(((size, size, 16), (3, 3), (2, 2), (1, 1)))), "p"))
        for size in (16, 256)
    )
    assert large < 1.02 * small
