"""A dense unit's input side: the window of arriving samples and the stash of earlier ones."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.schedule import WINDOW_TOKENS, Stage
from hw.streams import KIND_BITS, Gather, activation_stream


class Window(wiring.Component):
    """Holds two tokens' input: one that the walk reads again for each row, one that arrives.

    Parameters: ``stage``.
    Members: ``x`` stream of activations; ``words`` out, arrived words from the current token on;
    ``kind`` out, of the current token (valid once its first word is there); ``column`` in, and
    ``word`` out two cycles later; ``finish`` in: the current token is done with.
    Cost: a memory of 2 tokens; latency 1 from a word's last element to ``words``.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        tiling, number = stage.tiling, stage.arithmetic.x
        self.width = tiling.lanes.inputs * number.bits
        super().__init__(
            {
                "x": In(activation_stream(number)),
                "words": Out(range(WINDOW_TOKENS * tiling.columns + 1)),
                "kind": Out(KIND_BITS),
                "column": In(range(max(2, tiling.columns))),
                "word": Out(self.width),
                "finish": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tiling, number = self.stage.tiling, self.stage.arithmetic.x
        depth = WINDOW_TOKENS * tiling.columns
        m.submodules.gather = gather = Gather(
            bits=number.bits, lanes=tiling.lanes.inputs, count=tiling.inputs
        )
        m.submodules.memory = memory = Memory(shape=self.width, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()

        # A token is freed one cycle after its last word's address stood at the memory, so that
        # word is never read and overwritten in the same cycle.
        freed = Signal()
        room = Signal(range(depth + 1), init=depth)
        m.d.sync += freed.eq(self.finish)
        m.d.sync += room.eq(room - write.en + Mux(freed, tiling.columns, 0))
        m.d.sync += self.words.eq(self.words + write.en - Mux(self.finish, tiling.columns, 0))
        m.d.comb += [
            gather.i.payload.eq(self.x.payload.data),
            gather.i.valid.eq(self.x.valid & (room != 0)),
            self.x.ready.eq(gather.i.ready & (room != 0)),
            gather.o.ready.eq(1),
            write.en.eq(gather.o.valid),
            write.data.eq(gather.o.payload),
        ]
        with m.If(write.en):
            m.d.sync += write.addr.eq(Mux(write.addr == depth - 1, 0, write.addr + 1))

        base = Signal(range(max(2, depth)))
        m.d.sync += read.addr.eq(base + self.column)
        m.d.comb += self.word.eq(read.data)
        self._kinds(m, write.addr, base)
        with m.If(self.finish):
            m.d.sync += base.eq(Mux(base == 0, tiling.columns, 0))
        return m

    def _kinds(self, m: Module, write_address: Signal, base: Signal) -> None:
        """Remember the kind of each of the two tokens, taken with every element."""
        kinds = [Signal(KIND_BITS, name=f"kind_{token}") for token in range(WINDOW_TOKENS)]
        late = write_address >= self.stage.tiling.columns
        with m.If(self.x.valid & self.x.ready):
            with m.If(late):
                m.d.sync += kinds[1].eq(self.x.payload.kind)
            with m.Else():
                m.d.sync += kinds[0].eq(self.x.payload.kind)
        m.d.comb += self.kind.eq(Mux(base == 0, kinds[0], kinds[1]))


class Stash(wiring.Component):
    """Keeps a unit's last D + 1 input samples for the weight gradient.

    The forward walk of token j writes it in the first row, the gradient of token j - D reads it;
    the two never meet in one place because D is at least one.

    Parameters: ``stage``.
    Members: ``write`` in with ``word`` and ``column``: a word of the current token, two cycles
    after its tile was issued; ``read_column`` in, of the tile being issued, ``stashed`` out two
    cycles later; ``finish`` in, with the slot's last tile.
    Cost: a memory of D + 1 tokens.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        tiling, number = stage.tiling, stage.arithmetic.x
        self.width = tiling.lanes.inputs * number.bits
        columns = range(max(2, tiling.columns))
        super().__init__(
            {
                "write": In(1),
                "word": In(self.width),
                "column": In(columns),
                "read_column": In(columns),
                "stashed": Out(self.width),
                "finish": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns, tokens = self.stage.tiling.columns, self.stage.stash_tokens
        depth = columns * tokens
        m.submodules.memory = memory = Memory(shape=self.width, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        newest = Signal(range(depth))
        oldest = Signal(range(depth), init=columns)
        with m.If(self.finish):
            m.d.sync += [
                newest.eq(oldest),
                oldest.eq(Mux(oldest == depth - columns, 0, oldest + columns)),
            ]
        newest_1, newest_2 = Signal.like(newest), Signal.like(newest)
        m.d.sync += [
            newest_1.eq(newest),
            newest_2.eq(newest_1),
            read.addr.eq(oldest + self.read_column),
        ]
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(newest_2 + self.column),
            write.data.eq(self.word),
            self.stashed.eq(read.data),
        ]
        return m
