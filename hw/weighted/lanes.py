"""The lanes of a unit: one for each weight of a tile."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.parts.tokens import Kind
from counterflow.design.units.latency import SATURATED, WORD
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.modules import instantiate
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed, spread
from counterflow.hw.parts.streams import signed_lanes
from counterflow.hw.weighted.broadcast import (
    SPREAD,
    gradient_levels,
    random_levels,
    spread_random,
    spread_settings,
)
from counterflow.hw.weighted.bundles import (
    Settings,
    backward_products,
    lane_learning,
    lane_words,
    stored_word,
    visit_signals,
)
from counterflow.hw.weighted.lane import Lane
from counterflow.hw.weighted.movers import Movers
from counterflow.hw.weighted.multiply import factors


class Lanes(wiring.Component):
    """Spreads words over lanes, and joins what these make of them.

    What is the same for all lanes reaches them through trees of registers.

    Parameters: ``stage``.
    Members, with the cycle after a tile's visit in which they are valid: ``visit`` in 0;
    ``weights``: words of the memory 3, new ones 12, or in the last of their turns; ``x``,
    ``stash``, ``dy`` in 4: inputs of the token that goes forward and of the one that comes back,
    its gradients, these `gradient_levels` before (no ``stash`` where weights are frozen, no ``dy``
    where none comes back); ``forward`` out: products 6; ``backward`` out: products 6, not of a
    first unit; ``dy_0`` in, ``backward_0`` out and so on: as much of other losses;
    ``learning``: fresh 3, gradients 6, random 7 - `random_levels`, clipped SATURATED after the new
    words; ``settings`` in, which show SPREAD cycles later; ``stored`` in, its strobes SPREAD cycles
    before the word.
    Cost: `stage.tiling.multipliers` multipliers, those of the last `lanes.in_luts` lanes of LUTs;
    rate one tile a cycle (a phase when shared).
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        inputs = tiling.lanes.inputs * numbers.x.bits
        members = {
            "visit": In(visit_signals(stage)),
            "weights": In(lane_words(tiling.lane_count * numbers.word_bits)),
            "x": In(inputs),
            "forward": Out(shape_of(numbers.forward_sum)).array(tiling.lane_count),
            "learning": In(lane_learning(stage)),
            "settings": In(Settings),
            "stored": In(stored_word(stage)),
        }
        self._factors = factors(numbers)
        if "stash" in self._factors:
            members["stash"] = In(inputs)
        if "dy" in self._factors:
            members["dy"] = In(tiling.lanes.outputs * numbers.dy.bits)
        if numbers.dx is not None:
            members["backward"] = Out(backward_products(stage))
        for index, one in enumerate(stage.asides):
            members[f"dy_{index}"] = In(tiling.lanes.outputs * numbers.dy.bits)
            members[f"backward_{index}"] = Out(backward_products(one))
        super().__init__(members)
        self._shape = tiling.lanes.outputs, tiling.lanes.inputs

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, tiling = self.stage.arithmetic, self.stage.tiling
        parameters: dict[str, Any] = {"numbers": numbers, "shared": tiling.lanes.shared}
        if self.stage.asides:
            parameters["asides"] = len(self.stage.asides)
        if tiling.move_turns > 1:
            parameters["moves"] = False
        kinds = [parameters] * (tiling.lane_count - tiling.lanes.in_luts)
        kinds += [{**parameters, "in_luts": True}] * tiling.lanes.in_luts
        lanes = [
            instantiate(m, f"lane_{index}", platform, Lane, **kind)
            for index, kind in enumerate(kinds)
        ]
        self._set(m, lanes)
        self._multiply(m, lanes)
        for index, lane in enumerate(lanes):
            m.d.comb += lane.word.eq(self.weights.word.word_select(index, numbers.word_bits))
        if tiling.move_turns > 1:
            self._by_turns(m, lanes)
        else:
            self._learn(m, lanes, platform)
        if numbers.sums_gradients:
            self._sum(m, lanes)
        return m

    def _set(self, m: Module, every: list[Any]) -> None:
        """The settings of all lanes; only tokens that train see predicted weights."""
        numbers = self.stage.arithmetic
        if numbers.predicts and not numbers.frozen:
            training = self.settings.predict & (self.visit.slot.kind >= Kind.TRAIN)
            predicting = spread(m, training, len(every), WORD, "predict")
            for lane, late in zip(every, predicting, strict=True):
                m.d.comb += lane.settings.predict.eq(late)

    @staticmethod
    def _spread(m: Module, value: Value, every: list[Any], name: str) -> list[Value]:
        """`value` SPREAD cycles ago, for each of the lanes."""
        return spread(m, value, len(every), SPREAD, name)

    def _multiply(self, m: Module, lanes: list[Any]) -> None:
        """Inputs go to the lanes of their column, gradients to those of their row."""
        numbers, wide = self.stage.arithmetic, self.stage.tiling.lanes.inputs
        x = self._loaded(self.x)
        shared = self.stage.tiling.lanes.shared
        phases: list[Value] = [C(0)] * len(lanes)
        if shared:
            phases = spread(m, self.visit.phase, len(lanes), WORD, "phase")
        for index, lane in enumerate(lanes):
            m.d.comb += [
                lane.phase.eq(phases[index]),
                lane.x.eq(x[index % wide]),
                self.forward[index].eq(lane.y),
            ]
            if numbers.dx is not None:
                m.d.comb += self.backward.products[index].eq(lane.dx)
        for number in range(len(self.stage.asides)):
            self._aside(m, number, lanes)
        if "dy" in self._factors:
            dy = self._gradients(m, self.dy, "dy")
            m.d.comb += [lane.dy.eq(dy[index]) for index, lane in enumerate(lanes)]
        if "stash" in self._factors:
            stash = self._loaded(self.stash)
            m.d.comb += [lane.stash.eq(stash[index % wide]) for index, lane in enumerate(lanes)]

    def _aside(self, m: Module, number: int, lanes: list[Any]) -> None:
        """The gradients of another loss to the lanes, and what these make of them."""
        dy = self._gradients(m, getattr(self, f"dy_{number}"), f"dy_{number}")
        products = getattr(self, f"backward_{number}").products
        for index, lane in enumerate(lanes):
            m.d.comb += [
                getattr(lane, f"dy_{number}").eq(dy[index]),
                products[index].eq(getattr(lane, f"dx_{number}")),
            ]

    def _gradients(self, m: Module, word: Value, name: str) -> list[Value]:
        """The gradient that each lane takes: that of its row, by a register for each few lanes."""
        high, wide = self._shape
        levels = gradient_levels(self.stage.tiling)
        rows = signed_lanes(word, shape_of(self.stage.arithmetic.dy), high)
        return [
            one
            for index, row in enumerate(rows)
            for one in spread(m, row, wide, levels, f"{name}_{index}")
        ]

    def _loaded(self, word: Value) -> list[Value]:
        """The inputs of a word, behind their ReLU where they come before it."""
        numbers = self.stage.arithmetic
        found = signed_lanes(word, shape_of(numbers.x), self.stage.tiling.lanes.inputs)
        if not numbers.rectifies:
            return found
        return [Mux(one < 0, 0, one)[: numbers.loaded.bits] for one in found]

    def _learn(self, m: Module, lanes: list[Any], platform: object) -> None:
        """What lanes move, and what is stored in them, to the memory."""
        numbers, bits = self.stage.arithmetic, self.stage.arithmetic.word_bits
        seen = delayed(m, Cat(lane.clipped for lane in lanes), 1, "seen")
        m.d.comb += [
            self.weights.new.eq(Cat(lane.new_word for lane in lanes)),
            self.learning.clipped.eq(delayed(m, seen.any(), SATURATED - 1, "clipped")),
        ]
        for index, lane in enumerate(lanes):
            m.d.comb += lane.stored.eq(self.stored.word.word_select(index, bits))
        if numbers.frozen:
            return
        spread_settings(m, numbers, self.settings, [lane.settings for lane in lanes])
        levels = random_levels(self.stage, platform)
        spread_random(m, numbers, self.learning.random, lanes, levels)
        stores = self._spread(m, self.stored.weights, lanes, "store")
        m.d.comb += [lane.store.eq(store) for lane, store in zip(lanes, stores, strict=True)]

    def _by_turns(self, m: Module, lanes: list[Any]) -> None:
        """As `_learn`, of lanes that share updates."""
        m.submodules.movers = movers = Movers(stage=self.stage)
        connect(m, flipped(self.visit), movers.visit)
        connect(m, flipped(self.stored), movers.stored)
        connect(m, flipped(self.settings), movers.settings)
        m.d.comb += [
            movers.word.eq(self.weights.word),
            movers.random.eq(self.learning.random),
            self.weights.new.eq(movers.new),
            self.learning.clipped.eq(delayed(m, movers.clipped, SATURATED - 1, "clipped")),
            *(movers.gradients[index].eq(lane.gradient) for index, lane in enumerate(lanes)),
        ]

    def _sum(self, m: Module, lanes: list[Any]) -> None:
        """Earlier sums of gradients to their lanes, and those with the present ones back."""
        bits, sums = self.stage.arithmetic.gradient.bits, self.learning.weights
        m.d.comb += sums.sum.eq(Cat(lane.sum for lane in lanes))
        fresh = self._spread(m, self.learning.fresh, lanes, "fresh")
        for index, lane in enumerate(lanes):
            m.d.comb += [
                lane.fresh.eq(fresh[index]),
                lane.earlier.eq(sums.earlier.word_select(index, bits)),
            ]
