"""Where the ports of the top are on a board: the pin tables of amaranth-boards, read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from counterflow.boards.table import Board

LAMPS = ("alive", "training", "error")
"""Ports of the top that are lamps, in the order of `Board.lamps`."""


class Pin(NamedTuple):
    """A pin of the package: its ``site``, whether the board inverts it, and its electrical
    ``attributes`` as the vendor calls them."""

    site: str
    inverted: bool
    attributes: Mapping[str, str]


class Pins(NamedTuple):
    """The pins of a board by port of the top; ``clock`` is the oscillator's frequency in MHz."""

    clock: float
    ports: Mapping[str, Pin]


@cache
def pins(board: Board) -> Pins:
    """All pins of the top on `board`: clock, rx, tx, the lamps, reset and high0, ... where it has
    them."""
    module, name = board.platform.split(":")
    platform = getattr(importlib.import_module(f"amaranth_boards.{module}"), name)()
    if board.resources:
        platform.add_resources(getattr(platform, board.resources))
    if board.uart is not None:
        platform.add_resources([_serial(*board.uart)])
    places = {"rx": "uart:0.rx", "tx": "uart:0.tx"}
    places |= dict(zip(LAMPS, board.lamps, strict=True))
    places |= {f"high{index}": place for index, place in enumerate(board.high)}
    if board.reset is not None:
        places["reset"] = board.reset
    requested: dict[str, Any] = {}
    found = {"clock": _pin(platform, f"{platform.default_clk}:0", requested)}
    found |= {port: _pin(platform, place, requested) for port, place in places.items()}
    return Pins(clock=platform.default_clk_frequency / 1e6, ports=found)


def _serial(rx: str, tx: str) -> Any:
    """A serial line at two pins of the first connector."""
    from amaranth.build import Attrs
    from amaranth_boards.resources import UARTResource

    return UARTResource(0, rx=rx, tx=tx, conn=("io", 0), attrs=Attrs(IO_TYPE="LVCMOS33"))


def _pin(platform: Any, place: str, requested: dict[str, Any]) -> Pin:
    """The pin at resource:number or resource:number.signal."""
    resource, _, signal = place.partition(".")
    if resource not in requested:
        name, number = resource.split(":")
        requested[resource] = platform.request(name, int(number), dir="-")
    port = getattr(requested[resource], signal) if signal else requested[resource]
    (metadata,) = port.io.metadata
    attributes = {key: str(value) for key, value in metadata.attrs.items()}
    return Pin(metadata.name, port.invert[0], attributes)
