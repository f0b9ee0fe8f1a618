"""The update of running statistics and of their controls, beside that of beta.

cycle after a channel is addressed   2   its state, its totals
                                     5   totals divided by the pixels
                                    10   all new parts of the state
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.design.units.latency import UPDATE
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normal import CENTRE_FRAC
from counterflow.design.units.normal_times import SHARED, STORE, TABLES
from counterflow.design.units.normalisation import DECAY, MEAN_GUARD
from counterflow.hw.norms.beta_update import NEW, BetaUpdate
from counterflow.hw.norms.layouts import backward_totals, controls, forward_totals, seen
from counterflow.hw.norms.roots import Roots
from counterflow.hw.norms.rounding import half_up, register, shared
from counterflow.hw.parts.narrow import saturate
from counterflow.hw.parts.pipeline import delayed


class ChannelUpdate(BetaUpdate):
    """Twin of `golden.units.norm.Norm.update`.

    Parameters: ``stage``.
    Members: those of `BetaUpdate`, and ``forward`` totals of a channel in, beside ``backward``, of
    a token of kind ``forward_kind``; ``table`` and ``controls`` out: what tokens see of a channel.
    Of these a frozen norm has but ``table``.
    Cost: no multiplier; that of `BetaUpdate` and a table of roots.
    """

    stage: NormStage

    def __init__(self, *, stage: NormStage) -> None:
        frozen = stage.unit.frozen
        members: dict[str, In | Out] = {"table": Out(seen(stage))}
        if not frozen:
            members |= {
                "forward_kind": In(KIND_BITS),
                "forward": In(forward_totals(stage)),
                "controls": Out(controls(stage)),
            }
        backward = None if frozen else backward_totals(stage)
        super().__init__(stage=stage, backward=backward, members=members)

    def _moved(self, m: Module, now: Any, backward: Value) -> tuple[Value, dict[str, Any]]:
        """See `BetaUpdate._moved`."""
        if self.stage.unit.frozen:
            return backward, {}
        forward = delayed(m, self.visit & (self.forward_kind >= Kind.TRAIN), NEW, "moving")
        found = {name: (forward, one) for name, one in self._statistics(m, now).items()}
        if self.stage.numbers.dx is not None:
            found |= {name: (backward, one) for name, one in self._controls(m, now).items()}
        return forward | backward, found

    def _statistics(self, m: Module, now: Any) -> dict[str, Value]:
        """The running mean and variance, moved a part of the way."""
        numbers = self.stage.numbers
        mean = shared(m, self.forward.differences, numbers.mean_share, "mean")
        centre = delayed(m, self.forward.centre, SHARED, "centre")
        towards = {
            "mean": (centre << MEAN_GUARD - CENTRE_FRAC) + mean,
            "variance": shared(m, self.forward.squares, numbers.variance_share, "variance"),
        }
        found = {}
        for name, number in (("mean", numbers.mean), ("variance", numbers.variance)):
            old = delayed(m, now[name], SHARED, f"{name}_old")
            gap = register(m, towards[name] - old, f"{name}_gap")
            moved = register(m, delayed(m, old, 1, f"{name}_older") + half_up(gap, DECAY), name)
            value, _ = saturate(moved, number)
            found[name] = delayed(m, value, UPDATE - SHARED - 2, f"{name}_new")
        return found

    def _controls(self, m: Module, now: Any) -> dict[str, Value]:
        """Both controls, moved by the means of what they control."""
        numbers, found = self.stage.numbers, {}
        formats = {one.name: one.number for one in self.stage.parameters}
        for name, total, share in (
            ("scale_control", self.backward.products, numbers.scale_share),
            ("shift_control", self.backward.gradients, numbers.shift_share),
        ):
            step = shared(m, total, share, name)
            old = delayed(m, now[name], SHARED, f"{name}_old")
            moved = register(m, old + step, f"{name}_moved")
            value, _ = saturate(moved, formats[name])
            found[name] = delayed(m, value, UPDATE - SHARED - 1, f"{name}_new")
        return found

    def _seen(self, m: Module, written: Any) -> Sequence[tuple[str, Value, Value]]:
        """See `BetaUpdate._seen`."""
        m.submodules.roots = roots = Roots(stage=self.stage)
        m.d.comb += roots.state.eq(written)
        view = "view", self.table.as_value(), roots.view.as_value()
        if self.stage.unit.frozen:
            return [view]
        word = Signal(controls(self.stage), name="control_word")
        m.d.comb += [
            word.scale.eq(written.scale_control),
            word.shift.eq(written.shift_control),
        ]
        control = delayed(m, word.as_value(), TABLES - STORE, "control")
        return [view, ("control", self.controls.as_value(), control)]
