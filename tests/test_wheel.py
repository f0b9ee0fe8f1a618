"""What is installed: a wheel with one name, whose commands no folder of the user's disturbs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from counterflow.cli import main

ROOT = Path(__file__).parent.parent
FLOORS = ("design", "golden", "hw", "sim", "boards")
DATA = ("*.npz", "*.md", "named/*.toml", "*.core", "*.cpp", "*.h", "py.typed")
VENV = "import sys, venv; venv.create(sys.argv[1], with_pip=False, symlinks=True)"

pytestmark = pytest.mark.xdist_group("wheel")  # built and installed once


def environment(**extra: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "COLUMNS": "100", **extra}


def ends(*command: object, cwd: Path, status: int = 0, **extra: str) -> str:
    """Standard output of a command that must end with `status`, without a traceback."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


# What is in it


def build(what: str, source: Path, out: Path) -> Path:
    """A wheel or sdist of `source` by setuptools of this environment, without network."""
    code = f"import setuptools.build_meta as b, sys; b.build_{what}(sys.argv[1])"
    out.mkdir()
    path = os.pathsep.join(path for path in sys.path if path)
    ends(sys.executable, "-c", code, out, cwd=source, PYTHONPATH=path)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, as building leaves folders in them."""
    tree = tmp_path_factory.mktemp("tree")
    skip = shutil.ignore_patterns("__pycache__")
    for folder in ("counterflow", *FLOORS):
        shutil.copytree(ROOT / folder, tree / folder, symlinks=True, ignore=skip)
    for file in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / file, tree)
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tree, tmp_path_factory.mktemp("wheel") / "out")


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist()}


def expected() -> Iterator[str]:
    """Sources and data of all packages, under the one name."""
    for top in ("counterflow", *FLOORS):
        for pattern in ("*.py", *DATA):
            for path in (ROOT / top).rglob(pattern):
                name = path.relative_to(ROOT).as_posix()
                yield name if top == "counterflow" else f"counterflow/{name}"


def test_a_wheel_has_one_name_and_all_that_is_under_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        assert [name for name, count in Counter(file.namelist()).items() if count > 1] == []
    there = contents(wheel)
    (info,) = {name.split("/")[0] for name in there} - {"counterflow"}
    assert info.endswith(".dist-info")
    assert there[f"{info}/top_level.txt"].decode().split() == ["counterflow"]
    assert {name for name in there if not name.startswith(info)} == set(expected())
    for name in ("design/data/digits.npz", "sim/boards/board.cpp", "fusesoc/counterflow.core"):
        assert f"counterflow/{name}" in there


@pytest.mark.slow
def test_a_wheel_of_the_sdist_is_the_same(wheel: Path, tree: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(build("sdist", tree, tmp_path / "sdist"), tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.name != "sdist")
    again = build("wheel", unpacked, tmp_path / "again")
    assert contents(again) == contents(wheel)


# How it runs


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of a fresh environment with the wheel, and what it depends on from this one."""
    folder = tmp_path_factory.mktemp("fresh")
    ends(sys.executable, "-c", VENV, folder, cwd=folder)
    scripts = folder / "bin"
    pip = (sys.executable, "-m", "pip", "--python", scripts / "python")
    ends(*pip, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Files of this kind are not read in the folders that they name: an editable Counterflow stays
    # where it is.
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "others.pth").write_text("\n".join(others))
    return scripts


@pytest.fixture
def mined(tmp_path: Path) -> Path:
    """A working folder of a user who has packages of our floors' names, which must not be run."""
    for name in (*FLOORS, "tests", "host", "commands"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('the user has a {name}')")
    return tmp_path


@pytest.mark.parametrize("name", FLOORS)
def test_the_mines_are_armed(installed: Path, mined: Path, name: str) -> None:
    code = f"try:\n    import {name}\nexcept RuntimeError as error:\n    print(error)"
    said = ends(installed / "python", "-c", code, cwd=mined, PYTHONPATH=str(mined))
    assert said == f"the user has a {name}\n"


def test_all_modules_can_be_imported(installed: Path, mined: Path) -> None:
    code = (
        "import importlib, pkgutil, counterflow\n"
        "print(counterflow.__file__)\n"
        "for one in pkgutil.walk_packages(counterflow.__path__, 'counterflow.'):\n"
        "    if not one.name.endswith('__main__'):\n"
        "        importlib.import_module(one.name)\n"
        "        print(one.name)\n"
    )
    where, *modules = ends(
        installed / "python", "-c", code, cwd=mined, PYTHONPATH=str(mined)
    ).splitlines()
    assert Path(where).is_relative_to(installed.parent)
    assert {"counterflow.hw.chain", "counterflow.sim.bench.axi"} <= set(modules)


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*before, name)
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)


COMMANDS = [(), *commands(main)]


