"""The norm: running statistics, two streams that it passes on, an update a slot.

    x  --> forward ---> y        tables: what tokens see of a channel, kept until they come back
            |   ^ tables
        totals   \\
            v     update <-- bus
        totals   /
            ^   v controls
    dx <-- backward <-- dy

Twin of `golden.units.norm`; when a token passes and when an update follows is counted in
`hw.norms.order`.
"""

from __future__ import annotations

from amaranth.hdl import Module

from counterflow.design.units.norm_times import NormStage
from counterflow.hw.norms.backward import Backward
from counterflow.hw.norms.forward import Forward
from counterflow.hw.norms.normal_unit import NormalUnit
from counterflow.hw.norms.update import ChannelUpdate


class Norm(NormalUnit):
    """Normalises every channel by running statistics, and adds a bias that learns.

    Parameters and members: see `NormalUnit`.
    Cost: five multipliers, two where nobody wants dx, one of a frozen one, with a gamma eight, four
    or two; the memories of `NormStage.memories`; latency `design.units.normal_times.FORWARD` from x
    to y, SCALED more with a gamma, `design.units.norm_times.BACKWARD` from dy to dx; an element a
    cycle each way.
    """

    states: ChannelUpdate

    def __init__(self, *, stage: NormStage) -> None:
        super().__init__(stage=stage, states=ChannelUpdate(stage=stage))

    def _ways(self) -> tuple[Forward, Backward | None]:
        """See `NormalUnit._ways`."""
        back = None if self.stage.unit.frozen else Backward(stage=self.stage)
        return Forward(stage=self.stage), back

    def _join(self, m: Module, forward: Forward, backward: Backward) -> None:
        """See `NormalUnit._join`."""
        self._totals(m, "forward", forward, self.states)
        self._totals(m, "backward", backward, self.states)
        self._seen(m, forward, backward)
        self._kept(m, forward, backward)

    def _seen(self, m: Module, forward: Forward, backward: Backward) -> None:
        """What tokens see of a channel, each way."""
        self._seen_of(m, "tables", forward, self.states.table)
        self._seen_of(m, "controls", backward, self.states.controls)
