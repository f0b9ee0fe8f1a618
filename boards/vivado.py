"""A script for Vivado, which is no open tool: written here, run by whoever has it."""

from __future__ import annotations

_SCRIPT = """\
# In this folder:  vivado -mode batch -source {top}.tcl
create_project -in_memory -part {part}
read_verilog {verilog}
read_xdc {constraints}
synth_design -top {top} -part {part}
opt_design
place_design
phys_opt_design
route_design
report_utilization -file utilization.rpt
report_timing_summary -file timing.rpt
if {{[get_property SLACK [get_timing_paths]] < 0}} {{
    error "timing is not met, see timing.rpt; lower the clock with counterflow build --freq"
}}
write_bitstream -force {top}.bit
"""


def script(part: str, verilog: str, constraints: str, top: str) -> str:
    """Tcl that makes a bitstream of a top, or an error where timing is missed."""
    return _SCRIPT.format(part=part, verilog=verilog, constraints=constraints, top=top)
