"""FuseSoC: the core file of a generated design, and a generator for cores that depend on one.

The folder of this package is a library for FuseSoC; `python -m counterflow.fusesoc` prints it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT_VERSION = "0"


def default_vlnv(module: str) -> str:
    """The core name (vendor, library, name, version) of a design's Verilog module."""
    return f"counterflow:networks:{module}:{DEFAULT_VERSION}"


def core_file(*, vlnv: str, module: str, stem: str, about: str) -> str:
    """A core in CAPI2 of the Verilog file ``stem.v`` with `module`, and its C header.

    Its targets are `default`, for cores that depend on it, and `lint`, which elaborates it with
    Verilator.  ValueError if `vlnv` is no name that FuseSoC takes.
    """
    if not re.fullmatch(r"[\w.-]*:[\w.-]*:[\w.-]+(:[\w.-]+)?", vlnv, re.ASCII):
        raise ValueError(
            f"{vlnv!r} is no name of a core; FuseSoC wants vendor:library:name:version, for "
            f"example {default_vlnv(module)}"
        )
    filesets = ["rtl", "software"]
    core = {
        "name": vlnv,
        "description": about,
        "filesets": {
            "rtl": {"files": [f"{stem}.v"], "file_type": "verilogSource"},
            "software": {"files": [{f"{stem}.h": {"copyto": f"{stem}.h"}}], "file_type": "user"},
        },
        "targets": {
            "default": {"filesets": filesets},
            "lint": {
                "filesets": filesets,
                "toplevel": module,
                "flow": "lint",
                "flow_options": {"tool": "verilator"},
            },
        },
    }
    return f"CAPI=2:\n{json.dumps(core, indent=2)}\n"  # YAML contains JSON
