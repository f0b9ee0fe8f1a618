"""A C header with the integers that the forward pass multiplies and adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.description import Description
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.slots import Stage
from counterflow.exchange.files import texts_of
from counterflow.exchange.integer.convolution import operands
from counterflow.exchange.tensors import Tensors
from counterflow.golden.units.state import State

TYPES = (np.int8, np.int16, np.int32, np.int64)
WIDTH = 96  # of a line


def header(
    description: Description,
    schedule: Schedule,
    states: Sequence[State],
    metadata: Mapping[str, object],
) -> str:
    """The text.

    Layers with weights have theirs as multipliers see them [outputs][taps], taps in the order
    kernel row, kernel column, channel, and their bias as it is added to the sum.  Norms have their
    parameters as they are.
    """
    prefix = description.name.replace("-", "_")
    guard = f"COUNTERFLOW_{prefix.upper()}_WEIGHTS_H"
    facts = "".join(f" * {key}: {value}\n" for key, value in texts_of(metadata).items())
    lines = [
        f"/* Weights of {description.name}, written by Counterflow: value = integer * 2^-FRAC.",
        f"{facts} */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
        f"#define {prefix.upper()}_INPUT_FRAC {description.formats.input.frac}",
    ]
    tensors = Tensors(schedule)
    for stage in schedule.stages:
        if stage.unit.serves:  # a copy, which gives what its original does
            continue
        lines.append("")
        y = stage.unit.outputs[0].x
        name = f"{prefix}_{stage.name}"
        lines += [f"/* {stage.name}: {stage.unit.where}, which gives {y} */"]
        lines += [f"#define {name.upper()}_OUTPUT_FRAC {y.frac}"]
        for leaf, frac, values in _arrays(stage, tensors, states):
            lines += [f"#define {name.upper()}_{leaf.upper()}_FRAC {frac}"]
            lines += _array(f"{name}_{leaf}", values)
    return "\n".join([*lines, "", f"#endif /* {guard} */", ""])


def _arrays(
    stage: Any, tensors: Tensors, states: Sequence[State]
) -> Iterator[tuple[str, int, NDArray[Any]]]:
    """Name, fraction bits and integers of what a unit needs to go forward."""
    if isinstance(stage, Stage):
        weight, bias = operands(stage, states[stage.index])
        yield "weight", stage.arithmetic.operand.frac, weight
        yield "bias", stage.arithmetic.bias_operand.frac, bias
        return
    for one in tensors.all:
        if one.index == stage.index:
            yield one.leaf, one.frac, one.integers(states)


def _array(name: str, values: NDArray[Any]) -> Iterator[str]:
    """A constant array, as narrow as its values allow."""
    low, high = int(values.min()), int(values.max())
    kind = next(one for one in TYPES if np.iinfo(one).min <= low and high <= np.iinfo(one).max)
    sizes = "".join(f"[{size}]" for size in values.shape)
    yield f"static const {np.dtype(kind).name}_t {name}{sizes} = {{"
    rows = values if values.ndim == 2 else values[None]
    for row in rows:
        text = ", ".join(map(str, row.tolist()))
        yield from _wrapped(f"{{{text}}}," if values.ndim == 2 else text)
    yield "};"


def _wrapped(text: str) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        if len(line) + len(word) + 1 > WIDTH:
            yield f"   {line}"
            line = ""
        line += f" {word}"
    yield f"   {line}"
