"""The fork: copies forward, a sum back; twin of `golden.units.fork`.

Forward, an element is offered to all branches in the cycle in which it comes, and is taken when the
last of them has taken it.  Backward:

    cycle after the last dy was taken  1   all fellows stand at the ends of their queues
                                       2   they stand in registers
                                       3   their sum, narrowed, enters its queue
                                       4   dx can leave
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units import fork
from counterflow.design.units.latency import NARROW
from counterflow.design.units.passing import QUEUE_WORDS, PassingStage
from counterflow.design.units.scheduled import gradient_port
from counterflow.hw.parts.join import Join
from counterflow.hw.parts.narrow import narrow, shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter, activation_stream, error_stream


class Fork(wiring.Component):
    """The same activations for each branch, and the sum of the gradients that they send back.

    Parameters: ``numbers``; ``passes``: where gradients of branches do not meet, the port by which
    each comes that leaves, by that by which it does.
    Members: ``x`` stream of activations, ``y0``, ``y1``, ... the same; ``dy0``, ``dy1``, ...
    streams of gradients, of the branches that send some, ``dx`` of their sums, if anybody wants
    them.
    Cost: no multiplier; the memories of `design.units.fork.Fork.memories`; latency 0 forward,
    `design.units.fork.JOIN` from the last dy to dx, 0 from a single one; one element a cycle each
    way.
    """

    def __init__(self, *, numbers: fork.Fork, passes: Mapping[str, str] | None = None) -> None:
        self.numbers = numbers
        only = {"dx": f"dy{max(numbers.back, default=0)}"}
        self.passes = only if passes is None else dict(passes)
        members: dict[str, In | Out] = {"x": In(activation_stream(numbers.x))}
        for index in range(numbers.branches):
            members[f"y{index}"] = Out(activation_stream(numbers.x))
        if numbers.wanted:
            came = [f"dy{index}" for index in numbers.back]
            if not numbers.sums:
                came = list(self.passes.values())
            members |= {name: In(error_stream(numbers.error)) for name in came}
            members |= {name: Out(error_stream(numbers.error)) for name in self.passes}
        super().__init__(members)

    @classmethod
    def of(cls, stage: PassingStage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        edge, branches = stage.unit.inputs[0], stage.unit.outputs
        passes = {
            gradient_port("dx", 0, 1, edge, path): gradient_port(
                "dy", index, len(branches), branch, path
            )
            for path in edge.paths
            for index, branch in enumerate(branches)
            if path in branch.paths
        }
        return cls(numbers=stage.numbers, passes=passes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._forward(m)
        if self.numbers.sums:
            self._backward(m)
        elif self.numbers.wanted:
            for dx, dy in self.passes.items():
                ends = (wiring.flipped(getattr(self, name)) for name in (dy, dx))
                wiring.connect(m, *ends)
        return m

    def _forward(self, m: Module) -> None:
        """Each branch takes an element once; then it is gone."""
        outputs = [self._port("y", index) for index in range(self.numbers.branches)]
        taken = [Signal(name=f"taken{index}") for index in range(self.numbers.branches)]
        m.d.comb += self.x.ready.eq(1)
        for y, done in zip(outputs, taken, strict=True):
            m.d.comb += [y.payload.eq(self.x.payload), y.valid.eq(self.x.valid & ~done)]
            with m.If(~(done | y.ready)):
                m.d.comb += self.x.ready.eq(0)
            m.d.sync += done.eq(self.x.valid & (done | y.ready) & ~self.x.ready)

    def _backward(self, m: Module) -> None:
        """Wait for all gradients of an element, send their sum."""
        numbers = self.numbers
        count, number = len(numbers.back), numbers.error
        depths = [numbers.queues[index] for index in numbers.back]
        m.submodules.join = join = Join(bits=[number.bits] * count, depths=depths)
        m.submodules.inputs = queue = Scatter(bits=number.bits, lanes=1, count=1, depth=QUEUE_WORDS)
        terms = []
        for place, index in enumerate(numbers.back):
            wiring.connect(m, wiring.flipped(self._port("dy", index)), join.given(place))
            term = Signal(shape_of(number), name=f"term{index}", reset_less=True)
            m.d.sync += term.eq(join.oldest(place))  # out of a block RAM it comes late
            terms.append(term)
        total = sum(terms[1:], start=terms[0])
        dx, _ = narrow(total, number.frac, number, numbers.round_error)
        taken = Signal(name="taken")
        m.d.comb += [
            taken.eq(join.valid & queue.room),
            join.take.eq(queue.room),
            queue.reserve.eq(taken),
            queue.push.eq(delayed(m, taken, fork.OLDEST + NARROW, "push")),
            queue.word.eq(delayed(m, dx, NARROW, "dx")),
        ]
        queue.leaves_by(m, self.dx)

    def _port(self, name: str, index: int) -> stream.Interface:
        return getattr(self, f"{name}{index}")
