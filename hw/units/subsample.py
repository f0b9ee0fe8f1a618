"""The subsampling unit: some elements pass, and zeros take the places of others; twin of
`golden.units.subsample`.

Both ways are one and the same: what lies on a grid of the images that come waits in a queue, and
leaves by a grid of the images that go.

    cycle after x was taken   1   it stands at the end of its queue: y can leave
    cycle after dy was taken  1   likewise: dx can leave
"""

from __future__ import annotations

from typing import Self

from amaranth.hdl import C, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.passing import PassingStage
from counterflow.design.units.subsample import Grid, Subsampling
from counterflow.hw.parts.block_fifo import BlockFIFO
from counterflow.hw.parts.fifo import SyncFIFO
from counterflow.hw.parts.streams import activation_stream, error_stream


class Subsample(wiring.Component):
    """Subsamples one image a token; its gradients come back in the order of the tokens.

    Parameters: ``numbers``.
    Members: ``x`` stream of activations, ``y`` likewise in the same format; ``dy``, ``dx`` streams
    of gradients, if they are wanted.
    Cost: no multiplier; the memories of `Subsampling.memories`, four counters of images; latency 1
    each way, one element a cycle.
    """

    def __init__(self, *, numbers: Subsampling) -> None:
        self.numbers = numbers
        members: dict[str, In | Out] = {
            "x": In(activation_stream(numbers.x)),
            "y": Out(activation_stream(numbers.x)),
        }
        if numbers.wanted:
            members["dy"] = In(error_stream(numbers.error))
            members["dx"] = Out(error_stream(numbers.error))
        super().__init__(members)

    @classmethod
    def of(cls, stage: PassingStage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        return cls(numbers=stage.numbers)

    def elaborate(self, platform: object) -> Module:
        m, numbers = Module(), self.numbers
        m.submodules.outputs = outputs = Spread(
            bits=numbers.x.bits,
            tag=KIND_BITS,
            given=numbers.large,
            made=numbers.small,
            depth=numbers.x_words,
            begin=numbers.begin,
        )
        _joined(m, outputs, self.x, self.y)
        m.d.comb += [
            outputs.i.payload.eq(self.x.payload.data),
            outputs.i_tag.eq(self.x.payload.kind),
            self.y.payload.data.eq(outputs.o.payload),
            self.y.payload.kind.eq(outputs.o_tag),
        ]
        if numbers.wanted:
            m.submodules.inputs = inputs = Spread(
                bits=numbers.error.bits,
                given=numbers.small,
                made=numbers.large,
                depth=numbers.dy_words,
            )
            _joined(m, inputs, self.dy, self.dx)
            m.d.comb += [
                inputs.i.payload.eq(self.dy.payload),
                self.dx.payload.eq(inputs.o.payload),
            ]
        return m


class Spread(wiring.Component):
    """Takes what lies on one grid out of images, and lays it on another one, zero in between.

    Parameters: ``bits`` of an element; ``given`` and ``made``, grids of equally many elements;
    ``depth`` of the queue; ``begin``: so many elements must have come before an image begins to
    leave; ``tag`` bits that accompany each element, zeros have those of the element before.
    Members: ``i``, ``o`` streams of elements, ``i_tag``, ``o_tag`` beside them.
    Cost: a queue, in block RAM where it is deep, and two `Raster`s; latency 1, one element a cycle
    each way.
    """

    def __init__(
        self, *, bits: int, given: Grid, made: Grid, depth: int, begin: int = 1, tag: int = 0
    ) -> None:
        self.bits, self.tag, self.depth, self.begin = bits, tag, depth, begin
        self.given, self.made = given, made
        members: dict[str, In | Out] = {
            "i": In(stream.Signature(bits)),
            "o": Out(stream.Signature(bits)),
        }
        if tag:  # Verilog has no signals of zero bits
            members |= {"i_tag": In(tag), "o_tag": Out(tag)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        kind = BlockFIFO if self.depth > READ_AT_ONCE else SyncFIFO
        m.submodules.queue = queue = kind(width=self.bits + self.tag, depth=self.depth)
        m.submodules.given = given = Raster(grid=self.given)
        m.submodules.made = made = Raster(grid=self.made)
        begun: Value = C(1, 1)
        if self.begin > 1:
            begun = ~made.first | (queue.level >= self.begin)
        sent = Signal(name="sent")
        m.d.comb += [
            queue.w_data[: self.bits].eq(self.i.payload),
            queue.w_en.eq(self.i.valid & given.on),
            self.i.ready.eq(queue.w_rdy | ~given.on),
            given.step.eq(self.i.valid & self.i.ready),
            self.o.valid.eq(~made.on | (queue.r_rdy & begun)),
            self.o.payload.eq(Mux(made.on, queue.r_data[: self.bits], 0)),
            sent.eq(self.o.valid & self.o.ready),
            made.step.eq(sent),
            queue.r_en.eq(sent & made.on),
        ]
        if self.tag:
            now, before = queue.r_data[self.bits :], Signal(self.tag, name="before")
            m.d.comb += [
                queue.w_data[self.bits :].eq(self.i_tag),
                self.o_tag.eq(Mux(made.on, now, before)),
            ]
            with m.If(sent):
                m.d.sync += before.eq(self.o_tag)
        return m


class Raster(wiring.Component):
    """Counts the elements of images that follow each other, row by row, channels last.

    Parameters: ``grid``.
    Members: ``step`` in: the element is dealt with; of the current one, out: ``on`` the grid,
    ``first`` of its image.
    Cost: a counter of channels, of pixels and rows, and one for each stride.
    """

    def __init__(self, *, grid: Grid) -> None:
        self.grid = grid
        super().__init__({"step": In(1), "on": Out(1), "first": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        height, width, channels = self.grid.shape
        channel, carry = _count(m, "channel", channels, self.step)
        column, carry = _count(m, "column", width, carry)
        row, image_ends = _count(m, "row", height, carry)
        on = (channel < self.grid.channels) if self.grid.channels < channels else C(1, 1)
        pixel_ends = self.step & (channel == channels - 1)
        for name, stride, step, restart in (
            ("across", self.grid.stride[1], pixel_ends, carry),
            ("down", self.grid.stride[0], carry, image_ends),
        ):
            if stride > 1:
                past, _ = _count(m, name, stride, step, restart)
                on &= past == 0
        m.d.comb += [self.on.eq(on), self.first.eq((channel == 0) & (column == 0) & (row == 0))]
        return m


def _count(
    m: Module, name: str, count: int, step: Value, restart: Value | None = None
) -> tuple[Signal, Value]:
    """(a counter up to `count` that begins again, or with `restart`; it is stepped to zero)."""
    now = Signal(range(max(2, count)), name=name)
    ends = now == count - 1
    again = ends if restart is None else ends | restart
    with m.If(step):
        m.d.sync += now.eq(Mux(again, 0, now + 1))
    return now, step & ends


def _joined(m: Module, part: Spread, came: stream.Interface, left: stream.Interface) -> None:
    """Let `came` go through `part` and leave by `left`, but for the payload."""
    m.d.comb += [
        part.i.valid.eq(came.valid),
        came.ready.eq(part.i.ready),
        left.valid.eq(part.o.valid),
        part.o.ready.eq(left.ready),
    ]
