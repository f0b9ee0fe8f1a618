"""The update of a norm that remembers nothing but what it learns."""

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
from counterflow.hw.norms.learnt import predicted
from counterflow.hw.parts.pipeline import delayed


class GroupUpdate(BetaUpdate):
    """Twin of `golden.units.group_norm.GroupNorm.update`.

    Parameters: ``stage``.
    Members: those of `BetaUpdate`, and ``table`` out: what tokens see of a channel.
    Cost: that of `BetaUpdate`.
    """

    stage: GroupNormStage

    def __init__(self, *, stage: GroupNormStage) -> None:
        backward = None if stage.unit.frozen else errors(stage)
        super().__init__(stage=stage, backward=backward, members={"table": Out(betas(stage))})

    def _seen(self, m: Module, written: Any) -> Sequence[tuple[str, Value, Value]]:
        """See `BetaUpdate._seen`."""
        word = Signal(betas(self.stage), name="seen")
        for name, value in predicted(m, self.stage.numbers, written).items():
            m.d.comb += word[name].eq(value)
        late = delayed(m, word.as_value(), ROOT - SUM, "seen_late")
        return [("view", self.table.as_value(), late)]
