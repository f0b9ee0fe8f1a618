"""`counterflow boards`: what there is to build for, and what fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from counterflow.commands import options
from counterflow.commands.display import Display, table

if TYPE_CHECKING:
    from counterflow.boards.fits import Fit


@click.command()
@options.display
def boards(as_json: bool, quiet: bool) -> None:
    """List the boards, and which of the shipped networks fit them.

    A network is folded as it says itself where that fits, else for the board; both are planned, not
    built. Of each the multipliers and the cycles between two training samples are shown.

    \b
    Example:
        counterflow boards
        counterflow build digits --board ulx3s-85f
    """
    from counterflow.boards.fits import LINK
    from counterflow.boards.fits import table as table_of_fits
    from counterflow.boards.table import BOARDS
    from counterflow.design.network.files import shipped

    display = Display(as_json=as_json, quiet=quiet)
    found = table_of_fits(BOARDS.values(), shipped())
    rows = table("board", "device", "MHz", "bitstream by", "written by")
    for board in BOARDS.values():
        maker = "Vivado" if board.fpga.router is None else board.fpga.router
        rows.add_row(board.name, board.target, f"{board.frequency:g}", maker, board.loader.names[0])
    devices = {board.target: found[board.name] for board in BOARDS.values()}
    fitting = table("network", *devices)
    for index, name in enumerate(shipped()):
        fitting.add_row(name, *(cell(fits[index]) for fits in devices.values()))
    display.show(
        rows,
        fitting,
        f"Multipliers and cycles a sample; – where it does not fit with the link to the host, "
        f"about {LINK.luts:,} LUTs.",
    )
    display.result(
        {
            "boards": [
                {
                    "name": board.name,
                    "title": board.title,
                    "target": board.target,
                    "part": board.fpga.part,
                    "frequency": board.frequency,
                    "baud": board.baud,
                    "networks": [fit_json(fit) for fit in found[board.name]],
                }
                for board in BOARDS.values()
            ]
        }
    )


def cell(fit: Fit) -> str:
    """Multipliers and cycles of what fits."""
    if fit.design is None:
        return "–"
    schedule = fit.design.schedule
    return f"{schedule.multipliers}; {schedule.interval:,}"


def fit_json(fit: Fit) -> dict[str, object]:
    """What `counterflow boards --json` says of a network on a board."""
    if fit.design is None:
        return {"network": fit.network, "fits": False, "reason": fit.reason}
    taken, schedule = fit.taken, fit.design.schedule
    return {
        "network": fit.network,
        "fits": True,
        "multipliers": schedule.multipliers,
        "interval": schedule.interval,
        "block_rams": taken.block_rams,
        "luts": taken.luts,
    }
