"""The top level that benches simulate: the chain, what feeds it, and what records it.

Stimulus stands in memories and the record in a file, which the bench fills and reads by the block:
one wide access is far cheaper than a visit in every cycle.  The chain is the product's, untouched.
"""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Instance, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import LABEL_BITS
from counterflow.design.schedule.planner import Plan
from counterflow.hw.chain import Request, Response
from counterflow.hw.parts.modules import Modules
from counterflow.sim.bench.memories import (
    ACCESSES,
    FEED_ELEMENTS,
    FEED_TOKENS,
    PATH_BITS,
    feed_words,
)
from counterflow.sim.bench.watched_chain import WatchedChain

COUNT_BITS = 32
LENGTH_BITS = 16

# Words of 32 bits as they are in memory; behind each one of those that are unknown, where a
# simulator has such bits.  Synthesis, which reads all of a bench for `sim.gates`, knows no files.
_RECORD = """module {name}(clk, rst, recording, path, row);
  input wire clk, rst, recording;
  input wire [{path}:0] path;
  input wire [{row}:0] row;
`ifndef SYNTHESIS
  integer file = 0, ignored = 0, position = 0;
  always @(posedge clk)
    if (rst) begin
      if (file != 0) ignored = $fseek(file, 0, 0);
      position = 0;
    end else if (recording) begin
      if (file == 0) file = $fopen(path, "wb");
`ifdef VERILATOR
      $fwrite(file, "%u", row);
`else
      $fwrite(file, "%z", row);
`endif
      if (position == {last}) begin
        $fflush(file);
        ignored = $fseek(file, 0, 0);
        position = 0;
      end else position = position + 1;
    end
`endif
endmodule
"""


class Record(wiring.Component):
    """A file of the last `depth` cycles with ``recording``, a row of `bits` bits each.

    The bench reads it whenever it is whole: as memories, rows would have to become text bit by bit.

    Parameters: ``bits``, ``depth``.
    Members, all in: ``recording``, ``row``, ``path`` of the file, its last character lowest.
    """

    def __init__(self, *, bits: int, depth: int) -> None:
        self.bits, self.depth = bits, depth
        super().__init__({"recording": In(1), "path": In(PATH_BITS), "row": In(bits)})

    def elaborate(self, platform: object) -> Module:
        assert isinstance(platform, Modules)
        m, name = Module(), platform.named("record_file")
        text = _RECORD.format(name=name, row=self.bits - 1, path=PATH_BITS - 1, last=self.depth - 1)
        platform.verilog[name] = text
        m.submodules.file = Instance(
            name,
            i_clk=ClockSignal(),
            i_rst=ResetSignal(),
            i_recording=self.recording,
            i_path=self.path,
            i_row=self.row,
        )
        return m


