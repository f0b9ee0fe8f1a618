"""FuseSoC takes the cores that Counterflow writes, and generates them for cores that ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from click.testing import CliRunner

from counterflow.cli import main
from counterflow.fusesoc import FOLDER, core_file
from counterflow.fusesoc.generate import OLDEST, arguments
from counterflow.fusesoc.generate import main as main_of_generator
from counterflow.sim.simulator import environment

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "fusesoc"


def fusesoc(core: str, *roots: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """FuseSoC's target `lint` of a core, which generates and elaborates."""
    command = [str(Path(sys.executable).parent / "fusesoc")]
    for root in roots:
        command += ["--cores-root", str(root)]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    modules = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
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


# The generator in another Python


GENERATOR = ROOT / "counterflow" / "fusesoc" / "generate.py"
ASKED = "parameters: {network: tiny}\nvlnv: '::a:0'\nfiles_root: /\n"


def generate(
    folder: Path, text: str | None, *python: str, script: Path = GENERATOR, path: str = str(ROOT)
) -> subprocess.CompletedProcess[str]:
    """What FuseSoC runs, by the Python with those options, on a file with `text` in it."""
    if text is not None:
        (folder / "asked.yml").write_text(text)
    return subprocess.run(
        [*(python or (sys.executable,)), str(script), "asked.yml"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What is said instead of a traceback."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_python_without_counterflow_is_named(tmp_path: Path) -> None:
    bare = (sys.executable, "-I", "-S")  # neither site-packages nor PYTHONPATH
    said = sentence(generate(tmp_path, ASKED, *bare))
    assert f"python3 is {sys.executable}, which has no module " in said
    assert "put one that has Counterflow first in PATH" in said


def test_fusesoc_passes_on_what_a_bare_environment_lacks(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    example = shutil.copytree(EXAMPLE, tmp_path / "example")
    paths = os.pathsep.join([str(tmp_path / "bare/bin"), os.environ["PATH"]])
    with environment(PATH=paths, PYTHONPATH=""):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "fusesoc.main", "--cores-root", str(example)),
                *("--cores-root", str(FOLDER), "run", "--target=lint", "example:designs:trainer"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"python3 is {tmp_path / 'bare/bin/python3'}, which has no module " in said
    assert "Traceback" not in said


def test_what_counterflow_needs_and_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/yaml.py").touch()  # yaml is there, Counterflow is, but not what that needs
    (tmp_path / "bare/counterflow").symlink_to(ROOT / "counterflow")
    paths = str(tmp_path / "bare")
    said = sentence(generate(tmp_path, ASKED, sys.executable, "-S", path=paths))
    assert "which has no module click: put one that has Counterflow first" in said


def test_an_old_python_is_named_with_the_one_that_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 2))
    with pytest.raises(SystemExit) as end:
        main_of_generator()
    assert end.value.code == 2
    assert ", version 3.8, and Counterflow needs 3.11 or newer: put" in capsys.readouterr().err


def test_the_oldest_python_is_that_of_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert tomllib.loads(text)["project"]["requires-python"] == f">={'.'.join(map(str, OLDEST))}"


def test_a_generator_of_another_counterflow_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "generate.py"
    other.write_text(GENERATOR.read_text() + "\n# of another version\n")
    said = sentence(generate(tmp_path, ASKED, script=other))
    assert f"let FuseSoC take the library in {FOLDER}" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "asked.yml: cannot be read (No such file or directory)"),
        ("{", "asked.yml: is not YAML"),
        ("", "asked.yml: is NoneType, expected the parameters"),
        ("parameters: [1]", "parameters is [1], expected names with values"),
        ("parameters: {}", "the parameter network is missing"),
        ("parameters: {network: [1]}", "the parameter network is [1], expected a name"),
        ("parameters: {network: tiny, memory: yes}", "the parameter memory is True, expected a"),
        ("parameters: {network: tiny}", "the file of FuseSoC lacks vlnv"),
        (ASKED.replace("tiny", "tinny"), "there is no network 'tinny'"),
        (ASKED.replace("tiny", "own.toml"), "/own.toml: cannot be read (No such file"),
        (ASKED.replace("tiny", "tiny, multipliers: 0"), "'--multipliers'"),
        (ASKED.replace("tiny", "tiny, target: moon"), "moon"),
        (ASKED.replace("::a:0", "a"), "'a' is no name of a core"),
    ],
)
def test_what_is_asked_wrong_is_a_sentence_and_leaves_nothing(
    text: str | None, said: str, tmp_path: Path
) -> None:
    done = generate(tmp_path, text)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert not list(tmp_path.glob("*.core"))
    assert not list(tmp_path.glob("*.v"))
