"""Where streams part and meet: each branch gets each element once, fellows leave together."""

from __future__ import annotations

from functools import partial
from unittest import mock

from amaranth.hdl import Assert, Cat, Module, Signal, Value

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units import fork as design
from counterflow.hw.parts.join import Join
from counterflow.hw.units.fork import Fork
from counterflow.sim.proofs.proof import Mutant, Proof
from counterflow.sim.proofs.spec import Spec, Watched, offered
from counterflow.sim.proofs.streams import in_queue


class JoinSpec(Spec):
    """What leaves together are elements of one number, and only a full queue refuses.

    As all streams lose an element in the same cycles, and each in its order, those that leave
    together came as the same number of their streams.
    """

    component = Join

    def __init__(self, *, depths: tuple[int, ...], block: bool = False, bits: int = 2) -> None:
        super().__init__()
        self.depths, self.block, self.bits = depths, block, bits

    def rtlil(self) -> str:
        """With the depth from which a queue is a block memory as the proof wants it."""
        at_once = 0 if self.block else max(self.depths)
        with mock.patch.dict(self.component.elaborate.__globals__, READ_AT_ONCE=at_once):
            return super().rtlil()

    def build(self, m: Module) -> None:
        bits = [self.bits] * len(self.depths)
        m.submodules.dut = dut = self.component(bits=bits, depths=self.depths)
        self.drive(m, dut.take)
        leaves, held = dut.valid & dut.take, []
        for index, depth in enumerate(self.depths):
            given = dut.given(index)
            self.drive(m, given.valid, given.payload)
            watched = Watched(
                m,
                self,
                enters=given.valid & given.ready,
                leaves=leaves,
                data=given.payload,
                depth=depth,
            )
            head = watched.on & (watched.ahead == 0)
            m.d.comb += [
                Assert(given.ready == (watched.held != depth)),
                Assert(~(head & dut.valid) | (dut.oldest(index) == watched.data)),
            ]
            words = in_queue(m, self, f"dut.queue{index}", watched, watched.data, depth)
            m.d.comb += Assert((watched.held == 0) | (dut.oldest(index) == words[0]))
            held.append(watched.held != 0)
        m.d.comb += Assert(dut.valid == Cat(held).all())


class ForkSpec(Spec):
    """Each branch is offered an element until it has taken it, which then goes with the last."""

    component = Fork

    def __init__(self, *, branches: int) -> None:
        super().__init__()
        number = Format.parse("u2.0")
        self.numbers = design.Fork(
            elements=1,
            branches=branches,
            x=number,
            error=Format.parse("s2.0"),
            round_error=Rounding.NEAREST_EVEN,
            wanted=False,
            queues=(0,) * branches,
        )

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.component(numbers=self.numbers)
        x, ys = dut.x, [getattr(dut, f"y{index}") for index in range(self.numbers.branches)]
        self.drive(m, x.valid, x.payload, *(y.ready for y in ys))
        payload = Value.cast(x.payload)
        offered(m, x.valid, x.ready, payload, by_dut=False)
        done = []
        for index, y in enumerate(ys):
            offered(m, y.valid, y.ready, Value.cast(y.payload), by_dut=True)
            has = Signal(name=f"has{index}")
            now = has | (y.valid & y.ready)
            m.d.sync += has.eq(now & ~(x.valid & x.ready))
            m.d.comb += [
                Assert(y.valid == (x.valid & ~has)),
                Assert(~y.valid | (Value.cast(y.payload) == payload)),
                Assert(self.probe(f"dut.taken{index}", 1) == has),
                Assert(~has | x.valid),
            ]
            done.append(now)
        m.d.comb += Assert((x.valid & x.ready) == Cat(done).all())


PROOFS = (
    Proof(
        "join",
        "queues of 2 and 3: fellows leave together, once, in order; only a full queue refuses",
        partial(JoinSpec, depths=(2, 3)),
        (
            Mutant(Join, "queue.r_en.eq(self.valid & self.take)", "queue.r_en.eq(self.take)"),
            Mutant(Join, "given.ready.eq(queue.w_rdy)", "given.ready.eq(1)"),
            Mutant(Join, "given.ready.eq(queue.w_rdy)", "given.ready.eq(queue.w_rdy & self.take)"),
            Mutant(Join, "with m.If(~one):", "with m.If(~ready[0]):"),
        ),
        quick=True,
    ),
    Proof(
        "join-block",
        "three queues in block RAM, likewise",
        partial(JoinSpec, depths=(2, 4, 3), block=True),
        (
            Mutant(Join, "queue.w_en.eq(given.valid)", "queue.w_en.eq(given.valid & self.take)"),
            Mutant(Join, "with m.If(~one):", "with m.If(~(one | self.take)):"),
        ),
    ),
    Proof(
        "fork",
        "three branches: each gets each element once, in order; it goes when all have it",
        partial(ForkSpec, branches=3),
        (
            Mutant(Fork, "self.x.valid & ~done)", "self.x.valid)"),
            Mutant(Fork, "(done | y.ready) & ~self.x.ready)", "(done | y.ready))"),
            Mutant(Fork, "with m.If(~(done | y.ready)):", "with m.If(~y.ready):"),
        ),
        quick=True,
    ),
)
