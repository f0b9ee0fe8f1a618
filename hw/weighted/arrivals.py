"""What arrives at a unit: words for the window and the stash, and the kinds of their tokens."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import unawaited_words
from counterflow.hw.parts.counter import around
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.streams import Gather, activation_stream, signed_lanes
from counterflow.hw.weighted.bundles import input_words, visit_signals, walk_claims
from counterflow.hw.weighted.window import Window


class Arrivals(wiring.Component):
    """Packs elements into words, gives them to window and stash, counts them for the walk.

    Parameters: ``stage``.
    Members: ``x`` stream of activations; ``words`` out for the walk, and ``kind`` of the current
    image's token (once its first word is there); ``claims``, ``visit`` in; ``taps``, ``stashed``
    out `hw.weighted.window.READ` cycles after a tile's visit: x under the kernel, of this token and
    of the one coming back; ``returning`` in, ``passing`` out: by loss that the unit does not learn
    from, whether a token comes back, and of its inputs what it needs.
    Cost: two `Window`s, and a narrow one for each such loss; latency 1 from a word's last element
    to ``words``.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        tiling, number = stage.tiling, stage.arithmetic.x
        width = tiling.lanes.inputs * number.bits
        self._kept_width = tiling.lanes.inputs * stage.behind.arithmetic.x.bits
        super().__init__(
            {
                "x": In(activation_stream(number)),
                "words": Out(input_words(stage)),
                "kind": Out(KIND_BITS),
                "claims": In(walk_claims(stage)),
                "visit": In(visit_signals(stage)),
                "taps": Out(width),
                **({"stashed": Out(self._kept_width)} if stage.stashes else {}),
                **{f"returning_{index}": In(1) for index in range(len(stage.asides))},
                **{
                    f"passing_{index}": Out(tiling.lanes.inputs * one.arithmetic.x.bits)
                    for index, one in enumerate(stage.asides)
                },
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stage, tiling = self.stage, self.stage.tiling
        m.submodules.gather = gather = Gather(
            bits=stage.arithmetic.x.bits,
            lanes=tiling.lanes.inputs,
            count=tiling.geometry.row_inputs,
        )
        ahead, _ = unawaited_words(tiling, stage.threshold)
        m.submodules.window = window = Window(stage=stage, words=stage.depths.window, ahead=ahead)
        connect(m, flipped(self.visit), window.visit)
        room: Value = window.room
        if stage.stashes:
            room &= self._kept(m, stage.behind, gather.o, "stash", self.visit.slot.returning)
        for index in range(len(stage.asides)):
            room &= self._aside(m, index, gather.o)
        # That a slot ends is known late in a cycle: it chooses between two sums.
        arrived = self.words.arrived
        more, fewer = arrived + gather.o.valid, arrived - tiling.image_words
        m.d.sync += arrived.eq(Mux(self.claims.image, fewer + gather.o.valid, more))
        m.d.comb += [
            gather.i.payload.eq(self.x.payload.data),
            gather.i.valid.eq(self.x.valid & room),
            self.x.ready.eq(room),
            gather.o.ready.eq(1),
            self.words.more.eq(gather.o.valid),
            window.moves.eq(1),
            window.write.eq(gather.o.valid),
            window.word.eq(gather.o.payload),
            self.taps.eq(window.taps),
        ]
        self._kinds(m, gather.o.valid)
        return m

    def _aside(self, m: Module, index: int, words: stream.Interface) -> Value:
        """Keep of all words what the gradient of another loss needs; there is room for one more."""
        aside = self.stage.asides[index]
        if not aside.sees:
            return C(1)
        moves = getattr(self, f"returning_{index}")
        return self._kept(m, aside, words, f"passing_{index}", moves)

    def _kept(
        self, m: Module, seen: Stage, words: stream.Interface, name: str, moves: Value
    ) -> Value:
        """Keep of all words what a gradient needs that sees the unit as `seen`.

        There is room for one more.
        """
        number = self.stage.arithmetic.x
        m.submodules[name] = ring = Window(stage=seen, words=seen.depths.stash)
        connect(m, flipped(self.visit), ring.visit)
        lanes = signed_lanes(words.payload, shape_of(number), self.stage.tiling.lanes.inputs)
        whole = seen.arithmetic.x == number
        m.d.comb += [
            ring.moves.eq(moves),
            ring.write.eq(words.valid),
            ring.word.eq(words.payload if whole else Cat(lane > 0 for lane in lanes)),
            (self.stashed if name == "stash" else getattr(self, name)).eq(ring.taps),
        ]
        return ring.room

    def _kinds(self, m: Module, word: Signal) -> None:
        """Remember the kind of each token in the window, taken with its first element.

        There are never more, nor is one asked for that is not there: that needs no count, which
        would go up and down with what is decided late in a cycle.
        """
        tokens = self.stage.depths.window // self.stage.tiling.image_words + 2
        m.submodules.kinds = kinds = Memory(shape=KIND_BITS, depth=tokens, init=[])
        write, read = kinds.write_port(), kinds.read_port(domain="comb")
        images = self.stage.tiling.image_words
        count, begun = Signal(range(max(2, images)), name="count"), Signal(name="begun")
        _, last = around(m, count, word, images)
        accepted, ends = self.x.valid & self.x.ready, word & last
        with m.If(accepted):
            m.d.sync += begun.eq(~ends)
        newest, oldest = (Signal(range(tokens), name=name) for name in ("newest", "oldest"))
        around(m, newest, write.en, tokens)
        around(m, oldest, self.claims.image, tokens)
        m.d.comb += [
            write.en.eq(accepted & ~begun),
            write.addr.eq(newest),
            write.data.eq(self.x.payload.kind),
            read.addr.eq(oldest),
            self.kind.eq(read.data),
        ]
