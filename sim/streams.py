"""One component in Amaranth's own simulator: members driven cycle by cycle, streams kept to rules.

Cycle n is the one before the n-th rising edge, counted from 0; what is recorded of a cycle is what
that edge sees.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from amaranth.hdl import ClockDomain, Module, Value
from amaranth.sim import Simulator

PERIOD = 1e-6

Bench = Callable[[Any], Coroutine[Any, Any, None]]


class Taken(NamedTuple):
    """One transfer on a stream: when, and what (an int, or a constant of the payload's layout)."""

    cycle: int
    payload: Any


def simulate(component: Any, *benches: Bench, limit: int = 20_000) -> None:
    """Run `benches` side by side until all have ended; AssertionError beyond `limit` cycles."""

    async def watch(ctx: Any) -> None:
        for _ in range(limit):
            await ctx.tick()
        raise AssertionError(f"still running after {limit} cycles")

    m = Module()
    m.domains.sync = ClockDomain()  # a component without registers brings no domain of its own
    m.submodules.component = component
    simulator = Simulator(m)
    simulator.add_clock(PERIOD)
    for bench in benches:
        simulator.add_testbench(bench)
    simulator.add_testbench(watch, background=True)
    simulator.run()


def respond(
    component: Any, inputs: Mapping[str, Sequence[int]], outputs: Sequence[str]
) -> list[tuple[int, ...]]:
    """Put value n of every list in `inputs` on its member in cycle n; `outputs` of each cycle.

    A member of a member is named `member.of_it`.
    """
    lengths = {len(values) for values in inputs.values()}
    assert len(lengths) == 1, f"inputs of unequal lengths {lengths}"
    drivers = [attrgetter(name)(component) for name in inputs]
    signals = [Value.cast(attrgetter(name)(component)) for name in outputs]
    seen: list[tuple[int, ...]] = []

    async def bench(ctx: Any) -> None:
        for row in zip(*inputs.values(), strict=True):
            for driver, value in zip(drivers, row, strict=True):
                ctx.set(driver, value)
            _, _, *values = await ctx.tick().sample(*signals)
            seen.append(tuple(values))

    simulate(component, bench, limit=lengths.pop() + 1)
    return seen


async def send(ctx: Any, port: Any, items: Iterable[Any], gate: Iterator[bool]) -> None:
    """Offer `items` one after the other, each from a cycle on in which `gate` is open."""
    for item in items:
        while not next(gate):
            await ctx.tick()
        ctx.set(port.payload, item)
        ctx.set(port.valid, 1)
        ready = False
        while not ready:
            _, _, ready = await ctx.tick().sample(port.ready)
        ctx.set(port.valid, 0)


async def receive(ctx: Any, port: Any, count: int, gate: Iterator[bool]) -> list[Taken]:
    """Take `count` transfers while `gate` is open.

    AssertionError where an offer is withdrawn or changed before it is taken.
    """
    taken: list[Taken] = []
    bits = Value.cast(port.payload)
    offered: int | None = None
    cycle = 0
    while len(taken) < count:
        ready = next(gate)
        ctx.set(port.ready, ready)
        _, _, valid, payload, now = await ctx.tick().sample(port.valid, port.payload, bits)
        if offered is not None:
            assert valid, f"cycle {cycle}: an offer was withdrawn"
            assert now == offered, f"cycle {cycle}: an offer changed from {offered} to {now}"
        if valid and ready:
            taken.append(Taken(cycle, payload))
        offered = now if valid and not ready else None
        cycle += 1
    ctx.set(port.ready, 0)
    return taken


async def quiet(ctx: Any, port: Any, cycles: int) -> None:
    """Be ready for so many cycles; AssertionError where something comes."""
    ctx.set(port.ready, 1)
    for _ in range(cycles):
        _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
        assert not valid, f"one transfer too many: {payload}"
