"""Modules that are elaborated once and instantiated many times.

Amaranth elaborates every submodule anew.  The lanes of a unit are all alike, so for Verilog they
become instances of one module; in simulation by Amaranth they stay ordinary submodules.
"""

from __future__ import annotations

import gc
import hashlib
import re
from typing import Any

from amaranth.back import rtlil, verilog
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring


class Modules:
    """The platform of a Verilog conversion: collects the shared modules.

    ``compact``: a logic cell counts more than a block RAM or some speed, see
    `design.schedule.planner.Plan`.
    ``texts`` maps module names to RTLIL, in the order in which they were first needed; ``verilog``
    maps those that components bring as text to it.
    """

    def __init__(self, *, compact: bool = False) -> None:
        self.compact = compact
        self.texts: dict[str, str] = {}
        self.verilog: dict[str, str] = {}
        self._made: dict[str, tuple[str, wiring.Signature]] = {}

    def instance(self, kind: type[wiring.Component], parameters: dict[str, Any]) -> tuple[Any, Any]:
        """(instance, interface to its ports) of the one module of `kind` with `parameters`."""
        key = f"{kind.__name__} {parameters!r}"
        if key not in self._made:
            name = f"{kind.__name__.lower()}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
            component = kind(**parameters)
            self._made[key] = (name, component.signature)
            self.texts[name] = rtlil.convert(component, name=name, platform=self, emit_src=False)
        name, signature = self._made[key]
        interface = signature.create()
        ports: dict[str, object] = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        for path, member, value in signature.flatten(interface):
            direction = "i" if member.flow is wiring.In else "o"
            ports[f"{direction}_{'__'.join(map(str, path))}"] = value
        return Instance(name, **ports), interface


def instantiate(
    m: Module, name: str, platform: object, kind: type[wiring.Component], **parameters: Any
) -> Any:
    """Add a `kind(**parameters)` to `m` and return what has its members.

    For Verilog it is an instance of a shared module, else an ordinary submodule.
    """
    if isinstance(platform, Modules):
        instance, members = platform.instance(kind, parameters)
        m.submodules[name] = instance
        return members
    component = kind(**parameters)
    m.submodules[name] = component
    return component


def is_compact(platform: object) -> bool:
    """Whether a logic cell counts more than a block RAM or some speed."""
    return isinstance(platform, Modules) and platform.compact


def convert(component: wiring.Component, name: str, *, compact: bool = False) -> str:
    """Verilog of one component as module `name`, and of the shared modules that it needs.

    `compact` as of `Modules`.
    The same text for the same component: nothing in it differs between runs.
    """
    modules = Modules(compact=compact)
    collecting = gc.isenabled()
    gc.disable()  # millions of small, long-lived objects; searching them is a third of the time
    try:
        top = rtlil.convert(component, name=name, platform=modules, emit_src=False)
    finally:
        if collecting:
            gc.enable()
    # All modules at once, through what `verilog.convert` calls for one: a call costs 0.2 s.
    everything = "\n".join([*modules.texts.values(), top])
    try:
        text: str = verilog._convert_rtlil_text(everything, strip_internal_attrs=True)
    except verilog.YosysError as error:  # of the surroundings: it reads what Amaranth wrote
        said = str(error).strip().splitlines() or ["it said nothing"]
        raise OSError(f"Yosys, which writes the Verilog, failed: {said[-1]}") from error
    text = re.sub(r"\A(/\*.*?\*/\s*)", "", text, flags=re.DOTALL)
    return "\n".join([*modules.verilog.values(), _ZEROS.sub(_zeros_in_a_loop, text)])


_ZEROS = re.compile(r"  initial begin\n((?:    \S+\[\d+\] = \d+'h0+;\n)+)  end\n")


def _zeros_in_a_loop(block: re.Match[str]) -> str:
    """One loop for a memory that starts as zeros, so that text does not grow with its depth."""
    first = block[1].split("\n", 1)[0].strip()
    name, width = first.split("[", 1)[0], first.split("= ", 1)[1].split("'", 1)[0]
    index, depth = f"{name}_index", block[1].count("\n")
    return (
        f"  integer {index};\n"
        f"  initial for ({index} = 0; {index} < {depth}; {index} = {index} + 1)\n"
        f"    {name}[{index}] = {width}'h0;\n"
    )
