"""FuseSoC takes the cores that Counterflow writes, and generates them for cores that ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from counterflow.cli import main
from counterflow.fusesoc import FOLDER, core_file
from counterflow.fusesoc.generate import arguments
from counterflow.sim.simulator import environment

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "fusesoc"


def fusesoc(core: str, *roots: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """FuseSoC's target `lint` of a core, which generates and elaborates."""
    command = [str(Path(sys.executable).parent / "fusesoc")]
    for root in roots:
        command += ["--cores-root", str(root)]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    modules = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with environment(PATH=paths), environment(PYTHONPATH=modules):
        return subprocess.run(
            [*command, "run", "--target=lint", core],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )


def test_a_written_core_elaborates(tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    name = "acme:trained:tiny_axi:1.2"
    command = ["verilog", "tiny", "--bus", "axi", "--vlnv", name, "-o", str(out), "--quiet"]
    made = CliRunner().invoke(main, command)
    assert made.exit_code == 0, made.output
    files = {path.name for path in out.iterdir()}
    assert {"tiny_axi.v", "tiny_axi.h", "tiny_axi.md", "tiny_axi.core"} <= files
    done = fusesoc(name, out, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_generator_makes_what_a_core_depends_on(tmp_path: Path) -> None:
    example = shutil.copytree(EXAMPLE, tmp_path / "example")
    done = fusesoc("example:designs:trainer", example, FOLDER, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.rglob("tiny_axi.v"))


def test_a_port_that_the_generated_module_lacks_is_found(tmp_path: Path) -> None:
    example = shutil.copytree(EXAMPLE, tmp_path / "example")
    top = example / "trainer.v"
    top.write_text(top.read_text().replace(".m_axis_tready(1'b1)", ".m_axis_ready(1'b1)"))
    done = fusesoc("example:designs:trainer", example, FOLDER, folder=tmp_path)
    assert done.returncode != 0
    assert "m_axis_ready" in done.stdout + done.stderr


def test_a_parameter_that_the_generator_does_not_know_is_named(tmp_path: Path) -> None:
    example = shutil.copytree(EXAMPLE, tmp_path / "example")
    core = example / "trainer.core"
    core.write_text(core.read_text().replace("interval: 40", "intervall: 40"))
    done = fusesoc("example:designs:trainer", example, FOLDER, folder=tmp_path)
    assert done.returncode != 0
    assert "the parameter 'intervall' is not known" in done.stdout + done.stderr


def test_the_generator_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match="the parameter network is missing"):
        arguments({"parameters": {}, "files_root": "/", "vlnv": "::a:0"})


def test_a_description_is_looked_for_beside_the_core_that_asks() -> None:
    config = {"parameters": {"network": "own.toml"}, "files_root": "/designs", "vlnv": "::a:0"}
    assert arguments(config)[1] == "/designs/own.toml"


def test_a_name_that_fusesoc_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="'tiny' is no name of a core; FuseSoC wants vendor:lib"):
        core_file(vlnv="tiny", module="tiny_axi", stem="tiny_axi", about="")


def test_a_core_name_needs_the_standard_buses() -> None:
    made = CliRunner().invoke(main, ["verilog", "tiny", "--vlnv", "a:b:c:1"])
    assert made.exit_code == 2
    assert "--vlnv needs --bus axi" in made.output
