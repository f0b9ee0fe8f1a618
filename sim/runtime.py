"""What all models of Verilator have in common, compiled once: its runtime, and headers.

Of a small model's build they are most.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PARTS = "verilated*"  # of the runtime, as objects and what they depend on
_HEADER = "shared.h"
_INCLUDED = ("verilated.h", "verilated_dpi.h", "verilated_vpi.h", "memory", "string")
_MACROS = (  # of a model without waves; a compiled header is for one setting of all
    "VERILATOR=1",
    *("VM_COVERAGE=0", "VM_SC=0", "VM_TIMING=0"),
    *("VM_TRACE=0", "VM_TRACE_FST=0", "VM_TRACE_VCD=0", "VM_TRACE_SAIF=0"),
)


def lend(kept: Path, folder: Path) -> None:
    """Give a build in `folder` the runtime that an earlier one compiled, if it is `kept`.

    Dated ahead, because make takes what is older than the makefile, made only then, for outdated.
    """
    ahead = time.time() + 3600
    for part in kept.glob(_PARTS):
        shutil.copy(part, folder / part.name)
        os.utime(folder / part.name, (ahead, ahead))


def keep(kept: Path, folder: Path) -> None:
    """Keep the runtime that a build in `folder` compiled; several builds may do so at once."""
    parts = [one for one in folder.glob(_PARTS) if one.suffix in (".o", ".d")]
    if not kept.exists():
        with _made(kept) as scratch:
            for part in parts:
                shutil.copy(part, scratch / part.name)


def header(kept: Path, root: Path, flags: tuple[str, ...]) -> Path | None:
    """A header for ``-include``, `kept` compiled for these `flags` of the compiler.

    `root`: Verilator's folder.  None where it cannot be made: a build does without.  A compiler
    that does not take the compiled one, since anything differs, reads it as text.
    """
    if not kept.exists():
        include = [f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"]
        macros = [f"-D{macro}" for macro in _MACROS]
        with _made(kept) as scratch:
            text = "".join(f"#include <{name}>\n" for name in _INCLUDED)
            (scratch / _HEADER).write_text(text, encoding="utf-8")
            command = [*include, *macros, *flags, "-x", "c++-header", _HEADER]
            with contextlib.suppress(OSError):
                subprocess.run(
                    ["c++", *command, "-o", f"{_HEADER}.gch"],
                    cwd=scratch,
                    capture_output=True,
                    check=False,
                )
    return kept / _HEADER if (kept / f"{_HEADER}.gch").exists() else None


@contextlib.contextmanager
def _made(kept: Path) -> Iterator[Path]:
    """A folder that becomes `kept`, whole or not at all, unless another process was first."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=kept.parent))
    try:
        yield scratch
        with contextlib.suppress(OSError):  # another build was first
            scratch.rename(kept)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
