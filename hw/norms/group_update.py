"""The update of a norm that remembers nothing but beta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib.wiring import Out

from counterflow.design.units.group_times import GroupNormStage
from counterflow.design.units.latency import SUM
from counterflow.design.units.normal_times import ROOT
from counterflow.hw.norms.beta_update import BetaUpdate
from counterflow.hw.norms.layouts import betas, errors
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.weighted.update import Predict


class GroupUpdate(BetaUpdate):
    """Twin of `golden.units.group_norm.GroupNorm.update`.

    Parameters: ``stage``.
    Members: those of `BetaUpdate`, and ``table`` out: what tokens see of a channel.
    Cost: that of `BetaUpdate`.
    """

    stage: GroupNormStage

    def __init__(self, *, stage: GroupNormStage) -> None:
        super().__init__(stage=stage, backward=errors(stage), members={"table": Out(betas(stage))})

    def _seen(self, m: Module, written: Any) -> Sequence[tuple[str, Value, Value]]:
        """See `BetaUpdate._seen`."""
        numbers, word = self.stage.numbers, Signal(betas(self.stage), name="seen")
        m.submodules.ahead = ahead = Predict(numbers=numbers.parameters, target=numbers.beta)
        m.d.comb += [
            ahead.weight.eq(written.beta),
            ahead.velocity.eq(written.beta_velocity),
            ahead.enable.eq(1),
            word.beta.eq(ahead.backward),
        ]
        if numbers.parameters.predicts:
            m.d.comb += word.ahead.eq(ahead.forward)
        late = delayed(m, word.as_value(), ROOT - SUM, "seen_late")
        return [("view", self.table.as_value(), late)]
