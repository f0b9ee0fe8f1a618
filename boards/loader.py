"""Writing a bitstream: the right program, for the right device."""

from __future__ import annotations

import shutil
from pathlib import Path

from counterflow.boards.bitstream import device, expected
from counterflow.boards.table import Board, Loader
from counterflow.design.network.files import check_source
from counterflow.design.tools.programs import MissingTool


def command(board: Board, file: Path) -> list[str]:
    """The command that writes `file` to `board`.

    OSError where the file cannot be read; ValueError, one sentence, where it is no bitstream or one
    for another device.
    """
    check_source(file)
    data = file.read_bytes()
    if board.fpga.router is not None:  # what Vivado writes is not read here
        try:
            made_for = device(data)
        except ValueError as error:
            raise ValueError(f"{file} {error}") from None
        wanted = expected(board.fpga.part)
        if made_for != wanted:
            raise ValueError(
                f"{file} is for {made_for}, but {board.name} has {wanted}; make one for it with "
                f"counterflow build NET --board {board.name}"
            )
    if board.dfu is not None and file.suffix != ".dfu" and file.with_suffix(".dfu").exists():
        file = file.with_suffix(".dfu")  # the same with what its loader wants at the end
    arguments = [str(file) if word == "FILE" else word for word in board.loader.arguments]
    return [board.loader.names[0], *arguments]


def found(loader: Loader) -> str:
    """The path of a loader that is installed; MissingTool, in one sentence, where none is."""
    for name in loader.names:
        path = shutil.which(name)
        if path is not None:
            return path
    raise MissingTool(
        f"{loader.names[0]} is missing, which writes the bitstream to this board: {loader.install}"
    )
