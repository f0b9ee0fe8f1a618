"""Whether a Verilator model can write FST here, waveforms of a tenth of VCD's size."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

PACKAGES = "liblz4-dev and zlib1g-dev"  # Debian's, that bring what the wheel leaves to the system
REMEDY = (
    f"Waveforms will be VCD; with the Debian packages {PACKAGES} they would be FST, far smaller."
)

# What the compiler finds counts, wherever that is: it asks its own folders and its environment.
_PROBE = """#include <lz4.h>
#include <zlib.h>
int main() { return LZ4_versionNumber() > 0 && zlibVersion() ? 0 : 1; }
"""


@functools.cache
def can_be_built() -> bool:
    """Whether the compiler finds both libraries, asked once in a process."""
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
        source = Path(scratch) / "probe.cpp"
        source.write_text(_PROBE, encoding="utf-8")
        command = ["c++", source.name, "-o", "probe", "-llz4", "-lz"]
        try:
            done = subprocess.run(command, cwd=scratch, capture_output=True, check=False)
        except OSError:  # no compiler: the build says so
            return False
        return done.returncode == 0
