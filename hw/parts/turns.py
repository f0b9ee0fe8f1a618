"""Several take their turns at one thing: whose turn it is, and what is theirs."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import C, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.hw.parts.pipeline import delayed, own

CHOSEN_AT_ONCE = 4  # values of which a cycle chooses one: two bits of an index, a level or two


class Turns(wiring.Component):
    """Counts ``turns`` cycles from `start` on.

    Members: ``start`` in, not while the turns of an earlier one go on; ``active`` out with the
    number of the ``turn``, which is 0 between.
    Cost: a counter; latency 0.
    """

    def __init__(self, *, turns: int) -> None:
        self.turns = turns
        number = range(max(2, turns))
        super().__init__({"start": In(1), "active": Out(1), "turn": Out(number)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.active.eq(self.start | (self.turn != 0))
        with m.If(self.active):
            m.d.sync += self.turn.eq(Mux(self.turn == self.turns - 1, 0, self.turn + 1))
        return m


def chosen(values: Sequence[Value], index: Value) -> Value:
    """Number `index` of `values`, in the same cycle; any of them where there are not so many.

    A tree that an address bit a level goes through, which is half the logic of one comparison each.
    """
    level, found = 0, list(values)
    while len(found) > 1:
        pairs = zip(found[::2], found[1::2], strict=False)
        upper = found[-1:] if len(found) % 2 else []
        found = [Mux(index[level], high, low) for low, high in pairs] + upper
        level += 1
    return found[0]


def chosen_late(m: Module, values: Sequence[Value], coming: Value, name: str) -> Value:
    """Number `coming` of the `values` of the next cycle, `design.units.latency.CHOSEN` after that.

    In two steps, for the values may be wide and lie anywhere: of `CHOSEN_AT_ONCE` each at first, by
    registers of their own, then of what is left.
    """
    found, low = [], (CHOSEN_AT_ONCE - 1).bit_length()
    for start in range(0, len(values), CHOSEN_AT_ONCE):
        group, index = values[start : start + CHOSEN_AT_ONCE], coming
        if len(group) > 1:
            index = own(m, coming[:low], f"{name}_turn_{start}")
        found.append(delayed(m, chosen(group, index), 1, f"{name}_of_{start}"))
    if len(found) > 1:
        late = delayed(m, coming, 2, f"{name}_turn") >> low
        return delayed(m, chosen(found, late), 1, name)
    return delayed(m, found[0], 1, name)


def taken_by(one: int, of: int, values: Sequence[Value]) -> list[Value]:
    """Those of `values` that number `one` `of` so many takes, in the order of its turns.

    Turn t is that of values t x `of` and up; in the last one some may have nothing, which is zero.
    """
    nothing = [C(0)] * (-len(values) % of)
    return [*values, *nothing][one::of]
