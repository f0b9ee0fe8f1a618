"""The norm of groups: images wait both ways for their sums; an update of beta a slot.

    x  --> forward ---> y        an image of x waits in it
            |   ^ tables
          kept  \\
            v     update <-- bus
         totals  /
            ^   /
    dx <-- backward <-- dy       one of dy and xhat waits in it

Twin of `golden.units.group_norm`; when a token is read back and when an update follows is counted
in `hw.norms.order`.
"""

from __future__ import annotations

from amaranth.hdl import Module

from counterflow.design.units.group_times import GroupNormStage
from counterflow.hw.norms.group_backward import GroupBackward
from counterflow.hw.norms.group_forward import GroupForward
from counterflow.hw.norms.group_update import GroupUpdate
from counterflow.hw.norms.normal_unit import NormalUnit
from counterflow.hw.pooling.rings import advanced


class GroupNorm(NormalUnit):
    """Normalises the groups of each image by its own statistics, and adds a bias that learns.

    Parameters and members: see `NormalUnit`.
    Cost: six multipliers, three where nobody wants dx, with a gamma nine, five or, of a frozen one,
    four; the memories of `GroupNormStage.memories`; latency from the last x to the first y and from
    the last dy to the first dx as `design.units.group_times` has it; an element a cycle each way.
    """

    states: GroupUpdate

    def __init__(self, *, stage: GroupNormStage) -> None:
        super().__init__(stage=stage, states=GroupUpdate(stage=stage))

    def _ways(self) -> tuple[GroupForward, GroupBackward | None]:
        """See `NormalUnit._ways`."""
        back = None if self.stage.unit.frozen else GroupBackward(stage=self.stage)
        return GroupForward(stage=self.stage), back

    def _join(self, m: Module, forward: GroupForward, backward: GroupBackward) -> None:
        """See `NormalUnit._join`."""
        self._totals(m, "backward", backward, self.states)
        self._seen_of(m, "tables", forward, self.states.table)
        self._kept(m, forward, backward)
        if self.stage.numbers.dx is None:
            return
        words = self.stage.tokens * self.stage.numbers.groups
        memory, word = self._memory(m, "roots", words, len(forward.root_word.as_value()))
        m.d.comb += [
            memory.write_enable.eq(forward.root_keep),
            memory.write_address.eq(advanced(m, forward.root_keep, words, "root_at")),
            memory.write_data.eq(forward.root_word.as_value()),
            memory.read_address.eq(backward.root_address),
            backward.root_word.eq(word),
        ]
