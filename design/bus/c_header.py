"""The C header of a chain behind AXI: addresses, masks, shapes and the packing of TUSER."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from counterflow.design.bus.registers import NODE_BYTES, Node, UnitRegister, address, nodes
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.losses import LossNumbers
from counterflow.design.units.slotted import Block, Slotted

KIND_BITS = 2  # of TUSER, lowest


def c_header(plan: Plan, module: str | None = None) -> str:
    """Macros only: C99 and C++, no library needed.

    Their names begin with that of the ``module``, by default with that of the network.
    """
    description, stages = plan.description, plan.schedule.stages
    numbers: LossNumbers = plan.schedule.loss.arithmetic
    name = re.sub(r"\W", "_", module or description.name).upper()
    found = nodes(stage.name for stage in stages)
    lines = [
        f"/* {description.name} behind AXI: byte addresses on s_axil, packing of s_axis.",
        "   Made by Counterflow from its register map; docs/registers.md explains it. */",
        f"#ifndef COUNTERFLOW_{name}_H",
        f"#define COUNTERFLOW_{name}_H",
        "",
        f"#define {name}_IDENTITY 0x{description.identity:08x}u  /* what INTAKE_IDENTITY reads */",
        f"#define {name}_SPAN 0x{len(found) * NODE_BYTES:x}u  /* bytes of registers */",
        f"#define {name}_UNITS {len(stages)}",
        f"#define {name}_INPUTS {description.elements}  /* transfers of a sample */",
        f"#define {name}_CLASSES {description.outputs}  /* transfers of a prediction */",
        f"#define {name}_DELAY {plan.schedule.delay}  /* bubbles that empty the chain */",
        "",
        "/* TUSER of a sample's first transfer. */",
        *(f"#define {name}_KIND_{kind.name} {int(kind)}u" for kind in Kind),
        f"#define {name}_USER(kind, label) ((kind) | (unsigned)(label) << {KIND_BITS})",
        "",
        f"/* From TUSER of a prediction; the loss in {_loss_in(numbers)} has LOSS_FRACTION bits of "
        "fraction. */",
        f"#define {name}_KIND(user) ((user) & {(1 << KIND_BITS) - 1}u)",
        f"#define {name}_LOSS(user) ((user) >> {KIND_BITS})",
        f"#define {name}_LOSS_FRACTION {_loss_fraction(numbers)}",
        *_heads(name, plan.schedule.heads),
        "",
        "/* Fields of CONTROL. */",
    ]
    for field in UnitRegister.CONTROL.fields:
        stem = f"{name}_CONTROL_{field.name.upper()}"
        lines.append(f"#define {stem}_SHIFT {field.low}  /* {field.meaning} */")
        lines.append(f"#define {stem}_MASK 0x{field.mask:x}u")
    for node in found:
        lines += ["", *_node(name, node)]
        if node.number:
            lines += _shape(f"{name}_{node.name.upper()}", stages[node.number - 1])
    return "\n".join([*lines, "", "#endif", ""])


def _in_bits(numbers: LossNumbers) -> bool:
    return numbers.unit == "nats"


def _loss_in(numbers: LossNumbers) -> str:
    return "bits" if _in_bits(numbers) else numbers.unit


def _loss_fraction(numbers: LossNumbers) -> int:
    """Bits of fraction of a loss as hardware says it, in bits or half sums of squares."""
    one = numbers.one_loss / math.log(2) if _in_bits(numbers) else numbers.one_loss
    return -round(math.log2(one))


def _heads(name: str, heads: Sequence[int]) -> list[str]:
    """Where there are heads: whose prediction a packet is."""
    if not heads:
        return []
    return [
        "",
        "/* TDEST of a prediction: whose it is, of the network or of the head of a component. */",
        f"#define {name}_HEADS {len(heads)}",
        f"#define {name}_DEST_NETWORK 0u",
        *(f"#define {name}_DEST_HEAD{head} {head}u" for head in heads),
    ]


def _node(name: str, node: Node) -> list[str]:
    stem = f"{name}_{node.name.upper()}"
    return [
        f"#define {stem} 0x{node.base:x}u",
        *(
            f"#define {stem}_{one.name} 0x{address(node.number, one):x}u"
            f"  /* {one.access.value}: {one.meaning} */"
            for one in node.registers
        ),
    ]


def _shape(stem: str, stage: Slotted) -> list[str]:
    """What it takes to load parameters: tiles and lanes, words of biases and theirs, if any."""
    tiles, biases = (*stage.blocks, Block(0, 0))[:2]
    return [
        f"#define {stem}_TILE_COUNT {tiles.words}",
        f"#define {stem}_BIAS_WORDS {biases.words}",
        f"#define {stem}_LANES {tiles.lanes}",
        f"#define {stem}_BIAS_LANES {biases.lanes}",
    ]
