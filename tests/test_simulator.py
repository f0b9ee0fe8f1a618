"""Built models are kept, and used again only where they can run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from counterflow.design.parts.telling import telling
from counterflow.sim import runtime, simulator


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """The folders that were built into, one after the other."""
    folders: list[Path] = []

    def build(folder: Path, *rest: object) -> None:
        folder.mkdir(parents=True)
        (folder / "built").touch()
        folders.append(folder)

    monkeypatch.setenv("COUNTERFLOW_CACHE", str(tmp_path))
    monkeypatch.setattr(simulator, "_build", build)
    return folders


def test_equal_verilog_is_built_once(built: list[Path]) -> None:
    assert simulator.build("module a;", "a") == simulator.build("module a;", "a")
    assert len(built) == 1


def test_a_model_of_another_environment_is_not_used(
    built: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is linked to libraries there, which may be gone."""
    simulator.build("module a;", "a")
    monkeypatch.setattr(simulator, "_libraries", lambda: Path("elsewhere"))
    simulator.build("module a;", "a")
    assert len(set(built)) == 2


def test_who_waits_hears_that_a_model_is_built_and_later_that_it_was(
    built: list[Path], tmp_path: Path
) -> None:
    heard: list[str] = []
    with telling(heard.append):
        for _ in range(2):
            folder = simulator.build("module a;\nendmodule\n", "a")
    assert heard == [
        f"Building the model, 2 lines of Verilog; it stays in {folder}",
        f"The model was built before: {folder}",
    ]
    simulator.build("module b;", "b")
    assert len(heard) == 2


VERILOG = """module toggle(input clk, output reg q = 0);
  always @(posedge clk) q <= ~q;
endmodule
"""


def test_the_headers_that_are_compiled_once_are_those_that_a_build_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A compiled header that differs in an option or a macro would be passed over in silence."""
    monkeypatch.setenv("COUNTERFLOW_CACHE", str(tmp_path))
    options = ["-CFLAGS", "-Winvalid-pch -H"]  # the compiler names what it reads
    log = simulator.build(VERILOG, "toggle", quick=True, options=options) / "build.log"
    (header,) = tmp_path.glob("headers-*/shared.h")
    taken = [line for line in log.read_text().splitlines() if line == f"! {header}.gch"]
    assert len(taken) == 2  # the model and what starts it; the runtime, once, has other options


def test_a_build_does_without_headers_that_cannot_be_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(*_arguments: object, **_options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("counterflow.sim.runtime.subprocess.run", missing)
    assert runtime.header(tmp_path / "kept", tmp_path, ("-O0",)) is None


def test_what_is_kept_is_whole_and_the_first_one_stays(tmp_path: Path) -> None:
    kept, build = tmp_path / "kept", tmp_path / "build"
    build.mkdir()
    for name in ("verilated.o", "verilated.d", "verilated.cpp", "Vtop.o"):
        (build / name).write_text("first")
    runtime.keep(kept, build)
    (build / "verilated.o").write_text("second")
    runtime.keep(kept, build)
    assert {path.name: path.read_text() for path in kept.iterdir()} == {
        "verilated.o": "first",
        "verilated.d": "first",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "build"}


def test_what_a_user_tells_benches_of_cocotb_is_not_for_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = {"COCOTB_TEST_FILTER": "none", "COCOTB_RANDOM_SEED": "x", "GUI": "1", "WAVES": "1"}
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    with simulator.environment(EXTRA="yes"):
        assert os.environ["EXTRA"] == "yes"
        assert not theirs.keys() & os.environ.keys()
    assert {name: os.environ[name] for name in theirs} == theirs
    assert "EXTRA" not in os.environ
