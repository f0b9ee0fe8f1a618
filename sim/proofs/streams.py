"""Gather and Scatter, between elements and words: nothing is lost, made twice or out of order."""

from __future__ import annotations

from functools import partial

from amaranth.hdl import Array, Assert, Assume, C, Module, Mux, Signal, Value

from counterflow.hw.parts.streams import Gather, Scatter
from counterflow.sim.proofs.proof import Mutant, Proof
from counterflow.sim.proofs.spec import Spec, Watched, offered


class GatherSpec(Spec):
    """Each element stands once in a word, at its place, and a word leaves with its last element."""

    component = Gather

    def __init__(self, *, bits: int = 2, lanes: int, count: int) -> None:
        super().__init__()
        self.bits, self.lanes, self.count = bits, lanes, count

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.component(bits=self.bits, lanes=self.lanes, count=self.count)
        self.drive(m, dut.i.valid, dut.i.payload, dut.o.ready)
        offered(m, dut.i.valid, dut.i.ready, dut.i.payload, by_dut=False)
        offered(m, dut.o.valid, dut.o.ready, dut.o.payload, by_dut=True)
        position = Signal(range(self.count), name="position")
        lane = Array(number % self.lanes for number in range(self.count))[position]
        last = position == self.count - 1
        leaves = last | (lane == self.lanes - 1)
        taken = dut.i.valid & dut.i.ready
        with m.If(taken):
            m.d.sync += position.eq(Mux(last, 0, position + 1))
        m.d.comb += [
            Assert(position < self.count),
            Assert(dut.o.valid == (dut.i.valid & leaves)),
            Assert(dut.i.ready == (dut.o.ready | ~leaves)),
        ]
        for number in range(self.lanes):
            earlier = self._earlier(m, number, lane, taken & (lane == number), dut.i.payload)
            found = dut.o.payload.word_select(number, self.bits)
            wanted = Mux(lane > number, earlier, Mux(lane == number, dut.i.payload, 0))
            m.d.comb += Assert(~dut.o.valid | (found == wanted))
        m.d.comb += [
            Assert(self.probe("dut.element", len(position)) == position),
            Assert(self.probe("dut.element_last", 1) == last),
            Assert(self.probe("dut.ends", 1) == leaves),
        ]
        if self.lanes > 1:
            m.d.comb += Assert(self.probe("dut.lane", (self.lanes - 1).bit_length()) == lane)

    def _earlier(self, m: Module, number: int, lane: Value, now: Value, element: Value) -> Signal:
        """The element that came for lane `number` last; the component keeps it while it matters."""
        earlier = Signal(self.bits, name=f"earlier_{number}")
        with m.If(now):
            m.d.sync += earlier.eq(element)
        if number < self.lanes - 1:
            if self.count % self.lanes:
                kept: Value = self.probe(f"dut.kept_{number}", self.bits)
            else:  # it has moved down with each that came after it
                word = self.probe("dut.kept", (self.lanes - 1) * self.bits)
                place = (number + self.lanes - 1 - lane).as_unsigned()
                kept = word.word_select(place, self.bits)
            m.d.comb += Assert((lane <= number) | (kept == earlier))
        return earlier


class ScatterSpec(Spec):
    """Words come out whole, in order, once; `room` is what is neither reserved nor taken."""

    component = Scatter

    def __init__(self, *, bits: int = 1, lanes: int, count: int, depth: int) -> None:
        super().__init__()
        self.bits, self.lanes, self.count, self.depth = bits, lanes, count, depth

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.component(
            bits=self.bits, lanes=self.lanes, count=self.count, depth=self.depth, tag=1
        )
        self.drive(m, dut.reserve, dut.push, dut.word, dut.word_tag, dut.o.ready)
        offered(m, dut.o.valid, dut.o.ready, dut.o.payload, dut.o_tag, by_dut=True)
        reserved = Signal(range(self.depth + 1))
        m.d.sync += reserved.eq(reserved + dut.reserve - dut.push)
        m.d.comb += [Assume(~dut.reserve | dut.room), Assume(~dut.push | (reserved != 0))]
        lane, whole = self._places(m, dut.o.valid & dut.o.ready)
        word = dut.word | dut.word_tag << self.lanes * self.bits
        watched = Watched(
            m,
            self,
            enters=dut.push,
            leaves=whole,
            data=word[: self.lanes * self.bits + 1],
            depth=self.depth,
        )
        head = watched.on & (watched.ahead == 0)
        m.d.comb += [
            Assert(dut.o.valid == (watched.held != 0)),
            Assert(dut.room == (reserved + watched.held < self.depth)),
            Assert(~head | (dut.o.payload == watched.data.word_select(lane, self.bits))),
            Assert(~head | (dut.o_tag == watched.data[-1])),
        ]
        self._inside(m, watched, reserved, lane)

    def _places(self, m: Module, sent: Value) -> tuple[Value, Value]:
        """(lane of the element that is offered, its word is whole with it)."""
        position = Signal(range(self.count), name="position")
        last = position == self.count - 1
        lane = Array(number % self.lanes for number in range(self.count))[position]
        with m.If(sent):
            m.d.sync += position.eq(Mux(last, 0, position + 1))
        ends = last | (lane == self.lanes - 1)
        m.d.comb += [
            Assert(position < self.count),
            Assert(self.probe("dut.element", len(position)) == position),
            Assert(self.probe("dut.element_last", 1) == last),
            Assert(self.probe("dut.ends", 1) == ends),
        ]
        if self.lanes > 1:
            m.d.comb += Assert(self.probe("dut.lane", (self.lanes - 1).bit_length()) == lane)
        return lane, sent & ends

    def _inside(self, m: Module, watched: Watched, reserved: Value, lane: Value) -> None:
        """Counts and places of the queue, and of the oldest word, which is not in it."""
        bits = self.depth.bit_length()
        free = self.probe("dut.free", bits)
        m.d.comb += [
            Assert(free + reserved + watched.held == self.depth),
            Assert(self.probe("dut.room", 1) == (free != 0)),
        ]
        if self.lanes == 1:
            in_queue(m, self, "dut.queue", watched, watched.data, self.depth)
            return
        there, width = self.probe("dut.there", 1), self.lanes * self.bits
        oldest = self.probe("dut.oldest", width + 1)
        head = watched.on & (watched.ahead == 0)
        left = watched.data[:width] >> lane * self.bits
        for number in range(self.lanes):
            stays = ~head | (number + lane >= self.lanes)
            same = oldest.word_select(number, self.bits) == left.word_select(number, self.bits)
            m.d.comb += Assert(stays | same)
        m.d.comb += [
            Assert(there == (watched.held != 0)),
            Assert(there | (lane == 0)),  # what is begun is there
            Assert(~head | (oldest[-1] == watched.data[-1])),
        ]
        skips = self.probe("dut.skips", 1)
        in_queue(m, self, "dut.queue", watched, watched.data, self.depth, there, skips)


