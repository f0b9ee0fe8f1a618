"""The counters that a chain shows on its bus, held to what must have been counted since reset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from counterflow.design.bus.registers import IntakeRegister, UnitRegister
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.planner import Plan
from counterflow.golden.chain import Chain
from counterflow.sim.bench.host import Host

WORD = 1 << 32


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
    host: Host, plan: Plan, golden: Chain, tokens: Sequence[Token], dropped: Dropped = NONE_DROPPED
) -> list[Counted]:
    """The counters of a resting chain that has worked on `tokens`, as `golden` has, since reset.

    Samples that were dropped are not among the tokens.  Stalls are not looked at: how many there
    are hangs on the gates.
    """
    intake = {
        IntakeRegister.TOKENS: len(tokens),
        IntakeRegister.BAD_SAMPLES: dropped.samples,
        IntakeRegister.BAD_LABELS: dropped.labels,
    }
    counted = [
        Counted(f"intake.{register.name}", await host.intake_counter(register), expected)
        for register, expected in intake.items()
    ]
    for unit in golden.units:
        found = await host.unit_counter(unit.stage, UnitRegister.SATURATIONS)
        counted.append(Counted(f"{unit.stage.name}.SATURATIONS", found, unit.saturations % WORD))
    forward = sum(token.kind is not Kind.BUBBLE for token in tokens)
    learnt = sum(token.kind.learns for token in tokens)
    for stage in plan.schedule.weighted:
        tiling = stage.tiling
        cells = tiling.useful // tiling.products  # one product each forward, the others in learning
        made = cells * (forward + learnt * (tiling.products - 1))
        low = await host.unit_counter(stage, UnitRegister.PRODUCTS)
        high = await host.unit_counter(stage, UnitRegister.PRODUCTS_HIGH)
        slots = await host.unit_counter(stage, UnitRegister.SLOTS)
        counted += [
            Counted(f"{stage.name}.PRODUCTS", high * WORD + low, made),
            Counted(f"{stage.name}.SLOTS", slots, len(tokens)),
        ]
    return counted
