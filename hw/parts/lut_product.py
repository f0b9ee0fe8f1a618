"""A product of look-up tables, for what a device's multiplier blocks are too few for."""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Cat, Instance, Module, Mux, Shape, Signal, Value

from counterflow.design.fpga.blocks import INSTANTIATES
from counterflow.design.fpga.products import ROWS_AT_ONCE
from counterflow.hw.parts.modules import Modules
from counterflow.hw.parts.product import Product

FAMILY = "ecp5"  # whose synthesis puts the products of bits before the carry chain that adds them
PLUS, MINUS = "16'h7888", "16'h8777"  # A B xor C D of a cell's inputs, and not that

_TEXT = """module {name}(a, low, high, o);
  input wire [{last}:0] a;
  input wire low, high;
  output wire [{end}:0] o;
  wire [{top}:0] once = {{{{{more}{{{sign}}}}}, a}}, twice = {{once[{end}:0], 1'b0}};
`ifdef {defined}
  wire [{cells}:0] carry;
  wire [{top}:0] sum;
  assign carry[0] = 1'b{negative}, o = sum[{end}:0];
  genvar at;
  generate for (at = 0; at < {cells}; at = at + 1) begin : cells
    CCU2C #(.INIT0({init}), .INIT1({init}), .INJECT1_0("NO"), .INJECT1_1("NO")) adder (
      .CIN(carry[at]), .COUT(carry[at + 1]),
      .A0({first}[2 * at]), .B0({first_bit}), .C0({second}[2 * at]), .D0({second_bit}),
      .A1({first}[2 * at + 1]), .B1({first_bit}), .C1({second}[2 * at + 1]), .D1({second_bit}),
      .S0(sum[2 * at]), .S1(sum[2 * at + 1])
    );
  end endgenerate
`else
  wire [{top}:0] sum = ({{{bits}{{low}}}} & once) {sign_of} ({{{bits}{{high}}}} & twice);
  assign o = sum[{end}:0];
`endif
endmodule
"""


class Part(NamedTuple):
    """The product of a factor of so many `bits` and bits `at` to `end` of the other one."""

    at: int
    end: int
    bits: int
    total: Value


class LutProduct(Product):
    """``o`` is ``a`` times ``b`` of the cycle before, of logic: `Product` without a block.

    Twice as many bits of the narrower factor are seen at each level of a tree: the first one adds
    what two of them make of the other factor, one of these shifted; the next ones add those sums.
    Nothing in it is a multiplication to synthesis, which would take a block for it.  On ECP5 a cell
    of a carry chain has room for the products of its bits, which synthesis does not use; so for
    Verilog the first level is a module in text, which instantiates those cells there (where
    `design.fpga.blocks.INSTANTIATES` is defined) and says the same in plain Verilog for all others.

    Parameters and members are those of `Product`.
    Cost: `design.fpga.products.product_luts`, no multiplier block; latency 1, one a cycle, no
    reset.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wide, rows = (self.a, self.b) if len(self.a) >= len(self.b) else (self.b, self.a)
        parts = [
            self._pair(m, platform, at, wide, rows) for at in range(0, len(rows), ROWS_AT_ONCE)
        ]
        while len(parts) > 1:
            pairs = (parts[at : at + 2] for at in range(0, len(parts), 2))
            parts = [self._sum(m, *pair) if len(pair) > 1 else pair[0] for pair in pairs]
        product = Signal(self.shape, name="product", reset_less=True)
        m.d.sync += product.eq(parts[0].total)
        m.d.comb += self.o.eq(product)
        return m

    @staticmethod
    def _pair(m: Module, platform: object, at: int, wide: Value, rows: Value) -> Part:
        """`wide` times the bits at this place of `rows`, of which one may be left.

        The last bit of a signed factor counts negative; where it stands alone it is two such bits.
        """
        bits = rows[at : at + ROWS_AT_ONCE]
        end = at + len(bits)
        negative = rows.shape().signed and end == len(rows)
        if len(bits) == 1 and not negative:
            return Part(at, end, len(wide), Mux(bits[0], wide, 0))
        shape = Shape(len(wide) + ROWS_AT_ONCE, signed=negative or wide.shape().signed)
        total = Signal(shape, name=f"pair_{at}")
        if isinstance(platform, Modules):
            m.submodules[f"cells_{at}"] = _instance(platform, wide, bits, total, negative)
        else:
            once, twice = Mux(bits[0], wide, 0), Mux(bits[-1], wide, 0).shift_left(1)
            m.d.comb += total.eq(once - twice if negative else once + twice)
        return Part(at, end, len(wide), total)

    @staticmethod
    def _sum(m: Module, low: Part, high: Part) -> Part:
        """Both, the upper one shifted to its place: what is below it is the lower one's."""
        drop, below = high.at - low.at, low.total
        signed = high.total.shape().signed or below.shape().signed
        above = Signal(
            Shape(low.bits + high.end - high.at, signed=signed), name=f"sum_{low.at}_{high.end}"
        )
        m.d.comb += above.eq(high.total + below.shift_right(drop))
        whole = Cat(below[:drop], above)
        return Part(low.at, high.end, low.bits, whole.as_signed() if signed else whole)


def _instance(
    modules: Modules, wide: Value, rows: Value, total: Signal, negative: bool
) -> Instance:
    signed, bits = wide.shape().signed, len(total)
    name = modules.named(f"rows_{'s' if signed else 'u'}{len(wide)}{'_minus' * negative}")
    cells = -(-bits // 2)
    # The carry of a cell follows A and B where C and D are zero: the negative row has to be there.
    once, twice = ("once", "low"), ("twice", "high")
    (first, first_bit), (second, second_bit) = (twice, once) if negative else (once, twice)
    modules.verilog[name] = _TEXT.format(
        name=name,
        defined=INSTANTIATES[FAMILY],
        last=len(wide) - 1,
        end=bits - 1,
        bits=2 * cells,
        top=2 * cells - 1,
        more=2 * cells - len(wide),
        sign=f"a[{len(wide) - 1}]" if signed else "1'b0",
        cells=cells,
        negative=int(negative),
        init=MINUS if negative else PLUS,
        first=first,
        first_bit=first_bit,
        second=second,
        second_bit=second_bit,
        sign_of="-" if negative else "+",
    )
    return Instance(name, i_a=wide, i_low=rows[0], i_high=rows[-1], o_o=total)
