"""One module of a design's Verilog alone between pins, for routing it."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.names import APART
from counterflow.hw.parts.modules import convert
from counterflow.hw.tops.pins import TOP, Pins

_MODULE = re.compile(r"^module (?P<name>[\w$]+)\(.*?^endmodule$", re.MULTILINE | re.DOTALL)
_PORT = re.compile(
    r"^  (?P<way>input|output) (?:\[(?P<top>\d+):0\] )?(?:(?P<name>\w+)|\\(?P<odd>\S+) );$",
    re.MULTILINE,
)
_SHARED = re.compile(rf"{TOP}{APART}([a-z]*lane)_[0-9a-f]{{8}}")
_WEIGHTED = "walk"  # a unit with weights has this part


class Block(NamedTuple):
    """A module of a design's Verilog: its ``kind``, as walk or lane, and its name as ``module``."""

    kind: str
    module: str


def blocks_of(verilog: str) -> list[Block]:
    """Of each kind of block in the Verilog of pins around a chain, the longest module.

    Blocks are units without weights, the parts of those with weights, and lanes.
    """
    lengths = {one["name"]: one[0].count("\n") for one in _MODULE.finditer(verilog)}
    longest: dict[str, str] = {}
    for name, lines in lengths.items():
        kind = _kind(name, lengths)
        if kind is not None and lines > lengths.get(longest.get(kind, ""), 0):
            longest[kind] = name
    return [Block(kind, name) for kind, name in sorted(longest.items())]


def _kind(module: str, modules: Container[str]) -> str | None:
    """The kind of block that a module is, if it is one."""
    shared = _SHARED.fullmatch(module)
    if shared is not None:
        return shared[1]
    inner = f"{TOP}{APART}inner{APART}"
    if not module.startswith(inner):
        return None
    unit, *parts = module.removeprefix(inner).split(APART)
    if inner + unit + APART + _WEIGHTED not in modules:
        return None if parts else re.split(r"\d", unit)[0]
    return parts[0] if len(parts) == 1 else None


class _Inside(wiring.Component):
    """The component that a Verilog module is; ``clk`` and ``rst`` are those of its domain."""

    def __init__(self, module: str, text: str) -> None:
        self._module = module
        ports = {(one["name"] or one["odd"]): one for one in _PORT.finditer(text)}
        self._own = {name for name in ("clk", "rst") if ports.pop(name, None)}
        self._names = list(ports)
        flows = {"input": In, "output": Out}
        # Names of the module's own, as far as a member may have them.
        members = {
            f"{re.sub('[^A-Za-z0-9]', '_', name)}_{index}": flows[one["way"]](
                int(one["top"] or 0) + 1
            )
            for index, (name, one) in enumerate(ports.items())
        }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        given: dict[str, object] = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        given = {name: value for name, value in given.items() if name[2:] in self._own}
        for name, (port, member) in zip(self._names, self.signature.members.items(), strict=True):
            given[f"{'i' if member.flow == In else 'o'}_{name}"] = getattr(self, port)
        m.submodules.block = Instance(self._module, **given)
        return m


def block_verilog(verilog: str, module: str) -> str:
    """Verilog of module `TOP` around one module of `verilog`, which has pins around a chain."""
    texts = {found["name"]: found[0] for found in _MODULE.finditer(verilog)}
    around = convert(Pins(inner=_Inside(module, texts[module])), TOP)
    del texts[TOP]
    inner = f"{TOP}{APART}inner"
    texts[f"{TOP}{APART}chain"] = texts.pop(inner).replace(f"module {inner}(", "module unused(", 1)
    return "\n".join([around, *texts.values()])
