"""The input gradient of a unit: each column of lanes to the inputs that its taps lie on."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.units.latency import (
    NARROW,
    OPERANDS,
    PRODUCT,
    ROUND,
    SUM,
    TURN,
    tree_latency,
)
from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import counts_words, gradient_revisits
from counterflow.hw.parts.narrow import round_off, saturate, shape_of
from counterflow.hw.parts.pipeline import delayed, summed
from counterflow.hw.parts.streams import error_stream, signed_lanes
from counterflow.hw.weighted.bundles import backward_products, visit_signals, walk_claims
from counterflow.hw.weighted.departure import Departure
from counterflow.hw.weighted.gradient_sums import GradientSums
from counterflow.hw.weighted.lines import Lines
from counterflow.hw.weighted.window import READ, bank_word, shifts, to_banks

DONE = SUM + ROUND + NARROW  # cycles from a granule's totals to its sums at the departure


class InputGradient(wiring.Component):
    """Sums products over the lanes of a column and over all tiles that an input meets.

    Twin of `golden.units.convolution.Convolution.backward`.  The sums of the rows under the kernel
    stand in a ring of memories that are read and written in one cycle; the first tile that meets an
    input starts its sum, the last one narrows it and hands it to the `Departure`.

    Parameters: ``stage``, of a unit that is not the first.
    Members, with the cycle after a tile's visit in which they are valid: ``visit`` in 0;
    ``stash`` in, the inputs, which tell where the derivative is not zero, 4; ``lanes`` in, their
    products, 6; ``room`` out: the rows can be begun that end with a row of places, as
    ``claims`` in says; ``dx`` stream out; ``clipped`` out: a value that is done with saturated.
    Cost: an adder tree a column of lanes, a memory of sums of as many rows as can be under it.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        assert numbers.dx is not None, "a first unit makes no input gradient"
        self.dx_format = numbers.dx
        super().__init__(
            {
                "claims": In(walk_claims(stage)),
                "visit": In(visit_signals(stage)),
                "lanes": In(backward_products(stage)),
                "stash": In(tiling.lanes.inputs * numbers.x.bits),
                "room": Out(1),
                "dx": Out(error_stream(numbers.dx, numbers.x if numbers.returns else None)),
                "clipped": Out(1),
            }
        )
        self.totalled = OPERANDS + PRODUCT + tree_latency(tiling.lanes.outputs)
        self.summing = self.totalled + TURN
        self.turn = Signal(name="turn")  # a tile is visited for its backward product

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tiling, visit = self.stage.tiling, self.visit
        rows = self.stage.depths.gradients
        words = tiling.sum_rows * tiling.row_words
        m.submodules.departure = departure = Departure(stage=self.stage)
        sums = self._lines(m, "sum_lines", words)
        done = self._lines(m, "done_lines", rows * tiling.row_words)
        lanes = self._lanes(m)
        shift = shifts(m, visit.shift, self.totalled, tiling.banks, "shift")
        turn = visit.issue & (visit.phase == (1 if tiling.phases > 1 else 0))
        m.d.comb += self.turn.eq(turn)
        ready = self.turn & visit.slot.returning
        flags = []
        for bank, turned in enumerate(to_banks(lanes, shift)):
            granule = delayed(m, turned, TURN, f"turned_{bank}")
            at = bank_word(sums, visit, bank)
            value, clipped = self._bank(m, bank, granule, turned[-1], at, words)
            out = bank_word(done, visit, bank)
            writes = granule[-2] & delayed(m, ready, self.summing, f"ready_{bank}")
            written = delayed(m, writes, DONE, f"write_{bank}")
            m.d.comb += [
                departure.write[bank].eq(written),
                departure.address[bank].eq(delayed(m, out, self.summing + DONE, f"out_{bank}")),
                departure.word[bank].eq(value),
            ]
            flags.append(delayed(m, writes, DONE, f"done_{bank}") & clipped)
        m.d.comb += [
            self.clipped.eq(delayed(m, Cat(flags).any(), 1, "clipped")),
            self.room.eq(departure.room),
        ]
        connect(m, departure.dx, flipped(self.dx))
        self._progress(m, departure, ready)
        return m

    def _lines(self, m: Module, name: str, words: int) -> Lines:
        """The row of a ring under the kernel's row; it moves with the token that comes back."""
        m.submodules[name] = lines = Lines(tiling=self.stage.tiling, words=words)
        returning = self.visit.slot.returning
        m.d.comb += [
            lines.down.eq(self.visit.line_end),
            lines.restart.eq(self.visit.row_end),
            lines.place_down.eq(self.visit.place_down & returning),
            lines.finish.eq(self.visit.finish & returning),
        ]
        return lines

    def _lanes(self, m: Module) -> list[Value]:
        """By granule: totals, then each tap's input, then the flags first, last, inside.

        Of an input it is enough whether its gradient passes, unless it goes back, too.
        """
        tiling, numbers = self.stage.tiling, self.stage.arithmetic
        wide, granule = tiling.lanes.inputs, tiling.granule
        width = numbers.backward_sum.bits
        late = {
            name: delayed(m, getattr(self.visit, f"granules_{name}"), self.totalled, name)
            for name in ("first", "last", "inside")
        }
        # What a token's inputs were comes late in a cycle, and they are far from here.
        stash = signed_lanes(delayed(m, self.stash, 1, "stash"), shape_of(numbers.x), wide)
        found: list[Value] = []
        for index in range(tiling.banks):
            totals, inputs = [], []
            for lane in range(index * granule, (index + 1) * granule):
                total = summed(m, self.lanes.products[lane::wide], f"tree_{lane}")
                sized = Signal(signed(width), name=f"total_{lane}")
                m.d.comb += sized.eq(total)
                totals.append(sized)
                passes = stash[lane] > 0 if numbers.masks else C(1)
                kept = stash[lane] if numbers.returns else passes
                inputs.append(delayed(m, kept, self.totalled - READ - 1, f"input_{lane}"))
            first, last, inside = (flags[index] for flags in late.values())
            found.append(Cat(*totals, *inputs, first, last & inside, inside))
        return found

    def _bank(
        self, m: Module, bank: int, granule: Value, inside: Value, address: Value, words: int
    ) -> tuple[Value, Value]:
        """Add a granule to its sums; (the sums narrowed, whether one was clipped): DONE later.

        That it is `inside` the image, and so written, is known TURN before.

        Whether one was clipped is known late in a cycle, and joined in the next.
        """
        numbers, count = self.stage.arithmetic, self.stage.tiling.granule
        width = numbers.backward_sum.bits
        memory = GradientSums(
            words=words,
            bits=width,
            sums=count,
            at=self.summing,
            apart=gradient_revisits(self.stage.tiling),
            block=self.stage.tiling.geometry.positions == 1,
        )
        m.submodules[f"sums_{bank}"] = memory
        totals = signed_lanes(granule[: count * width], signed(width), count)
        inputs, first = granule[count * width : -3], granule[-3]
        old = signed_lanes(memory.lanes.earlier, signed(width), count)
        new, outputs, flags = [], [], []
        for index, total in enumerate(totals):
            value = Signal(signed(width), name=f"sum_{bank}_{index}")
            m.d.comb += value.eq(Mux(first, 0, old[index]) + total)
            new.append(value)
            done = delayed(m, value, SUM, f"done_{bank}_{index}")
            drop = numbers.backward_sum.frac - self.dx_format.frac
            rounded = round_off(done, drop, numbers.round_error)
            near = delayed(m, rounded, ROUND, f"rounded_{bank}_{index}")
            dx, clipped = saturate(near, self.dx_format)
            kept = inputs.word_select(index, len(inputs) // count)
            x = delayed(m, kept, SUM + ROUND, f"seen_{bank}_{index}")
            seen = x.as_signed() > 0 if numbers.returns and numbers.masks else x
            if numbers.returns and not numbers.masks:
                seen = C(1)
            outputs.append(Mux(seen, dx, 0)[: self.dx_format.bits])
            if numbers.returns:
                outputs.append(x)
            flags.append(delayed(m, clipped & seen, 1, f"clipped_{bank}_{index}"))
        turn = delayed(m, self.turn, self.summing - TURN, f"turn_{bank}")
        m.d.comb += [
            memory.address.eq(address),
            memory.write.eq(turn & inside),
            memory.lanes.sum.eq(Cat(new)),
        ]
        return delayed(m, Cat(outputs), NARROW, f"dx_{bank}"), Cat(flags).any()

    def _progress(self, m: Module, departure: Departure, ready: Value) -> None:
        """Tell the departure how far the first unfinished row is done, and when rows are."""
        visit, tiling = self.visit, self.stage.tiling
        late = self.summing + DONE
        place_ends = ready & visit.last_row & visit.last_column
        line_ends = place_ends & visit.last_across
        if counts_words(tiling):
            counted = ready & visit.last_row & (visit.kernel_row == 0)
            words = visit.part + 1
        else:
            counted = place_ends & (visit.rows_done != 0)
            words = Mux(visit.next_start < 0, 0, visit.next_start)
        m.d.comb += [
            departure.begin.eq(self.claims.lines),
            departure.begin_rows.eq(self.claims.rows),
            departure.counted.eq(delayed(m, counted & ~line_ends, late, "counted")),
            departure.words.eq(delayed(m, words, late, "words")),
            departure.ended.eq(delayed(m, line_ends, late, "ended")),
            departure.ended_rows.eq(delayed(m, visit.rows_done, late, "ended_rows")),
        ]
