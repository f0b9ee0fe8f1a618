"""One lane: what one weight of a tile, or one bias of a row after the other, passes through.

Members carry the cycle, counted from the tile's visit, in which they are valid: word, predict,
phase 3; x, dy, stash 4; fresh 5; products, earlier and sum 6; random, one cycle after the gradient,
7; new_word 12.  What is the same for all lanes gets a register in each.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.latency import OPERANDS, PRODUCT, WORD
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.weighted.bundles import Settings
from counterflow.hw.weighted.multiply import Multiply, factors
from counterflow.hw.weighted.update import Predict, Update, random_width

AT_LANES = OPERANDS - 1  # cycle of a visit in which inputs and gradients stand at the lanes
GRADIENT = OPERANDS + PRODUCT  # cycle of the gradient


def goes_back(numbers: UnitArithmetic, asides: int) -> bool:
    """Whether gradients are multiplied with weights."""
    return numbers.dx is not None or asides > 0


def _members(numbers: UnitArithmetic) -> dict[str, In | Out]:
    """Members of lanes that move what they hold."""
    found = {
        "word": In(numbers.word_bits),
        "settings": In(Settings),
        "random": In(random_width(numbers)),
        "dy": In(shape_of(numbers.dy)),
        "new_word": Out(numbers.word_bits),
        "clipped": Out(1),
        **_sums(numbers),
    }
    if numbers.frozen:
        del found["dy"]
    return found


def _sums(numbers: UnitArithmetic) -> dict[str, In | Out]:
    """Members of lanes whose gradients are sums."""
    if not numbers.sums_gradients:
        return {}
    gradient = shape_of(numbers.gradient)
    return {"earlier": In(gradient), "fresh": In(1), "sum": Out(gradient)}


def _gradient(m: Module, lane: Any, product: Value) -> Value:
    """A lane's product, or the sum that it is part of."""
    if not lane.numbers.sums_gradients:
        return product
    fresh = own(m, lane.fresh, "fresh")
    m.d.comb += lane.sum.eq(Mux(fresh, 0, lane.earlier) + product)
    total: Value = lane.sum
    return total


def _updated(m: Module, lane: Any, product: Value, early: int, held: bool = False) -> Update:
    """Instantiate a lane's update, whose word comes so many cycles before its gradient."""
    m.submodules.update = update = Update(numbers=lane.numbers, early=early, held=held)
    m.d.comb += [
        Cat(update.weight, update.velocity).eq(lane.word),
        update.gradient.eq(_gradient(m, lane, product)),
        update.random.eq(lane.random),
        update.extra_shift.eq(lane.settings.extra_shift),
        update.compensate.eq(lane.settings.compensate),
        lane.new_word.eq(Cat(update.new_weight, update.new_velocity)),
        lane.clipped.eq(update.clipped),
    ]
    return update


def _predicting(m: Module, lane: Any) -> Value:
    """Whether the forward pass sees predicted weights, with the word or beside what it makes."""
    setting: Value = lane.settings.predict
    if not lane.numbers.predicts or not goes_back(lane.numbers, lane.asides):
        return setting
    return own(m, setting, "predict")


