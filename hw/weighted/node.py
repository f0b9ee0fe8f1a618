"""The bus node of a unit that learns: what such nodes have in common, whatever the kind."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module

from counterflow.design.bus.registers import UnitRegister
from counterflow.hw.parts.bus import BusNode


def unit_node(m: Module, registers: Any, tiles: int) -> BusNode:
    """A node in `m`: settings, the random generator, and how many `tiles` the bus can reach.

    ``registers`` has ``stage``, ``bus_i``, ``bus_o``, ``settings`` and ``generator``.
    """
    r = UnitRegister
    m.submodules.node = node = BusNode.of(node=registers.stage.index + 1, registers=r)
    own, generator = registers.settings, registers.generator
    settings = Cat(own.predict, own.compensate, own.extra_shift)
    m.d.comb += [
        node.i.eq(registers.bus_i),
        registers.bus_o.eq(node.o),
        node.value(r.TILES).eq(tiles),
        node.value(r.CONTROL).eq(settings),
        node.value(r.GENERATOR).eq(generator.state),
        generator.load.eq(node.strobe(r.GENERATOR)),
        generator.initial.eq(node.data),
    ]
    with m.If(node.strobe(r.CONTROL)):
        m.d.sync += settings.eq(node.data)
    return node
