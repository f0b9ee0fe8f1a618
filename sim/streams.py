"""One component in Amaranth's own simulator: members driven cycle by cycle, streams kept to rules.

Cycle n is the one before the n-th rising edge, counted from 0; what is recorded of a cycle is what
that edge sees.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from operator import attrgetter
from typing import Any, NamedTuple

from amaranth.hdl import ClockDomain, Module, ShapeCastable, Value
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
        await ctx.delay(limit * PERIOD)
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
        cycles = every(ctx, *signals)
        before: Sequence[int | None] = [None] * len(drivers)
        for row in zip(*inputs.values(), strict=True):
            for driver, old, value in zip(drivers, before, row, strict=True):
                if value != old:
                    ctx.set(driver, value)
            before = row
            seen.append(await anext(cycles))

    simulate(component, bench, limit=lengths.pop() + 1)
    return seen


async def every(ctx: Any, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
    """What `values` are in each cycle from the next edge on.

    To be asked for in each cycle until the end: one that is asked for later has missed an edge.
    Asking so costs half of `await ctx.tick().sample(...)`, which finds everything out anew.
    """
    async for _, _, *seen in ctx.tick().sample(*values):
        yield tuple(seen)


async def send(ctx: Any, port: Any, items: Iterable[Any], gate: Iterator[bool]) -> None:
    """Offer `items` one after the other, each from a cycle on in which `gate` is open."""
    payload, valid, cycles = port.payload, port.valid, every(ctx, port.ready)
    offers = False
    for item in items:
        while not next(gate):
            if offers:
                ctx.set(valid, 0)
                offers = False
            await anext(cycles)
        ctx.set(payload, item)
        if not offers:  # each `set` lets the whole design settle
            ctx.set(valid, 1)
            offers = True
        while not (await anext(cycles))[0]:
            pass
    ctx.set(valid, 0)


async def receive(ctx: Any, port: Any, count: int, gate: Iterator[bool]) -> list[Taken]:
    """Take `count` transfers while `gate` is open.

    AssertionError where an offer is withdrawn or changed before it is taken.
    """
    taken: list[Taken] = []
    shape = port.payload.shape()
    cycles = every(ctx, port.valid, Value.cast(port.payload))
    offered: int | None = None
    accepts: bool | None = None
    cycle = 0
    while len(taken) < count:
        ready = next(gate)
        if ready != accepts:
            ctx.set(port.ready, ready)
            accepts = ready
        valid, now = await anext(cycles)
        if offered is not None:
            assert valid, f"cycle {cycle}: an offer was withdrawn"
            assert now == offered, f"cycle {cycle}: an offer changed from {offered} to {now}"
        if valid and ready:
            payload = shape.from_bits(now) if isinstance(shape, ShapeCastable) else now
            taken.append(Taken(cycle, payload))
        offered = now if valid and not ready else None
        cycle += 1
    ctx.set(port.ready, 0)
    return taken


async def quiet(ctx: Any, port: Any, cycles: int) -> None:
    """Be ready for so many cycles; AssertionError where something comes."""
    ctx.set(port.ready, 1)
    seen = every(ctx, port.valid, port.payload)
    for _ in range(cycles):
        valid, payload = await anext(seen)
        assert not valid, f"one transfer too many: {payload}"
