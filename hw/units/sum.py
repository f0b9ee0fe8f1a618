"""The sum: an addition forward, copies back; twin of `golden.units.sum`.

Forward:

    cycle after the last x was taken  1   all fellows stand at the ends of their queues
                                      2   they stand in registers
                                      3   their sum, behind its ReLU and narrowed, enters its queue
                                      4   y can leave

Backward:

    cycle after dy was taken  0   the stash is addressed
                              2   where each x was positive
                              3   dx, narrowed and masked, enters the queue of its branch
                              4   dx can leave
"""

from __future__ import annotations

from typing import Self

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units import sum as design
from counterflow.design.units.fork import OLDEST
from counterflow.design.units.latency import MEMORY, NARROW
from counterflow.design.units.passing import QUEUE_WORDS, PassingStage
from counterflow.hw.parts.join import Join
from counterflow.hw.parts.narrow import narrow, shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter, activation_stream, error_stream
from counterflow.hw.pooling.rings import Stash


class Sum(wiring.Component):
    """The sum of what branches give, and its gradient for each of them.

    An element's dy must not come before its y has left.

    Parameters: ``numbers``.
    Members: ``x0``, ``x1``, ... streams of activations, ``y`` of their sums; ``dy`` stream of
    gradients, ``dx0``, ``dx1``, ... the same for the branches that want it, if any does.
    Cost: no multiplier; the memories of `design.units.sum.Sum.memories`; latency
    `design.units.fork.JOIN` from the last x to y, `design.units.sum.BACKWARD` from dy to dx; one
    element a cycle each way.
    """

    def __init__(self, *, numbers: design.Sum) -> None:
        self.numbers = numbers
        members: dict[str, In | Out] = {"y": Out(activation_stream(numbers.y))}
        if numbers.wanted:
            members["dy"] = In(error_stream(numbers.dy))
        for index, branch in enumerate(numbers.branches):
            members[f"x{index}"] = In(activation_stream(branch.x))
            if branch.wanted:
                members[f"dx{index}"] = Out(error_stream(branch.dx))
        super().__init__(members)

    @classmethod
    def of(cls, stage: PassingStage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        return cls(numbers=stage.numbers)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        masks = self.numbers.masks
        stash = None
        if masks:
            words = self.numbers.stash_words
            m.submodules.stash = stash = Stash(words=words, bits=len(masks))
        self._forward(m, stash)
        if self.numbers.wanted:
            self._backward(m, stash)
        return m

    def _forward(self, m: Module, stash: Stash | None) -> None:
        """Wait for all activations of an element, send their sum; remember which are positive."""
        numbers, taken = self.numbers, Signal(name="taken")
        join = self._joined(m)
        m.submodules.outputs = queue = Scatter(
            bits=numbers.y.bits, lanes=1, count=1, depth=QUEUE_WORDS, tag=KIND_BITS
        )
        frac = numbers.total.frac
        inputs = [self._oldest(m, join, index) for index in range(len(numbers.branches))]
        pairs = zip(inputs, numbers.branches, strict=True)
        first, *others = [x << frac - branch.x.frac for x, branch in pairs]
        total: Value = sum(others, start=first)
        if numbers.relu and numbers.y.signed:  # an unsigned format is limited to zero anyway
            total = Mux(total < 0, 0, total)
        y, _ = narrow(total, frac, numbers.y, numbers.round_activation)
        kind = delayed(m, join.oldest(0)[numbers.branches[0].x.bits :], OLDEST, "oldest_kind")
        here = delayed(m, taken, OLDEST, "here")
        room: Value = queue.room
        if stash is not None:
            room = room & stash.room
            m.d.comb += [
                stash.reserve.eq(taken),
                stash.write.eq(here),
                stash.word.eq(Cat(inputs[index] > 0 for index in numbers.masks)),
            ]
        m.d.comb += [
            taken.eq(join.valid & room),
            join.take.eq(room),
            queue.reserve.eq(taken),
            queue.push.eq(delayed(m, here, NARROW, "push")),
            queue.word.eq(delayed(m, y, NARROW, "y")),
            queue.word_tag.eq(delayed(m, kind, NARROW, "kind")),
        ]
        queue.leaves_by(m, self.y)

    def _joined(self, m: Module) -> Join:
        """The queues in which activations wait for their fellows.

        The kind of an element is kept once, above the number of the first branch.
        """
        numbers = self.numbers
        m.submodules.join = join = Join(bits=numbers.waiting_bits, depths=numbers.queues)
        for index in range(len(numbers.branches)):
            x, given = self._port("x", index), join.given(index)
            m.d.comb += [
                given.payload.eq(Cat(x.payload.data, x.payload.kind)),  # cut to what is kept
                given.valid.eq(x.valid),
                x.ready.eq(given.ready),
            ]
        return join

    def _oldest(self, m: Module, join: Join, index: int) -> Signal:
        """The number among what waited longest, in a register: out of a block RAM it comes late."""
        number = self.numbers.branches[index].x
        found = Signal(shape_of(number), name=f"oldest{index}", reset_less=True)
        m.d.sync += found.eq(join.oldest(index)[: number.bits])
        return found

    def _backward(self, m: Module, stash: Stash | None) -> None:
        """Take dy, recall where each x was positive, send dx to each branch."""
        numbers, taken = self.numbers, Signal(name="taken")
        dy = delayed(m, self.dy.payload, MEMORY, "dy")
        m.d.comb += [self.dy.ready.eq(1), taken.eq(self.dy.valid & self.dy.ready)]
        push = delayed(m, taken, MEMORY + NARROW, "dx_push")
        if stash is not None:
            m.d.comb += stash.read.eq(taken)
        for index, branch in enumerate(numbers.branches):
            if not branch.wanted:
                continue
            m.submodules[f"inputs{index}"] = queue = Scatter(
                bits=branch.dx.bits, lanes=1, count=1, depth=QUEUE_WORDS
            )
            value, _ = narrow(dy, numbers.dy.frac, branch.dx, numbers.round_error)
            if stash is not None and branch.masks:
                value = Mux(stash.oldest[numbers.masks.index(index)], value, 0)
            dx = self._port("dx", index)
            with m.If(~queue.room):
                m.d.comb += self.dy.ready.eq(0)
            m.d.comb += [
                queue.reserve.eq(taken),
                queue.push.eq(push),
                queue.word.eq(delayed(m, value, NARROW, f"dx{index}")),
            ]
            queue.leaves_by(m, dx)

    def _port(self, name: str, index: int) -> stream.Interface:
        return getattr(self, f"{name}{index}")
