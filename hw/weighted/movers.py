"""The updates of shared lanes, each of which serves several: as many as a tile takes cycles."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.arithmetic import RANDOM_BITS
from counterflow.design.units.latency import UPDATE, WORD
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.modules import instantiate
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed, own, spread
from counterflow.hw.parts.turns import Turns, chosen, taken_by
from counterflow.hw.weighted.broadcast import (
    SPREAD,
    random_levels,
    spread_random,
    spread_settings,
)
from counterflow.hw.weighted.bundles import Settings, stored_word, visit_signals
from counterflow.hw.weighted.lane import GRADIENT
from counterflow.hw.weighted.update import Update


class Movers(wiring.Component):
    """Move the weights of a tile by turns (`design.units.tiling.Tiling.movers`).

    A tile's word stands there for all its phases, so that it is taken turn by turn up to the cycle
    in which one of a tile's last phase is there; gradients and new words wait in registers.

    Parameters: ``stage``, which takes turns.
    Members, with the cycle after the visit of a tile's last phase in which they are valid:
    ``visit`` in 0; ``word`` in 3; ``gradients`` in 6; ``random`` in 7 - `random_levels`; ``new``
    words out in the last turn from 12 on; ``clipped``, whether any of them is, a cycle later;
    ``settings``, ``stored`` in, as lanes have them.
    Cost: `movers` updates; a gradient and a word a lane.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        self.movers, self.turns = tiling.movers, tiling.move_turns
        width = tiling.lane_count * numbers.word_bits
        super().__init__(
            {
                "visit": In(visit_signals(stage)),
                "word": In(width),
                "gradients": In(shape_of(numbers.gradient)).array(tiling.lane_count),
                "random": In(RANDOM_BITS),
                "settings": In(Settings),
                "stored": In(stored_word(stage)),
                "new": Out(width),
                "clipped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, tiling = self.stage.arithmetic, self.stage.tiling
        bits, lanes = numbers.word_bits, range(tiling.lane_count)
        words = [self.word.word_select(lane, bits) for lane in lanes]
        stored = [self.stored.word.word_select(lane, bits) for lane in lanes]
        # Whose turn it is is known a cycle before, to reach all updates by registers of their own.
        done = self.visit.issue & (self.visit.phase == tiling.phases - 1)
        coming = delayed(m, done, GRADIENT - 1, "coming")
        m.submodules.moving = moving = Turns(turns=self.turns)
        m.submodules.moved = moved = Turns(turns=self.turns)
        m.d.comb += [
            moving.start.eq(coming),
            moved.start.eq(delayed(m, coming, UPDATE, "moved")),
        ]
        phase = delayed(m, self.visit.phase, WORD - 1, "phase") - (tiling.phases - self.turns)
        word_turns = self._spread(m, phase[: len(moving.turn)], "word_turn")
        gradient_turns = self._spread(m, moving.turn, "gradient_turn")
        draws = self._spread(m, delayed(m, coming, 1, "made"), "draw")
        gradients = self._held(m, coming)
        updates: list[Any] = []
        new: list[Value] = []
        clipped: list[Value] = []
        for index in range(self.movers):
            update = instantiate(
                m,
                f"update_{index}",
                platform,
                Update,
                numbers=numbers,
                early=GRADIENT - WORD + self.turns - 1,
                held=True,
            )
            m.d.comb += [
                Cat(update.weight, update.velocity).eq(
                    chosen(taken_by(index, self.movers, words), word_turns[index])
                ),
                update.gradient.eq(
                    chosen(taken_by(index, self.movers, gradients), gradient_turns[index])
                ),
                update.draw.eq(draws[index]),
                update.stored.eq(taken_by(index, self.movers, stored)[-1]),
            ]
            updates.append(update)
            new.append(Cat(update.new_weight, update.new_velocity))
            clipped.append(update.clipped)
        spread_settings(m, numbers, self.settings, updates)
        levels = random_levels(self.stage, platform)
        spread_random(m, numbers, self.random, updates, levels)
        stores = spread(m, self.stored.weights, len(stored), SPREAD, "store")
        m.d.comb += [
            update.store.eq(store)
            for update, store in zip(updates, stores[-self.movers :], strict=True)
        ]
        self._keep(m, moved, new, stored, stores)
        seen = Signal(self.movers, name="seen")
        later = delayed(m, moved.turn != 0, 1, "later")
        every = Cat(clipped) | (seen & later.replicate(self.movers))
        m.d.sync += seen.eq(every)
        m.d.comb += self.clipped.eq(seen.any())
        return m

    def _spread(self, m: Module, value: Value, name: str) -> list[Value]:
        """`value` a cycle ago, for each of the updates."""
        return spread(m, value, self.movers, 1, name)

    def _held(self, m: Module, coming: Value) -> list[Value]:
        """The gradients of all lanes until their turns; those of the first one need no register."""
        held: list[Value] = [*self.gradients][: self.movers]
        made = spread(m, coming, len(self.gradients), 1, "held")
        for lane in range(self.movers, len(self.gradients)):
            register = Signal.like(self.gradients[lane], name=f"gradient_{lane}", reset_less=True)
            with m.If(made[lane]):
                m.d.sync += register.eq(self.gradients[lane])
            held.append(register)
        return held

    def _keep(
        self,
        m: Module,
        moved: Turns,
        new: list[Value],
        stored: list[Value],
        stores: list[Value],
    ) -> None:
        """New words until the last turn, whose are in the registers of the updates."""
        bits = self.stage.arithmetic.word_bits
        taken = [
            self._spread(m, moved.active & (moved.turn == turn), f"moved_{turn}")
            for turn in range(self.turns - 1)
        ]
        for lane, word in enumerate(stored):
            turn, mover = divmod(lane, self.movers)
            found = new[mover]
            if turn != self.turns - 1:
                found = Signal(bits, name=f"new_{lane}", reset_less=True)
                with m.If(own(m, stores[lane], f"store_{lane}")):
                    m.d.sync += found.eq(word)
                with m.Elif(taken[turn][mover]):
                    m.d.sync += found.eq(new[mover])
            m.d.comb += self.new.word_select(lane, bits).eq(found)
