"""Components of a network and what they learn from, for the commands that show or compare them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from counterflow.commands import options, outcome
from counterflow.commands.display import percent, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

    from counterflow.commands.display import Display
    from counterflow.design.network.description import Description
    from counterflow.design.schedule.components import Component, Part
    from counterflow.design.schedule.planner import Plan


def under(description: Description, sees: Sequence[int]) -> dict[int, Description]:
    """`description` with each of these horizons; ValueError, a sentence, where one cannot be."""
    return {one: options.with_interlocking(description, one) for one in sees}


def side_by_side(
    display: Display, description: Description, plans: Mapping[int, Plan], out: Path | None
) -> None:
    """Show horizons of one network: what each costs, its components, and a figure in `out`."""
    display.show(horizons_table(plans, description.name))
    for sees, design in plans.items():
        display.show(f"{label(sees, design)}:", components_table(components_of(design)))
    facts = {
        "network": description.name,
        "horizons": [
            {"interlocking": sees, **horizon_json(design)} for sees, design in plans.items()
        ],
    }
    if out is not None:
        from counterflow.horizon_figure import horizons

        labels = {label(sees, design): design for sees, design in plans.items()}
        title = f"{description.name}: delay and stash by the losses that components see"
        with outcome.into(out, "plan") as made:
            horizons(made.path("-horizons.png"), labels, title=title)
            kept = made.keep(facts, description)
        display.files(kept.files)
        facts = kept.result
    display.result(facts if out is not None else outcome.stated(facts, description))


def components_of(design: Plan) -> tuple[Component, ...]:
    """Those of a plan; more than one where the network is cut."""
    from counterflow.design.schedule.components import components

    return components(design)


def label(sees: int, design: Plan) -> str:
    """A horizon in words."""
    if sees == len(components_of(design)):
        return f"{sees}, end to end"
    return {1: "1, local", 2: "2, pairwise"}.get(sees, f"{sees}")


def components_json(found: Sequence[Component]) -> list[dict[str, object]]:
    """Each component, as `counterflow plan --json` promises."""
    return [
        {
            "component": one.number,
            "learns_from": one.loss,
            **_part_json(one.body),
            "head": None if one.head is None else _part_json(one.head),
        }
        for one in found
    ]


def _part_json(part: Part) -> dict[str, object]:
    return {
        "units": list(part.units),
        "delays": list(part.delays),
        "stash_bits": part.stash,
    }


def components_table(found: Sequence[Component]) -> Table:
    """Each component: its units, the loss it learns from, their delays, what waits, its head."""
    title = "components and the losses that they learn from, the last of which is the network's"
    rows = table("part", "units", "loss", "delays", "its head's", "stash, kbit", title=title)
    for one in found:
        head = one.head
        waits = one.body.stash + (head.stash if head else 0)
        rows.add_row(
            f"{one.number}",
            _ends(one.body.units),
            f"{one.loss}",
            _ends([f"{delay}" for delay in one.body.delays]),
            _ends(head.delays) if head else "",
            f"{waits / 1000:,.1f}",
        )
    return rows


def _ends(several: Sequence[Any]) -> str:
    """The first and the last of several."""
    return f"{several[0]}" if len(several) == 1 else f"{several[0]} to {several[-1]}"


def horizon_json(design: Plan) -> dict[str, object]:
    """What a horizon costs, and its components."""
    schedule, found = design.schedule, components_of(design)
    return {
        "delay": schedule.delay,
        "stash_bits": stash_bits(found),
        "interval": schedule.interval,
        "multipliers": schedule.multipliers,
        "utilisation": schedule.utilisation,
        "memory_bits": design.memory_bits,
        "products": schedule.useful,
        "components": components_json(found),
    }


def stash_bits(found: Sequence[Component]) -> int:
    """What waits in all components and heads."""
    parts = [part for one in found for part in (one.body, one.head) if part is not None]
    return sum(part.stash for part in parts)


def horizons_table(plans: Mapping[int, Plan], name: str) -> Table:
    """What each horizon costs, side by side."""
    rows = table(
        *("losses seen", "delay", "stash, kbit", "in all, kbit", "mult.", "cycles", "busy"),
        title=f"{name}: longest delay and cost by the losses that a component sees",
    )
    for sees, design in plans.items():
        schedule = design.schedule
        rows.add_row(
            label(sees, design),
            f"{schedule.delay}",
            f"{stash_bits(components_of(design)) / 1000:,.1f}",
            f"{design.memory_bits / 1000:,.1f}",
            f"{schedule.multipliers}",
            f"{schedule.interval:,}",
            percent(schedule.utilisation),
        )
    return rows
