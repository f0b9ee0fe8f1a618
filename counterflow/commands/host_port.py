"""What the verbs of `counterflow host` share: the port, and the device at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from counterflow.commands import numerals, options
from counterflow.commands.fit import folded
from counterflow.commands.verilog import default_folder
from counterflow.design.bus.link import BAUD

if TYPE_CHECKING:
    from pathlib import Path

    from counterflow.design.schedule.planner import Plan
    from counterflow.host.device import Device
    from counterflow.host.progress import Progress

Command = TypeVar("Command", bound=Callable[..., Any])
PROGRESS = "host-progress.json"  # in the network's folder


def port(command: Command) -> Command:
    """--port, --baud and --timeout."""
    command = click.option(
        "--timeout",
        type=numerals.Real(0.1, numerals.SECONDS),
        default=10.0,
        show_default=True,
        help="Seconds of silence after which the board counts as gone.",
    )(command)
    command = click.option(
        "--baud",
        type=numerals.BAUD,
        default=BAUD,
        show_default=True,
        help="Bits a second, as the bitstream was built for.",
    )(command)
    return click.option("--port", "port_name", required=True, help="Serial port of the board.")(
        command
    )


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every verb takes."""
    for one in (options.display, options.fold, options.target, port, options.network):
        command = one(command)
    return command


def opened(
    net: str,
    port_name: str,
    baud: int,
    timeout: float,
    target_name: str | None,
    limits: options.Limits,
    progress: Path | None = None,
) -> tuple[Plan, Device]:
    """The plan of NET and the device at the port.

    ``progress``: the file that tells of its training, if it is not the one in NET's folder.  What
    the device still has to say in that training goes into the journal, whoever takes it.
    """
    from counterflow.design.network.files import load

    design, _ = folded(load(net), limits, target_name)
    from counterflow.host.device import Device
    from counterflow.host.journal import beside

    journal = beside(progress or default_folder(design.description.name) / PROGRESS)
    return design, Device.open(port_name, design, baud=baud, timeout=timeout, journal=journal)


def tokens_done(device: Device, found: Progress) -> int | None:
    """How many tokens of the training that `found` tells of the board has had; None: not of it."""
    from counterflow.host.device import WORD

    if device.session.refresh().mark != found.mark:
        return None
    return (device.rest().tokens - found.base) % WORD


def check_ended(device: Device, found: Progress, path: Path) -> None:
    """ValueError where the training that `found`, the file at `path`, tells of has tokens to come.

    Other tokens would make it lose count.
    """
    done = tokens_done(device, found)
    if done is not None and done < found.tokens:
        raise ValueError(
            f"the board is in a training ({done:,} of {found.tokens:,} tokens, {path}); go on with "
            "it first, or remove that file to give it up"
        )
