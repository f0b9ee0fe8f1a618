"""Modules have names that every language takes, and files that other commands find."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from counterflow.cli import main
from counterflow.design.bus.c_header import c_header
from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.parts.names import MAX_LENGTH, check_module_name, module_name
from counterflow.design.schedule.planner import Plan, plan
from counterflow.fusesoc.generate import arguments
from counterflow.hw.tops.axi import axi_ports, to_axi_verilog
from counterflow.hw.tops.verilog import to_verilog


@pytest.mark.parametrize("name", ["a", "Net_2", "tiny_conv", "x" * MAX_LENGTH])
def test_a_name_that_verilog_and_vhdl_take_is_taken(name: str) -> None:
    check_module_name(name)


@pytest.mark.parametrize(
    "name", ["", "2nd", "_a", "a_", "a__b", "a-b", "a.b", "a b", "a$", "é", "a\n", "x" * 65]
)
def test_a_name_that_some_language_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a module; give up to 64 letters, digits"):
        check_module_name(name)


@pytest.mark.parametrize(
    ("name", "languages"),
    [
        ("wire", "Verilog"),
        ("logic", "SystemVerilog"),
        ("signal", "VHDL"),
        ("Signal", "VHDL"),
        ("process", "VHDL"),
        ("begin", "Verilog and VHDL"),
    ],
)
def test_a_keyword_is_refused_with_its_language(name: str, languages: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' .* it is a keyword of {languages}$"):
        check_module_name(name)


@pytest.mark.parametrize(
    ("network", "module"),
    [("tiny-conv", "tiny_conv"), ("a-2", "a_2"), ("signal", "signal_net"), ("my-net", "my_net")],
)
def test_every_network_has_a_module_of_its_name(network: str, module: str) -> None:
    assert module_name(network) == module
    check_module_name(module)
    check_module_name(module_name(network, suffix="_axi"))
    assert module_name(network, "own") == "own"


def test_no_two_networks_share_a_module() -> None:
    """Behind none of its buses, in any case of letters."""
    stems = ("a", "a-b", "signal", "begin-end", "x1")
    ends = ("", "-", "--", "-net", "-axi", "-axi-", "-axi-axi", "-net-axi", "--net")
    networks = {f"{stem}{end}" for stem in stems for end in ends} | {"a--b", "begin--end", "a---b"}
    names = [module_name(one, suffix=end) for one in networks for end in ("", "_axi")]
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        check_module_name(name)


def small() -> Plan:
    layers = [{"outputs": 3, "activation": "none"}]
    return plan(Description.model_validate({"name": "small", "inputs": 4, "layers": layers}))


def run(*command: str) -> str:
    done = CliRunner().invoke(main, ["verilog", "tiny", *command, "--quiet"])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_names_module_and_file(tmp_path: Path) -> None:
    run("--module", "mine", "-o", str(tmp_path))
    assert {path.suffix for path in tmp_path.iterdir()} == {".v", ".toml", ".json"}
    assert (tmp_path / "mine.v").read_text() == to_verilog(plan(load("tiny")), "mine")


def test_two_folds_of_a_network_stand_in_one_folder(tmp_path: Path) -> None:
    folder = str(tmp_path)
    run("-o", folder)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    run("--interval", "100", "--module", "slow", "-o", folder)
    assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in set(tmp_path.iterdir()) - set(before)} == {
        *("slow.v", "slow-verilog.json", "slow-verilog.toml")
    }


def test_the_command_names_all_that_goes_with_standard_buses(tmp_path: Path) -> None:
    run("--bus", "axi", "--module", "mine", "-o", str(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert {f"mine.{suffix}" for suffix in ("v", "h", "md", "core")} <= names
    macros = re.findall(r"#define (\w+)", (tmp_path / "mine.h").read_text())
    assert all(name.startswith(("MINE_", "COUNTERFLOW_MINE_")) for name in macros)
    core = (tmp_path / "mine.core").read_text()
    assert '"counterflow:networks:mine:0"' in core
    assert '"toplevel": "mine"' in core


def test_without_a_name_files_and_macros_have_that_of_the_network(tmp_path: Path) -> None:
    run("--bus", "axi", "-o", str(tmp_path))
    assert (tmp_path / "tiny_axi.h").read_text() == c_header(plan(load("tiny")))
    assert "\nmodule tiny_axi(" in (tmp_path / "tiny_axi.v").read_text()


@pytest.mark.parametrize("bus", ["streams", "axi"])
@pytest.mark.parametrize("name", ["9lives", "module"])
def test_a_bad_name_is_refused_before_anything_is_written(
    name: str, bus: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["verilog", "tiny", "--bus", bus, "--module", name, "-o", str(out)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert f"Error: '{name}' cannot name a module" in done.output
    assert not out.exists()


def test_the_generator_for_fusesoc_hands_the_name_on() -> None:
    parameters = {"network": "tiny", "module": "mine"}
    config = {"parameters": parameters, "files_root": "/", "vlnv": "::a:0"}
    assert "--module=mine" in arguments(config)


def test_standard_buses_have_ports_that_vhdl_can_name() -> None:
    design = plan(load("tiny"))
    ports = axi_ports(design)
    assert all(re.fullmatch(r"[a-z](_?[a-z0-9])*", name) for name in ports)
    text = to_axi_verilog(design)
    body = text[text.index("module tiny_axi(") :]
    found = re.findall(
        r"^  (?:input|output) (?:\[\d+:0\] )?(\w+);$", body[: body.index("endmod")], re.M
    )
    assert sorted(found) == sorted(ports)


@pytest.mark.parametrize("write", [to_verilog, to_axi_verilog])
def test_all_modules_of_a_design_have_plain_names_that_begin_with_its_own(write: object) -> None:
    text = write(small(), "mine")  # type: ignore[operator]
    modules = re.findall(r"^module (\S+?) ?\(", text, re.MULTILINE)
    assert len(modules) == len(set(modules)) > 15
    assert modules.count("mine") == 1
    assert all(re.fullmatch(r"mine(__\w+)*", name) for name in modules)
    assert len([name for name in modules if "memory_" in name or "lane_" in name]) > 2