class BenchTop(WatchedChain):
    """Chain, feeder and recorder.

    Parameters: ``plan``; ``depth`` of the record in cycles.
    Members beside those of every `WatchedChain`: ``tokens``, ``samples`` and ``accesses`` in: how
    many of each the feeder may have sent in all; ``recording`` in; ``sample_gate``, ``label_gate``
    in: low stalls that stream; ``tokens_sent``, ``accesses_answered`` out; ``ready`` out: the bus
    would take an access now.
    """

    def __init__(self, *, plan: Plan, depth: int) -> None:
        self.depth = depth
        super().__init__(
            plan=plan,
            members={
                "tokens": In(COUNT_BITS),
                "samples": In(COUNT_BITS),
                "accesses": In(COUNT_BITS),
                "recording": In(1),
                "record_path": In(PATH_BITS),
                "sample_gate": In(1),
                "label_gate": In(1),
                "tokens_sent": Out(COUNT_BITS),
                "accesses_answered": Out(COUNT_BITS),
                "ready": Out(1),
            },
        )

    def _drive(self, m: Module) -> None:
        self._feed_samples(m)
        self._feed_labels(m)
        self._access(m)

    def _feed_samples(self, m: Module) -> None:
        """Send samples of the lengths in `length_memory`, which are `inputs` unless spoilt."""
        inputs, bits = self.plan.description.elements, self.plan.description.formats.input.bits
        words = feed_words(inputs)
        m.submodules.sample_memory = memory = Memory(
            shape=FEED_ELEMENTS * bits, depth=FEED_TOKENS * words, init=[]
        )
        m.submodules.length_memory = lengths = Memory(
            shape=LENGTH_BITS, depth=FEED_TOKENS, init=[inputs] * FEED_TOKENS
        )
        read, length = memory.read_port(domain="comb"), lengths.read_port(domain="comb")
        target = self.chain.samples
        sent, element = Signal(COUNT_BITS, name="sent"), Signal(LENGTH_BITS, name="element")
        slot = sent[: (FEED_TOKENS - 1).bit_length()]
        last = element == length.data - 1
        m.d.comb += [
            length.addr.eq(slot),
            read.addr.eq(slot * words + element // FEED_ELEMENTS),
            target.payload.data.eq(read.data.word_select(element % FEED_ELEMENTS, bits)),
            target.payload.first.eq(element == 0),
            target.payload.last.eq(last),
        ]
        self._offer(m, target, sent != self.samples, self.sample_gate)
        with m.If(target.valid & target.ready):
            m.d.sync += element.eq(Mux(last, 0, element + 1))
            m.d.sync += sent.eq(sent + last)

    def _feed_labels(self, m: Module) -> None:
        target = self.chain.labels
        m.submodules.token_memory = memory = Memory(
            shape=LABEL_BITS + 2, depth=FEED_TOKENS, init=[]
        )
        read = memory.read_port(domain="comb")
        sent = self.tokens_sent
        m.d.comb += [
            read.addr.eq(sent[: (FEED_TOKENS - 1).bit_length()]),
            target.payload.eq(read.data),
        ]
        self._offer(m, target, sent != self.tokens, self.label_gate)
        m.d.sync += sent.eq(sent + (target.valid & target.ready))

    def _access(self, m: Module) -> None:
        """Send the accesses in `request_memory`; note each response, and its cycle since reset."""
        request, response = self.chain.request, self.chain.response
        shape = data.StructLayout({"response": Response, "cycle": COUNT_BITS})
        m.submodules.request_memory = asked = Memory(shape=Request, depth=ACCESSES, init=[])
        m.submodules.response_memory = said = Memory(shape=shape, depth=ACCESSES, init=[])
        read, write = asked.read_port(domain="comb"), said.write_port()
        sent, cycle = Signal(COUNT_BITS, name="accesses_sent"), Signal(COUNT_BITS, name="cycle")
        answered, place = self.accesses_answered, (ACCESSES - 1).bit_length()
        m.d.comb += [
            self.ready.eq(request.ready),
            request.valid.eq(sent != self.accesses),
            read.addr.eq(sent[:place]),
            request.payload.eq(read.data),
            write.en.eq(response.valid),
            write.addr.eq(answered[:place]),
            write.data.response.eq(response),
            write.data.cycle.eq(cycle),
        ]
        m.d.sync += [
            sent.eq(sent + (request.valid & request.ready)),
            answered.eq(answered + response.valid),
            cycle.eq(cycle + 1),
        ]

    @staticmethod
    def _offer(m: Module, target: stream.Interface, some: Value, gate: Value) -> None:
        """Valid while there is something and the gate is open; once valid, until it is taken."""
        held = Signal(name="held")
        m.d.comb += target.valid.eq(some & (gate | held))
        m.d.sync += held.eq(target.valid & ~target.ready)

    def _take(self, m: Module, row: Value) -> None:
        m.submodules.record = record = Record(bits=len(row), depth=self.depth)
        m.d.comb += [
            record.recording.eq(self.recording),
            record.path.eq(self.record_path),
            record.row.eq(row),
        ]