class Lane(wiring.Component):
    """Prediction, multipliers and update of one weight.

    Parameters: ``numbers``; ``shared``: one multiplier instead of one a product; ``asides``: losses
    besides its own, whose gradients it multiplies, too: ``dy_0`` in, ``dx_0`` out and so on;
    ``moves``: it has an update of its own, without which its ``gradient`` goes out; ``in_luts``: it
    has no multiplier block.
    Members: ``word`` {weight, velocity} in, ``new_word`` and ``clipped`` out; ``x``, ``dy``,
    ``stash`` in (as far as there are `factors`); ``y``, ``dx`` products out; ``settings``,
    ``phase``, ``random`` in; ``store`` in with ``stored``, to stand in ``new_word`` two cycles
    later.  Where a gradient is a sum: ``earlier`` in, the sum so far, ``fresh`` in: there is none
    yet; ``sum`` out.
    Cost: 3 multipliers, one less without dx or frozen, and one an aside; 1 when shared; rate one
    tile a cycle (a phase when shared).
    """

    def __init__(
        self,
        *,
        numbers: UnitArithmetic,
        shared: bool,
        asides: int = 0,
        moves: bool = True,
        in_luts: bool = False,
    ) -> None:
        self.numbers, self.shared, self.asides, self.moves = numbers, shared, asides, moves
        self.in_luts = in_luts
        x = shape_of(numbers.loaded)
        members = {"phase": In(2), "x": In(x), "y": Out(shape_of(numbers.forward_sum))}
        if moves:
            members |= _members(numbers) | {"store": In(1), "stored": In(numbers.word_bits)}
        else:
            members |= {"word": In(numbers.word_bits), "settings": In(Settings)}
            members |= {"gradient": Out(shape_of(numbers.gradient)), **_sums(numbers)}
        members |= {name: In(shape) for name, shape in factors(numbers).items()}
        if numbers.dx is not None:
            members["dx"] = Out(shape_of(numbers.backward_sum))
        for index in range(asides):
            members[f"dy_{index}"] = In(shape_of(numbers.dy))
            members[f"dx_{index}"] = Out(shape_of(numbers.backward_sum))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = self.numbers
        m.submodules.multiply = multiply = Multiply(
            numbers=numbers, shared=self.shared, asides=self.asides, in_luts=self.in_luts
        )
        back = goes_back(numbers, self.asides)
        m.submodules.ahead = ahead = Predict(numbers=numbers, target=numbers.operand, back=back)
        if numbers.frozen:  # its word is only read, or stored by the bus
            m.d.comb += self.new_word.eq(delayed(m, self.stored, 1, "kept"))
        elif not self.moves:
            m.d.comb += self.gradient.eq(_gradient(m, self, multiply.gradient))
        else:
            update = _updated(m, self, multiply.gradient, GRADIENT - WORD)
            m.d.comb += [update.store.eq(self.store), update.stored.eq(self.stored)]
        m.d.comb += [
            Cat(ahead.weight, ahead.velocity)[: numbers.word_bits].eq(self.word),
            ahead.enable.eq(_predicting(m, self)),
            multiply.forward.eq(ahead.forward),
            multiply.backward.eq(ahead.backward if back else 0),
            multiply.x.eq(self.x),
            *(getattr(multiply, name).eq(getattr(self, name)) for name in factors(numbers)),
            multiply.phase.eq(own(m, self.phase, "near_phase") if self.shared else 0),
            self.y.eq(multiply.y),
        ]
        if numbers.dx is not None:
            m.d.comb += self.dx.eq(multiply.dx)
        for index in range(self.asides):
            m.d.comb += [
                getattr(multiply, f"dy_{index}").eq(getattr(self, f"dy_{index}")),
                getattr(self, f"dx_{index}").eq(getattr(multiply, f"dx_{index}")),
            ]
        return m


class BiasLane(wiring.Component):
    """Update of one bias: a weight whose input is always one.

    Parameters: ``numbers``; ``waits``: cycles by which ``word`` comes before its gradient;
    ``held``: random bits are those of the last cycle with ``draw``.
    Members as `Lane`'s, but for ``word``, and ``dy``, which is the gradient.
    Cost: no multiplier.
    """

    def __init__(self, *, numbers: UnitArithmetic, waits: int = 0, held: bool = False) -> None:
        self.numbers, self.waits, self.held = numbers.of_biases, waits, held
        super().__init__(_members(self.numbers) | ({"draw": In(1)} if held else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product = self.dy.shift_left(self.numbers.x.frac)
        update = _updated(m, self, product, self.waits, self.held)
        if self.held:
            m.d.comb += update.draw.eq(self.draw)
        return m
