"""The command line: what scripts rely on, and bad input answered with a sentence and no damage."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import counterflow
from counterflow.cli import TRACEBACK, main
from counterflow.commands import train
from counterflow.commands.display import spark
from counterflow.design.network.files import load, parse, shipped
from counterflow.design.parts.recipe import MITIGATIONS
from counterflow.design.schedule.planner import plan
from tests.commands import TINY, read, refuse, succeed
from tests.kept import kept

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_networks() -> None:
    shown = succeed("networks").stdout
    assert all(name in shown for name in shipped())
    found = read("networks")["networks"]
    assert [one["name"] for one in found] == list(shipped())
    assert found[list(shipped()).index("digits")] == {
        "name": "digits",
        "widths": [64, 32, 32, 10],
        "parameters": 3466,
        "dataset": "digits",
        "multipliers": plan(load("digits")).schedule.multipliers,
        "interval": plan(load("digits")).schedule.interval,
        "fits": "ecp5-45f",
    }


def test_output_folder_says_where_it_comes_from() -> None:
    succeed("plan", "tiny", "--multipliers", "9", "-o", "out")
    names = {path.name for path in Path("out").iterdir()}
    assert names == {"plan.json", "plan-stages.png", "plan-memory.png", "plan.toml"}
    facts = kept("out/plan.json")["provenance"]
    description = parse(Path("out/plan.toml").read_text())
    assert description.fold.multipliers == 9
    assert facts["description_hash"] == description.hash()
    assert facts["command"] == "counterflow plan tiny --multipliers 9 -o out"
    assert facts["seed"] == description.recipe.seed
    assert {"counterflow", "numpy", "amaranth", "verilator"} <= set(facts["versions"])


def test_verilog() -> None:
    answer = read("verilog", "tiny", "-o", "out")
    assert set(answer["files"]) == {
        str(Path("out") / name) for name in ("tiny.v", "tiny-verilog.toml", "tiny-verilog.json")
    }
    assert kept("out/tiny-verilog.json") == answer
    assert "module tiny" in Path("out/tiny.v").read_text()
    assert parse(Path("out/tiny-verilog.toml").read_text()) == load("tiny")
    first = Path("out/tiny.v").read_bytes()
    succeed("verilog", "tiny")
    assert Path("build/tiny/tiny.v").read_bytes() == first


def test_help_teaches_by_example() -> None:
    assert "counterflow demo" in succeed("--help").stdout
    for name in main.commands:
        shown = succeed(name, "--help").stdout
        assert f"counterflow {name}" in shown
        assert "Example" in shown
    assert "version" in succeed("--version").stdout


def test_choices_are_those_of_the_recipe() -> None:
    assert train.MITIGATIONS == MITIGATIONS


def test_help_starts_without_the_slow_packages() -> None:
    code = (
        "import sys; from counterflow.cli import main; main(['plan', 'tiny', '--json'], "
        "standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    )
    root = Path(counterflow.__file__).parent.parent
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    modules = set(result.stderr.split())
    assert not modules & {"amaranth", "cocotb", "matplotlib", "numba", "rich.progress"}


def test_spark() -> None:
    assert spark([0.0, 0.5, 1.0]) == "▁▅█"
    assert spark([2.0]) == "▁"
    assert spark([1.0, float("inf"), 2.0, float("nan")]) == "▁×█×"
    assert spark([float("nan")]) == "×"


COMMANDS = ("plan", "train", "verilog", "simulate", "compare")


BAD_FILES = {
    "wrong key": ("layrs = 3", ["bad.toml", "unknown key 'layrs'", "did you mean 'layers'?"]),
    "wrong type": ("[recipe]\nepochs = 'ten'", ["recipe.epochs", "'ten'", "an integer"]),
    "wrong width": ("[fold]\nmultipliers = 0", ["fold.multipliers is 0", "from 1 to"]),
    "no epochs": ("[recipe]\nepochs = 0", ["recipe.epochs is 0", "from 1 to"]),
    "no format": ("[formats]\nweight = 'x20'", ["formats.weight", "'x20'", "'s20.18'"]),
    "formats that do not fit": ("[formats]\nvelocity = 's14.9'", ["s14.9", "s20.18", "equally"]),
    "no TOML": ("[recipe", ["bad.toml", "not TOML", "expected"]),
    "budget": ("[fold]\nmultipliers = 1", ["fold.multipliers is 1", "needs at least 2"]),
    "interval": ("[fold]\ninterval = 5", ["fold.interval is 5", "needs at least"]),
    "memory": ("[fold]\nmemory = 9", ["fold.memory is 9 bits", "needs"]),
    "lanes": (
        "[fold]\nlanes = [{ outputs = 9, inputs = 1 }, { outputs = 1, inputs = 1 }]",
        ["layers[0]", "9x1", "5 outputs"],
    ),
    "rate too low": ("[recipe]\nlearning_rate = 9.5367431640625e-07", ["layers[0]", "2^-20"]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", BAD_FILES)
def test_bad_file(command: str, fault: str) -> None:
    text, words = BAD_FILES[fault]
    Path("bad.toml").write_text(TINY + text)
    said = refuse(command, "bad.toml")
    for word in words:
        assert word in said


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_shape(command: str) -> None:
    Path("bad.toml").write_text(TINY.replace('activation = "none"', 'activation = "relu"'))
    said = refuse(command, "bad.toml")
    assert "layers[1]" in said
    assert "'none'" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_network(command: str) -> None:
    assert "did you mean 'digits'?" in refuse(command, "digts")
    assert "cannot be read (No such file or directory)" in refuse(command, "none.toml")


@pytest.mark.parametrize("command", ["train", "simulate", "compare"])
def test_bad_data(command: str) -> None:
    folder = Path("data")
    folder.mkdir()
    assert "there is no train-images" in refuse(command, "mnist", "--data", "data")
    damaged = folder / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(gzip.compress(b"\0" * 999)[:-9])
    (folder / "train-labels-idx1-ubyte").write_bytes(b"\0" * 9)
    assert str(damaged) in refuse(command, "mnist", "--data", "data")
    Path("wide.toml").write_text(TINY.replace("synthetic", "digits"))
    assert "6 inputs" in refuse(command, "wide.toml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "tiny", "--multipliers", "0"], "0 is not in the range 1<=x<=1000000"),
        (["plan", "tiny", "--multipliers", "many"], "'many' is not a valid integer"),
        (["plan", "tiny", "--multiplier", "3"], "--multiplier"),
        (["plan"], "NET"),
        (["plan", "tiny", "--target", "ecp5-85"], "did you mean 'ecp5-85f'? There are ecp5-25f, "),
        (["plan", "tiny", "--target", "hx8k"], "it needs at least 2 multipliers (one a unit)"),
        (["plan", "tiny", "--target", "up5k", "--interval", "2"], "needs at least 26, whatever"),
        (
            ["synth", "tiny", "--target", "hx8k"],
            "it needs 2 multipliers of 0 (2 too many). It fits",
        ),
        (["synth", "digits", "--target", "up5k"], "multipliers of 8 (56 too many) and "),
        (["train", "tiny", "--epochs", "0"], "0 is not in the range 1<=x<=1000000"),
        (
            ["verilog", "tiny", "-o", "-"],
            "'-' is no file here, and nothing goes to standard output",
        ),
        (["train", "tiny", "--checkpoint", "-"], "name one, or ./-"),
        (["train", "tiny", "--epochs", "-3"], "-3 is not in the range 1<=x<=1000000"),
        (["train", "tiny", "--seed", "-1"], "-1 is not in the range"),
        (["train", "tiny", "--scheme", "gpipe"], "'gpipe'"),
        (["train", "tiny", "--mitigation", "magic"], "'magic'"),
        (["train", "tiny", "--batch", "4"], "batch 4 needs scheme 'fill-and-drain'"),
        (["tarin", "tiny"], "tarin"),
    ],
)
def test_bad_arguments(arguments: list[str], words: str) -> None:
    assert words in refuse(*arguments)


def test_bad_checkpoint() -> None:
    assert "there is no such checkpoint" in refuse("train", "tiny", "--resume", "none.npz")
    Path("junk.npz").write_bytes(b"junk")
    assert "junk.npz: cannot be read" in refuse("train", "tiny", "--resume", "junk.npz")
    succeed("train", "tiny", "--epochs", "1", "--checkpoint", "tiny.npz")
    assert "checkpoint of the network" in refuse("train", "digits", "--resume", "tiny.npz")
    assert "checkpoint" in refuse("train", "tiny", "--resume", "tiny.npz", "--mitigation", "none")
    assert "seed 1, not 2" in refuse("train", "tiny", "--resume", "tiny.npz", "--seed", "2")
    assert "epochs is 1" in refuse("train", "tiny", "--resume", "tiny.npz", "--epochs", "1")
    assert "float" in refuse("train", "tiny", "--resume", "tiny.npz", "--model", "float")


def test_output_folder_that_cannot_be() -> None:
    Path("file").write_text("precious")
    for command in ("plan", "verilog"):
        said = refuse(command, "tiny", "-o", "file/below")
        assert "file/below cannot be made: file is a file" in said
    assert "file/x cannot be made" in refuse("train", "tiny", "--checkpoint", "file/x")
    assert Path("file").read_text() == "precious"


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(ValueError, match="no network"):
        CliRunner().invoke(main, ["plan", "none"], catch_exceptions=False)


def test_every_command_is_there() -> None:
    wanted = {"networks", "data", "plan", "train", "verilog", "simulate", "demo", "compare"}
    wanted |= {"synth", "boards", "build", "program", "board-sim", "host", "prove"}
    wanted |= {"import", "export", "profile"}
    assert set(main.commands) == wanted
    assert all(isinstance(command, click.Command) for command in main.commands.values())
