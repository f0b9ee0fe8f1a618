"""The subsampling unit equals its golden twin and sends at the times foretold, whatever stalls."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import Kind
from counterflow.design.units import passing
from counterflow.design.units.subsample import Subsampling
from counterflow.golden.units.subsample import Subsample as Golden
from counterflow.hw.units.subsample import Spread, Subsample
from counterflow.sim.bench.stalls import pattern
from tests.ports import Traffic, at, run

STALLS = ("none", "random", "burst", "slow")


def subsampling(
    image: tuple[int, int, int], stride: tuple[int, int], outputs: int, **changes: Any
) -> Subsampling:
    numbers = Subsampling(
        image=image,
        stride=stride,
        outputs=outputs,
        x=Format.parse("u6.4"),
        error=Format.parse("s7.4"),
        wanted=True,
        x_words=3,
        dy_words=3,
    )
    return replace(numbers, **changes)


UNITS = {
    "pixels dropped, channels added": subsampling((4, 3, 2), (2, 2), 4),
    "odd shape, strides of its size": subsampling((3, 5, 1), (3, 5), 2, x_words=1, dy_words=1),
    "channels added": subsampling((2, 2, 3), (1, 1), 4, begin=2),
    "rows dropped, signed": subsampling(
        (5, 2, 2), (2, 1), 2, x=Format.parse("s5.2"), error=Format.parse("s12.9")
    ),
    "columns dropped, deep": subsampling((2, 7, 1), (1, 3), 3, x_words=40, dy_words=33),
    "before the first weights": subsampling((4, 4, 1), (2, 2), 2, wanted=False),
}


def _noise(source: Any, number: Format, count: int, elements: int) -> Any:
    """Whole ranges, with their ends; zeros come from the unit."""
    wide = source.integers(number.min, number.max + 1, (count, elements))
    ends = source.choice([number.min, number.max], wide.shape)
    return np.where(source.random(wide.shape) < 0.3, ends, wide)


def traffic(numbers: Subsampling, count: int = 5) -> Traffic:
    """Tokens of all kinds."""
    source, golden = np.random.default_rng(count), Golden(numbers)
    kinds = source.choice([int(kind) for kind in Kind], count)
    x = _noise(source, numbers.x, count, int(np.prod(numbers.image)))
    dy = _noise(source, numbers.error, count, int(np.prod(numbers.result)))

    def tagged(tokens: Any) -> list[Any]:
        each = zip(tokens, kinds, strict=True)
        return [{"data": int(v), "kind": int(kind)} for token, kind in each for v in token]

    given, wanted = {"x": tagged(x)}, {"y": tagged([golden.forward(one) for one in x])}
    if not numbers.wanted:
        return Traffic(given, wanted, {})
    dx = np.array([golden.backward(one) for one in dy])
    return Traffic({**given, "dy": dy.ravel().tolist()}, {**wanted, "dx": dx.ravel().tolist()}, {})


def check(numbers: Subsampling, stalls: dict[str, str]) -> tuple[Any, Any]:
    """What leaves is what golden makes of it, element by element, with the kinds that came."""
    tokens = traffic(numbers)
    ports = [*tokens.given, *tokens.wanted]
    gates = {port: pattern(stalls.get(port, "none"), seed) for seed, port in enumerate(ports)}
    taken, left = run(Subsample(numbers=numbers), tokens, gates)
    for port, expected in tokens.wanted.items():
        found = [one.payload for one in left[port]]
        if isinstance(expected[0], dict):
            found = [{"data": one.data, "kind": one.kind} for one in found]
        assert found == expected, port
    return taken, left


@pytest.mark.parametrize("numbers", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("stalls", STALLS)
def test_a_unit_equals_golden_whatever_stalls(numbers: Subsampling, stalls: str) -> None:
    check(numbers, dict.fromkeys(("x", "y", "dy", "dx"), stalls))


@pytest.mark.parametrize("port", ["x", "y", "dy", "dx"])
@pytest.mark.parametrize("stalls", STALLS[1:])
def test_it_does_so_where_one_port_alone_is_stalled(port: str, stalls: str) -> None:
    check(UNITS["pixels dropped, channels added"], {port: stalls})


def test_where_more_leaves_than_comes_it_leaves_without_a_gap() -> None:
    _, left = check(UNITS["channels added"], {})
    cycles = [one.cycle for one in left["y"]]
    assert all(after - before == 1 for before, after in itertools.pairwise(cycles))


def test_what_is_dropped_is_taken_at_one_a_cycle() -> None:
    taken, _ = check(UNITS["rows dropped, signed"], {})
    assert all(after - before == 1 for before, after in itertools.pairwise(taken["x"]))


def serialised(ready: Any) -> list[int]:
    """Cycles in which elements leave that are ready so, one a cycle."""
    leaving: list[int] = []
    for cycle in ready:
        leaving.append(max(cycle, leaving[-1] + 1) if leaving else cycle)
    return leaving


@pytest.mark.parametrize("gaps", ["none", "random", "burst"])
@pytest.mark.parametrize("name", UNITS)
def test_every_element_leaves_in_the_cycle_foretold_and_with_less_room_something_stalls(
    name: str, gaps: str
) -> None:
    numbers, count = UNITS[name], 5
    inputs, outputs = int(np.prod(numbers.image)), int(np.prod(numbers.result))

    def arrivals(seed: int, elements: int, late: int) -> Any:
        gate = pattern(gaps, seed)
        cycles = np.flatnonzero([next(gate) for _ in range(900)])[:elements]
        return cycles - cycles[0] + late

    x = arrivals(1, inputs, 3)
    dy = arrivals(2, outputs, 11)
    spans = [int(one[-1] - one[0]) + 1 for one in (x, dy)]
    interval = max(inputs, outputs, *spans)
    exact = numbers.fitted(passing.Traffic([x], [dy] * numbers.wanted, interval, [0]))
    starts = interval * np.arange(count)[:, None]
    times = {"x": starts + x, "dy": starts + dy} if exact.wanted else {"x": starts + x}
    tokens = traffic(exact, count)

    def ran(unit: Subsampling) -> tuple[Any, dict[str, list[int]]]:
        gates: dict[str, Iterator[bool]] = {port: at(one) for port, one in times.items()}
        gates |= {port: pattern("none", 0) for port in tokens.wanted}
        taken, left = run(Subsample(numbers=unit), tokens, gates, limit=2_000)
        return taken, {port: [one.cycle for one in found] for port, found in left.items()}

    def differs(unit: Subsampling) -> bool:
        try:
            return ran(unit) != (taken, left)
        except AssertionError as error:  # less room than it waits for to begin
            return "still running" in str(error)

    taken, left = ran(exact)
    for port, cycles in times.items():
        assert taken[port] == cycles.ravel().tolist(), port
    (y,) = exact.forward([x])
    assert left["y"] == (starts + y).ravel().tolist()
    if exact.wanted:
        assert left["dx"] == serialised((starts + exact.backward([dy])[0]).ravel().tolist())
    for field in ("x_words", "dy_words", "begin"):
        words = getattr(exact, field)
        if words > 1 and (exact.wanted or field != "dy_words"):
            assert differs(replace(exact, **{field: words - 1})), field


def test_a_grid_with_its_strides_exchanged_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Spread.__init__

    def other(self: Spread, **fields: Any) -> None:
        made = replace(fields["made"], stride=fields["made"].stride[::-1])
        kept(self, **{**fields, "made": made})

    monkeypatch.setattr(Spread, "__init__", other)
    with pytest.raises(AssertionError):
        check(subsampling((6, 6, 1), (1, 2), 1), {})
