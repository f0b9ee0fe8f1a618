"""A product behind a register, which is the multiplier block's own where a family needs telling."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Instance, Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import INSTANTIATES, multiplier_blocks
from counterflow.hw.parts.modules import Modules

FAMILY, SIDE = "ecp5", 18  # whose synthesis puts no register into a multiplier; bits of an operand

_TEXT = """module {name}(clk, a, b, o);
  input wire clk;
  input wire{a_signed} [{a_last}:0] a;
  input wire{b_signed} [{b_last}:0] b;
`ifdef {defined}
  output wire [{last}:0] o;
  wire [17:0] left = {left}, right = {right};
  wire [35:0] product;
  assign o = product[{last}:0];
  MULT18X18D #(.REG_OUTPUT_CLK("CLK0")) block (
    {ports}
    .SIGNEDA(1'b{a_is}), .SIGNEDB(1'b{b_is}), .SOURCEA(1'b0), .SOURCEB(1'b0),
    .CLK0(clk), .CE0(1'b1), .RST0(1'b0)
  );
`else
  output reg [{last}:0] o = 0;
  always @(posedge clk) o <= {a_plain} * {b_plain};
`endif
endmodule
"""


class Product(wiring.Component):
    """``o`` is ``a`` times ``b`` of the cycle before.

    Most families' synthesis puts this register into the multiplier.  That of ECP5 leaves it in the
    fabric, behind a wire of each bit; so for Verilog this is a module in text, which instantiates
    the block there (where it is synthesised with `design.fpga.blocks.INSTANTIATES` defined) and
    says the same in plain Verilog for all others.

    Parameters: shapes ``a`` and ``b``.
    Members: ``a``, ``b`` in; ``o`` out, as wide as both.
    Cost: `design.fpga.blocks.multiplier_blocks`; latency 1, one a cycle, no reset.  Products of
    more than one block are left to synthesis, and so are their registers.
    """

    def __init__(self, *, a: Shape, b: Shape) -> None:
        self.shapes = a, b
        self.shape = Shape(a.width + b.width, signed=a.signed or b.signed)
        super().__init__({"a": In(a), "b": In(b), "o": Out(self.shape)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sides = [shape.width + (not shape.signed) for shape in self.shapes]
        if isinstance(platform, Modules) and multiplier_blocks(sides[0], sides[1], FAMILY) == 1:
            m.submodules.block = self._instance(platform)
            return m
        m.d.sync += self.o.eq(self.a * self.b)
        return m

    def _instance(self, modules: Modules) -> Instance:
        (a, b), bits = self.shapes, self.shape.width
        kinds = "_".join(f"{'s' if one.signed else 'u'}{one.width}" for one in (a, b))
        name = modules.named(f"product_{kinds}")
        ports = {**_bits("A", "left", SIDE), **_bits("B", "right", SIDE)}
        ports |= _bits("P", "product", 2 * SIDE)
        modules.verilog[name] = _TEXT.format(
            name=name,
            defined=INSTANTIATES[FAMILY],
            a_last=a.width - 1,
            b_last=b.width - 1,
            last=bits - 1,
            a_signed=" signed" if a.signed else "",
            b_signed=" signed" if b.signed else "",
            left=_extended("a", a),
            right=_extended("b", b),
            ports="\n    ".join(f".{port}({bit})," for port, bit in ports.items()),
            a_plain=_beside("a", a, b),
            b_plain=_beside("b", b, a),
            a_is=int(a.signed),
            b_is=int(b.signed),
        )
        return Instance(name, i_clk=ClockSignal(), i_a=self.a, i_b=self.b, o_o=self.o)


def _bits(port: str, word: str, count: int) -> dict[str, str]:
    return {f"{port}{index}": f"{word}[{index}]" for index in range(count)}


def _beside(word: str, shape: Shape, other: Shape) -> str:
    """`word` as a factor in Verilog, where one unsigned operand makes the product unsigned."""
    return f"$signed({{1'b0, {word}}})" if other.signed and not shape.signed else word


def _extended(word: str, shape: Shape) -> str:
    """`word` of that shape as wide as the block's side."""
    more = SIDE - shape.width
    sign = f"{word}[{shape.width - 1}]" if shape.signed else "1'b0"
    return f"{{{{{more}{{{sign}}}}}, {word}}}" if more else word
