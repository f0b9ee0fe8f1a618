"""The gradient of a loss from which a unit does not learn, on its way to the units that do."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.streams import error_stream
from counterflow.hw.weighted.bundles import (
    backward_products,
    decision_signals,
    visit_signals,
    walk_claims,
)
from counterflow.hw.weighted.errors import Errors
from counterflow.hw.weighted.input_gradient import InputGradient
from counterflow.hw.weighted.slots import Slots


class Aside(wiring.Component):
    """What a unit has for a loss of its own once more, with another delay: dy, its queue, dx.

    Its slots are the unit's; in slot j the token that comes back is j - D, with the D of this loss.

    Parameters: ``stage``, the unit as this loss sees it (`design.units.slots.Stage.asides`).
    Members: ``dy`` in and ``dx`` out, streams of gradients; ``walk`` in, what the walk decides, and
    ``visit`` in, a cycle later; ``row_able``, ``line_able`` out: a row of tiles, of places, can
    begin as far as this loss is concerned; ``word`` out: gradients for the lanes, and ``lanes`` in:
    their products; ``kind`` in, of the token that goes forward; ``returning``, ``learning`` out: a
    token comes back in the slot of ``visit``, and has a gradient; ``stash`` in: its inputs, or
    whether they let gradients through; ``clipped`` out.
    Cost: that of `Errors`, `InputGradient` and `Slots`.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        assert numbers.dx is not None
        super().__init__(
            {
                "dy": In(error_stream(numbers.dy)),
                "dx": Out(error_stream(numbers.dx, numbers.x if numbers.returns else None)),
                "walk": In(decision_signals(stage)),
                "visit": In(visit_signals(stage)),
                "row_able": Out(1),
                "line_able": Out(1),
                "word": Out(tiling.lanes.outputs * numbers.dy.bits),
                "lanes": In(backward_products(stage)),
                "kind": In(KIND_BITS),
                "returning": Out(1),
                "learning": Out(1),
                "stash": In(tiling.lanes.inputs * numbers.x.bits),
                "clipped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.errors = errors = Errors(stage=self.stage)
        m.submodules.gradient = gradient = InputGradient(stage=self.stage)
        m.submodules.slots = slots = Slots(stage=self.stage)
        due = slots.slot.returning
        claims, visit = self._claims(m, due), self._visit(m)
        connect(m, claims, errors.claims, gradient.claims)
        connect(m, visit, errors.visit, gradient.visit)
        connect(m, flipped(self.dy), errors.dy)
        connect(m, gradient.dx, flipped(self.dx))
        connect(m, flipped(self.lanes), gradient.lanes)
        m.d.sync += [self.returning.eq(due), self.learning.eq(slots.slot.learning)]
        m.d.comb += [
            slots.kind.eq(self.kind),
            slots.finish.eq(self.walk.finish),
            self.word.eq(errors.word),
            gradient.stash.eq(self.stash),
            self.row_able.eq(~due | errors.ready),
            self.line_able.eq(~due | gradient.room),
            self.clipped.eq(gradient.clipped),
        ]
        return m

    def _claims(self, m: Module, due: Value) -> Any:
        """What the walk takes, as `Walk` says it of the loss that the unit learns from."""
        claims, walk = walk_claims(self.stage).create(path=("claims",)), self.walk
        lines = walk.first_across & walk.row_begin & walk.first_row
        m.d.comb += [
            claims.error.eq(walk.row_end & due),
            claims.lines.eq(lines & due),
            claims.rows.eq(walk.rows_done),
        ]
        return claims

    def _visit(self, m: Module) -> Any:
        """The visit, but for what comes back in its slot."""
        found = visit_signals(self.stage).create(path=("found",))
        sources = self.visit.signature.flatten(self.visit)
        for (path, _, source), (_, _, target) in zip(
            sources, found.signature.flatten(found), strict=True
        ):
            if path != ("slot", "returning"):
                m.d.comb += target.eq(source)
        m.d.comb += found.slot.returning.eq(self.returning)
        return found
