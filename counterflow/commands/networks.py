"""`counterflow networks`: what comes with it."""

from __future__ import annotations

import click

from counterflow.commands import options
from counterflow.commands.display import Display, table


@click.command()
@options.display
def networks(as_json: bool, quiet: bool) -> None:
    """List the networks that come with Counterflow.

    Every command takes one of these names or the path of a TOML file of your own.

    \b
    Example:
        counterflow networks
    """
    from counterflow.design.fit.advice import smallest
    from counterflow.design.network.families import SHOWN
    from counterflow.design.network.files import load, shipped
    from counterflow.design.schedule.planner import plan

    display, found = Display(as_json=as_json, quiet=quiet), []
    rows = table("network", "layers", "weights", "data", "mult.", "cycles", "ECP5")
    for name in shipped():
        description = load(name)
        design = plan(description)
        schedule, fits = design.schedule, smallest(design)
        outputs = [unit.geometry.outputs for unit in description.weighted]
        rows.add_row(
            name,
            layers(tuple(outputs)),
            f"{description.parameters:,}",
            description.dataset,
            f"{schedule.multipliers}",
            f"{schedule.interval:,}",
            "–" if fits is None else fits.removeprefix("ecp5-"),
        )
        found.append(
            {
                "name": name,
                "widths": list(description.widths),
                "parameters": description.parameters,
                "dataset": description.dataset,
                "multipliers": schedule.multipliers,
                "interval": schedule.interval,
                "fits": fits,
            }
        )
    display.show(
        rows,
        "With the fold that the network names: its multipliers, the cycles between two samples and "
        "the smallest ECP5 that it fits. Others are generated from their name: " + SHOWN + ".",
    )
    display.result({"networks": found})


LONGEST = 16  # characters of the widths of a network, beyond which some are left out


def layers(widths: tuple[int, ...]) -> str:
    """Widths in short: [32]x16-10, 64-...-10."""
    parts: list[tuple[int, int]] = []
    for width in widths:
        if parts and parts[-1][0] == width:
            parts[-1] = (width, parts[-1][1] + 1)
        else:
            parts.append((width, 1))
    texts = [
        f"[{width}]x{count}" if count > 2 else "-".join([str(width)] * count)
        for width, count in parts
    ]
    text = "-".join(texts)
    return text if len(text) <= LONGEST else "-".join([texts[0], "…", texts[-1]])
