"""Files that tell place and route the pins and the oscillator's frequency, by family."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from counterflow.boards.pins import Pins
from counterflow.design.tools.routing import MARGIN

SUFFIX: Mapping[str, str] = {"ecp5": "lpf", "ice40": "pcf", "xc7": "xdc"}
"""How such a file's name ends, by family."""


def constraints(family: str, pins: Pins) -> str:
    """The text of the file for a family of `SUFFIX`."""
    return _WRITERS[family](pins)


def lpf(pins: Pins) -> str:
    """For nextpnr-ecp5, which takes what it aims at from the oscillator and the PLL behind it.

    So the oscillator is given with the router's margin; what the clock reaches is not moved by it.
    """
    lines = []
    for port, pin in pins.ports.items():
        attributes = "".join(f" {key}={value}" for key, value in pin.attributes.items())
        lines.append(f'LOCATE COMP "{port}" SITE "{pin.site}";')
        lines.append(f'IOBUF PORT "{port}"{attributes};')
    lines.append(f'FREQUENCY PORT "clock" {pins.clock * MARGIN:g} MHZ;')
    return "\n".join(lines) + "\n"


def pcf(pins: Pins) -> str:
    """For nextpnr-ice40, which knows pull-ups and no other attribute of a pin."""
    lines = []
    for port, pin in pins.ports.items():
        pullup = "-pullup yes " if pin.attributes.get("PULLUP") == "1" else ""
        lines.append(f"set_io {pullup}{port} {pin.site}")
    lines.append(f"set_frequency clock {pins.clock:g}")
    return "\n".join(lines) + "\n"


def xdc(pins: Pins) -> str:
    """For Vivado.  Buttons and lamps are asynchronous, and so is the serial line."""
    lines = []
    for port, pin in pins.ports.items():
        attributes = "".join(f" {key} {value}" for key, value in pin.attributes.items())
        lines.append(
            f"set_property -dict {{ PACKAGE_PIN {pin.site}{attributes} }} [get_ports {port}]"
        )
    inputs = [port for port in pins.ports if port in ("rx", "reset")]
    outputs = [port for port in pins.ports if port not in (*inputs, "clock")]
    lines += [
        f"create_clock -name clock -period {1000 / pins.clock:.3f} [get_ports clock]",
        f"set_false_path -from [get_ports {{{' '.join(inputs)}}}]",
        f"set_false_path -to [get_ports {{{' '.join(outputs)}}}]",
        "set_property CFGBVS VCCO [current_design]",
        "set_property CONFIG_VOLTAGE 3.3 [current_design]",
        "set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]",
    ]
    return "\n".join(lines) + "\n"


_WRITERS: Mapping[str, Callable[[Pins], str]] = {"ecp5": lpf, "ice40": pcf, "xc7": xdc}
