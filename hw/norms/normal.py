"""What norms compute alike, whatever their source of statistics: xhat and y, and dx of z.

The equations stand in `design.units.normal`.  Each function adds registers to a module; cycles are
counted from the one in which an element is taken, its channel addressed.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from counterflow.design.parts.tokens import Kind
from counterflow.design.units.latency import MEMORY, NARROW, PRODUCT, SUM
from counterflow.design.units.normal import CENTRE_FRAC, Normal
from counterflow.design.units.normal_times import FORWARD, SHIFT, NormalStage
from counterflow.hw.norms.rounding import half_up_by, register
from counterflow.hw.parts.narrow import narrow, saturate, shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter


def difference(m: Module, numbers: Normal, x: Value, centre: Value) -> Signal:
    """e, how far x is from the centre of its channel, SUM cycles later."""
    e = Signal(shape_of(numbers.difference), name="e", reset_less=True)
    m.d.sync += e.eq((x << CENTRE_FRAC) - centre)
    return e


def beta_of(numbers: Normal, view: Any, predict: Value, kind: Value) -> Value:
    """Beta as a token of kind `kind` sees it, in `view`."""
    if not numbers.parameters.predicts:
        beta: Value = view.beta
        return beta
    return Mux(predict & (kind >= Kind.TRAIN), view.ahead, view.beta)


def normalise(
    m: Module,
    stage: NormalStage,
    queue: Scatter,
    e: Value,
    seen: Any,
    beta: Value,
    taken: Value,
    kind: Value,
) -> tuple[Value, Value, Value]:
    """Let y enter its queue; (that it does, y before its ReLU, whether it or xhat was clipped).

    ``seen`` (root and halvings), ``beta`` and ``kind`` come MEMORY cycles after ``taken``, ``e``
    SUM cycles later.
    """
    numbers = stage.numbers
    root = delayed(m, seen.root, SUM, "root")
    product = register(m, e * root, "product")
    halvings = delayed(m, seen.halvings, SUM + PRODUCT, "halvings")
    least = numbers.normal_shift + numbers.halvings[0]
    scaled = register(m, half_up_by(product, least, halvings), "scaled")
    xhat, clipped = saturate(scaled, numbers.y)
    xhat = register(m, xhat, "xhat")
    beta = delayed(m, beta, SUM + PRODUCT + SHIFT + NARROW, "beta")
    y, beyond = saturate(xhat + beta, numbers.y)
    late = delayed(m, clipped, NARROW, "clipped")
    edge = stage.unit.outputs[0]
    positive = Mux(y < 0, 0, y) if edge.rectified and not edge.returned else y
    push = delayed(m, taken, FORWARD - 1, "push")
    m.d.comb += [
        queue.push.eq(push),
        queue.word.eq(delayed(m, positive, SUM, "positive")),
        queue.word_tag.eq(delayed(m, kind, FORWARD - 1 - MEMORY, "kind_sent")),
    ]
    clipped_now = push & delayed(m, late | beyond, SUM, "beyond")
    return push, delayed(m, y, SUM, "y"), clipped_now


def scaled_back(m: Module, numbers: Normal, z: Value, root: Value, halvings: Value) -> Signal:
    """z over the deviation, as wide as dx before it is narrowed, PRODUCT + SHIFT cycles later.

    ``root`` comes beside z, ``halvings`` PRODUCT cycles later.
    """
    product = register(m, z * root, "product")
    least = numbers.halvings[0] + numbers.scaled_shift + numbers.lift
    return register(m, half_up_by(product << numbers.lift, least, halvings), "scaled")


def send_back(
    m: Module, numbers: Normal, queue: Scatter, wide: Value, trains: Value, push: Value
) -> Value:
    """Let dx enter its queue with `push`, NARROW cycles after `wide`; whether it was clipped.

    It is zero unless the token ``trains``, which is said beside ``wide``.
    """
    assert numbers.dx is not None
    dx, clipped = narrow(wide, numbers.wide_frac, numbers.dx, numbers.round_error)
    m.d.comb += [
        queue.push.eq(push),
        queue.word.eq(delayed(m, Mux(trains, dx, 0), NARROW, "narrowed")),
    ]
    return push & delayed(m, clipped & trains, NARROW, "clipped")


def stepped(m: Module, step: Value, tokens: int, size: int, name: str) -> Signal:
    """The first of `size` words that a token has among those of `tokens`, which take turns."""
    base = Signal(range(max(2, tokens * size)), name=name)
    with m.If(step):
        m.d.sync += base.eq(Mux(base == (tokens - 1) * size, 0, base + size))
    return base
