"""Memories that are worse than they must be, for tests: what nobody may rely on is made wrong."""

from __future__ import annotations

_READ = "    read_data <= words[read_address];\n"
CLASH = (
    "read_data <= write_enable && write_address == read_address ? "
    "~words[read_address] : words[read_address];"
)
_INITIAL = "words[index] = 0;"
_NOISE = "words[index] = ~index;"


def harsh(verilog: str) -> str:
    """A design with block memories that start with noise and give noise where accesses collide.

    A word that is read in the cycle in which it is written comes out inverted: block RAM gives the
    old word, the new one, or neither, and `hw.parts.block_memory.BlockMemory` promises that nobody
    looks.
    """
    for plain, worse in ((_READ, f"    {CLASH}\n"), (_INITIAL, _NOISE)):
        if plain not in verilog:
            raise ValueError(f"the design has no block memory with the line {plain.strip()!r}")
        verilog = verilog.replace(plain, worse)
    return verilog
