"""Where a plan's bits are, what a target is short of, and what a memory outside would carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from counterflow.commands.display import percent, table

if TYPE_CHECKING:
    from rich.table import Table

    from counterflow.design.fit.shortage import Outcome, Short
    from counterflow.design.schedule.holdings import Holding
    from counterflow.design.schedule.planner import Plan

LARGE = 1e7  # bits, from which they are said in Mbit


def stages(design: Plan) -> tuple[Holding, ...]:
    """The bits of a plan by the size of images, stashes outside as what is kept of them."""
    from counterflow.design.fpga.outside import chosen
    from counterflow.design.schedule.holdings import holdings

    return holdings(design, {one.unit: one.kept for one in chosen(design)})


def stages_json(parts: Iterable[Holding]) -> list[dict[str, object]]:
    """`stages` for scripts."""
    return [
        {
            "image": [one.height, one.width],
            "units": list(one.units),
            "multipliers": one.multipliers,
            "memory_bits": one.bits,
            "held": dict(one.held),
        }
        for one in parts
    ]


def stages_table(parts: Sequence[Holding]) -> Table:
    """`stages` in kbit or Mbit, a column for each size of images."""
    from counterflow.design.schedule.holdings import everything

    whole = everything(tuple(parts))
    unit, size = ("kbit", 1e3) if sum(whole.values()) < LARGE else ("Mbit", 1e6)

    def shown(bits: int) -> str:
        return f"{bits / size:,.1f}" if bits else ""

    rows = table(unit, *(one.name for one in parts), "all", title="what memories hold, by images")
    rows.show_footer = True
    for name, bits in whole.items():
        rows.add_row(name, *(shown(one.held.get(name, 0)) for one in parts), shown(bits))
    rows.columns[0].footer = "all"
    for column, one in zip(rows.columns[1:-1], parts, strict=True):
        column.footer = shown(one.bits)
    rows.columns[-1].footer = shown(sum(whole.values()))
    return rows


def shortage_json(short: Iterable[Short]) -> list[dict[str, object]]:
    """What is short for scripts."""
    return [
        {
            "resource": one.resource,
            "needed": one.needed,
            "available": one.there,
            "short": one.lacking,
            "factor": one.factor,
            "most_in": one.unit,
        }
        for one in short
    ]


def shortage_table(name: str, short: Iterable[Short]) -> Table:
    """What target `name` is short of."""
    title = f"what {name} is short of, at least"
    rows = table("", "needed", "there are", "short", "times", "most in", title=title)
    for one in short:
        times = "–" if one.factor is None else f"{one.factor:.2f}"
        amounts = (f"{n:,}" for n in (one.needed, one.there, one.lacking))
        rows.add_row(one.name, *amounts, times, one.unit)
    return rows


def outcome_json(one: Outcome) -> dict[str, object]:
    """A target that fits, with its interval, or what it is short of."""
    fits = one.fitted is not None
    interval = one.fitted.needs.interval if one.fitted is not None else None
    facts = {"target": one.target.name, "fits": fits, "interval": interval}
    outside = [] if one.fitted is None else list(one.fitted.plan.outside)
    return {**facts, "outside": outside, "short": shortage_json(one.short), "why": one.why}


def outside_json(design: Plan, frequency: float) -> dict[str, object]:
    """What passes to and from a memory outside at a clock of `frequency` MHz."""
    from counterflow.design.fit.advice import samples_per_second
    from counterflow.design.fpga.outside import BANDWIDTH, EFFICIENCY, chosen, traffic

    stashes = chosen(design)
    every, speed = traffic(stashes), samples_per_second(design, frequency)
    return {
        "units": [
            {
                "name": one.unit,
                "row_bytes": one.row_bytes,
                "image_bytes": one.image_bytes,
                "tokens": one.tokens,
                "freed_bits": one.freed,
                "kept_bits": one.kept,
            }
            for one in stashes
        ],
        "sample_bytes": every.sample_bytes,
        "capacity": every.capacity,
        "bandwidth": every.bandwidth(speed),
        "efficiency": EFFICIENCY,
        "channels": {
            name: {"share": every.share(name, speed), "samples_per_second": every.most(name)}
            for name in BANDWIDTH
        },
    }


def outside_lines(design: Plan, frequency: float) -> list[str]:
    """`outside_json` in sentences."""
    from counterflow.design.fit.advice import samples_per_second
    from counterflow.design.fpga.outside import BANDWIDTH, EFFICIENCY, chosen, traffic

    stashes = chosen(design)
    if not stashes:
        return ["Every stash is inside: none has to be outside, or none would free anything."]
    every, speed = traffic(stashes), samples_per_second(design, frequency)
    freed = sum(one.freed for one in stashes)
    shares = " and ".join(
        f"{percent(every.share(name, speed), 0)} of a channel of {name} (enough for "
        f"{every.most(name):,.0f} samples a second)"
        for name in BANDWIDTH
    )
    units = len(design.schedule.weighted)
    return [
        f"{len(stashes)} of {units} stashes are outside the chip, which frees {freed / 1e6:,.1f} "
        f"Mbit: {_bytes(every.sample_bytes)} pass for a sample, and at most "
        f"{_bytes(every.capacity)} are there at once.",
        f"At {frequency:g} MHz and {speed:,.0f} samples a second {_bytes(every.bandwidth(speed))} "
        f"pass a second, {shares}, with an assumed efficiency of {percent(EFFICIENCY, 0)}.",
        "This is a plan only: no hardware is made for a stash outside yet, and the logic of a "
        "memory controller is not counted.",
    ]


def _bytes(number: float) -> str:
    for unit, size in {"GB": 1e9, "MB": 1e6, "kB": 1e3}.items():
        if number >= size:
            return f"{number / size:,.2f} {unit}"
    return f"{number:,.0f} bytes"


def needed_shares(short: Iterable[Short]) -> Mapping[str, float]:
    """Needed over there by name, for a figure."""
    return {one.name: one.factor for one in short if one.factor is not None}
