"""A LiteX SoC that trains a network from its own memory.

    pip install litex migen            # and Counterflow
    python litex_soc.py --net tiny     # leaves Verilog and scripts for an ULX3S in build/

A host on the UART writes weights through `COUNTERFLOW`, samples into `main_ram`, and starts the
DMAs; docs/buses.md shows its side.  A word of memory is a transfer of s_axis: the element in bits
7..0, kind and label (TUSER) in bits 17..8, the end of the packet in bit 31.  Predictions come as
words, the score in bits 15..0 and TUSER above it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from litex.build.generic_platform import IOStandard, Pins, Subsignal
from litex.build.lattice import LatticeECP5Platform
from litex.gen import ClockDomain, ClockSignal, LiteXModule, ResetSignal
from litex.soc.cores.dma import WishboneDMAReader, WishboneDMAWriter
from litex.soc.integration.builder import Builder
from litex.soc.integration.soc import SoCRegion
from litex.soc.integration.soc_core import SoCMini
from litex.soc.interconnect import axi, stream, wishbone
from migen import Instance

from counterflow.design.bus.registers import ADDRESS_BITS
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from counterflow.hw.tops.axi import axi_module_name, axi_ports, to_axi_verilog

COUNTERFLOW = 0x3000_0000  # where its registers are
MAIN_RAM = 0x4000_0000
PINS = [
    ("clk25", 0, Pins("G2"), IOStandard("LVCMOS33")),
    ("rst", 0, Pins("R1"), IOStandard("LVCMOS33")),
    ("serial", 0, Subsignal("tx", Pins("L4")), Subsignal("rx", Pins("M1")), IOStandard("LVCMOS33")),
]
LAST = 31  # bit of a word that ends a packet


class Trainer(LiteXModule):
    """The generated module with LiteX's interfaces: `bus`, `sink` and `source`."""

    def __init__(self, platform, design: Plan, verilog: Path) -> None:
        width = {name: port.shape for name, port in axi_ports(design).items()}
        self.bus = axi.AXILiteInterface(data_width=32, address_width=32)
        self.sink, self.source = (
            stream.Endpoint(
                stream.EndpointDescription(
                    [("data", width[f"{prefix}_tdata"])], [("user", width[f"{prefix}_tuser"])]
                ),
                name=prefix,
            )
            for prefix in ("s_axis", "m_axis")
        )
        connections = {"i_aclk": ClockSignal(), "i_aresetn": ~ResetSignal()}
        for prefix, endpoint, there in (("s_axis", self.sink, "i"), ("m_axis", self.source, "o")):
            back = "o" if there == "i" else "i"
            for name in ("valid", "last", "data", "user"):
                connections[f"{there}_{prefix}_t{name}"] = getattr(endpoint, name)
            connections[f"{back}_{prefix}_tready"] = endpoint.ready
        for name in ("aw", "w", "ar", "b", "r"):
            channel = getattr(self.bus, name)
            there, back = ("i", "o") if name in ("aw", "w", "ar") else ("o", "i")
            connections[f"{there}_s_axil_{name}valid"] = channel.valid
            connections[f"{back}_s_axil_{name}ready"] = channel.ready
            for field, bits in channel.description.payload_layout:
                wires = getattr(channel, field)[: ADDRESS_BITS if field == "addr" else bits]
                connections[f"{there}_s_axil_{name}{field}"] = wires
        self.specials += Instance(axi_module_name(design), **connections)
        platform.add_source(str(verilog))


class TrainingSoC(SoCMini):
    """Memory, two DMAs and a network that trains between them."""

    def __init__(self, platform, design: Plan, verilog: Path, frequency: int = 25_000_000) -> None:
        self.cd_sys = ClockDomain()
        self.comb += [
            self.cd_sys.clk.eq(platform.request("clk25")),
            self.cd_sys.rst.eq(platform.request("rst")),
        ]
        super().__init__(platform, frequency, ident="Counterflow", integrated_main_ram_size=1 << 14)
        self.trainer = Trainer(platform, design, verilog)
        region = SoCRegion(origin=COUNTERFLOW, size=1 << ADDRESS_BITS, cached=False)
        self.bus.add_slave("counterflow", self.trainer.bus, region)
        self.samples = WishboneDMAReader(self._master("samples"), endianness="big", with_csr=True)
        self.scores = WishboneDMAWriter(self._master("scores"), endianness="big", with_csr=True)
        taken, made = self.trainer.sink, self.trainer.source
        word = self.samples.source
        self.comb += [
            taken.valid.eq(word.valid),
            taken.data.eq(word.data),
            taken.user.eq(word.data[8:]),
            taken.last.eq(word.data[LAST]),
            word.ready.eq(taken.ready),
            self.scores.sink.valid.eq(made.valid),
            self.scores.sink.data[:16].eq(made.data),
            self.scores.sink.data[16:].eq(made.user),
            made.ready.eq(self.scores.sink.ready),
        ]

    def _master(self, name: str) -> wishbone.Interface:
        """A master on the SoC's bus."""
        made = wishbone.Interface(data_width=32, address_width=32, addressing="word")
        self.bus.add_master(name, made)
        return made


def generated(net: str, folder: Path) -> tuple[Plan, Path]:
    """A network's plan, and its Verilog in a file."""
    design = plan(load(net))
    if design.schedule.heads:
        raise ValueError(
            f"{design.description.name} has heads, but a word of memory has no room for whose "
            "prediction it is; take a network without"
        )
    folder.mkdir(parents=True, exist_ok=True)
    verilog = folder / f"{axi_module_name(design)}.v"
    verilog.write_text(to_axi_verilog(design))
    return design, verilog


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", default="tiny", help="network that trains")
    parser.add_argument("--out", type=Path, default=Path("build/litex"))
    parser.add_argument("--run", action="store_true", help="synthesise, place and route, too")
    chosen = parser.parse_args()
    design, verilog = generated(chosen.net, chosen.out)
    platform = LatticeECP5Platform("LFE5U-85F-6BG381C", PINS, toolchain="trellis")
    soc = TrainingSoC(platform, design, verilog.resolve())
    soc.add_uartbone()
    builder = Builder(soc, output_dir=str(chosen.out), compile_software=False)
    builder.build(run=chosen.run)


if __name__ == "__main__":
    main()
