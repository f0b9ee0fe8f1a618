"""A simple dual-port memory of any size whose Verilog does not grow with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, Shape, ShapeLike
from amaranth.lib import wiring
from amaranth.lib.memory import Memory, ReadPort, WritePort
from amaranth.lib.wiring import In, Out

from counterflow.hw.parts.modules import Modules

_PORTS = """module {name}(clk, read_address, read_data, write_enable, write_address, write_data);
  input wire clk;
  input wire [{address}:0] read_address;
  output reg [{data}:0] read_data = 0;
  input wire write_enable;
  input wire [{address}:0] write_address;
  input wire [{data}:0] write_data;
"""

_LARGE = (
    _PORTS
    + """  (* never_collides *) reg [{data}:0] words [0:{last}];
  genvar first;
  generate for (first = 0; first <= {last}; first = first + {zeroed}) begin : zeros
    integer index;
    initial for (index = first; index < first + {zeroed} && index <= {last}; index = index + 1)
      words[index] = 0;
  end endgenerate
  always @(posedge clk) begin
    if (write_enable) words[write_address] <= write_data;
    read_data <= words[read_address];
  end
endmodule
"""
)

_LUT_RAM = _LARGE.replace("(* never_collides *)", '(* never_collides, ram_style = "distributed" *)')

_SMALL = (
    _PORTS
    + """  (* ram_style = "block", rom_style = "block" *) reg [{data}:0] words [0:{last}];
  integer index;
  initial begin
    for (index = 0; index <= {last}; index = index + 1) words[index] = 0;
{values}  end
  always @(posedge clk) if (write_enable) words[write_address] <= write_data;
  always @({edge} clk) read_data <= words[read_address];
endmodule
"""
)


ZEROED = 128  # words by one loop: Yosys takes the square of their number for each


class BlockMemory(wiring.Component):
    """One read and one write a cycle.

    Nobody may use a word that is read in the cycle in which it is written.  Simulators give the old
    one; block RAM gives either or neither, and the attribute in the Verilog tells synthesis not to
    spend registers and a multiplexer a bit on making it the old one.

    One that reads at the ``falling`` edge of the clock gives, in the second half of a cycle, the
    word that is addressed in its first: what LUT RAM is for where there is some.  A word written in
    that cycle is written later.  The address has to come from registers, and what follows the word
    has half a cycle.

    Amaranth writes a memory's initial value out bit by bit, millions of them for weights.  So for
    Verilog this is an instance of a module in text; in simulation by Amaranth it is its memory.

    Parameters: ``words`` (at least 2) of ``bits``; ``falling``; ``init``, its first words from the
    start, else zeros; ``distributed``: it is LUT RAM, however large.
    Members: ``read_address`` in, ``read_data`` out a cycle later (`falling`: in the same cycle);
    ``write_enable``, ``write_address``, ``write_data`` in.
    Cost: one block memory; latency 1 or 0.
    """

    def __init__(
        self,
        *,
        words: int,
        bits: int,
        falling: bool = False,
        init: Sequence[int] = (),
        distributed: bool = False,
    ) -> None:
        self.words, self.bits, self.falling, self.init = words, bits, falling, tuple(init)
        self.distributed = distributed
        super().__init__(
            {
                "read_address": In(range(words)),
                "read_data": Out(bits),
                "write_enable": In(1),
                "write_address": In(range(words)),
                "write_data": In(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if isinstance(platform, Modules):
            m.submodules.memory = self._instance(platform)
            return m
        m.submodules.memory = memory = Memory(shape=self.bits, depth=self.words, init=self.init)
        read = memory.read_port(domain="comb" if self.falling else "sync")
        write = memory.write_port()
        m.d.comb += [
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
        ]
        return m

    def _instance(self, modules: Modules) -> Instance:
        name = modules.named(f"memory_{self.words}x{self.bits}")
        if self.falling:
            name += "_falling"
        if self.init:
            name += "_" + hashlib.sha256(repr(self.init).encode()).hexdigest()[:8]
        text = _SMALL if self.falling or self.init else _LARGE
        if self.distributed:
            name, text = f"{name}_distributed", _LUT_RAM
        lines = (f"    words[{at}] = {value};\n" for at, value in enumerate(self.init))
        modules.verilog[name] = text.format(
            name=name,
            zeroed=ZEROED,
            edge="negedge" if self.falling else "posedge",
            address=(self.words - 1).bit_length() - 1,
            data=self.bits - 1,
            last=self.words - 1,
            values="".join(lines),
        )
        return Instance(
            name,
            i_clk=ClockSignal(),
            i_read_address=self.read_address,
            o_read_data=self.read_data,
            i_write_enable=self.write_enable,
            i_write_address=self.write_address,
            i_write_data=self.write_data,
        )


def falling_memory(m: Module, name: str, *, shape: ShapeLike, depth: int) -> tuple[Any, Any]:
    """(write port, read port) of a memory that reads at the falling edge."""
    block = BlockMemory(words=depth, bits=Shape.cast(shape).width, falling=True)
    m.submodules[name] = block
    address = len(block.read_address)
    write = WritePort.Signature(addr_width=address, shape=shape).create(path=("write",))
    read = ReadPort.Signature(addr_width=address, shape=shape).create(path=("read",))
    m.d.comb += [
        block.write_enable.eq(write.en),
        block.write_address.eq(write.addr),
        block.write_data.eq(write.data),
        block.read_address.eq(read.addr),
        read.data.eq(block.read_data),
    ]
    return write, read
