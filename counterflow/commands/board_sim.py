"""`counterflow board-sim`: a board without a board, at the end of a pseudo-terminal."""

from __future__ import annotations

import json

import click

from counterflow.commands import numerals, options, places
from counterflow.commands.display import Display
from counterflow.commands.fit import folded

SIMULATED = "simulated"
FREQUENCY, BAUD = 12e6, 3_000_000  # of it: four cycles a bit, so that little time is idle


@click.command("board-sim")
@options.network
@click.option("--board", default=SIMULATED, show_default=True, help="The board, for its clock.")
@click.option("--baud", type=numerals.BAUD, help="Bits a second [default: the board's].")
@click.option(
    "--faults",
    default="0",
    show_default=True,
    metavar="RATE[,KIND...]",
    help="Chance of a fault at each byte, and which: flip, lose, double, burst [default: all].",
)
@click.option(
    "--cable-pull",
    type=numerals.Real(0, numerals.SECONDS),
    metavar="SECONDS",
    help="Pull the cable for a second, so many seconds after the first byte.",
)
@click.option(
    "--seed", type=numerals.SEED, default=1, show_default=True, help="Seed of the faults."
)
@options.target
@options.fold
@options.display
def board_sim(
    net: str,
    board: str,
    baud: int | None,
    faults: str,
    cable_pull: float | None,
    seed: int,
    target_name: str | None,
    limits: options.Limits,
    as_json: bool,
    quiet: bool,
) -> None:
    """Simulate a board with NET and offer its serial line as a port.

    The Verilog of the board's core, which has the network, the host link and the UART, runs under
    Verilator; every bit of every byte passes its pins. The first line of standard output is the
    name of the port, for `counterflow host`, with --json as JSON. Ends with Ctrl-C and says then
    what passed.

    \b
    Examples:
        counterflow board-sim digits
        counterflow board-sim tiny --faults 1e-3
        counterflow board-sim tiny --faults 1e-3,flip,lose --seed 7 --cable-pull 5
    """
    from counterflow.design.network.files import load

    display = Display(as_json=as_json, quiet=quiet)
    rate, kinds = _faults(faults)
    design, _ = folded(load(net), limits, target_name)
    frequency, chosen = _rates(board, baud)
    from counterflow.design.tools import programs
    from counterflow.sim.boards.board import Board
    from counterflow.sim.boards.line_faults import LineFaults
    from counterflow.sim.boards.terminal import Terminal

    programs.require("verilator")
    places.cache()
    down, up = LineFaults(rate, kinds, seed), LineFaults(rate, kinds, seed + 1)
    display.note(f"Building a simulated board with {design.description.name} ...")
    with (
        Board(design, frequency=frequency, baud=chosen, board=board) as simulated,
        Terminal(simulated, down, up, cable_pull) as terminal,
    ):
        click.echo(json.dumps({"port": terminal.name}) if as_json else terminal.name)
        display.note(f"Now: counterflow host train {net} --port {terminal.name}   (Ctrl-C ends)")
        try:
            while True:
                terminal.step()
        except KeyboardInterrupt:
            pass
        traffic = terminal.traffic
        injected = {kind: down.injected[kind] + up.injected[kind] for kind in kinds}
        display.note(
            f"{traffic.given:,} bytes to the board, {traffic.found:,} from it in "
            f"{simulated.cycles:,} cycles; {down.total + up.total:,} faults"
        )
        display.result(
            {
                "given": traffic.given,
                "found": traffic.found,
                "lost": traffic.lost,
                "cycles": simulated.cycles,
                "faults": injected,
            }
        )


def _faults(text: str) -> tuple[float, tuple[str, ...]]:
    """Rate and kinds in RATE[,KIND...]."""
    from counterflow.sim.boards.line_faults import KINDS

    first, *kinds = text.split(",")
    rate = numerals.real(first)
    if rate is None:
        message = f"{text!r} does not begin with a number such as 1e-3."
        raise click.BadParameter(message, param_hint="--faults")
    return rate, tuple(kinds) or KINDS


def _rates(board: str, baud: int | None) -> tuple[float, int]:
    """Clock in Hz and bits a second of a board."""
    if board == SIMULATED:
        return FREQUENCY, baud or BAUD
    from counterflow.boards import table

    known = table.board(board)
    return known.frequency * 1e6, baud or known.baud
