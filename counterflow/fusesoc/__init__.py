"""FuseSoC: the core file of a generated design, and a generator for cores that depend on one.

The folder of this package is a library for FuseSoC; `python -m counterflow.fusesoc` prints it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT_VERSION = "0"

# Widths that differ are harmless in generated Verilog; everything else stays an error.
LINT_OPTIONS = ["-Wno-WIDTH"]


def default_vlnv(module: str) -> str:
    """The core name (vendor, library, name, version) of a design's Verilog module."""
    return f"counterflow:networks:{module}:{DEFAULT_VERSION}"


def core_file(*, vlnv: str, module: str, verilog: str, header: str, about: str) -> str:
    """A core in CAPI2 of one Verilog file with module `module`, and the C header beside it.

    Its targets are `default`, for cores that depend on it, and `lint`, which elaborates it with
    Verilator.  ValueError if `vlnv` is no name that FuseSoC takes.
    """
    if not re.fullmatch(r"[\w.-]*:[\w.-]*:[\w.-]+(:[\w.-]+)?", vlnv):
        raise ValueError(
            f"{vlnv!r} is no name of a core; FuseSoC wants vendor:library:name:version, for "
            f"example {default_vlnv(module)}"
        )
    core = {
        "name": vlnv,
        "description": about,
        "filesets": {
            "rtl": {"files": [verilog], "file_type": "verilogSource"},
            "software": {"files": [{header: {"file_type": "user", "copyto": header}}]},
        },
        "targets": {
            "default": {"filesets": ["rtl", "software"]},
            "lint": {
                "filesets": ["rtl"],
                "toplevel": module,
                "flow": "lint",
                "flow_options": {"tool": "verilator", "verilator_options": LINT_OPTIONS},
            },
        },
    }
    return f"CAPI=2:\n{json.dumps(core, indent=2)}\n"  # YAML contains JSON
