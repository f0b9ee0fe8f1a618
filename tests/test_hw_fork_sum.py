"""Fork and sum equal their golden twins and send at the times foretold, whatever stalls."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Mux

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.tokens import Kind
from counterflow.design.units import fork as fork_design
from counterflow.design.units import passing
from counterflow.design.units import sum as sum_design
from counterflow.design.units.sum import Branch
from counterflow.golden.units.fork import Fork as GoldenFork
from counterflow.golden.units.sum import Sum as GoldenSum
from counterflow.hw.parts.join import Join
from counterflow.hw.units.fork import Fork
from counterflow.hw.units.sum import Sum
from counterflow.sim.bench.stalls import pattern
from counterflow.sim.streams import send, simulate
from tests.ports import Traffic, at, run
from tests.thinned import combined

ELEMENTS = 5
STALLS = ("none", "random", "burst", "slow")


def fork(branches: int = 2, error: str = "s7.4", **changes: Any) -> fork_design.Fork:
    numbers = fork_design.Fork(
        elements=ELEMENTS,
        branches=branches,
        x=Format.parse("u6.4"),
        error=Format.parse(error),
        round_error=Rounding.NEAREST_EVEN,
        wanted=True,
        queues=(3,) * branches,
    )
    return replace(numbers, **changes)


def branch(x: str, dx: str, wanted: bool = True, masks: bool = True) -> Branch:
    return Branch(Format.parse(x), Format.parse(dx), wanted, masks)


def added(*branches: Branch, y: str = "s8.4", dy: str = "s9.6", **changes: Any) -> sum_design.Sum:
    found = branches or (branch("u6.4", "s9.6"), branch("s7.5", "s6.4", masks=False))
    numbers = sum_design.Sum(
        elements=ELEMENTS,
        branches=found,
        y=Format.parse(y),
        dy=Format.parse(dy),
        round_activation=Rounding.NEAREST_EVEN,
        round_error=Rounding.NEAREST_EVEN,
        queues=(3,) * len(found),
        stash_words=4 * ELEMENTS,
    )
    return replace(numbers, **changes)


FORKS = {
    "two": fork(),
    "four": fork(4),
    "deep": fork(queues=(40, 2)),
    "shallow": fork(queues=(1, 1)),
    "before the first weights": fork(wanted=False, queues=(0, 0)),
}
SUMS = {
    "two": added(),
    "both masked, saturated": added(branch("u6.4", "s5.6"), branch("u6.2", "s5.1"), y="u6.4"),
    "three": added(branch("u6.4", "s9.6"), branch("s7.5", "s6.4"), branch("s4.0", "s12.9")),
    "one is not wanted": added(branch("u6.4", "s9.6"), branch("u6.4", "s9.6", wanted=False)),
    "no mask, truncated": added(
        branch("s6.4", "s8.5", masks=False),
        branch("s7.6", "s8.4", masks=False),
        round_activation=Rounding.TRUNCATE,
        round_error=Rounding.TRUNCATE,
    ),
    "deep": added(queues=(40, 2)),
    "shallow": added(queues=(1, 1)),
    "a ReLU": added(branch("s6.4", "s9.6", masks=False), branch("s7.5", "s6.4"), relu=True),
    "a ReLU, unsigned and truncated": added(
        branch("s6.4", "s9.6", masks=False),
        branch("s7.5", "s6.4", masks=False),
        y="u6.4",
        relu=True,
        round_activation=Rounding.TRUNCATE,
    ),
    "a ReLU that sees nothing negative": added(branch("u6.4", "s9.6"), y="s7.3", relu=True),
}


def _noise(source: Any, number: Format, count: int) -> Any:
    """Whole ranges, with their ends and zeros."""
    wide = source.integers(number.min, number.max + 1, (count, ELEMENTS))
    ends = source.choice([number.min, number.max, 0], wide.shape)
    return np.where(source.random(wide.shape) < 0.4, ends, wide)


def _tagged(values: Any, kinds: Any) -> list[Any]:
    pairs = zip(np.asarray(values).tolist(), kinds, strict=True)
    return [{"data": value, "kind": int(kind)} for token, kind in pairs for value in token]


def traffic(numbers: Any, count: int = 4) -> Traffic:
    """Tokens of all kinds."""
    source = np.random.default_rng(count)
    kinds = source.choice([int(kind) for kind in Kind], count)
    if isinstance(numbers, fork_design.Fork):
        golden, x = GoldenFork(numbers), _noise(source, numbers.x, count)
        ys = {f"y{index}": _tagged(x, kinds) for index in range(numbers.branches)}
        if not numbers.wanted:
            return Traffic({"x": _tagged(x, kinds)}, ys, {})
        dy = [_noise(source, numbers.error, count) for _ in range(numbers.branches)]
        dx = np.array([golden.backward(*token) for token in zip(*dy, strict=True)])
        back = {f"dy{index}": one.ravel().tolist() for index, one in enumerate(dy)}
        return Traffic({"x": _tagged(x, kinds), **back}, {**ys, "dx": dx.ravel().tolist()}, {})
    golden_sum = GoldenSum(numbers)
    xs = [_noise(source, one.x, count) for one in numbers.branches]
    dys = _noise(source, numbers.dy, count)
    y = [golden_sum.forward(*token) for token in zip(*xs, strict=True)]
    dxs = [golden_sum.backward(token) for token in dys]
    ports = [index for index, one in enumerate(numbers.branches) if one.wanted]
    return Traffic(
        {
            **{f"x{index}": _tagged(x, kinds) for index, x in enumerate(xs)},
            "dy": dys.ravel().tolist(),
        },
        {
            "y": _tagged(y, kinds),
            **{
                f"dx{port}": np.array([token[place] for token in dxs]).ravel().tolist()
                for place, port in enumerate(ports)
            },
        },
        {"dy": "y"},
    )


def built(numbers: Any, kind: type | None = None) -> Any:
    plain = Fork if isinstance(numbers, fork_design.Fork) else Sum
    return (kind or plain)(numbers=numbers)


def check(numbers: Any, stalls: dict[str, str] | None = None, kind: type | None = None) -> Any:
    """What leaves is what golden makes of it, element by element, with the kinds that came."""
    tokens = traffic(numbers)
    ports = [*tokens.given, *tokens.wanted]
    gates = {
        port: pattern((stalls or {}).get(port, "none"), seed) for seed, port in enumerate(ports)
    }
    taken, left = run(built(numbers, kind), tokens, gates)
    for port, expected in tokens.wanted.items():
        found = [one.payload for one in left[port]]
        if isinstance(expected[0], dict):
            found = [{"data": one.data, "kind": one.kind} for one in found]
        assert found == expected, port
    return taken, left


def ports(numbers: Any) -> list[str]:
    tokens = traffic(numbers, 1)
    return [*tokens.given, *tokens.wanted]


@pytest.mark.parametrize(("name", "stalls"), combined([*FORKS, *SUMS], STALLS, every=2))
def test_a_unit_equals_golden_whatever_stalls(name: str, stalls: str) -> None:
    numbers = {**FORKS, **SUMS}[name]
    check(numbers, dict.fromkeys(ports(numbers), stalls))


@pytest.mark.parametrize("numbers", [FORKS["two"], SUMS["two"]], ids=["fork", "sum"])
@pytest.mark.parametrize("stalls", STALLS[1:])
def test_it_does_so_where_one_port_alone_is_stalled(numbers: Any, stalls: str) -> None:
    for port in ports(numbers):
        check(numbers, {port: stalls})


@pytest.mark.parametrize("numbers", [fork(), fork(4), added(), SUMS["three"]], ids=str)
def test_a_stall_free_run_moves_one_element_a_cycle_each_way(numbers: Any) -> None:
    taken, left = check(numbers)
    for cycles in [*taken.values(), *([one.cycle for one in port] for port in left.values())]:
        assert all(after - before == 1 for before, after in itertools.pairwise(cycles))


# ---- times -------------------------------------------------------------------------------------


def timed(numbers: Any, gaps: str, count: int = 4) -> tuple[Any, dict[str, Any], int]:
    """A unit with just the room that it needs, and when its ports are given each element."""
    source, interval = np.random.default_rng(3), 40

    def arrivals(seed: int, late: int) -> Any:
        gate = pattern(gaps, seed)
        cycles = np.flatnonzero([next(gate) for _ in range(500)])[:ELEMENTS]
        return cycles - cycles[0] + late

    given = [port for port in ports(numbers) if port in traffic(numbers, 1).given]
    times = {port: arrivals(seed, int(source.integers(0, 30))) for seed, port in enumerate(given)}
    x = [times[port] for port in given if port.startswith("x")]
    behind = int(numbers.forward(x)[0].max()) + 3  # gradients come after all of y
    times |= {port: times[port] + behind for port in given if port.startswith("dy")}
    interval += max(int(one.max() - one.min()) for one in times.values())
    dy = [times[port] for port in given if port.startswith("dy")]
    exact = numbers.fitted(passing.Traffic(x, dy, interval, [0] * max(1, len(dy))))
    starts = interval * np.arange(count)[:, None]
    return exact, {port: starts + one for port, one in times.items()}, interval


TIMED = [fork(), fork(4), added(), SUMS["three"], SUMS["both masked, saturated"]]


@pytest.mark.parametrize(
    ("numbers", "gaps"), combined(TIMED, ["none", "random", "burst"], every=3), ids=str
)
def test_every_element_leaves_in_the_cycle_foretold_and_a_place_less_stalls(
    numbers: Any, gaps: str
) -> None:
    exact, times, _ = timed(numbers, gaps)
    tokens = traffic(exact)
    free = {port: pattern("none", 0) for port in tokens.wanted}
    taken, left = run(built(exact), tokens, {**free, **{p: at(one) for p, one in times.items()}})
    for port, cycles in times.items():
        assert taken[port] == cycles.ravel().tolist(), port
    for way, leaving in (("x", "y"), ("dy", "dx")):
        came = [one for port, one in times.items() if port.startswith(way)]
        foretold = exact.forward if way == "x" else exact.backward
        found = [one for port, one in left.items() if port.startswith(leaving)]
        for index, one in enumerate(found):
            wanted = np.array([foretold(token)[index] for token in zip(*came, strict=True)])
            assert [element.cycle for element in one] == wanted.ravel().tolist()
    for changed in shortened(exact):
        gates = {**free, **{port: at(one) for port, one in times.items()}}
        again, late = run(built(changed), tokens, gates)
        cycles = {port: [one.cycle for one in found] for port, found in late.items()}
        before = {port: [one.cycle for one in found] for port, found in left.items()}
        assert (again, cycles) != (taken, before)


def shortened(numbers: Any) -> Iterator[Any]:
    """The unit with a place less in each of its queues that is deeper than one, or its stash."""
    for index, depth in enumerate(numbers.queues):
        if depth > 1:
            queues = (*numbers.queues[:index], depth - 1, *numbers.queues[index + 1 :])
            yield replace(numbers, queues=queues)
    if getattr(numbers, "stash_words", 0) > 1:
        yield replace(numbers, stash_words=numbers.stash_words - 1)


# ---- join alone --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depths", "stalls"),
    combined([(1, 1), (3, 2), (40, 33), (2, 5, 1)], STALLS, every=2),
    ids=str,
)
def test_a_join_pairs_elements_by_their_number(depths: tuple[int, ...], stalls: str) -> None:
    join = Join(bits=[8] * len(depths), depths=depths)
    items = [[(7 * n + index) % 256 for n in range(60)] for index in range(len(depths))]
    found: list[tuple[int, ...]] = []

    def giving(index: int) -> Any:
        async def give(ctx: Any) -> None:
            await send(ctx, join.given(index), items[index], pattern(stalls, index))

        return give

    async def take(ctx: Any) -> None:
        gate = pattern(stalls, 9)
        while len(found) < 60:
            is_open = next(gate)
            ctx.set(join.take, is_open)
            oldest = [join.oldest(index) for index in range(len(depths))]
            _, _, valid, *values = await ctx.tick().sample(join.valid, *oldest)
            if valid and is_open:
                found.append(tuple(values))

    simulate(join, take, *(giving(index) for index in range(len(depths))))
    assert found == list(zip(*items, strict=True))


@pytest.mark.parametrize("depths", [(4, 4), (40, 40)], ids=str)
def test_a_stream_is_refused_only_when_its_own_queue_is_full(depths: tuple[int, int]) -> None:
    join, taken = Join(bits=[4, 4], depths=depths), []

    async def give(ctx: Any) -> None:
        ctx.set(join.take, 1)
        ctx.set(join.i0.valid, 1)
        for _ in range(depths[0] + 5):
            _, _, ready, other = await ctx.tick().sample(join.i0.ready, join.i1.ready)
            taken.append(ready)
            assert other

    simulate(join, give)
    assert taken == [1] * depths[0] + [0] * 5


# ---- faults ------------------------------------------------------------------------------------


class Lost(Fork):
    """What is given up when the first branch has taken it."""

    def _forward(self, m: Module) -> None:
        super()._forward(m)
        m.d.comb += self.x.ready.eq(self.y0.ready)


class Twice(Fork):
    """A branch gets an element again while another is stalled."""

    def _forward(self, m: Module) -> None:
        super()._forward(m)
        m.d.comb += self.y1.valid.eq(self.x.valid)


class OldKind(Sum):
    """The kind of what comes."""

    def _forward(self, m: Module, stash: Any) -> None:
        super()._forward(m, stash)
        m.d.comb += m.submodules.outputs.word_tag.eq(self.x0.payload.kind)


class Unmasked(Sum):
    """Gradients pass where the ReLU below was shut."""

    def _forward(self, m: Module, stash: Any) -> None:
        super()._forward(m, stash)
        m.d.comb += stash.word.eq(-1)


class Linear(Sum):
    """No ReLU behind the sum."""

    def _forward(self, m: Module, stash: Any) -> None:
        kept, self.numbers = self.numbers, replace(self.numbers, relu=False)
        super()._forward(m, stash)
        self.numbers = kept


class EachRectified(Sum):
    """A ReLU before the sum, at each branch."""

    def _oldest(self, m: Module, join: Join, index: int) -> Any:
        value = super()._oldest(m, join, index)
        return Mux(value < 0, 0, value)


FAULTS = {
    "lost": (Lost, fork(), {"y1": "random"}),
    "twice": (Twice, fork(), {"y0": "slow"}),
    "old kind": (OldKind, added(), {}),
    "unmasked": (Unmasked, added(), {}),
    "no ReLU": (Linear, SUMS["a ReLU"], {}),
    "a ReLU too early": (EachRectified, SUMS["a ReLU"], {}),
}


@pytest.mark.parametrize(("fault", "numbers", "stalls"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(fault: type, numbers: Any, stalls: dict[str, str]) -> None:
    check(numbers, stalls)
    with pytest.raises(AssertionError):
        check(numbers, stalls, fault)
