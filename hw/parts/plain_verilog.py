"""Plain Verilog of RTLIL, by Yosys: what every simulator and synthesis tool takes alike."""

from __future__ import annotations

import re

from amaranth._toolchain.yosys import YosysError, find_yosys

from counterflow.design.parts.names import APART

# `proc` leaves no `always @*`: such a block waits for an input to change, and one whose inputs only
# have initial values never runs where these are set first, as SystemVerilog wants.
_SCRIPT = """read_rtlil <<rtlil
{rtlil}
rtlil
proc -norom
memory_collect
attrmap {attributes}
attrmap -modattr {attributes}
write_verilog
"""
_INTERNAL = ("generator", "top", "src", "full_case", "amaranth.hierarchy", "amaranth.decoding")


def plain_verilog(rtlil: str) -> str:
    """The Verilog of all modules in `rtlil`, the same text for the same modules.

    Modules have plain names, those of the hierarchy joined by `APART`.
    OSError where Yosys fails: it reads what Amaranth wrote, so the fault is in the surroundings.
    """
    attributes = " ".join(f"-remove {name}" for name in _INTERNAL)
    script = _SCRIPT.format(rtlil=rtlil, attributes=attributes)
    try:
        yosys = find_yosys(lambda version: version >= (0, 40))
        text: str = yosys.run(["-q", "-"], script, ignore_warnings=True)
    except YosysError as error:
        said = str(error).strip().splitlines() or ["it said nothing"]
        raise OSError(f"Yosys, which writes the Verilog, failed: {said[-1]}") from error
    text = re.sub(r"\A(/\*.*?\*/\s*)", "", text, flags=re.DOTALL)
    return _ZEROS.sub(_zeros_in_a_loop, _plainly_named(text))


_ESCAPED = re.compile(r"\\(\S+) ")  # such a name ends with a space
_MODULE = re.compile(r"^module \\?([^\s(]+)", re.MULTILINE)


def _plainly_named(text: str) -> str:
    """Modules named after their place, `top.unit.part`, as `top__unit__part`."""
    plain = {name: name.replace(".", APART) for name in _MODULE.findall(text)}
    assert len(set(plain.values())) == len(plain), "two modules would have one name"
    return _ESCAPED.sub(lambda name: plain.get(name[1], name[0]), text)


_ZEROS = re.compile(r"  initial begin\n((?:    \S+\[\d+\] = \d+'h0+;\n)+)  end\n")


def _zeros_in_a_loop(block: re.Match[str]) -> str:
    """One loop for a memory that starts as zeros, so that text does not grow with its depth."""
    first = block[1].split("\n", 1)[0].strip()
    name, width = first.split("[", 1)[0], first.split("= ", 1)[1].split("'", 1)[0]
    index, depth = f"{name}_index", block[1].count("\n")
    return (
        f"  integer {index};\n"
        f"  initial for ({index} = 0; {index} < {depth}; {index} = {index} + 1)\n"
        f"    {name}[{index}] = {width}'h0;\n"
    )
