"""A unit alone in Amaranth's simulator: what its ports are given, and what leaves by them when."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from counterflow.sim.streams import every, quiet, receive, send, simulate


class Traffic(NamedTuple):
    """What each port of a unit is given, and what it must give, in order; [tokens, elements]."""

    given: dict[str, list[Any]]
    wanted: dict[str, list[Any]]
    first: dict[str, str]  # no element of a port is offered before one has left by that other


def run(
    unit: Any, tokens: Traffic, gates: dict[str, Iterator[bool]], limit: int = 20_000
) -> tuple[dict[str, list[int]], dict[str, list[Any]]]:
    """Cycles in which each port took what it was given, and what left by each."""
    taken: dict[str, list[int]] = {port: [] for port in tokens.given}
    left: dict[str, list[Any]] = {}
    sent = dict.fromkeys(tokens.wanted, 0)

    def gate(port: str) -> Iterator[bool]:
        offered, behind = 0, tokens.first.get(port)
        for is_open in gates[port]:
            may = is_open and (behind is None or sent[behind] > offered)
            offered += may
            yield may

    def benches(port: str) -> list[Any]:
        stream = getattr(unit, port)

        async def give(ctx: Any) -> None:
            await send(ctx, stream, tokens.given[port], gate(port))

        async def count(ctx: Any) -> None:
            cycle, found, most = 0, taken.get(port), len({**tokens.given, **tokens.wanted}[port])
            done, cycles = 0, every(ctx, stream.valid, stream.ready)
            while done < most:
                if all(await anext(cycles)):
                    done += 1
                    if found is None:
                        sent[port] += 1
                    else:
                        found.append(cycle)
                cycle += 1

        async def take(ctx: Any) -> None:
            left[port] = await receive(ctx, stream, len(tokens.wanted[port]), gates[port])
            await quiet(ctx, stream, 12)

        return [count, give if port in tokens.given else take]

    ports = [*tokens.given, *tokens.wanted]
    simulate(unit, *itertools.chain(*(benches(port) for port in ports)), limit=limit)
    return taken, left


def at(cycles: Any) -> Iterator[bool]:
    """A gate that is open in these cycles, of a border where nobody waits, and behind the last."""
    wanted, last = set(cycles.ravel().tolist()), int(cycles.max())
    return (cycle in wanted or cycle > last for cycle in itertools.count())
