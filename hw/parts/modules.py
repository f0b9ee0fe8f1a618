"""Modules that are elaborated once and instantiated many times.

Amaranth elaborates every submodule anew.  The lanes of a unit are all alike, so for Verilog they
become instances of one module; in simulation by Amaranth they stay ordinary submodules.
"""

from __future__ import annotations

import gc
import hashlib
from typing import Any

from amaranth import tracer
from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring

from counterflow.design.parts.names import APART
from counterflow.hw.parts.plain_verilog import plain_verilog


class Modules:
    """The platform of a Verilog conversion: collects the shared modules.

    ``top``: the module that they are for; all their names begin with it, so that several designs
    can stand in one project.
    ``compact``: a logic cell counts more than a block RAM or some speed, see
    `design.schedule.planner.Plan`.
    ``texts`` maps module names to RTLIL, in the order in which they were first needed; ``verilog``
    maps those that components bring as text to it.
    """

    def __init__(self, top: str, *, compact: bool = False) -> None:
        self.top = top
        self.compact = compact
        self.texts: dict[str, str] = {}
        self.verilog: dict[str, str] = {}
        self._made: dict[str, tuple[str, wiring.Signature]] = {}

    def named(self, name: str) -> str:
        """The whole name of the shared module `name`."""
        return f"{self.top}{APART}{name}"

    def instance(self, kind: type[wiring.Component], parameters: dict[str, Any]) -> tuple[Any, Any]:
        """(instance, interface to its ports) of the one module of `kind` with `parameters`."""
        key = f"{kind.__name__} {parameters!r}"
        if key not in self._made:
            digest = hashlib.sha256(key.encode()).hexdigest()[:8]
            name = self.named(f"{kind.__name__.lower()}_{digest}")
            component = kind(**parameters)
            self._made[key] = (name, component.signature)
            self.texts[name] = rtlil.convert(component, name=name, platform=self, emit_src=False)
        name, signature = self._made[key]
        interface = signature.create(path=("interface",))
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
    """Verilog of one component as module `name`, and of all modules that it needs.

    `compact` as of `Modules`.  The names of those modules begin with ``name__``.
    The same text for the same component: nothing in it differs between runs.
    """
    modules = Modules(name, compact=compact)
    collecting, get_var_name = gc.isenabled(), tracer.get_var_name
    gc.disable()  # millions of small, long-lived objects; searching them is a third of the time
    try:
        tracer.get_var_name = _no_name
        top = rtlil.convert(component, name=name, platform=modules, emit_src=False)
    finally:
        tracer.get_var_name = get_var_name
        if collecting:
            gc.enable()
    # All modules at once: a call of Yosys costs 0.2 s.
    text = plain_verilog("\n".join([*modules.texts.values(), top]))
    return "\n".join([*modules.verilog.values(), text])


_NO_DEFAULT = object()


def _no_name(depth: int = 2, default: object = _NO_DEFAULT) -> object:
    """What Amaranth is told in place of the name of the variable that a signal is put into.

    It reads that from the bytecode, and misses more or less of it with every version of Python: so
    in Verilog a signal has a name if it was given one.
    """
    if default is _NO_DEFAULT:
        raise tracer.NameNotFound
    return default
