"""What norms have and compute alike, whatever their source of statistics: xhat and y, dx of z.

The equations stand in `design.units.normal`.  Each function adds registers to a module; cycles are
counted from the one in which an element is taken, its channel addressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from counterflow.design.units.latency import MEMORY, NARROW, PRODUCT, SUM
from counterflow.design.units.normal import CENTRE_FRAC, GAMMA_FRAC, Normal
from counterflow.design.units.normal_times import FORWARD, SHIFT, NormalStage
from counterflow.hw.norms.rounding import half_up, half_up_by, register
from counterflow.hw.parts.narrow import narrow, saturate, shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter, activation_stream


def forward_members(stage: NormalStage, view: data.StructLayout) -> dict[str, In | Out]:
    """What each part that goes forward has, with the ``view`` of a channel that its tokens see."""
    numbers = stage.numbers
    return {
        "x": In(activation_stream(numbers.x)),
        "y": Out(activation_stream(numbers.y)),
        "may": In(1),
        "bank": In(1),
        "predict": In(1),
        "channel": Out(range(max(2, numbers.channels))),
        "in_bank": Out(1),
        "view": In(view),
        "begins": Out(1),
        "known": Out(1),
        "room": In(1),
        "taken": Out(1),
        "y_taken": Out(1),
        "y_word": Out(shape_of(numbers.y)),
        "clipped": Out(1),
    }


def difference(m: Module, numbers: Normal, x: Value, centre: Value) -> Signal:
    """e, how far x is from the centre of its channel, SUM cycles later."""
    e = Signal(shape_of(numbers.difference), name="e", reset_less=True)
    m.d.sync += e.eq((x << CENTRE_FRAC) - centre)
    return e


def normalise(
    m: Module,
    stage: NormalStage,
    queue: Scatter,
    e: Value,
    seen: Any,
    learnt: Mapping[str, Value],
    taken: Value,
    kind: Value,
) -> tuple[Value, Value, Value]:
    """Let y enter its queue; (that it does, what is kept of it, whether it or xhat was clipped).

    Kept is y before its ReLU, or xhat where there is a gamma.  ``seen`` (root and halvings),
    ``learnt`` and ``kind`` come MEMORY cycles after ``taken``, ``e`` SUM cycles later.
    """
    numbers, leaves = stage.numbers, FORWARD + stage.later
    root = delayed(m, seen.root, SUM, "root")
    product = register(m, e * root, "product")
    halvings = delayed(m, seen.halvings, SUM + PRODUCT, "halvings")
    least = numbers.normal_shift + numbers.halvings[0]
    scaled = register(m, half_up_by(product, least, halvings), "scaled")
    xhat, clipped = saturate(scaled, numbers.y)
    xhat = register(m, xhat, "xhat")
    cycle = SUM + PRODUCT + SHIFT + NARROW
    beta = delayed(m, learnt["beta"], cycle + stage.later, "beta")
    total = xhat + beta if numbers.gammas is None else scaled_by(m, xhat, learnt, cycle, beta)
    y, beyond = saturate(total, numbers.y)
    late = delayed(m, clipped, NARROW + stage.later, "clipped")
    edge = stage.unit.outputs[0]
    positive = Mux(y < 0, 0, y) if edge.rectified and not edge.returned else y
    push = delayed(m, taken, leaves - 1, "push")
    kept = y if numbers.gammas is None else delayed(m, xhat, stage.later, "xhat_late")
    m.d.comb += [
        queue.push.eq(push),
        queue.word.eq(delayed(m, positive, SUM, "positive")),
        queue.word_tag.eq(delayed(m, kind, leaves - 1 - MEMORY, "kind_sent")),
    ]
    clipped_now = push & delayed(m, late | beyond, SUM, "beyond")
    return push, delayed(m, kept, SUM, "y"), clipped_now


def scaled_by(
    m: Module, xhat: Value, learnt: Mapping[str, Value], cycle: int, beta: Value
) -> Value:
    """gamma xhat + beta, PRODUCT cycles after xhat; ``learnt`` came `cycle` cycles before that.

    Half a last place enters below beta, so that one addition rounds, too.
    """
    gamma = delayed(m, learnt["gamma"], cycle, "gamma")
    product = register(m, gamma * xhat, "scaled_by_gamma")
    return (product + Cat(C(1 << GAMMA_FRAC - 1, GAMMA_FRAC), beta).as_signed()) >> GAMMA_FRAC


def weighed(m: Module, numbers: Normal, dy: Value, gamma: Value) -> Signal:
    """gamma dy, PRODUCT + SUM cycles later."""
    product = register(m, dy * gamma, "weighed")
    found = Signal(shape_of(numbers.given), name="given", reset_less=True)
    m.d.sync += found.eq(half_up(product, numbers.gamma_drop))
    return found


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
