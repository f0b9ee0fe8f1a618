"""`counterflow build`, `program` and `boards`: bitstreams for real, and each refusal a sentence."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from counterflow.boards import flow, loader
from counterflow.boards.bitstream import device, expected
from counterflow.boards.fits import LINK
from counterflow.boards.report import AROUND, BuildReport
from counterflow.boards.table import BOARDS, Board, board
from counterflow.boards.top import Source
from counterflow.cli import main
from counterflow.design.fpga.targets import Resources
from counterflow.design.network.files import load, shipped
from counterflow.design.schedule.planner import plan
from counterflow.design.tools import programs
from counterflow.design.tools.placements import Placements
from counterflow.design.tools.routing import CriticalPath, Routed
from counterflow.design.tools.synthesis_report import SynthesisReport
from tests.echo import top_of

pytestmark = pytest.mark.usefixtures("elsewhere")

ICE40 = bytes.fromhex("ff0000ff7eaa997e510001059200206202b382000072015011000101")
ECP5 = b"\xff\x00Part: x\x00\xff\xff\xff\xbd\xb3\xff\xff\xe2\x00\x00\x00"


def needs_programs() -> None:
    for program in (programs.YOSYS, programs.BOARD_PINS, *programs.ROUTERS.values()):
        pytest.importorskip(program.module, reason=f"the package {program.package} is missing")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def blink(name: str, folder: Path, frequency: float) -> BuildReport:
    """A build of a few registers behind the real clock, reset and pins of a board."""
    needs_programs()
    source = Source(top_of(name, frequency), {}, frequency)
    return flow.build(
        board(name),
        plan(load("tiny")),
        source,
        folder,
        lambda _stage, _detail: None,
        asked=frequency,
        baud=1_000_000,
        seeds=[1],
    )


# Bitstreams


@pytest.mark.parametrize(
    ("name", "frequency"),
    [
        ("icebreaker", 24.0),
        pytest.param("ulx3s-85f", 50.0, marks=pytest.mark.slow),
        pytest.param("orangecrab-85f", 80.0, marks=pytest.mark.slow),
        pytest.param("ecpix5-85f", 80.0, marks=pytest.mark.slow),
    ],
)
def test_a_bitstream_is_for_the_device_of_its_board(
    name: str, frequency: float, tmp_path: Path
) -> None:
    report = blink(name, tmp_path, frequency)
    assert report.late() is None
    assert report.found.routed is not None
    log = (tmp_path / "nextpnr.log").read_text()
    held_to = float(re.findall(r"at ([0-9.]+) MHz\)", log)[-1])
    # nextpnr counts periods in whole picoseconds.
    assert abs(1e6 / held_to - 1e6 / frequency) < 2, "the frequency of the PLL reaches the timing"
    ending = flow.BITSTREAM[board(name).fpga.family]
    data = (tmp_path / f"tiny.{ending}").read_bytes()
    assert device(data) == expected(board(name).fpga.part)
    if board(name).dfu is not None:
        assert (tmp_path / "tiny.dfu").read_bytes().startswith(data)


def test_a_frequency_that_is_too_high_leaves_no_bitstream_but_advice(tmp_path: Path) -> None:
    report = blink("icebreaker", tmp_path, 204.0)
    late = report.late()
    assert late is not None
    assert "tiny on icebreaker does not meet 204 MHz: after routing with seed 1 it reaches" in late
    assert "The slowest path" in late
    assert "Lower the clock with --freq" in late
    assert not list(tmp_path.glob("tiny.*"))


@pytest.mark.slow
def test_tiny_becomes_a_bitstream_from_the_command_line() -> None:
    needs_programs()
    result = run("build", "tiny", "--board", "ulx3s-85f", "-o", "out", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["met"]
    assert answer["fmax"] >= answer["frequency"] == 50
    assert answer["total"]["multipliers"] == answer["plan"]["multipliers"]
    assert device(Path("out/tiny.bit").read_bytes()) == "LFE5U-85F"
    names = {path.name for path in Path("out").iterdir()}
    assert {"tiny.bit", "top.v", "top.lpf", "build.json", "build.toml", "build-yosys.log"} <= names
    done = run("program", "out/tiny.bit", "--board", "ulx3s-85f", "--dry-run")
    assert done.stdout == "openFPGALoader -b ulx3s out/tiny.bit\n"


@pytest.mark.slow
def test_a_network_that_learns_the_digits_fits_the_smallest_board() -> None:
    needs_programs()
    result = run("build", "digits-8bit", "--board", "icebreaker", "-o", "out", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["met"]
    assert answer["fmax"] >= answer["frequency"] == 12
    assert device(Path("out/digits-8bit.bin").read_bytes()) == "iCE40UP5K"
    assert answer["units"][AROUND]["block_rams"] == LINK.block_rams
    assert answer["units"][AROUND]["luts"] == pytest.approx(LINK.luts, rel=0.1)
    assert answer["total"]["block_rams"] == answer["plan"]["block_rams"] + LINK.block_rams


@pytest.mark.slow
def test_a_xilinx_board_gets_sources_and_a_script() -> None:
    needs_programs()
    result = run("build", "tiny", "--board", "arty-a7-100", "-o", "out", "--json")
    assert result.exit_code == 0, result.output
    script = Path("out/top.tcl").read_text()
    assert "read_xdc top.xdc" in script
    assert "-part xc7a100ticsg324-1L" in script
    assert {"top.v", "top.xdc"} <= {path.name for path in Path("out").iterdir()}
    assert json.loads(result.stdout)["fmax"] is None


def test_the_suffix_for_dfu_is_that_of_the_standard() -> None:
    made = flow.with_dfu_suffix(b"bits", 0x1209, 0x5AF0)
    assert made[:4] == b"bits"
    assert made[4:16] == bytes.fromhex("ffff f05a 0912 0001") + b"UFD\x10"
    # A CRC over data and its own CRC, not inverted, leaves the same remainder for all data.
    assert zlib.crc32(made) == 0xFFFFFFFF


# What is missed


def report(**changes: Any) -> BuildReport:
    path = CriticalPath("a.b", "c.d", levels=3, logic=9.0, routing=11.0)
    one = board("icebreaker")
    found = SynthesisReport(
        network="net",
        unit=None,
        target=one.fpga,
        taken={"dense0": Resources(luts=10), "board": Resources(luts=3)},
        planned={},
        seed=7,
        frequency=24.0,
        placements=Placements({7: Routed(20.5, (path,), {}, {})}, {}),
    )
    return BuildReport(one, plan(load("tiny")), replace(found, **changes), asked=24.0, baud=1)


def test_what_is_too_slow_says_the_path_and_a_frequency_that_would_do() -> None:
    assert report().late() == (
        "net on icebreaker does not meet 24 MHz: after routing with seed 7 it reaches 20.50 MHz. "
        "The slowest path, 20.0 ns in 3 levels of logic, leads from a.b to c.d. Lower the clock "
        "with --freq 20, try --seeds 5, or ask for fewer lanes with --multipliers."
    )
    assert report(frequency=20.5).late() is None
    # Below 16 MHz only the oscillator's own 12 are left, and below these nothing.
    for fmax, advice in ((15.0, "--freq 12,"), (11.0, "No clock that this board can make")):
        slow = replace(report().found.routed, fmax=fmax)  # type: ignore[type-var]
        late = report(placements=Placements({7: slow}, {})).late()
        assert late is not None
        assert advice in late


def test_what_is_packed_and_too_large_is_found_in_the_log() -> None:
    log = "Info: \t         ICESTORM_LC:    6481/   5280   122%\nInfo:  SB_IO:  7/  39  17%\n"
    assert flow.overfull(log) == ("logic cells", 6481, 5280)
    assert flow.overfull(log.replace("6481", "5280")) is None


def test_a_network_that_does_not_fit_after_packing_ends_with_advice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs_programs()

    def too_full(*_arguments: Any, **_options: Any) -> BuildReport:
        raise flow.OverfullError("logic cells", 6481, 5280)

    monkeypatch.setattr(flow, "build", too_full)
    result = run("build", "digits-8bit", "--board", "icebreaker", "-o", "out")
    assert result.exit_code == 2
    assert (
        "digits-8bit does not fit icebreaker: packed with the host link it needs 6,481 logic cells "
        "of 5,280 (1,201 too many). It fits ulx3s-85f" in result.stderr
    )
    assert list(Path("out").iterdir()) == []


# Refusals


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tiny", "--board", "ulx3s"), "there is no board 'ulx3s'; did you mean 'ulx3s-85f'?"),
        (("tiny", "--board", "tang-primer-20k"), "tang-primer-20k is not supported"),
        (("digits", "--board", "icebreaker"), "digits does not fit up5k: it needs at least"),
        (
            ("digits-8bit", "--board", "icebreaker", "--freq", "14"),
            "icebreaker: the PLL makes 16 to 275 MHz and cannot make 14 MHz",
        ),
        (
            ("tiny", "--board", "ulx3s-85f", "--baud", "30000000"),
            "ulx3s-85f: a clock of 50 MHz is too slow for 30,000,000 baud",
        ),
        (("tiny", "--board", "ulx3s-85f", "--freq", "0"), "Invalid value for '--freq'"),
        (("tiny",), "Missing option '--board'"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(
    arguments: tuple[str, ...], sentence: str
) -> None:
    needs_programs()
    result = run("build", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert not [path for path in Path().rglob("*") if path.is_file()]


def test_what_does_not_fit_ends_with_what_would() -> None:
    needs_programs()
    assert "It fits" in run("build", "digits", "--board", "icebreaker").stderr


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        programs, "BOARD_PINS", replace(programs.BOARD_PINS, module="no_such_module")
    )
    result = run("build", "tiny", "--board", "ulx3s-85f")
    assert result.exit_code == 2
    assert "the pins of boards is missing" in result.stderr
    assert "pip install amaranth-boards" in result.stderr


# Programming


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (ICE40, "iCE40UP5K"),
        (ICE40.replace(b"\x02\xb3", b"\x03\x67").replace(b"\x01\x50", b"\x01\x10"), "iCE40HX8K"),
        (ECP5 + bytes.fromhex("41113043"), "LFE5U-85F"),
        (ECP5 + bytes.fromhex("81113043"), "LFE5UM5G-85F"),
        (ECP5 + bytes.fromhex("12345678"), "an ECP5 of identity 0x12345678"),
    ],
)
def test_a_bitstream_says_its_device(data: bytes, name: str) -> None:
    assert device(data) == name


@pytest.mark.parametrize("data", [b"", b"no bits", ICE40[:10], b"\xff\xff\xbd\xb3", ICE40[4:8]])
def test_what_is_no_bitstream_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="is no bitstream for an ECP5 or an iCE40"):
        device(data)


def test_a_bitstream_for_another_device_is_refused() -> None:
    Path("tiny.bin").write_bytes(ICE40)
    result = run("program", "tiny.bin", "--board", "ulx3s-85f")
    assert result.exit_code == 2
    assert "tiny.bin is for iCE40UP5K, but ulx3s-85f has LFE5U-85F; make one" in result.stderr
    other = run("program", "none.bin", "--board", "ulx3s-85f")
    assert other.exit_code == 2
    assert "none.bin: No such file" in other.stderr


def test_a_missing_loader_is_named_with_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    Path("tiny.bin").write_bytes(ICE40)
    result = run("program", "tiny.bin", "--board", "icebreaker")
    assert result.exit_code == 2
    assert "iceprog is missing, which writes the bitstream to this board: apt-get" in result.stderr


def test_the_loader_gets_the_file_and_its_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("bin").mkdir()
    program = Path("bin/iceprog")
    program.write_text('#!/bin/sh\necho "$@" > got\nexit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path('bin').absolute()}:/bin:/usr/bin")
    Path("tiny.bin").write_bytes(ICE40)
    result = run("program", "tiny.bin", "--board", "icebreaker")
    assert result.exit_code == 2
    assert "iceprog ended with status 3; tiny.bin may not be on the board." in result.stderr
    assert Path("got").read_text() == "tiny.bin\n"


def test_the_file_with_the_suffix_is_taken_for_dfu() -> None:
    one: Board = board("orangecrab-85f")
    Path("tiny.bit").write_bytes(ECP5 + bytes.fromhex("41113043"))
    assert loader.command(one, Path("tiny.bit"))[-1] == "tiny.bit"
    Path("tiny.dfu").write_bytes(b"")
    assert loader.command(one, Path("tiny.bit")) == ["dfu-util", "-a", "0", "-D", "tiny.dfu"]


# The list


def test_boards_lists_what_fits() -> None:
    shown = run("boards").stdout
    assert all(name in shown for name in [*BOARDS, *shipped()])
    found = {one["name"]: one for one in json.loads(run("boards", "--json").stdout)["boards"]}
    fits = {one["network"]: one["fits"] for one in found["icebreaker"]["networks"]}
    assert fits["digits-8bit"]
    assert not fits["digits"]
    assert {one["network"]: one["fits"] for one in found["ulx3s-85f"]["networks"]}["digits"]
