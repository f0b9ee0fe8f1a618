"""The multipliers of one lane: forward, backward and gradient product of one weight."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.hw.parts.lut_product import LutProduct
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import own
from counterflow.hw.parts.product import Product


def factors(numbers: UnitArithmetic) -> dict[str, Any]:
    """Shapes of what a lane multiplies besides x and its weight: ``dy``, ``stash``, if anything."""
    found = {}
    if numbers.dx is not None or not numbers.frozen:
        found["dy"] = shape_of(numbers.dy)
    if not numbers.frozen:
        found["stash"] = shape_of(numbers.loaded)
    return found


class Multiply(wiring.Component):
    """w_hat * x, w * dy and dy * x_stash, by one multiplier each or by one in turn.

    Parameters: ``numbers``; ``shared``: one multiplier, its product chosen by ``phase``; without a
    format for dx there is no backward product, without an update no third one; ``asides``: further
    products w * dy_0, ..., of losses that the weight does not learn from, for which it must not be
    shared; ``in_luts``: products are of LUTs, not of blocks.
    Members: ``forward``, ``backward``, ``x``, ``dy``, ``stash``, ``phase`` in, all of one cycle;
    ``y``, ``dx``, ``gradient`` products out, two cycles later (operand and product registers).  A
    shared multiplier's outputs are all the product of the phase that was asked for.
    Cost: 3 multipliers (one less without dx, or frozen) and one an aside, or 1 when shared; latency
    2, one a cycle.
    """

    def __init__(
        self, *, numbers: UnitArithmetic, shared: bool, asides: int = 0, in_luts: bool = False
    ) -> None:
        self.numbers, self.shared, self.asides = numbers, shared, asides
        self._kind = LutProduct if in_luts else Product
        operand, x, dy = (shape_of(f) for f in (numbers.operand, numbers.loaded, numbers.dy))
        members = {
            "forward": In(operand),
            "backward": In(operand),
            "x": In(x),
            **{name: In(shape) for name, shape in factors(numbers).items()},
            "phase": In(2),
            "y": Out(shape_of(numbers.forward_sum)),
        }
        if not numbers.frozen:
            members["gradient"] = Out(shape_of(numbers.product))
        if numbers.dx is not None:
            members["dx"] = Out(shape_of(numbers.backward_sum))
        for index in range(asides):
            members[f"dy_{index}"] = In(dy)
            members[f"dx_{index}"] = Out(shape_of(numbers.backward_sum))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pairs = [(self.y, self.forward, self.x)]
        if self.numbers.dx is not None:
            pairs.append((self.dx, self.backward, self.dy))
        if not self.numbers.frozen:
            pairs.append((self.gradient, self.dy, self.stash))
        pairs += [
            (getattr(self, f"dx_{index}"), self.backward, getattr(self, f"dy_{index}"))
            for index in range(self.asides)
        ]
        if self.shared:
            left, right = pairs[0][1] + 0, pairs[0][2] + 0
            for phase, (_, a, b) in enumerate(pairs[1:], start=1):
                left = Mux(self.phase == phase, a, left)
                right = Mux(self.phase == phase, b, right)
            product = self._product(m, left, right, "shared")
            m.d.comb += [out.eq(product) for out, _, _ in pairs]
        else:
            for index, (out, a, b) in enumerate(pairs):
                m.d.comb += out.eq(self._product(m, a, b, f"lane_{index}"))
        return m

    def _product(self, m: Module, a: Value, b: Value, name: str) -> Signal:
        """a * b behind operand registers and one product register (more breaks iCE40 inference)."""
        s1_a, s1_b = own(m, a, f"{name}_a"), own(m, b, f"{name}_b")
        m.submodules[name] = s2_product = self._kind(a=s1_a.shape(), b=s1_b.shape())
        m.d.comb += [s2_product.a.eq(s1_a), s2_product.b.eq(s1_b)]
        return s2_product.o
