"""The counters that a chain shows on its bus, held to what must have been counted since reset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from counterflow.design.bus.registers import (
    CONTROL_MASK,
    PRODUCTS_BITS,
    WORD_BITS,
    IntakeRegister,
    UnitRegister,
    first_count,
)
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.units.latency import BEGIN, BUS_NODE
from counterflow.design.units.slots import Stage
from counterflow.design.units.slotted import Slotted
from counterflow.golden.chain import Chain
from counterflow.golden.transfer import control_of
from counterflow.golden.units.update import Settings
from counterflow.sim.bench.at_work import AtWork
from counterflow.sim.bench.host import Host

APART = (1, 2, 1)
"""Cycles that follow a round of all counters: one of the rounds' distances is odd.

A bit that flips in every cycle is right in every other.
"""


class Counted(NamedTuple):
    """One counter: what the hardware shows, and what the golden model and the tokens say."""

    name: str
    found: int
    expected: int


class Dropped(NamedTuple):
    """How many samples the intake must have dropped, for their length or their label."""

    samples: int
    labels: int


NONE_DROPPED = Dropped(0, 0)


async def read(
    host: Host,
    golden: Chain,
    tokens: Sequence[Token],
    at_work: AtWork,
    dropped: Dropped = NONE_DROPPED,
    *,
    near_carry: bool = False,
) -> list[Counted]:
    """The counters of a resting chain that has worked on `tokens`, as `golden` has, since reset.

    Samples that were dropped are not among the tokens.  ``at_work`` has seen all slots since reset.
    All that nobody counts, but a host can read, is here, too.
    """
    counts = _Counts(host, near_carry)
    await counts.rounds(golden, tokens, at_work, dropped)
    counts.fixed(
        "intake.IDENTITY",
        await host.intake_counter(IntakeRegister.IDENTITY),
        host.plan.description.identity,
    )
    for stage in host.plan.schedule.stages:
        await _of_settings(counts, stage, golden.settings)
    return counts.all


async def read_first(
    host: Host, golden: Chain, at_work: AtWork, *, near_carry: bool = False
) -> list[Counted]:
    """The counters of a chain that has done nothing since reset: some bits soon change for ever.

    ``golden`` and ``at_work`` have done and seen nothing, either.
    """
    counts = _Counts(host, near_carry)
    await counts.rounds(golden, [], at_work, NONE_DROPPED)
    return counts.all


class _Counts:
    """What was found so far."""

    def __init__(self, host: Host, near_carry: bool) -> None:
        self.host, self.near_carry = host, near_carry
        self.all: list[Counted] = []
        self.passing = 2 * len(host.plan.schedule.stages)  # cycles of a response through the units

    def add(self, name: str, found: int, events: int, bits: int = WORD_BITS) -> None:
        """A counter of so many bits that must have counted so many `events`."""
        start = first_count(bits, near_carry=self.near_carry)
        self.all.append(Counted(name, found, (start + events) % (1 << bits)))

    async def rounds(
        self, golden: Chain, tokens: Sequence[Token], at_work: AtWork, dropped: Dropped
    ) -> None:
        """All counters, again and again."""
        for cycles in APART:
            await _of_intake(self, len(tokens), dropped)
            for unit in golden.units:
                found = await self.host.unit_counter(unit.stage, UnitRegister.SATURATIONS)
                self.add(f"{unit.stage.name}.SATURATIONS", found, unit.saturations)
            for stage in self.host.plan.schedule.weighted:
                await _of_work(self, stage, tokens, at_work.cycles(stage))
            await self.host.cycles(cycles)

    def fixed(self, name: str, found: int, expected: int) -> None:
        """Something that is no counter."""
        self.all.append(Counted(name, found, expected))


async def _of_intake(counts: _Counts, tokens: int, dropped: Dropped) -> None:
    host, r = counts.host, IntakeRegister
    events = {r.TOKENS: tokens, r.BAD_SAMPLES: dropped.samples, r.BAD_LABELS: dropped.labels}
    for register, expected in events.items():
        counts.add(f"intake.{register.name}", await host.intake_counter(register), expected)
    cycles = await host.intake_counter(r.CYCLES)
    counts.add("intake.CYCLES", cycles, host.answered - counts.passing - 1)


async def _of_settings(counts: _Counts, stage: Slotted, settings: Settings) -> None:
    host = counts.host
    control = control_of(settings)
    found, other = await host.turned_control(stage, control)
    counts.fixed(f"{stage.name}.CONTROL", found, control)
    counts.fixed(f"{stage.name}.CONTROL turned over", other, ~control & CONTROL_MASK)
    tiles = await host.unit_counter(stage, UnitRegister.TILES)
    counts.fixed(f"{stage.name}.TILES", tiles, stage.blocks[0].words)
    once, again = await host.read_round(stage)
    moved = sum(one != other for one, other in zip(once, again, strict=True))
    counts.fixed(f"{stage.name}: numbers that read otherwise again", moved, 0)


async def _of_work(counts: _Counts, stage: Stage, tokens: Sequence[Token], at_work: int) -> None:
    host, r, tiling = counts.host, UnitRegister, stage.tiling
    forward = sum(token.kind is not Kind.BUBBLE for token in tokens)
    learnt = sum(token.kind.learns for token in tokens)
    cells = tiling.useful // tiling.products  # one product each forward, the others in learning
    made = cells * (forward + learnt * (tiling.products - 1))
    low = await host.unit_counter(stage, r.PRODUCTS)
    high = await host.unit_counter(stage, r.PRODUCTS_HIGH)
    counts.add(f"{stage.name}.PRODUCTS", high << WORD_BITS | low, made, PRODUCTS_BITS)
    counts.add(f"{stage.name}.SLOTS", await host.unit_counter(stage, r.SLOTS), len(tokens))
    stalls = await host.unit_counter(stage, r.STALLS)
    # From the cycle on in which it stands at its first tile, until its node answered.
    waited = host.answered - counts.passing + BUS_NODE * stage.index - BEGIN - at_work
    counts.add(f"{stage.name}.STALLS", stalls, waited)