def in_queue(
    m: Module,
    spec: Spec,
    path: str,
    watched: Watched,
    word: Value,
    depth: int,
    left: Value | None = None,
    stale: Value | None = None,
) -> list[Value]:
    """The watched item stands as `word` in the memory of a SyncFIFO where its turn is.

    So many as `left` says, the oldest ones, have left it already; if it is `stale`, it holds one
    word, which counts no more.
    Returns the words of that memory in the order in which they leave it.
    """
    gone = C(0) if left is None else left
    more = C(0, 1) if stale is None else stale
    held, ahead = watched.held - gone, Mux(watched.ahead >= gone, watched.ahead - gone, 0)
    ahead = ahead[: depth.bit_length()]
    held = held[: depth.bit_length()]
    bits = max(1, (depth - 1).bit_length())
    consume, produce = (spec.probe(f"{path}.{name}", bits) for name in ("consume", "produce"))
    words = spec.memory(f"{path}.storage", depth, len(word))
    m.d.comb += [
        Assert((consume < depth) & (produce < depth)),
        Assert(produce == (consume + held + more) % depth),
        Assert(spec.probe(f"{path}.level", depth.bit_length()) == held + more),
        Assert(~more | (held == 0)),
        Assert(~watched.on | (watched.ahead < gone) | (words[(consume + ahead) % depth] == word)),
    ]
    return [words[(consume + place) % depth] for place in range(depth)]


PROOFS = (
    Proof(
        "gather",
        "3 elements in words of 2 lanes: each leaves once, at its place, zeros behind the last",
        partial(GatherSpec, lanes=2, count=3),
        (
            Mutant(Gather, "self.lanes, self.count)\n", "self.lanes, self.count + 1)\n"),
            Mutant(Gather, "step.eq(self.i.valid & self.i.ready)", "step.eq(self.i.valid)"),
        ),
        quick=True,
    ),
    Proof(
        "gather-wide",
        "7 elements in words of 3 lanes, likewise",
        partial(GatherSpec, lanes=3, count=7),
        (Mutant(Gather, "Mux(lane > index, register, 0)", "register"),),
    ),
    Proof(
        "gather-even",
        "6 elements in words of 3 lanes, which go into them evenly, likewise",
        partial(GatherSpec, lanes=3, count=6),
        (
            Mutant(Gather, "kept.eq(word[self.bits :])", "kept.eq(word)"),
            Mutant(Gather, "word = Cat(kept, self.i.payload)", "word = Cat(self.i.payload, kept)"),
        ),
    ),
    Proof(
        "scatter",
        "words of 2 lanes through a queue of 2: each element leaves once, in order, with its tag",
        partial(ScatterSpec, lanes=2, count=3, depth=2),
        (
            Mutant(
                Scatter,
                "level(m, free, self.room, done, self.reserve)",
                "level(m, free, self.room, done, self.reserve & ~done)",
            ),
            Mutant(Scatter, "done.eq(sent & ends)", "done.eq(self.o.valid & ends)"),
            Mutant(Scatter, "Cat(elements >> self.bits, tag)", "word"),
            Mutant(Scatter, "words_queue.r_rdy & ~skips", "words_queue.r_rdy"),
            Mutant(Scatter, "takes | skips", "takes"),
            Mutant(Scatter, "there.eq(waits | self.push)", "there.eq(waits)"),
            Mutant(Scatter, "~skips, ends | ~there", "~skips, ends"),
        ),
        quick=True,
    ),
    Proof(
        "scatter-single",
        "words of an element through a queue of 3, likewise",
        partial(ScatterSpec, lanes=1, count=2, depth=3),
        (Mutant(Scatter, "words_queue.r_en.eq(done)", "words_queue.r_en.eq(there)"),),
    ),
    Proof(
        "scatter-deep",
        "words of 3 lanes through a queue of 3, likewise",
        partial(ScatterSpec, lanes=3, count=7, depth=3),
        (
            Mutant(
                Scatter,
                "level(m, free, self.room, done, self.reserve)",
                "level(m, free, self.room, done, self.push)",
            ),
            Mutant(Scatter, "self.push & takes & ~waits", "self.push & takes"),
            Mutant(Scatter, "Mux(waits, words_queue.r_data", "Mux(~self.push, words_queue.r_data"),
        ),
    ),
)
