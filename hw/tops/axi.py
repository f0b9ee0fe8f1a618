"""The chain behind standard buses: AXI4-Stream for samples and predictions, AXI4-Lite."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Module, ResetSignal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from counterflow.design.parts.names import AXI, module_name
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.planner import Plan
from counterflow.hw.axi.lite import AxiLite, axi_lite
from counterflow.hw.axi.packets import USER_BITS, Packets, data_bits
from counterflow.hw.chain import Chain, merged
from counterflow.hw.parts.merge import channel_bits
from counterflow.hw.parts.modules import convert
from counterflow.hw.tops.verilog import file_of

# What tells Vivado which clock the buses have; others go by the names alone.
_CLOCK = "ASSOCIATED_BUSIF s_axis:m_axis:s_axil, ASSOCIATED_RESET aresetn"


def axi_ports(plan: Plan) -> dict[str, In | Out]:
    """The ports of `AxiChain`, each with its direction and its width in bits."""
    loss = plan.schedule.loss.arithmetic
    members: dict[str, In | Out] = {
        "aclk": In(1),
        "aresetn": In(1),
        "s_axis_tdata": In(data_bits(plan.description.formats.input)),
        "s_axis_tuser": In(USER_BITS),
        "m_axis_tdata": Out(data_bits(loss.logit)),
        "m_axis_tuser": Out(KIND_BITS + loss.loss.bits),
    }
    if plan.schedule.heads:
        members["m_axis_tdest"] = Out(channel_bits(plan.schedule.heads))
    for prefix, flow in (("s_axis", In), ("m_axis", Out)):
        members |= {f"{prefix}_{name}": flow(1) for name in ("tlast", "tvalid")}
        members[f"{prefix}_tready"] = flow(1).flip()
    for name, member in axi_lite().members.items():
        members[f"s_axil_{name}"] = member.flip()
    return members


class AxiChain(wiring.Component):
    """A network that trains, with the ports that vendors' tools know by their names.

    Parameters: ``plan``.
    Members: ``aclk``; ``aresetn``, low for two cycles to reset; ``s_axis_*`` in, samples as
    `hw.axi.packets.Packets` takes them; ``m_axis_*`` out, a packet of class scores for each sample,
    the kind in the lowest bits of TUSER and the loss above it; with heads, a packet of each loss,
    TDEST the number of its component, 0 of the network; ``s_axil_*``, the register map of
    `design.bus.registers` by byte address.
    Cost: beside the chain 155 registers, with heads a `Merge`; latency 1 more at the entrance; one
    sample an interval, which is long enough for the scores of all losses.
    """

    def __init__(self, *, plan: Plan) -> None:
        self.chain = Chain(plan=plan)
        self.number = plan.description.formats.input
        super().__init__(axi_ports(plan))
        self.aclk.attrs["X_INTERFACE_PARAMETER"] = _CLOCK

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.chain = chain = self.chain
        m.submodules.packets = packets = Packets(number=self.number)
        m.submodules.registers = registers = AxiLite(units=len(chain.units))
        connect(m, packets.samples, chain.samples)
        connect(m, packets.labels, chain.labels)
        connect(m, registers.request, chain.request)
        m.d.comb += registers.response.eq(chain.response)
        given, made = packets.packets, merged(m, chain)
        prediction = made.payload
        self._stream(m, "s_axis", given, given.payload.data, given.payload.last, given.payload.user)
        self._stream(
            m,
            "m_axis",
            made,
            prediction.score,
            prediction.last,
            Cat(prediction.kind, prediction.loss),
        )
        if chain.schedule.heads:
            m.d.comb += self.m_axis_tdest.eq(prediction.channel)
        for name, member in axi_lite().members.items():
            outer, inner = getattr(self, f"s_axil_{name}"), getattr(registers.axil, name)
            m.d.comb += inner.eq(outer) if member.flow is wiring.Out else outer.eq(inner)
        return m

    def _stream(self, m: Module, prefix: str, inner: stream.Interface, *payload: Value) -> None:
        """Tie the ports of a stream to `inner`, whose payload is TDATA, TLAST and TUSER."""
        valid, ready = (getattr(self, f"{prefix}_{name}") for name in ("tvalid", "tready"))
        ports = [getattr(self, f"{prefix}_{name}") for name in ("tdata", "tlast", "tuser")]
        pairs = [(valid, inner.valid), *zip(ports, payload, strict=True)]
        if prefix == "m_axis":
            m.d.comb += [*(outer.eq(value) for outer, value in pairs), inner.ready.eq(ready)]
        else:
            m.d.comb += [*(value.eq(outer) for outer, value in pairs), ready.eq(inner.ready)]


def axi_module_name(plan: Plan, module: str | None = None) -> str:
    """Name of the Verilog module with the standard buses: `module`, or NETWORK_axi."""
    return module_name(plan.description.name, module, suffix=AXI)


def to_axi_verilog(plan: Plan, module: str | None = None) -> str:
    """Verilog of the chain with standard buses; the same text for the same plan.

    ``module`` as of `hw.tops.verilog.to_verilog`.
    """
    name = axi_module_name(plan, module)
    return file_of(convert(AxiChain(plan=plan), name, compact=plan.compact))
