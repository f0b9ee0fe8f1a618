"""Which token a norm may pass on, and when it updates: by counting, as `design.units.norm` says."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.normal_times import NormalStage


class Order(wiring.Component):
    """Counts tokens that begin and end each way, and updates.

    Token j goes forward once update j - 2 is over and there is room for what is kept of it; token
    k comes back once update k + D - 2 is over; update j follows when token j has gone forward and
    token j - D, if there is one, has come back.  Each of the three uses one of two banks in turn.
    Where images wait in a norm, one goes forward as it is read back.

    Parameters: ``stage``.
    Members: strobes in: ``forward_begins``, ``forward_known``, ``backward_begins``,
    ``backward_known``, ``backward_ends``, ``update_ends``; out: ``forward_may``, ``backward_may``
    begin; ``update_begins``, a cycle each; ``resting``: no token and no update is under way;
    ``forward_bank``, ``backward_bank``, ``update_bank`` of the token that is to begin, or of the
    update.
    Cost: five small counters.
    """

    def __init__(self, *, stage: NormalStage) -> None:
        self.stage = stage
        strobes = (
            "forward_begins",
            "forward_known",
            "backward_begins",
            "backward_known",
            "backward_ends",
            "update_ends",
        )
        found = (
            "forward_may",
            "backward_may",
            "update_begins",
            "resting",
            "forward_bank",
            "backward_bank",
            "update_bank",
        )
        super().__init__({name: In(1) for name in strobes} | {name: Out(1) for name in found})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        delay, tokens = self.stage.delay, self.stage.tokens
        most = delay + 3

        def counter(name: str, up: Signal, down: Signal, init: int = 0) -> Signal:
            count = Signal(range(max(most, tokens) + 1), init=init, name=name)
            m.d.sync += count.eq(count + up - down)
            return count

        # Each counts from the updates that are over on.
        over = self.update_ends
        forward = counter("forward_begun", self.forward_begins, over)
        known = counter("forward_totalled", self.forward_known, over)
        backward = counter("backward_begun", self.backward_begins, over, delay)
        returned = counter("backward_totalled", self.backward_known, over, delay)
        kept = counter("tokens_kept", self.forward_begins, self.backward_ends)
        busy = Signal(name="busy")
        due = (known != 0) & (returned != 0) & ~busy & ~self.update_begins
        m.d.sync += self.update_begins.eq(due)
        with m.If(self.update_begins):
            m.d.sync += busy.eq(1)
        with m.Elif(over):
            m.d.sync += busy.eq(0)
        for bank, ends, init in (
            (self.forward_bank, self.forward_begins, 0),
            (self.backward_bank, self.backward_begins, delay & 1),
            (self.update_bank, over, 0),
        ):
            turn = Signal(init=init, name=f"{bank.name}_turn")
            m.d.sync += turn.eq(turn ^ ends)
            m.d.comb += bank.eq(turn)
        m.d.comb += [
            self.forward_may.eq((forward <= 1) & (kept != tokens)),
            self.backward_may.eq(backward <= 1),
            self.resting.eq(
                (forward == known) & (backward == returned) & ~due & ~self.update_begins & ~busy
            ),
        ]
        return m
