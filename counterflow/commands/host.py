"""`counterflow host`: train a board over a serial port, and what else one asks of it."""

from __future__ import annotations

import click

from counterflow.commands.host_train import train
from counterflow.commands.host_verbs import checkpoint, evaluate, info, monitor, restore


@click.group()
def host() -> None:
    """Train a board over a serial port, check it, save it.

    The board has NET's bitstream (`counterflow build`), or is a simulated one, whose port
    `counterflow board-sim NET` prints.

    \b
    Examples:
        counterflow host info digits --port /dev/ttyUSB1
        counterflow host train digits --port /dev/ttyUSB1 --verify 500
        counterflow host evaluate digits --port /dev/ttyUSB1
        counterflow host checkpoint digits --port /dev/ttyUSB1 -o trained.npz
        counterflow host restore digits --port /dev/ttyUSB1 trained.npz
        counterflow host monitor digits --port /dev/ttyUSB1
    """


for _verb in (info, train, evaluate, checkpoint, restore, monitor):
    host.add_command(_verb)
