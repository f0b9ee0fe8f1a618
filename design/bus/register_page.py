"""The register map as a page of documentation: of any chain, or of one with its addresses.

python -m counterflow.design.bus.register_page     # prints docs/registers.md
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from counterflow.design.bus.registers import (
    NODE_BYTES,
    IntakeRegister,
    Register,
    UnitRegister,
    address,
    nodes,
)
from counterflow.design.schedule.planner import Plan

_PROTOCOL = """\
Registers are words of 32 bits; a byte address is `64 * node + 4 * register`. Node 0 is the intake,
node 1 + s is unit s of those with weights. An access that is not in these tables is answered with
DECERR; weight access to a unit in mid-slot, or a write of less than a word, with SLVERR.

Weights move through a shift register of one {weight, velocity} pair a lane:

- to load a tile, write WEIGHT, then VELOCITY of each lane, lane 0 first, then its number to STORE;
- to read it back, write its number to FETCH, then read WEIGHT, then VELOCITY of each lane.

Biases go the same way with STORE_BIAS and FETCH_BIAS, in words of as many as move at a time (the
page of a network says how many: `counterflow verilog`): the outputs of a row of tiles in turns,
with zeros beyond them. To store a word, write as many pairs as it has, the first one first; of one
that is fetched, read as many. Do either with an empty chain: what is on its way still moves the
weights.
"""


def general_page() -> str:
    """The map of every chain."""
    parts = [
        "# Registers",
        "Made from `design/bus/registers.py` by `python -m counterflow.design.bus.register_page`.",
        _PROTOCOL.rstrip(),
    ]
    for title, registers in (
        ("The intake (node 0)", IntakeRegister),
        ("A unit with weights (nodes 1, 2, ...)", UnitRegister),
    ):
        parts += [f"## {title}", _table(registers, ("offset", "name"), 0)]
    return "\n\n".join([*parts, _fields(UnitRegister)]) + "\n"


def page(plan: Plan) -> str:
    """The map of the chain of `plan`, each register with its address."""
    name = plan.description.name
    found = nodes(stage.name for stage in plan.schedule.stages)
    parts = [
        f"# Registers of {name}",
        f"Made by Counterflow; IDENTITY is 0x{plan.description.identity:08x}, the last byte is at "
        f"0x{len(found) * NODE_BYTES - 1:x}.",
        _PROTOCOL.rstrip(),
    ]
    for node, stage in zip(found, (None, *plan.schedule.stages), strict=True):
        parts.append(f"## {node.name} (0x{node.base:x})")
        if stage is not None:
            tiles, *biases = stage.blocks
            text = f"{tiles.words} tiles; {tiles.lanes} lanes."
            for rows in biases:
                text = (
                    f"{tiles.words} tiles; {tiles.lanes} lanes; biases in {rows.words} words of "
                    f"{rows.lanes}."
                )
            parts.append(text)
        parts.append(_table(node.registers, ("address", "name"), node.number))
    return "\n\n".join([*parts, _fields(UnitRegister)]) + "\n"


def _table(registers: type[Register], heads: Sequence[str], node: int) -> str:
    rows = (
        (f"0x{address(node, one):02x}", one.name, one.access.value, _bits(one), one.meaning)
        for one in registers
    )
    return _markdown((*heads, "access", "bits", "meaning"), rows)


def _bits(register: Register) -> str:
    return f"{register.bits}, signed" if register.signed else str(register.bits)


def _fields(registers: type[Register]) -> str:
    """The fields of those registers that have some."""
    rows = (
        (f"{one.name}.{field.name}", _range(field.low, field.bits), field.meaning)
        for one in registers
        for field in one.fields
    )
    return "## Fields\n\n" + _markdown(("field", "bits", "meaning"), rows)


def _range(low: int, bits: int) -> str:
    return str(low) if bits == 1 else f"{low + bits - 1}..{low}"


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(general_page(), end="")
