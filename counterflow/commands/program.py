"""`counterflow program`: write a bitstream to a board."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--board", "board_name", required=True, help="The board: see `counterflow boards`.")
@click.option("--dry-run", is_flag=True, help="Check, and show the command without running it.")
def program(file: Path, board_name: str, dry_run: bool) -> None:
    """Write the bitstream FILE to a board that is connected.

    Uses the open loader of that board (openFPGALoader, dfu-util or iceprog), which must be
    installed, and first checks that the bitstream is for the board's device.  The exit status is 2
    where something is missing or wrong, or the loader fails.

    \b
    Examples:
        counterflow program build/digits/ulx3s-85f/digits.bit --board ulx3s-85f
        counterflow program build/tiny/icebreaker/tiny.bin --board icebreaker --dry-run
    """
    from counterflow.boards.loader import command, found
    from counterflow.boards.table import board as named

    board = named(board_name)
    words = command(board, file)
    click.echo(" ".join(words), err=not dry_run)
    if not dry_run:
        done = subprocess.run([found(board.loader), *words[1:]], check=False)
        if done.returncode:
            raise ValueError(
                f"{words[0]} ended with status {done.returncode}; {file} may not be on the board"
            )
