"""Units without weights and slots, which take what comes and send on what results.

Every one of them is a frozen value with the same members: ``inputs``, ``outputs``, the formats
``x``, ``y``, ``dy``, ``dx``, ``multipliers``, ``memories``, ``output_times``, ``gradient_times``
and ``sized``; the schedule, the golden chain and the hardware ask for no others.
"""

from __future__ import annotations

from counterflow.design.network.description import Description
from counterflow.design.network.layers import PoolUnit, TanhUnit
from counterflow.design.units.pool import Pooling
from counterflow.design.units.tanh import Tanh

Streaming = Pooling | Tanh


def streaming_of(description: Description, unit: PoolUnit | TanhUnit) -> Streaming:
    """What `unit` does, before its `sized` says how much waits in it."""
    error = description.error_format(unit.below)
    y = description.activation_format(unit.below)
    if isinstance(unit, TanhUnit):
        return Tanh(
            elements=unit.elements,
            x=description.sum_format(unit.below),
            y=y,
            dy=error,
            dx=error,
            round_error=description.rounding.error,
            stash_words=unit.elements,
        )
    height, width, channels = unit.image
    return Pooling(
        height=height,
        width=width,
        channels=channels,
        kernel=unit.kernel,
        average=unit.average,
        relu=unit.masks,
        x=y,
        dy=error,
        dx=error,
        round_activation=description.rounding.activation,
        round_error=description.rounding.error,
        tokens=1,
    )