def test_help(installed: Path, mined: Path) -> None:
    code = (
        "import sys; from counterflow.cli import main\n"
        "for line in sys.argv[1:]:\n"
        "    main([*line.split(), '--help'], prog_name='counterflow', standalone_mode=False)\n"
    )
    lines = [" ".join(command) for command in COMMANDS]
    said = ends(installed / "python", "-c", code, *lines, cwd=mined, PYTHONPATH=str(mined))
    for command in COMMANDS:
        assert f"Usage: {' '.join(('counterflow', *command))} " in said


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_alone(installed: Path, mined: Path, command: tuple[str, ...]) -> None:
    program = installed / "counterflow"
    said = ends(program, *command, "--help", cwd=mined, PYTHONPATH=str(mined))
    assert said.startswith(f"Usage: {' '.join(('counterflow', *command))} ")


SAME = (
    "networks --json",
    "data check digits --json",
    "plan tiny -o out",
    "verilog tiny --bus axi -o out",
    pytest.param("boards --json", marks=pytest.mark.slow),
    pytest.param("plan tiny --json", marks=pytest.mark.slow),
    pytest.param("verilog tiny -o out", marks=pytest.mark.slow),
)
TIMED = (  # or with paths in what they say
    "data list",
    "train tiny --epochs 1 --samples 20 -o out",
    "compare tiny --epochs 1 --samples 20 -o out",
    "profile tiny --epochs 1 --samples 20 -o out",
    "simulate tiny --samples 5 -o out",
    "simulate tiny --long --epochs 1 -o out",
    "prove stash --no-mutants",
    "synth tiny --no-route -o out",
    "build tiny --board arty-a7-100 -o out",
    "demo --net tiny --epochs 1 --samples 5 -o out",
)
ELSEWHERE = {"program", "host", "board-sim", "import", "export"}  # see below


def test_every_command_is_run() -> None:
    lines = [*TIMED, *(line for one in SAME for line in getattr(one, "values", [one]))]
    assert {line.split()[0] for line in lines} | ELSEWHERE == set(main.commands)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("line", SAME)
def test_a_command_does_what_it_does_here(
    installed: Path,
    mined: Path,
    line: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = ends(installed / "counterflow", *line.split(), cwd=mined, PYTHONPATH=str(mined))
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    monkeypatch.setenv("COLUMNS", "100")
    here = CliRunner().invoke(main, line.split())
    assert said == here.stdout
    assert files(mined / "out") == files(Path("out"))


@pytest.mark.slow
@pytest.mark.parametrize("line", TIMED)
def test_a_command_succeeds(installed: Path, mined: Path, line: str) -> None:
    ends(installed / "counterflow", *line.split(), cwd=mined, PYTHONPATH=str(mined))


@pytest.mark.slow
def test_a_host_trains_a_simulated_board(installed: Path, mined: Path) -> None:
    program = str(installed / "counterflow")
    board = subprocess.Popen(
        [program, "board-sim", "tiny", "--quiet"],
        cwd=mined,
        env=environment(PYTHONPATH=str(mined)),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert board.stdout is not None
        port = ("--port", board.stdout.readline().strip(), "--timeout", "60")
        train = ("train", "tiny", "--epochs", "1", "--samples", "20", "--verify", "10", "-o", "out")
        for verb in (train, ("info", "tiny"), ("checkpoint", "tiny", "-o", "trained.npz")):
            ends(program, "host", *verb, *port, cwd=mined, PYTHONPATH=str(mined))
    finally:
        board.kill()
        board.communicate()
    assert (mined / "trained.npz").exists()


@pytest.mark.slow
def test_models_come_and_weights_go(installed: Path, mined: Path) -> None:
    model = Path(__file__).parent / "data" / "digits-mlp.onnx"
    made, learnt = "mine/digits-mlp.toml", "learnt.npz"
    for line in (
        f"import {model} --dataset digits -o mine",
        f"train {made} --weights mine/digits-mlp.safetensors --epochs 1 --checkpoint {learnt}",
        f"export {made} {learnt} --to onnx -o learnt.onnx",
    ):
        ends(installed / "counterflow", *line.split(), cwd=mined, PYTHONPATH=str(mined))
    assert (mined / "learnt.onnx").stat().st_size > 10_000


def test_a_bitstream_that_is_none_is_refused(installed: Path, mined: Path) -> None:
    (mined / "none.bit").touch()
    line = ("program", "none.bit", "--board", "ulx3s-85f", "--dry-run")
    ends(installed / "counterflow", *line, cwd=mined, status=2, PYTHONPATH=str(mined))


def test_as_a_module_it_is_the_command(installed: Path, mined: Path) -> None:
    program, module = (installed / "counterflow",), (installed / "python", "-m", "counterflow")
    assert ends(*module, "--help", cwd=mined) == ends(*program, "--help", cwd=mined)
