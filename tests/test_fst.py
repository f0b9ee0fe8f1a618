"""Waveforms are FST where Verilator's writer can be built, else VCD, and hold the same."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pywellen import Waveform

from counterflow.design.data.sets import synthetic
from counterflow.design.network.files import load
from counterflow.design.parts.telling import telling
from counterflow.design.schedule.planner import plan
from counterflow.sim import fst, simulator
from counterflow.sim.simulate import simulate

HEADERS = {
    "lz4.h": 'extern "C" int LZ4_versionNumber();\n',
    "zlib.h": 'extern "C" const char *zlibVersion();\n',
}
LIBRARIES = {
    "liblz4.so": 'extern "C" int LZ4_versionNumber() { return 1; }\n',
    "libz.so": 'extern "C" const char *zlibVersion() { return "1"; }\n',
}


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    asked = fst.can_be_built
    asked.cache_clear()
    yield
    asked.cache_clear()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where the compiler finds both libraries before those of the machine."""
    for name, text in HEADERS.items():
        (tmp_path / name).write_text(text)
    for name, text in LIBRARIES.items():
        command = ["c++", "-shared", "-fPIC", "-x", "c++", "-", "-o", name]
        subprocess.run(command, cwd=tmp_path, input=text, text=True, check=True)
    monkeypatch.setenv("CPLUS_INCLUDE_PATH", str(tmp_path))
    monkeypatch.setenv("LIBRARY_PATH", str(tmp_path))
    return tmp_path


def test_both_libraries_are_found_wherever_the_compiler_looks(installed: Path) -> None:
    assert fst.can_be_built()


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_cannot_be_used_is_missing(installed: Path, name: str) -> None:
    (installed / name).write_text("#error\n")
    assert not fst.can_be_built()


def test_a_library_without_what_the_header_says_is_missing(installed: Path) -> None:
    (installed / "lz4.h").write_text(f"{HEADERS['lz4.h']}#define LZ4_versionNumber LZ5_none\n")
    (installed / "zlib.h").write_text(f'{HEADERS["zlib.h"]}extern "C" int LZ5_none();\n')
    assert not fst.can_be_built()


def test_without_a_compiler_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not fst.can_be_built()


def test_the_compiler_is_asked_once(installed: Path) -> None:
    assert fst.can_be_built()
    (installed / "lz4.h").write_text("#error\n")
    assert fst.can_be_built()


def made(
    monkeypatch: pytest.MonkeyPatch, can: bool, waves: bool, of: str = "verilator"
) -> tuple[Path, list[str], list[str]]:
    """Where a model is built, what its compiler is told beside what is always, what is said."""
    heard: list[str] = []

    def build(folder: Path, *_rest: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(simulator, "_build", build)
    monkeypatch.setattr(simulator, "check", lambda _simulator: None)
    monkeypatch.setattr(fst, "can_be_built", lambda: can)
    with telling(heard.append):
        folder = simulator.build("module a;", "a", of, waves)
    told = simulator._arguments(of, waves, ())
    return folder, told[len(simulator.ARGUMENTS[of]) :], heard[:-1]


def test_what_would_give_fst_is_said_in_a_sentence_where_waves_are_vcd(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COUNTERFLOW_CACHE", str(tmp_path))
    vcd, told, heard = made(monkeypatch, can=False, waves=True)
    assert (told, heard) == ([], [fst.REMEDY])
    assert "liblz4-dev" in fst.REMEDY
    assert "zlib1g-dev" in fst.REMEDY
    assert fst.REMEDY.count(".") == 1
    found, told, heard = made(monkeypatch, can=True, waves=True)
    assert (told, heard) == (["--trace-fst"], [])
    assert found != vcd  # a model that was built before writes what it wrote


@pytest.mark.parametrize(("waves", "of"), [(False, "verilator"), (True, "icarus")])
@pytest.mark.parametrize("can", [False, True])
def test_nothing_is_said_where_it_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, can: bool, waves: bool, of: str
) -> None:
    monkeypatch.setenv("COUNTERFLOW_CACHE", str(tmp_path))
    assert made(monkeypatch, can, waves, of)[1:] == ([], [])


def changes(dump: Path) -> dict[str, list[tuple[int, object]]]:
    """When each signal changes, and to what; a row of a memory has a bit's number in FST only."""
    there = Waveform(str(dump)).all_vars()
    found = {re.sub(r"(\[\d+\])\[0\]$", r"\1", one.full_name): list(one.signal) for one in there}
    assert len(found) == len(there) > 1000
    return found


@pytest.mark.slow
def test_fst_holds_the_changes_of_vcd_in_a_tenth_of_its_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not fst.can_be_built():
        pytest.skip(f"{fst.PACKAGES} are not installed")
    design, dumps = plan(load("tiny")), {}
    data = synthetic(6, 4, count=20, seed=1)
    for ending, can in (("fst", True), ("vcd", False)):
        folder = tmp_path / ending
        folder.mkdir()
        monkeypatch.setattr(fst, "can_be_built", lambda can=can: can)
        assert simulate(design, data, seed=1, samples=6, waves=folder).equal
        (dumps[ending],) = folder.iterdir()
        assert dumps[ending].name == f"dump.{ending}"
    in_fst, in_vcd = dumps["fst"], dumps["vcd"]
    assert in_fst.read_bytes()[:9] == bytes([0, *(329).to_bytes(8, "big")])  # an FST's header
    assert changes(in_fst) == changes(in_vcd)
    assert in_fst.stat().st_size * 10 < in_vcd.stat().st_size
    # One value that differs is found.
    head, mark, rest = in_vcd.read_text().rpartition("\nb1")
    in_vcd.write_text(f"{head}\nb0{rest}" if mark else "")
    assert changes(in_fst) != changes(in_vcd)
