"""The lanes of a unit: one for each weight of a tile, one for each bias of its rows."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import Kind
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.modules import instantiate, is_compact
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import spread, spread_levels
from counterflow.hw.parts.streams import signed_lanes
from counterflow.hw.weighted.bundles import (
    Settings,
    backward_products,
    forward_products,
    lane_learning,
    lane_words,
    stored_word,
    visit_signals,
)
from counterflow.hw.weighted.lane import GRADIENT, BiasLane, Lane
from counterflow.hw.weighted.multiply import factors
from counterflow.hw.weighted.update import random_bits

SPREAD = 2  # cycles from what is the same for all lanes to a register in each


def random_levels(stage: Stage, platform: object) -> int:
    """Cycles from the generator's state to the lanes, by which it steps earlier.

    A compact design, which has few lanes, saves their registers.
    """
    readers = stage.tiling.lane_count + stage.tiling.lanes.outputs
    return 0 if is_compact(platform) else min(spread_levels(readers) + 1, GRADIENT - 1)


class Lanes(wiring.Component):
    """Spreads words over lanes, and joins what these make of them.

    What is the same for all lanes reaches them through trees of registers.

    Parameters: ``stage``.
    Members, with the cycle after a tile's visit in which they are valid: ``visit`` in 0;
    ``weights``, ``biases``: words of the memories 2, new ones 13; ``x``, ``stash``, ``dy`` in 3:
    inputs of the token that goes forward and of the one that comes back, its gradients (no
    ``stash`` where weights are frozen, no ``dy`` where none comes back);
    ``forward`` out: biases 3, products 5; ``backward`` out: products 5, not of a first unit;
    ``dy_0`` in, ``backward_0`` out and so on: as much of other losses;
    ``learning``: fresh 2, gradients 5, random 6 - `random_levels`, clipped 13; ``settings`` in,
    which show SPREAD cycles later; ``stored`` in, its strobes SPREAD cycles before the word.
    Cost: `stage.tiling.multipliers` multipliers; rate one tile a cycle (a phase when shared).
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        inputs = tiling.lanes.inputs * numbers.x.bits
        members = {
            "visit": In(visit_signals(stage)),
            "weights": In(lane_words(tiling.lane_count * numbers.word_bits)),
            "biases": In(lane_words(tiling.lanes.outputs * numbers.word_bits)),
            "x": In(inputs),
            "forward": Out(forward_products(stage)),
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
        lanes = [
            instantiate(m, f"lane_{index}", platform, Lane, **parameters)
            for index in range(tiling.lane_count)
        ]
        biases = [
            instantiate(m, f"bias_{index}", platform, BiasLane, numbers=numbers)
            for index in range(tiling.lanes.outputs)
        ]
        self._set(m, [*lanes, *biases])
        self._multiply(m, lanes, biases)
        learning, stored = self.learning, self.stored
        if not numbers.frozen:
            self._random(m, [*lanes, *biases], random_levels(self.stage, platform))
        self._learn(m, lanes, self.weights, stored.weights, "store")
        self._learn(m, biases, self.biases, stored.biases, "store_bias")
        m.d.comb += [
            learning.clipped.eq(Cat(lane.clipped for lane in lanes).any()),
            learning.bias_clipped.eq(Cat(bias.clipped for bias in biases).any()),
        ]
        if numbers.sums_gradients:
            self._sum(m, lanes, learning.weights, "fresh")
            self._sum(m, biases, learning.biases, "fresh_bias")
        return m

    def _set(self, m: Module, every: list[Any]) -> None:
        """The settings of all lanes; only tokens that train see predicted weights."""
        numbers, settings = self.stage.arithmetic, self.settings
        extra_shift = settings.extra_shift[: numbers.rate_span.bit_length()]
        training = settings.predict & (self.visit.slot.kind >= Kind.TRAIN)
        for name, value, matters in (
            ("predict", training, numbers.predicts),
            ("compensate", settings.compensate, numbers.compensates),
            ("extra_shift", extra_shift, numbers.rate_span),
        ):
            if matters and not numbers.frozen:
                for lane, late in zip(every, self._spread(m, value, every, name), strict=True):
                    m.d.comb += getattr(lane.settings, name).eq(late)

    @staticmethod
    def _spread(m: Module, value: Value, every: list[Any], name: str) -> list[Value]:
        """`value` SPREAD cycles ago, for each of the lanes."""
        return spread(m, value, len(every), SPREAD, name)

    def _random(self, m: Module, every: list[Any], levels: int) -> None:
        """The same random bits for all, as far as their updates look at them."""
        bits = random_bits(self.stage.arithmetic)
        if not bits:
            return
        asked = Cat(self.learning.random[bit] for bit in bits)
        for lane, late in zip(every, spread(m, asked, len(every), levels, "random"), strict=True):
            m.d.comb += [lane.random[bit].eq(late[at]) for at, bit in enumerate(bits)]

    def _multiply(self, m: Module, lanes: list[Any], biases: list[Any]) -> None:
        """Inputs go to the lanes of their column, gradients to those of their row."""
        numbers, wide = self.stage.arithmetic, self.stage.tiling.lanes.inputs
        x = self._loaded(self.x)
        shared = self.stage.tiling.lanes.shared
        phases: list[Value] = [C(0)] * len(lanes)
        if shared:
            phases = self._spread(m, self.visit.phase, lanes, "phase")
        for index, lane in enumerate(lanes):
            m.d.comb += [
                lane.phase.eq(phases[index]),
                lane.x.eq(x[index % wide]),
                self.forward.products[index].eq(lane.y),
            ]
            if numbers.dx is not None:
                m.d.comb += self.backward.products[index].eq(lane.dx)
        for number in range(len(self.stage.asides)):
            self._aside(m, number, lanes)
        for index, bias in enumerate(biases):
            m.d.comb += self.forward.starts[index].eq(bias.start)
        if "dy" in self._factors:
            dy = signed_lanes(self.dy, shape_of(numbers.dy), len(biases))
            m.d.comb += [lane.dy.eq(dy[index // wide]) for index, lane in enumerate(lanes)]
        if "stash" in self._factors:
            stash = self._loaded(self.stash)
            m.d.comb += [lane.stash.eq(stash[index % wide]) for index, lane in enumerate(lanes)]
            m.d.comb += [bias.dy.eq(dy[index]) for index, bias in enumerate(biases)]

    def _aside(self, m: Module, number: int, lanes: list[Any]) -> None:
        """The gradients of another loss to the lanes, and what these make of them."""
        numbers, (high, wide) = self.stage.arithmetic, self._shape
        dy = signed_lanes(getattr(self, f"dy_{number}"), shape_of(numbers.dy), high)
        products = getattr(self, f"backward_{number}").products
        for index, lane in enumerate(lanes):
            m.d.comb += [
                getattr(lane, f"dy_{number}").eq(dy[index // wide]),
                products[index].eq(getattr(lane, f"dx_{number}")),
            ]

    def _loaded(self, word: Value) -> list[Value]:
        """The inputs of a word, behind their ReLU where they come before it."""
        numbers = self.stage.arithmetic
        found = signed_lanes(word, shape_of(numbers.x), self.stage.tiling.lanes.inputs)
        if not numbers.rectifies:
            return found
        return [Mux(one < 0, 0, one)[: numbers.loaded.bits] for one in found]

    def _learn(self, m: Module, lanes: list[Any], words: Any, store: Value, name: str) -> None:
        """Words of a memory to their lanes, and the new or stored ones to the memory."""
        bits = self.stage.arithmetic.word_bits
        m.d.comb += words.new.eq(Cat(lane.new_word for lane in lanes))
        stores = [C(0)] * len(lanes)
        if not self.stage.arithmetic.frozen:
            stores = self._spread(m, store, lanes, name)
        for index, lane in enumerate(lanes):
            m.d.comb += [
                lane.word.eq(words.word.word_select(index, bits)),
                lane.store.eq(stores[index]),
                lane.stored.eq(self.stored.word.word_select(index, bits)),
            ]

    def _sum(self, m: Module, lanes: list[Any], sums: Any, name: str) -> None:
        """Earlier sums of gradients to their lanes, and those with the present ones back."""
        bits = self.stage.arithmetic.gradient.bits
        m.d.comb += sums.sum.eq(Cat(lane.sum for lane in lanes))
        fresh = self._spread(m, self.learning.fresh, lanes, name)
        for index, lane in enumerate(lanes):
            m.d.comb += [
                lane.fresh.eq(fresh[index]),
                lane.earlier.eq(sums.earlier.word_select(index, bits)),
            ]
