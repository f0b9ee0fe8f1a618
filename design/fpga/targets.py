"""The FPGAs that a design can be synthesised for: what is on them and how tools call them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from counterflow.design.network.complaints import nearest


class Resources(NamedTuple):
    """Amounts on a device, or in a design.

    ``block_rams`` counts the family's smallest one that can be had alone: DP16KD of 18 kbit, EBR of
    4 kbit, RAMB18.  ``lut_rams`` are cells of LUT RAM, which take LUTs.  ``luts`` have four inputs
    (six on xc7 and xcup), those in carry chains and LUT RAM included.  ``ultra_rams`` are those of
    xcup, of 4096 words of 72 bits.
    """

    multipliers: int = 0
    block_rams: int = 0
    lut_rams: int = 0
    luts: int = 0
    flip_flops: int = 0
    ultra_rams: int = 0

    @property
    def amounts(self) -> dict[str, int]:
        """All of them by name; UltraRAMs only where there are some."""
        return {name: n for name, n in self._asdict().items() if n or name != "ultra_rams"}


def total(parts: Iterable[Resources]) -> Resources:
    """The sum of what several parts take."""
    return Resources(*(sum(column) for column in zip(Resources(), *parts, strict=True)))


RESOURCE_NAMES: Mapping[str, str] = {
    "multipliers": "multipliers",
    "block_rams": "block RAMs",
    "lut_rams": "LUT RAM cells",
    "luts": "LUTs",
    "flip_flops": "flip-flops",
}
"""How a table or a sentence calls each resource that every family has."""

ALL_NAMES: Mapping[str, str] = {**RESOURCE_NAMES, "ultra_rams": "UltraRAMs"}


def names_on(has: Resources) -> Mapping[str, str]:
    """`ALL_NAMES` without UltraRAM on a device that has none."""
    return ALL_NAMES if has.ultra_rams else RESOURCE_NAMES


@dataclass(frozen=True)
class Target:
    """A device with the arguments that choose it.

    ``family`` is that of `design.fpga.blocks`; ``synthesis`` the pass of Yosys with its options;
    ``router`` the program that places and routes, or None where Yosys' estimate is all there is,
    and ``device`` its arguments for device, package and speed grade; ``frequency`` is what they are
    asked for unless the user says, in MHz; ``clock_site`` is the pin of a clock in that package.
    """

    name: str
    part: str
    family: str
    synthesis: str
    has: Resources
    router: str | None = None
    device: tuple[str, ...] = ()
    frequency: float = 100.0
    clock_site: str | None = None


def _ecp5(size: str, has: Resources) -> Target:
    return Target(
        name=f"ecp5-{size}f",
        part=f"LFE5U-{size}F-6BG381C",
        family="ecp5",
        synthesis="synth_ecp5 -nowidelut",
        has=has,
        router="nextpnr-ecp5",
        device=(f"--{size}k", "--package", "CABGA381", "--speed", "6"),
        clock_site="G2",  # with a way of its own to the global clocks
    )


def _ice40(name: str, part: str, device: str, package: str, options: str, has: Resources) -> Target:
    return Target(
        name=name,
        part=part,
        family="ice40",
        synthesis=f"synth_ice40 {options}",
        has=has,
        router="nextpnr-ice40",
        device=(f"--{device}", "--package", package),
        frequency=25.0,
    )


def _xc7(size: str, has: Resources, series: str = "a") -> Target:
    return Target(
        name=f"xc7{series}{size}t",
        part=f"XC7{series.upper()}{size}T",
        family="xc7",
        # Ports of a unit alone are no pins; without -flatten nothing is known across modules.
        synthesis="synth_xilinx -family xc7 -flatten -noiopad",
        has=has,
    )


def _xcup(size: str, has: Resources) -> Target:
    return Target(
        name=f"xc{size}",
        part=f"XC{size.upper()}",
        family="xcup",
        synthesis="synth_xilinx -family xcup -uram -flatten -noiopad",
        has=has,
    )


# Xilinx: DS180 (7 series), DS890 (UltraScale+).  LUTs, LUTs that can be RAM, flip-flops, DSP
# slices, RAMB36 and UltraRAM were compared with what Vivado reports as available; docs/planning.md
# says which were found so, and which are recalled.  A RAMB36 counts as two; a cell of LUT RAM is
# four LUTs on xc7 and eight on xcup.
_ALL = (
    _ecp5("25", Resources(28, 56, 3036, 24_288, 24_288)),
    _ecp5("45", Resources(72, 108, 5481, 43_848, 43_848)),
    _ecp5("85", Resources(156, 208, 10_455, 83_640, 83_640)),
    _ice40(
        "up5k", "iCE40UP5K-SG48", "up5k", "sg48", "-device u -dsp", Resources(8, 30, 0, 5280, 5280)
    ),
    _ice40(
        "hx8k", "iCE40HX8K-CT256", "hx8k", "ct256", "-device hx", Resources(0, 32, 0, 7680, 7680)
    ),
    _xc7("35", Resources(90, 100, 2400, 20_800, 41_600)),
    _xc7("100", Resources(240, 270, 4750, 63_400, 126_800)),
    _xc7("200", Resources(740, 730, 11_550, 134_600, 269_200)),
    _xc7("325", Resources(840, 890, 16_000, 203_800, 407_600), "k"),
    _xc7("480", Resources(1920, 1910, 27_150, 298_600, 597_200), "k"),
    _xcup("ku5p", Resources(1824, 960, 12_480, 216_960, 433_920, 64)),
    _xcup("ku15p", Resources(1968, 1968, 20_160, 522_720, 1_045_440, 128)),
    _xcup("vu9p", Resources(6840, 4320, 73_980, 1_182_240, 2_364_480, 960)),
)
TARGETS: Mapping[str, Target] = {target.name: target for target in _ALL}
"""Every target by name.

The four SPRAMs of up5k, 256 kbit each, are not counted: they have one port, and every memory of a
chain is read and written in the same cycle.  hx8k has no multipliers, so that nothing fits it.
"""


def target(name: str) -> Target:
    """The target `name`; ValueError, in a sentence that lists what there is, if there is none."""
    if name not in TARGETS:
        raise ValueError(
            f"there is no target {name!r}{nearest(name, TARGETS) or '.'} There are "
            f"{', '.join(TARGETS)}"
        )
    return TARGETS[name]
