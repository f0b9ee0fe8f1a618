"""Stash and Line, which remember words for a while: each comes back once, in its turn, unharmed."""

from __future__ import annotations

from functools import partial
from unittest import mock

from amaranth.hdl import Array, Assert, Assume, C, Module, Signal

from counterflow.hw.pooling.rings import AT_ONCE, Line, Stash
from counterflow.sim.proofs.proof import Mutant, Proof
from counterflow.sim.proofs.spec import Spec, Watched, delay

READ = 2  # cycles from asking for a word to having it


class StashSpec(Spec):
    """A word comes two cycles after it was asked for, in the order of writing."""

    component = Stash

    def __init__(self, *, words: int, bits: int = 2) -> None:
        super().__init__()
        self.words, self.bits = words, bits

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.component(words=self.words, bits=self.bits)
        self.drive(m, dut.reserve, dut.write, dut.word, dut.read)
        reserved = Signal(range(self.words + 1))
        m.d.sync += reserved.eq(reserved + dut.reserve - dut.write)
        watched = Watched(
            m, self, enters=dut.write, leaves=dut.read, data=dut.word, depth=self.words
        )
        m.d.comb += [
            Assume(~dut.reserve | dut.room),
            Assume(~dut.write | (reserved != 0)),
            Assume(~dut.read | (watched.held != 0)),  # written in an earlier cycle
            Assert(dut.room == (reserved + watched.held < self.words)),
        ]
        asked, data = delay(m, watched.leaves), delay(m, watched.data)
        due, wanted = delay(m, asked), delay(m, data)
        m.d.comb += Assert(~due | (dut.oldest == wanted))
        self._inside(m, watched, reserved, asked, data)

    def _inside(
        self, m: Module, watched: Watched, reserved: Signal, asked: Signal, data: Signal
    ) -> None:
        """Counts, places, and the word on its way out."""
        free = self.probe("dut.free", self.words.bit_length())
        bits = max(1, (self.words - 1).bit_length())
        first, last = self.probe("dut.next_read", bits), self.probe("dut.next_write", bits)
        words = self.memory("dut.memory.memory", max(2, self.words), self.bits)
        m.d.comb += [
            Assert(free + reserved + watched.held == self.words),
            Assert((first < self.words) & (last < self.words)),
            Assert(last == (first + watched.held) % self.words),
            Assert(~watched.on | (words[(first + watched.ahead) % self.words] == watched.data)),
            Assert(~asked | (self.probe("dut.memory.read_data", self.bits) == data)),
        ]


class LineSpec(Spec):
    """What is put in at a step comes out as many steps later as there are words."""

    component = Line

    def __init__(self, *, words: int, block: bool = False, bits: int = 2) -> None:
        super().__init__()
        self.words, self.block, self.bits = words, block, bits
        self.at_once = words <= AT_ONCE

    def rtlil(self) -> str:
        """With the size from which a line is a block memory as the proof wants it."""
        small = 0 if self.block else self.words
        with mock.patch.dict(self.component.elaborate.__globals__, READ_AT_ONCE=small):
            return super().rtlil()

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.component(words=self.words, bits=self.bits)
        self.drive(m, dut.step, dut.new)
        made = delay(m, dut.step, READ)
        choose = self.free(1, "choose")
        on, data = Signal(), Signal(self.bits)
        left = Signal(range(self.words + 1))  # steps until it comes back, with that step
        enters = made & ~on & choose
        with m.If(enters):
            m.d.sync += [on.eq(1), data.eq(dut.new), left.eq(self.words)]
        with m.Elif(made & on):
            m.d.sync += [left.eq(left - 1), on.eq(left != 1)]
        m.d.comb += [
            Assert(~(made & on & (left == 1)) | (dut.old == data)),
            Assert(~on | ((left > 0) & (left <= self.words))),
        ]
        # Of what was made two cycles after its step: written at once, or in the next cycle.
        late = Signal() if self.at_once else delay(m, made)
        fresh = Signal() if self.at_once else delay(m, enters)
        written = self.probe("dut.written", max(1, (self.words - 1).bit_length()))
        place = (written + late + left - 1) % self.words
        kept = "dut.memory" if self.at_once else "dut.memory.memory"
        rows = self.memory(kept, max(2, self.words), self.bits)
        m.d.comb += [
            Assert(self.probe("dut.step_1") == delay(m, dut.step)),
            Assert(self.probe("dut.step_2") == made),
            Assert(written < self.words),
            Assert(~on | fresh | (rows[place] == data)),
        ]
        if not self.at_once:
            m.d.comb += [
                Assert(self.probe("dut.step_3") == late),
                Assert(~fresh | (self.probe("dut.made_1", self.bits) == data)),
                Assert(~fresh | (late & on & (left == self.words))),
            ]
            self._reading(m, written, rows, (delay(m, dut.step), made, late))

    def _reading(
        self, m: Module, written: Signal, rows: Array, steps: tuple[Signal, Signal, Signal]
    ) -> None:
        """Reading is ahead of writing by the steps between; what was read is still there."""
        once, twice, late = steps
        read = self.probe("dut.read", len(written))
        between = (once if self.block else C(0, 1)) + twice + late
        m.d.comb += [
            Assert(read < self.words),
            Assert(read == (written + between) % self.words),
            Assert(~twice | (m.submodules.dut.old == rows[(written + late) % self.words])),
        ]
        if self.block:
            fetched = self.probe("dut.memory.read_data", self.bits)
            m.d.comb += Assert(~once | (fetched == rows[(written + twice + late) % self.words]))


PROOFS = (
    Proof(
        "stash",
        "a stash of 3 words: each comes back once, in order, two cycles after it was asked for",
        partial(StashSpec, words=3),
        (
            Mutant(Stash, "self.room.eq(free != 0)", "self.room.eq(1)"),
            Mutant(Stash, "free - self.reserve + self.read", "free - self.write + self.read"),
            Mutant(Stash, "write_enable.eq(self.write)", "write_enable.eq(self.write & self.room)"),
        ),
        quick=True,
    ),
    Proof(
        "stash-5",
        "a stash of 5 words, likewise",
        partial(StashSpec, words=5),
        (Mutant(Stash, "self.write, self.words", "self.reserve, self.words"),),
    ),
    Proof(
        "line-2",
        "a line of 2 words, read and written at once: each comes back after 2 steps",
        partial(LineSpec, words=2),
        (Mutant(Line, "write.en.eq(rewrite)", "write.en.eq(self.step)"),),
    ),
    Proof(
        "line",
        "a line of 3 words in LUT RAM: each comes back after 3 steps, no access collides",
        partial(LineSpec, words=3),
        (
            Mutant(Line, "MEMORY - 1 - behind", "MEMORY - 2 - behind"),
            Mutant(Line, "write_enable.eq(rewrite)", "write_enable.eq(self.step)"),
        ),
    ),
    Proof(
        "line-block",
        "a line of 4 words in a block memory: each comes back after 4 steps, no access collides",
        partial(LineSpec, words=4, block=True),
        (
            Mutant(Line, "advanced(m, asked, self", "advanced(m, rewrite, self"),
            Mutant(Line, "write_enable.eq(rewrite)", "write_enable.eq(self.step)"),
        ),
    ),
)
