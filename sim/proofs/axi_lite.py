"""AXI4-Lite: each access is answered once, by the rules, with what the register map says."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal, Value

from counterflow.design.bus.registers import REGISTER_BITS, nodes
from counterflow.hw.axi.lite import AxiLite, Resp
from counterflow.sim.proofs.proof import Mutant, Proof
from counterflow.sim.proofs.spec import Spec, offered

NAMES = ("first", "second")  # of the units behind the bus
ADDRESS_LOW = 2  # bits of an address that name a byte in a word


class AxiLiteSpec(Spec):
    """Every access is answered once, with what the register map and the chain say of it."""

    component = AxiLite

    def build(self, m: Module) -> None:
        m.submodules.dut = self.dut = dut = self.component(units=len(NAMES))
        bus, request = dut.axil, dut.request
        inputs = (bus.awaddr, bus.awvalid, bus.wdata, bus.wstrb, bus.wvalid, bus.bready)
        self.drive(m, *inputs, bus.araddr, bus.arvalid, bus.rready, request.ready, dut.response)
        offered(m, bus.bvalid, bus.bready, bus.bresp, by_dut=True)
        offered(m, bus.rvalid, bus.rready, bus.rresp, bus.rdata, by_dut=True)
        offered(m, request.valid, request.ready, request.payload, by_dut=True)
        written, read = bus.bvalid & bus.bready, bus.rvalid & bus.rready
        self.aw, where = self._taken(m, "aw", bus.awaddr, written)
        self.w, data = self._taken(m, "w", Cat(bus.wdata, bus.wstrb.all()), written, "w_kept")
        self.ar, source = self._taken(m, "ar", bus.araddr, read)
        m.d.comb += [
            Assert(~bus.bvalid | (self.aw & self.w)),
            Assert(~bus.rvalid | self.ar),
            Assert(~(bus.bvalid & bus.rvalid)),
        ]
        self.done = written | read
        self._asked(m, where, data, source)

    def _taken(
        self, m: Module, channel: str, payload: Value, answered: Value, kept: str = ""
    ) -> tuple[Signal, Signal]:
        """(a transfer of the channel waits for its answer, what it was)."""
        bus = self.dut.axil
        waits, last = Signal(name=f"{channel}_waits"), Signal(len(payload), name=f"{channel}_last")
        valid, ready = getattr(bus, f"{channel}valid"), getattr(bus, f"{channel}ready")
        with m.If(valid & ready):
            m.d.sync += [waits.eq(1), last.eq(payload)]
        with m.If(answered):
            m.d.sync += waits.eq(0)
        bits = len(last) - bool(kept)
        inside = self.probe(f"dut.{kept or channel + '_kept'}", bits)
        m.d.comb += [
            Assert(ready == ~waits),
            Assert(self.probe(f"dut.{channel}_full") == waits),
            Assert(~waits | (inside == last[:bits])),
        ]
        if kept:
            m.d.comb += Assert(~waits | (self.probe("dut.whole") == last[bits]))
        return waits, last

    def _asked(self, m: Module, where: Value, data: Value, source: Value) -> None:
        """What goes to the register bus, and what the answer makes of what comes from there."""
        dut, access, bus = self.dut, self.dut.request.payload, self.dut.axil
        asked, pending, taken = Signal(), Signal(), Signal()
        word = Signal(len(access.data))
        with m.If(dut.request.valid & dut.request.ready):
            m.d.sync += [asked.eq(1), pending.eq(1)]
        with m.If(dut.response.valid):
            m.d.sync += [pending.eq(0), taken.eq(dut.response.done), word.eq(dut.response.data)]
        with m.If(self.done):
            m.d.sync += asked.eq(0)
        m.d.comb += Assume(~dut.response.valid | pending)  # an answer to each request, later
        address = Mux(access.write, where, source)[ADDRESS_LOW:]
        same = (Cat(access.register, access.node) == address) & Mux(
            access.write, self.aw & self.w & (access.data == data[:-1]), self.ar
        )
        known = self._known(address, access.write)
        whole = ~access.write | data[-1]
        resp = Mux(known, Mux(whole & asked & taken, Resp.OKAY, Resp.SLVERR), Resp.DECERR)
        answer = bus.bvalid | bus.rvalid
        m.d.comb += [
            Assert(~dut.request.valid | (same & known & whole & ~asked)),
            Assert(~answer | (same & ~pending & (asked == (known & whole)))),
            Assert(~answer | (Mux(bus.bvalid, bus.bresp, bus.rresp) == resp)),
            Assert(~(bus.rvalid & asked) | (bus.rdata == word)),
        ]
        rest, decode, wait = self._states(m)
        m.d.comb += [
            Assert(wait == pending),
            Assert(~(rest | decode | dut.request.valid) | ~asked),
            Assert(~wait | (asked & known & whole)),
            Assert(rest | same),
        ]

    def _states(self, m: Module) -> tuple[Value, Value, Value]:
        """(at rest, decoding, waiting for the register bus); numbered as the source names them."""
        state = self.probe("dut.fsm_state", 3)
        rest, decode, request, answer, wait = (state == number for number in range(5))
        answers = self.dut.axil.bvalid | self.dut.axil.rvalid
        m.d.comb += [
            Assert(state < 5),
            Assert(request == self.dut.request.valid),
            Assert(answer == answers),
        ]
        self.waiting = wait
        return rest, decode, wait

    @staticmethod
    def _known(address: Value, write: Value) -> Value:
        """Whether the register map has it; entry by entry."""
        entries = [
            (node.number << REGISTER_BITS | one, one)
            for node in nodes(NAMES)
            for one in node.registers
        ]
        readable = address.matches(*(place for place, one in entries if one.readable))
        writable = address.matches(*(place for place, one in entries if one.writable))
        return Mux(write, writable, readable)


class AnsweredSpec(AxiLiteSpec):
    """Where the register bus and the master are prompt, every access is answered soon."""

    WITHIN = 20  # cycles, behind another access
    PROMPT = 1  # cycles that a side may take

    def build(self, m: Module) -> None:
        super().build(m)
        dut, bus = self.dut, self.dut.axil
        for waits, comes in (
            (dut.request.valid, dut.request.ready),
            (self.waiting, dut.response.valid),
            (bus.bvalid, bus.bready),
            (bus.rvalid, bus.rready),
        ):
            late = Signal(range(self.PROMPT + 1), name="late")
            m.d.sync += late.eq(Mux(waits & ~comes, late + 1, 0))
            m.d.comb += Assume(~waits | comes | (late < self.PROMPT))
        for waits, answer in ((self.aw & self.w, bus.bvalid), (self.ar, bus.rvalid)):
            cycles = Signal(range(self.WITHIN + 2), name="cycles")
            m.d.sync += cycles.eq(Mux(waits & ~answer, cycles + 1, 0))
            m.d.comb += Assert(cycles <= self.WITHIN)


_LITE = (
    Mutant(AxiLite, "m.d.comb += ready.eq(~full)", "m.d.comb += ready.eq(~full | free)"),
    Mutant(AxiLite, "~mapped(access.node", "0 & ~mapped(access.node"),
    Mutant(AxiLite, "bus.bvalid.eq(access.write)", "bus.bvalid.eq(access.write & bus.bready)"),
    Mutant(AxiLite, "with m.If(access.write & ~whole):", "with m.If(0):"),
)

PROOFS = (
    Proof(
        "axi-lite",
        "every access is answered once, as the register map and the chain say; valid stays",
        AxiLiteSpec,
        _LITE,
    ),
    Proof(
        "axi-lite-answered",
        "reads and writes take turns: each is answered within 20 cycles of prompt neighbours",
        AnsweredSpec,
        (Mutant(AxiLite, "with m.If(writes | read_waits):", "with m.If(writes):"),),
        depth=AnsweredSpec.WITHIN + 3,
    ),
)
