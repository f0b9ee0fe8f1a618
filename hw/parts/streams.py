"""Streams at the units' borders, and the blocks between one element a cycle and words of lanes."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import KIND_BITS, LABEL_BITS
from counterflow.hw.parts.block_fifo import queue
from counterflow.hw.parts.counter import around, level
from counterflow.hw.parts.narrow import shape_of


def activation_stream(number: Format) -> stream.Signature:
    """Activations in `number`, one a cycle, each with the kind of its token."""
    return stream.Signature(data.StructLayout({"data": shape_of(number), "kind": KIND_BITS}))


def label_stream() -> stream.Signature:
    """One token a transfer: its kind, and its label unless it is a bubble."""
    return stream.Signature(data.StructLayout({"kind": KIND_BITS, "label": LABEL_BITS}))


def error_stream(number: Format, x: Format | None = None) -> stream.Signature:
    """Gradients in `number`, one a cycle; beside each its activation, in `x`, if that goes back."""
    if x is None:
        return stream.Signature(shape_of(number))
    return stream.Signature(data.StructLayout({"data": shape_of(number), "x": shape_of(x)}))


def _in_words(m: Module, step: Value, lanes: int, count: int) -> tuple[Signal, Signal]:
    """Goes through the elements of tokens, `count` in each, that lie in words of `lanes`.

    The lane of the element, and, out of a register, whether it is the last of its word.
    """
    lane = Signal(range(max(2, lanes)), name="lane")
    element = Signal(range(max(2, count)), name="element")
    alone = lanes == 1 or count == 1
    ends = Signal(init=alone, name="ends")
    _, last = around(m, element, step, count)
    will_end = Mux(ends, alone, lane == lanes - 2) | (element == count - 2)
    with m.If(step):
        m.d.sync += [lane.eq(Mux(ends, 0, lane + 1)), ends.eq(Mux(last, alone, will_end))]
    return lane, ends


class Gather(wiring.Component):
    """Packs the elements of a token into words of `lanes` elements; the last word ends in zeros.

    A word leaves in the cycle in which its last element arrives.

    Parameters: ``bits`` of an element, ``lanes``, ``count`` of elements in a token.
    Members: ``i`` stream of elements; ``o`` stream of words, element 0 lowest.
    Cost: (lanes - 1) * bits registers, and a choice a bit where words do not go into a token
    evenly; latency 0, one element a cycle.
    """

    def __init__(self, *, bits: int, lanes: int, count: int) -> None:
        self.bits, self.lanes, self.count = bits, lanes, count
        super().__init__(
            {
                "i": In(stream.Signature(bits)),
                "o": Out(stream.Signature(bits * lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        step = Signal(name="step")
        # That a word is full comes from a register: much hangs on it elsewhere.
        lane, full = _in_words(m, step, self.lanes, self.count)
        even = self.count % self.lanes == 0
        m.d.comb += [
            self.o.payload.eq(self._shifted(m, step) if even else self._placed(m, step, lane)),
            self.o.valid.eq(self.i.valid & full),
            self.i.ready.eq(self.o.ready | ~full),
            step.eq(self.i.valid & self.i.ready),
        ]
        return m

    def _shifted(self, m: Module, step: Value) -> Value:
        """The word, once it is full: each element moves those before it down."""
        if self.lanes == 1:
            return self.i.payload
        kept = Signal((self.lanes - 1) * self.bits, name="kept", reset_less=True)
        word = Cat(kept, self.i.payload)
        with m.If(step):
            m.d.sync += kept.eq(word[self.bits :])
        return word

    def _placed(self, m: Module, step: Value, lane: Value) -> Value:
        """The word, full or not: each element goes to its place, zeros are behind the last."""
        kept = [
            Signal(self.bits, name=f"kept_{index}", reset_less=True)
            for index in range(self.lanes - 1)
        ]
        with m.If(step):
            for index, register in enumerate(kept):
                with m.If(lane == index):
                    m.d.sync += register.eq(self.i.payload)
        word = [Mux(lane > index, register, 0) for index, register in enumerate(kept)] + [0]
        return Cat(
            Mux(lane == index, self.i.payload, value)[: self.bits]
            for index, value in enumerate(word)
        )


class Scatter(wiring.Component):
    """Queues words of `lanes` elements and sends them out one element a cycle.

    Whoever pushes reserves first: `room` says that a further word can be reserved, so the pipeline
    between reservation and push never has to stop.

    Parameters: ``bits``, ``lanes``, ``count`` of elements in a token, ``depth`` of the queue in
    words, ``tag`` bits that accompany each word; ``block``: the queue is worth a block RAM, where
    some is to spare.
    Members: ``room`` out, ``reserve`` in; ``push`` in with ``word`` and ``word_tag``; ``o`` stream
    of elements, ``o_tag`` beside it.
    Cost: a memory of `depth` words, and with several lanes a register of one; latency 1, one
    element a cycle.
    """

    def __init__(
        self,
        *,
        bits: int,
        lanes: int,
        count: int,
        depth: int,
        tag: int = 0,
        block: bool = False,
    ) -> None:
        self.bits, self.lanes, self.count, self.depth, self.tag = bits, lanes, count, depth, tag
        self.block = block
        members: dict[str, In | Out] = {
            "room": Out(1, init=1),
            "reserve": In(1),
            "push": In(1),
            "word": In(bits * lanes),
            "o": Out(stream.Signature(bits)),
        }
        if tag:  # Verilog has no signals of zero bits
            members |= {"word_tag": In(tag), "o_tag": Out(tag)}
        super().__init__(members)

    def leaves_by(self, m: Module, to: stream.Interface) -> None:
        """Let the elements leave by a unit's output `to`, their tags as kinds of activations."""
        payload = to.payload.data if self.tag else to.payload
        m.d.comb += payload.eq(self.o.payload)
        if self.tag:
            m.d.comb += to.payload.kind.eq(self.o_tag)
        m.d.comb += [to.valid.eq(self.o.valid), self.o.ready.eq(to.ready)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = words_queue = queue(
            platform if self.block else None,
            width=self.bits * self.lanes + self.tag,
            depth=self.depth,
        )
        free = Signal(range(self.depth + 1), init=self.depth, name="free")
        sent, done = Signal(name="sent"), Signal(name="done")
        _, ends = _in_words(m, sent, self.lanes, self.count)
        m.d.comb += words_queue.w_data.eq(Cat(self.word, self.word_tag) if self.tag else self.word)
        if self.lanes == 1:
            there, word = words_queue.r_rdy, words_queue.r_data
            m.d.comb += [words_queue.w_en.eq(self.push), words_queue.r_en.eq(done)]
        else:
            there, word = self._oldest(m, words_queue, sent, ends)
        m.d.comb += [
            self.o.valid.eq(there),
            self.o.payload.eq(word[: self.bits]),
            sent.eq(self.o.valid & self.o.ready),
            done.eq(sent & ends),
        ]
        if self.tag:
            m.d.comb += self.o_tag.eq(word[self.bits * self.lanes :])
        level(m, free, self.room, done, self.reserve)
        return m

    def _oldest(self, m: Module, words_queue: Any, sent: Value, ends: Value) -> tuple[Value, Value]:
        """(There is a word, it in a register whose lowest element is next to leave, its tag above).

        A memory and the choice of an element are too much on the way to another unit.  A word that
        is pushed while none waits does not go through the memory: it is written there, too, for
        that none waits is known too late to prevent it, and left out in the next cycle.
        """
        word = Signal.like(words_queue.r_data, name="oldest", reset_less=True)
        there, moves, takes = Signal(name="there"), Signal(name="moves"), Signal(name="takes")
        skips = Signal(name="skips")  # the only word in the queue
        waits, new = words_queue.r_rdy & ~skips, ends | ~there
        elements, tag = word[: self.bits * self.lanes], word[self.bits * self.lanes :]
        m.d.comb += [
            moves.eq(sent | ~there),
            takes.eq(moves & new),
            words_queue.w_en.eq(self.push),
            words_queue.r_en.eq(takes | skips),
        ]
        m.d.sync += skips.eq(self.push & takes & ~waits)
        # That an element is sent is known late, and only enables; what comes is known before.
        following = Mux(waits, words_queue.r_data, words_queue.w_data)
        with m.If(moves):
            m.d.sync += word.eq(Mux(new, following, Cat(elements >> self.bits, tag)))
        with m.If(takes):
            m.d.sync += there.eq(waits | self.push)
        return there, word


def signed_lanes(word: Signal, shape: Shape, lanes: int) -> list:  # type: ignore[type-arg]
    """The lanes of a packed word as values of `shape`."""
    slices = [word[lane * shape.width : (lane + 1) * shape.width] for lane in range(lanes)]
    return [s.as_signed() if shape.signed else s for s in slices]
