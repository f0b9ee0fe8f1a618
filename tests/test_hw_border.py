"""Borders between units lose, double or reorder nothing, and cost a cycle and no rate."""

from __future__ import annotations

from itertools import product

import pytest
from amaranth.lib import stream
from amaranth.lib.wiring import Component

from counterflow.design.units.latency import BORDER
from counterflow.hw.parts.border import Border
from counterflow.sim.bench.stalls import pattern
from counterflow.sim.streams import Taken, receive, send, simulate

STALLS = list(product(("none", "random", "burst"), ("none", "random", "slow")))
ITEMS = list(range(1, 60))


def crossed(border: Component, stalls: tuple[str, str]) -> list[Taken]:
    """What comes out of a border where the sender, the reader stalls so."""
    sends, takes = (pattern(name, seed) for seed, name in enumerate(stalls))
    found: list[Taken] = []

    async def sender(ctx) -> None:  # type: ignore[no-untyped-def]
        await send(ctx, border.i, ITEMS, sends)  # type: ignore[attr-defined]

    async def reader(ctx) -> None:  # type: ignore[no-untyped-def]
        found.extend(await receive(ctx, border.o, len(ITEMS), takes))  # type: ignore[attr-defined]

    simulate(border, sender, reader, limit=2000)
    return found


@pytest.mark.parametrize("stalls", STALLS, ids="-".join)
def test_every_element_crosses_once_and_in_order(stalls: tuple[str, str]) -> None:
    found = crossed(Border(transfer=stream.Signature(8)), stalls)
    assert [one.payload for one in found] == ITEMS


def test_a_border_costs_a_cycle_and_no_rate() -> None:
    found = crossed(Border(transfer=stream.Signature(8)), ("none", "none"))
    assert [one.cycle for one in found] == [BORDER + n for n in range(len(ITEMS))]


def test_without_its_spare_place_a_border_loses_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    def mux(choice, spare, given):  # type: ignore[no-untyped-def]
        return given

    monkeypatch.setitem(Border.elaborate.__globals__, "Mux", mux)
    found = crossed(Border(transfer=stream.Signature(8)), ("none", "random"))
    assert [one.payload for one in found] != ITEMS
