"""A unit's input side: rings of image rows, read a word of the kernel at a time."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import sliced
from counterflow.design.units.latency import FREE, ISSUE, MEMORY
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.counter import around
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.weighted.bundles import visit_signals
from counterflow.hw.weighted.lines import Lines

TURNED = 1 + MEMORY  # cycles from a tile's visit to its granules: address, memory, a register
READ = TURNED + 1  # ... to its taps, in the kernel's order behind another one, far from the memory


def bank_word(lines: Lines, visit: Any, bank: int) -> Value:
    """Address in the ring of `lines` at which `bank` has its granule of a word of the kernel."""
    offset = visit.offsets.word_select(bank, len(visit.offset)).as_signed()
    past = lines.under + offset
    return Mux(past >= 0, past, lines.line + offset)[: len(lines.line)]


def shifts(m: Module, shift: Value, cycles: int, banks: int, name: str) -> list[Value]:
    """`shift` so many `cycles` ago for each of the `banks`, whose bits all look at it."""
    if banks == 1:
        return [shift]
    early = delayed(m, shift, cycles - 1, name)
    return [own(m, early, f"near_{name}_{bank}") for bank in range(banks)]


def to_lanes(banks: list[Value], shift: list[Value]) -> list[Value]:
    """Granules in the order of the kernel, out of those in the order of the image's words.

    `shift` says for each by how many the kernel's word begins behind the image's.
    """
    return _turned(banks, shift, 1)


def to_banks(lanes: list[Value], shift: list[Value]) -> list[Value]:
    """The inverse of `to_lanes`."""
    return _turned(lanes, shift, -1)


def _turned(granules: list[Value], shift: list[Value], sign: int) -> list[Value]:
    count = len(granules)
    if count == 1:
        return granules
    return [
        Cat(granules[(index + sign * amount) % count] for amount in range(count)).word_select(
            shift[index], len(granules[index])
        )
        for index in range(count)
    ]


class Window(wiring.Component):
    """A ring of the last words of the input; the walk reads any word of the kernel out of it.

    A unit has two: a short one for the forward pass, which holds little more than the rows under
    the kernel, and a long one, the stash, for the gradient of the token D slots ago.  A word of the
    kernel may begin within a word of the image: each granule of a word is a memory of its own, and
    what they give is turned into place.

    Parameters: ``stage``; ``words`` that it holds; ``ahead``: so many can be given up before they
    are written (see `design.units.timing.unawaited_words`).
    Members: ``write`` in with ``word``, one of the image; ``room`` out: a further one can be taken;
    ``visit`` in; ``moves`` in: its token is here (a slot without a backward token leaves the stash
    alone); ``taps`` out, READ cycles later, zero where they are not in the image.
    Cost: ``words`` words of ``lanes.inputs`` elements, in `tiling.banks` memories; latency READ.
    """

    def __init__(self, *, stage: Stage, words: int, ahead: int = 0) -> None:
        self.stage, self.words, self.ahead = stage, words, ahead
        tiling, number = stage.tiling, stage.arithmetic.x
        self.width = tiling.lanes.inputs * number.bits
        super().__init__(
            {
                "write": In(1),
                "word": In(self.width),
                "room": Out(1, init=1),
                "visit": In(visit_signals(stage)),
                "moves": In(1),
                "taps": Out(self.width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        visit, tiling, words = self.visit, self.stage.tiling, self.words
        m.submodules.lines = lines = Lines(tiling=tiling, words=words)
        m.d.comb += [
            lines.down.eq(visit.line_end),
            lines.restart.eq(visit.row_end),
            lines.place_down.eq(visit.place_down & self.moves),
            lines.finish.eq(visit.finish & self.moves),
        ]
        self._room(m)
        end = Signal(range(max(2, words)), name="end")
        # A write is decided upon late; the word is not asked for before the cycle after the next.
        write, word = delayed(m, self.write, 1, "write"), delayed(m, self.word, 1, "word")
        around(m, end, write, words)
        width, granules = tiling.granule * self.stage.arithmetic.x.bits, []
        for bank in range(tiling.banks):
            address, given = bank_word(lines, visit, bank), word.word_select(bank, width)
            read = []
            for bits in sliced(width):
                name = f"{bank}_{bits.start}" if bits.start else f"{bank}"
                memory = BlockMemory(words=max(2, words), bits=len(bits))
                m.submodules[f"bank_{name}"] = memory
                m.d.comb += [
                    memory.read_address.eq(own(m, address, f"address_{name}")),
                    memory.write_enable.eq(write),
                    memory.write_address.eq(end),
                    memory.write_data.eq(given[bits.start : bits.stop]),
                ]
                read.append(memory.read_data)
            granules.append(delayed(m, Cat(read), TURNED - 2, f"granule_{bank}"))
        inside = delayed(m, visit.granules_inside, TURNED, "inside")
        found = to_lanes(granules, shifts(m, visit.shift, TURNED, tiling.banks, "shift"))
        taps = Cat(Mux(inside[index], value, 0)[:width] for index, value in enumerate(found))
        m.d.comb += self.taps.eq(delayed(m, taps, READ - TURNED, "taps"))
        return m

    def _room(self, m: Module) -> None:
        """Rows are given up when the walk leaves the last places that cover them.

        That is known a little before their last words have been read.  Words that are given up
        before they are written need a place in the ring, but need not keep it.
        """
        left = self.visit.place_down & self.moves
        freed = Signal(range(self.words + self.stage.tiling.image_words + 1), name="freed")
        amount = Mux(left, self.visit.words_done, 0)
        m.d.comb += freed.eq(delayed(m, amount, FREE - ISSUE - 1, "freed"))
        room = Signal(range(self.words + self.ahead + 1), init=self.words, name="room")
        unwritten = room + freed
        m.d.sync += [
            room.eq(Mux(self.write, unwritten - 1, unwritten)),
            self.room.eq(Mux(self.write, unwritten != 1, unwritten != 0)),
        ]
