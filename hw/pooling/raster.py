"""Where in its window an element of an image lies."""

from __future__ import annotations

from amaranth.hdl import C, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.pooling import Pooling
from counterflow.hw.parts.pipeline import times_constant


class Raster(wiring.Component):
    """Counts the elements of images that follow each other, row by row, channels last.

    Parameters: ``pooling``.
    Members: ``step`` in: the element is dealt with, the next one is to be described; of the current
    one, out: ``first_row``, ``last_row``, ``first_column``, ``last_column`` of its window,
    ``place`` in it (row * columns + column), ``pixel_end``: the last channel, ``row_end``: the last
    element of a row of the image.
    Cost: four counters.
    """

    def __init__(self, *, pooling: Pooling) -> None:
        self.pooling = pooling
        flags = ("first_row", "last_row", "first_column", "last_column", "pixel_end", "row_end")
        super().__init__(
            {
                "step": In(1),
                **{name: Out(1) for name in flags},
                "place": Out(range(pooling.elements)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        high, wide = self.pooling.kernel
        counts = {
            "channel": self.pooling.channels,
            "column": wide,
            "window": self.pooling.columns,
            "row": high,
        }
        at = {name: Signal(range(max(2, count)), name=name) for name, count in counts.items()}
        last = {name: at[name] == count - 1 for name, count in counts.items()}
        carry: Value = self.step
        for name in counts:
            with m.If(carry):
                m.d.sync += at[name].eq(Mux(last[name], 0, at[name] + 1))
            carry = carry & last[name]
        row = times_constant(at["row"], wide) if high > 1 else C(0, 1)
        m.d.comb += [
            self.first_row.eq(at["row"] == 0),
            self.last_row.eq(last["row"]),
            self.first_column.eq(at["column"] == 0),
            self.last_column.eq(last["column"]),
            self.place.eq(row + at["column"]),
            self.pixel_end.eq(last["channel"]),
            self.row_end.eq(last["channel"] & last["column"] & last["window"]),
        ]
        return m
