"""The way out of input gradients: rows that are done leave element by element, in order."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.latency import FETCH
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter, error_stream

PREFETCHED = 5  # words between memory and stream, enough for one a cycle
BEHIND = FETCH - 2  # registers behind the memory, whose output comes late in a cycle


class Departure(wiring.Component):
    """Keeps narrowed gradients until all before them have left: a ring of rows of the image.

    The rows that end with one row of places end in no order that a stream could have, since a
    kernel leaves several of them at once at the bottom of the image.

    Parameters: ``stage``.
    Members: ``write``, ``address``, ``word`` by granule: finished values; ``begin`` with
    ``begin_rows``: these rows will be written, ``room``: they may (``begin_rows`` counts before
    ``begin``, too); ``counted``: the first unfinished row is done up to ``words``; ``ended``: the
    next ``ended_rows`` rows are done; ``dx`` stream out, with x beside each where that goes back.
    Cost: a memory of `stage.depths.gradients` rows; latency `design.units.latency.FETCH` + QUEUE
    from a count to the first element, one element a cycle.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        tiling, number = stage.tiling, stage.arithmetic.dx
        assert number is not None
        self.bits = stage.arithmetic.back_bits
        self.number = number
        returned = stage.arithmetic.x if stage.arithmetic.returns else None
        self.rows = stage.depths.gradients
        self.words_in_all = self.rows * tiling.row_words
        address = range(max(2, self.words_in_all))
        rows = range(tiling.geometry.image[0] + 1)
        super().__init__(
            {
                "write": In(1).array(tiling.banks),
                "address": In(address).array(tiling.banks),
                "word": In(tiling.granule * self.bits).array(tiling.banks),
                "begin": In(1),
                "begin_rows": In(rows),
                "room": Out(1),
                "counted": In(1),
                "words": In(range(tiling.row_words + 1)),
                "ended": In(1),
                "ended_rows": In(rows),
                "dx": Out(error_stream(number, returned)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tiling, bits = self.stage.tiling, self.bits
        m.submodules.scatter = scatter = Scatter(
            bits=bits,
            lanes=tiling.lanes.inputs,
            count=tiling.geometry.row_inputs,
            depth=PREFETCHED,
        )
        fetch, row_left, word = self._fetch(m, scatter.room)
        free = Signal(range(self.rows + 1), init=self.rows, name="free")
        # Of a row that leaves it is enough to hear a cycle later; it begins late in a cycle.
        again = delayed(m, row_left, 1, "again")
        fewer = free - self.begin_rows
        m.d.sync += free.eq(Mux(self.begin, fewer + again, free + again))
        m.d.comb += self.room.eq(free >= self.begin_rows)

        at = Signal(range(max(2, self.words_in_all)), name="at")
        with m.If(fetch):
            m.d.sync += at.eq(Mux(at == self.words_in_all - 1, 0, at + 1))
        found = []
        for bank in range(tiling.banks):
            memory = BlockMemory(words=max(2, self.words_in_all), bits=tiling.granule * bits)
            m.submodules[f"bank_{bank}"] = memory
            m.d.comb += [
                memory.write_enable.eq(self.write[bank]),
                memory.write_address.eq(self.address[bank]),
                memory.write_data.eq(self.word[bank]),
                memory.read_address.eq(at),
            ]
            found.append(delayed(m, memory.read_data, BEHIND, f"data_{bank}"))
        covered = delayed(m, self._covered(m, word, row_left), 1 + BEHIND, "covered")
        lanes = Cat(found)
        m.d.comb += [
            scatter.reserve.eq(fetch),
            scatter.push.eq(delayed(m, fetch, 1 + BEHIND, "push")),
            scatter.word.eq(
                Cat(
                    Mux(covered[lane], lanes.word_select(lane, bits), 0)
                    for lane in range(tiling.lanes.inputs)
                )
            ),
        ]
        m.d.comb += [
            Value.cast(self.dx.payload).eq(scatter.o.payload),
            self.dx.valid.eq(scatter.o.valid),
            scatter.o.ready.eq(self.dx.ready),
        ]
        return m

    def _fetch(self, m: Module, room: Value) -> tuple[Value, Value, Value]:
        """Fetch what is done; (a word is fetched, it is the last of its row, which one it is)."""
        row_words = self.stage.tiling.row_words
        height = self.stage.tiling.geometry.image[0]
        word = Signal(range(max(2, row_words)), name="word")
        frontier = Signal(range(row_words + 1), name="frontier")
        complete = Signal(
            range(-1, height + self.rows + 1), name="complete"
        )  # -1: left before it was declared done
        fetch, left = Signal(name="fetch"), Signal(name="left")
        last = word == row_words - 1
        done = (complete > 0) | ((complete == 0) & (word < frontier))
        m.d.comb += [fetch.eq(room & done), left.eq(fetch & last)]
        with m.If(self.ended):
            m.d.sync += frontier.eq(0)
        with m.Elif(self.counted):
            m.d.sync += frontier.eq(self.words)
        rows = Mux(self.ended, self.ended_rows, 0)
        m.d.sync += complete.eq(Mux(left, complete + (rows - 1), complete + rows))
        with m.If(fetch):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
        return fetch, left, word

    def _covered(self, m: Module, word: Value, row_left: Value) -> Value:
        """Elements of the fetched word that the kernel ever covers; others have no gradient."""
        tiling, geometry = self.stage.tiling, self.stage.tiling.geometry
        down, across = (
            (geometry.places[axis] - 1) * geometry.stride[axis]
            + geometry.kernel[axis]
            - geometry.padding[axis]
            for axis in (0, 1)
        )
        row = Signal(range(max(2, geometry.image[0])), name="row")
        with m.If(row_left):
            m.d.sync += row.eq(Mux(row == geometry.image[0] - 1, 0, row + 1))
        flags, wide = [], tiling.lanes.inputs
        columns = [one for one in geometry.reached(1) for _ in range(geometry.channels)]
        for lane in range(wide):
            words = -(-(across * geometry.channels - lane) // wide)
            inside = word < words if words < tiling.row_words else 1
            if geometry.stride[1] > geometry.kernel[1]:
                inside = _one_of(columns[lane::wide], word)
            if geometry.stride[0] > geometry.kernel[0]:
                inside &= _one_of(geometry.reached(0), row)
            elif down < geometry.image[0]:
                inside &= row < down
            flags.append(inside)
        return Cat(flags)


def _one_of(flags: list[bool], number: Value) -> Value:
    """The flag of that number, no flag beyond the last one."""
    return C(sum(one << index for index, one in enumerate(flags)), len(flags)).bit_select(number, 1)
