"""One lane: everything that one weight of a tile, or one bias of a row, passes through.

Members carry the cycle, counted from the tile's visit, in which they are valid: word, predict,
phase 2; x, dy, stash 3; fresh 4; products, earlier and sum 5; random, one cycle after the gradient,
6; new_word 13.  What is the same for all lanes gets a register in each.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.formats import Format
from counterflow.design.units.arithmetic import RANDOM_BITS, UnitArithmetic
from counterflow.design.units.latency import MEMORY, OPERANDS, PRODUCT
from counterflow.hw.parts.modules import is_compact
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.weighted.bundles import Settings
from counterflow.hw.weighted.multiply import Multiply, factors
from counterflow.hw.weighted.update import Predict, Update

AT_LANES = OPERANDS - 1  # cycle of a visit in which inputs and gradients stand at the lanes
GRADIENT = OPERANDS + PRODUCT  # cycle of the gradient


def _members(numbers: UnitArithmetic) -> dict[str, In | Out]:
    """Members of both kinds of lanes."""
    found = {
        "word": In(numbers.word_bits),
        "settings": In(Settings),
        "random": In(RANDOM_BITS),
        "dy": In(shape_of(numbers.dy)),
        "store": In(1),
        "stored": In(numbers.word_bits),
        "new_word": Out(numbers.word_bits),
        "clipped": Out(1),
    }
    if numbers.frozen:
        del found["dy"]
    if numbers.sums_gradients:
        gradient = shape_of(numbers.gradient)
        found |= {"earlier": In(gradient), "fresh": In(1), "sum": Out(gradient)}
    return found


def _around(
    m: Module, lane: Any, target: Format, product: Value | None, platform: object
) -> Predict:
    """Instantiate a lane's prediction and its update, which take and make the lane's word."""
    numbers: UnitArithmetic = lane.numbers
    if numbers.frozen:
        return _frozen(m, lane, target)
    gradient = product
    if numbers.sums_gradients:
        fresh = own(m, lane.fresh, "fresh")
        m.d.comb += lane.sum.eq(Mux(fresh, 0, lane.earlier) + product)
        gradient = lane.sum
    m.submodules.ahead = ahead = Predict(numbers=numbers, target=target)
    # Before its lines, where it has some, the update needs no registers.
    early = GRADIENT - MEMORY if is_compact(platform) else 0
    m.submodules.update = update = Update(numbers=numbers, early=early)
    word = delayed(m, lane.word, GRADIENT - MEMORY - early, "word")
    m.d.comb += [
        Cat(ahead.weight, ahead.velocity).eq(lane.word),
        ahead.enable.eq(_predicting(m, lane)),
        Cat(update.weight, update.velocity).eq(word),
        update.gradient.eq(gradient),
        update.random.eq(lane.random),
        update.extra_shift.eq(lane.settings.extra_shift),
        update.compensate.eq(lane.settings.compensate),
        update.store.eq(lane.store),
        update.stored.eq(lane.stored),
        lane.new_word.eq(Cat(update.new_weight, update.new_velocity)),
        lane.clipped.eq(update.clipped),
    ]
    return ahead


def _predicting(m: Module, lane: Any) -> Value:
    """Whether the forward pass sees predicted weights, beside these."""
    setting: Value = lane.settings.predict
    return own(m, setting, "predict") if lane.numbers.predicts else setting


def _frozen(m: Module, lane: Any, target: Format) -> Predict:
    """As `_around`, of a weight that never moves: its word is only read, or stored by the bus."""
    m.submodules.ahead = ahead = Predict(numbers=lane.numbers, target=target)
    m.d.comb += ahead.weight.eq(lane.word)
    m.d.sync += lane.new_word.eq(lane.stored)
    return ahead


class Lane(wiring.Component):
    """Prediction, multipliers and update of one weight.

    Parameters: ``numbers``; ``shared``: one multiplier instead of one a product; ``asides``: losses
    besides its own, whose gradients it multiplies, too: ``dy_0`` in, ``dx_0`` out and so on.
    Members: ``word`` {weight, velocity} in, ``new_word`` and ``clipped`` out; ``x``, ``dy``,
    ``stash`` in (as far as there are `factors`); ``y``, ``dx`` products out; ``settings``,
    ``phase``, ``random`` in; ``store`` in with ``stored``, to stand in ``new_word`` two cycles
    later.  Where a gradient is a sum: ``earlier`` in, the sum so far, ``fresh`` in: there is none
    yet; ``sum`` out.
    Cost: 3 multipliers, one less without dx or frozen, and one an aside; 1 when shared; rate one
    tile a cycle (a phase when shared).
    """

    def __init__(self, *, numbers: UnitArithmetic, shared: bool, asides: int = 0) -> None:
        self.numbers, self.shared, self.asides = numbers, shared, asides
        x = shape_of(numbers.loaded)
        members = _members(numbers) | {
            "phase": In(2),
            "x": In(x),
            "y": Out(shape_of(numbers.forward_sum)),
        }
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
            numbers=numbers, shared=self.shared, asides=self.asides
        )
        gradient = None if numbers.frozen else multiply.gradient
        ahead = _around(m, self, numbers.operand, gradient, platform)
        m.d.comb += [
            multiply.forward.eq(ahead.forward),
            multiply.backward.eq(ahead.backward),
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
    """Prediction and update of one bias: a weight whose input is always one.

    Members as `Lane`'s; ``start`` out at cycle 3: the bias as the forward sum begins with it.
    Cost: no multiplier.
    """

    def __init__(self, *, numbers: UnitArithmetic) -> None:
        self.numbers = numbers.of_biases
        super().__init__(_members(numbers) | {"start": Out(shape_of(numbers.bias_operand))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = self.numbers
        product = None
        if not numbers.frozen:
            product = delayed(m, self.dy, GRADIENT - AT_LANES, "product") << numbers.x.frac
        ahead = _around(m, self, numbers.bias_operand, product, platform)
        m.d.comb += self.start.eq(ahead.forward)
        return m
