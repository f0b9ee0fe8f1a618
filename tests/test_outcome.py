"""What commands leave in a folder: of one run each, locked meanwhile, and it says what made it."""

from __future__ import annotations

import json
import logging
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

from counterflow.boards.report import BuildReport
from counterflow.boards.table import board
from counterflow.cli import main
from counterflow.commands import build, outcome, synth
from counterflow.design.fpga.targets import Resources
from counterflow.design.network import files as network_files
from counterflow.design.network.files import load, parse, to_toml, write_atomically
from counterflow.design.parts import locks
from counterflow.design.tools import programs
from counterflow.design.tools.follow import ToolError
from counterflow.sim import simulator as simulators
from counterflow.sim.simulator import SimulationError
from tests.commands import run, succeed
from tests.exchanged import FILES
from tests.kept import kept, standing
from tests.reported import Simulation, report, simulation
from tests.test_synth import report as synthesis_report

pytestmark = pytest.mark.usefixtures("elsewhere")

ROOT = Path(__file__).parent.parent

__all__ = ["simulation"]  # a fixture


def contents(folder: str = "out") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


# Every command


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, simulation: Simulation) -> None:
    """Simulation and synthesis take no time: what they find is given."""
    simulation(report())
    monkeypatch.setattr(programs, "require_packages", lambda *_programs: None)

    def synthesised(*arguments: Any, **_options: Any) -> object:
        (arguments[4] / "yosys.log").write_text("log")
        return synthesis_report()

    def built(*arguments: Any) -> tuple[BuildReport, dict[str, float]]:
        for name in ("tiny.bit", "top.v", "yosys.log"):
            (arguments[3] / name).write_text(name)
        found = synthesis_report(network="tiny", taken={"board": Resources()}, planned={})
        return BuildReport(board("ulx3s-85f"), arguments[1], found, asked=25.0, baud=1), {}

    monkeypatch.setattr(synth, "_run", synthesised)
    monkeypatch.setattr(build, "_run", built)


WRITING = (
    "plan tiny",
    "train tiny --epochs 1",
    "profile tiny --epochs 1 --samples 20",
    "verilog tiny",
    "verilog tiny --bus axi",
    "simulate tiny",
    "synth tiny",
    "build tiny --board ulx3s-85f",
    "compare tiny --seeds 1 --epochs 1 --samples 20",
    "demo --net tiny --epochs 1",
    f"import {FILES / 'mlp.onnx'} --name tiny",
)


def test_every_command_that_writes_results_is_in_the_table() -> None:
    asked = {
        name for name, one in main.commands.items() if any(p.name == "out" for p in one.params)
    }
    assert asked == {line.split()[0] for line in WRITING}


def test_commands_share_a_folder_and_each_json_says_what_made_it(quick: None) -> None:
    made: dict[str, set[str]] = {}
    for line in WRITING:
        before = contents() if made else {}
        result = run(*line.split(), "-o", "out", "--json")
        assert result.stdout, (line, result.stderr, result.exception)
        answer = json.loads(result.stdout)
        after = contents()
        assert {name: after.get(name) for name in before} == before, f"{line} touched others'"
        made[line] = set(after) - set(before)
        first = Path(answer["files"][0])
        assert kept(str(first)) == answer
        assert {Path(file).name for file in answer["files"]} == made[line]
        about = answer["provenance"]
        description = parse(first.with_suffix(".toml").read_text())
        assert about["command"] == f"counterflow {line} -o out --json"
        assert (about["network"], about["description_hash"]) == ("tiny", description.hash())
        assert {"counterflow", "numpy"} <= set(about["versions"])
        assert isinstance(about["seed"], int)
        reads_data = line.split()[0] in ("train", "profile", "simulate", "compare", "demo")
        assert (about["dataset_sha256"] is not None) == reads_data
    for line in ("plan tiny", "verilog tiny --bus axi", "synth tiny"):  # in the place of its own
        run(*line.split(), "-o", "out")
        assert set(contents()) == set().union(*made.values())


# One run


def test_another_run_leaves_nothing_of_the_last_one(simulation: Simulation) -> None:
    simulation(report())
    succeed("simulate", "tiny", "-o", "out")
    (Path("out") / "simulate-notes.txt").write_text("the user's own")
    (Path("out") / f"simulate{outcome.FAILED}").write_text("of a run that failed")
    assert {"simulate.png", "simulate-slots.png"} <= set(contents())
    simulation(report(losses=[], slots=[]))
    succeed("simulate", "digits", "--seed", "4", "-o", "out")
    assert set(contents()) == {"simulate.json", "simulate.toml", "simulate-notes.txt"}
    about = kept("out/simulate.json")["provenance"]
    assert (about["network"], about["seed"]) == ("digits", 4)
    assert parse(Path("out/simulate.toml").read_text()) == load("digits")


def test_a_file_that_another_program_looks_for_in_a_folder_of_its_own_is_of_one_run() -> None:
    words, own = (Path("out/.surfer/mappings") / name for name in ("words.txt", "own.txt"))
    with click.Context(main), outcome.into(Path("out"), "simulate") as made:
        write_atomically(made.scratch / words.relative_to("out"), "0 waits")
        files = made.keep({}, load("tiny")).files
    assert words in files
    assert words.read_text() == "0 waits"
    own.write_text("the user's own")
    with click.Context(main), outcome.into(Path("out"), "simulate") as made:
        made.keep({}, load("tiny"))
    assert not words.exists()
    assert own.read_text() == "the user's own"


@pytest.mark.parametrize(
    ("line", "replaced"),
    [
        ("plan plan.toml -o .", "plan.toml"),
        ("train train.toml --epochs 1 -o .", "train.toml"),
        ("train mine.toml --epochs 1 --checkpoint mine.toml", "mine.toml"),
        ("train tiny --epochs 1 --weights w.npz --checkpoint w.npz", "w.npz"),
        ("profile tiny --epochs 1 --data d.csv --write far/d.csv", "far/d.csv"),
        ("profile mine.toml --epochs 1 --write mine.toml", "mine.toml"),
        ("export tiny c.npz --to npz -o far/c.npz", "far/c.npz"),
        ("export tiny build/tiny/tiny.npz --to npz", "build/tiny/tiny.npz"),
        ("host train tiny --port p --weights w.npz --checkpoint w.npz", "w.npz"),
    ],
)
def test_what_a_command_reads_is_not_what_it_writes(line: str, replaced: str) -> None:
    for name in ("plan.toml", "train.toml", "mine.toml"):
        write_atomically(Path(name), to_toml(load("tiny")))
    for name in ("d.csv", "w.npz"):
        write_atomically(Path(name), "a,label\n1,0\n2,1\n")
    succeed("train", "tiny", "--epochs", "1", "--checkpoint", "c.npz", "-o", "elsewhere")
    write_atomically(Path("build/tiny/tiny.npz"), Path("c.npz").read_bytes())
    Path("far").symlink_to(".")
    before = Path(replaced).read_bytes()
    result = run(*line.split())
    assert result.exit_code == 2
    assert f"{replaced} is what this begins with, expected another name" in result.stderr
    assert Path(replaced).read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        "plan {}.toml",
        "train tiny --resume {}.npz",
        "train tiny --weights {}.npz",
        "train tiny --data {}.csv",
        "export tiny {}.npz --to npz",
        "import {}.onnx",
        "program {}.bin --board icebreaker",
        "data show {}.npz",
    ],
)
def test_what_may_have_no_end_is_not_read(line: str) -> None:
    """As /dev/zero has none; of a link the file behind it counts."""
    for ending in ("toml", "npz", "csv", "onnx", "bin"):
        Path(f"device.{ending}").symlink_to("/dev/null")
    result = run(*line.format("device").split())
    assert result.exit_code == 2
    assert "is a device" in result.stderr or "but a device" in result.stderr


def test_a_command_may_go_on_from_what_it_left() -> None:
    succeed("train", "tiny", "--epochs", "1", "--checkpoint", "c.npz", "-o", "out")
    again = ("train", "out/train.toml", "--epochs", "2", "-o", "out")
    succeed(*again, "--resume", "c.npz", "--checkpoint", "c.npz")
    assert len(kept("out/train.json")["epochs"]) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"files": 3}'),
        '{"files": ["../far", "near/far", "..", "gone", "", ".surfer/mappings/../../../far"]}',
    ],
)
def test_what_is_no_list_of_files_removes_none(text: str) -> None:
    Path("out/near").mkdir(parents=True)
    for name in ("far", "out/near/far"):
        Path(name).write_text("kept")
    Path("out/plan.json").write_text(text)
    succeed("plan", "tiny", "-o", "out")
    assert Path("far").read_text() == Path("out/near/far").read_text() == "kept"


@pytest.mark.parametrize("end", range(5))
def test_a_writer_killed_at_any_moment_leaves_no_json_beside_files_of_another_run(
    end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program ends before it puts the file of number `end` in its place; there are four."""
    succeed("plan", "digits", "-o", "out")
    second = contents()
    succeed("plan", "tiny", "-o", "out")
    first, moves, real = contents(), 0, network_files.move

    class KilledError(BaseException):
        pass

    def move(file: Path, path: Path) -> Path:
        nonlocal moves
        if moves == end:
            raise KilledError
        moves += 1
        return real(file, path)

    monkeypatch.setattr(network_files, "move", move)
    if end == len(second):
        succeed("plan", "digits", "-o", "out")
        assert contents() == second
        return
    with pytest.raises(KilledError):
        run("plan", "digits", "-o", "out")
    found = contents()
    assert set(found) == set(first) - {"plan.json"}
    new = {name for name, content in found.items() if content == second[name]}
    assert len(new) == end
    assert all(found[name] == first[name] for name in set(found) - new)


@contextmanager
def full(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, for which the system says what it says of a disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_is_full_half_way_leaves_the_last_run_whole(quick: None) -> None:
    """With 600 bytes there is room for some files of each run, but not for its JSON."""
    lines = [line for line in WRITING if line.split()[0] in ("plan", "simulate", "synth", "build")]
    for line in lines:
        run(*line.split(), "-o", "out")
    before = contents()
    for line in lines:
        with full(600):
            result = run(*line.split(), "-o", "out", "--json")
        assert result.exit_code == 2, line
        assert result.stdout == ""
        (said,) = [one for one in result.stderr.splitlines() if one.startswith("Error: ")]
        assert re.match(r"Error: out/[a-z]+[-.][a-z.]+: File too large\.$", said)
        assert contents() == before, line


# Locks

HOLDER = """
import sys, time
from pathlib import Path
from counterflow.design.parts.locks import in_use
with in_use(Path("out"), "counterflow synth tiny -o out"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held() -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the folder `out`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def refuse_to_work(*_arguments: object, **_options: object) -> None:
    raise AssertionError("it has begun to work")


def test_a_folder_in_use_is_refused_before_the_work_and_free_once_its_holder_is_killed(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held() as holder:
        before = contents()
        with monkeypatch.context() as patched:
            patched.setattr("counterflow.golden.training.epochs.train", refuse_to_work)
            patched.setattr(
                "counterflow.golden.training.compare.compare_mitigations", refuse_to_work
            )
            patched.setattr(sys.modules["counterflow.sim.simulate"], "simulate", refuse_to_work)
            patched.setattr(synth, "_run", refuse_to_work)
            patched.setattr(build, "_run", refuse_to_work)
            for line in WRITING:
                result = run(*line.split(), "-o", "out")
                assert result.exit_code == 2, line
                assert result.stderr.strip().endswith(
                    f"out is in use by process {holder.pid} (counterflow synth tiny -o out); wait "
                    "for its end, or name another folder with --out."
                )
        assert contents() == before
        (Path("out") / f"{outcome.SCRATCH}left").mkdir()  # of a run that was killed
    assert (Path("out") / locks.LOCK).exists()
    succeed("plan", "tiny", "-o", "out")
    assert set(contents()) == {"plan.json", "plan.toml", "plan-stages.png", "plan-memory.png"}


def test_a_lock_is_held_by_one_of_many_that_try_at_once() -> None:
    """Each adds a line while it alone holds the lock; the file of the lock goes and comes."""
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from counterflow.design.parts.locks import InUseError, in_use\n"
        "done = 0\n"
        "while done < 100:\n"
        "    try:\n"
        "        with in_use(Path('out'), 'test'):\n"
        "            count = int(Path('out/count').read_text())\n"
        "            Path('out/count').write_text(str(count + 1))\n"
        "            done += 1\n"
        "    except InUseError:\n"
        "        pass\n"
    )
    Path("out").mkdir()
    Path("out/count").write_text("0")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    running = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [one.wait(timeout=120) for one in running] == [0, 0, 0]
    assert contents() == {"count": b"300"}


NO_LOCKS = {
    "a link": lambda path: path.symlink_to("precious"),
    "a link into nowhere": lambda path: path.symlink_to("none/there"),
    "a FIFO": os.mkfifo,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("kind", NO_LOCKS)
def test_what_stands_in_the_place_of_a_lock_stays(kind: str) -> None:
    Path("precious").write_text("old")
    NO_LOCKS[kind](Path(locks.LOCK))
    before = standing(Path(locks.LOCK))
    with pytest.raises(OSError, match="is no file") as caught, locks.in_use(Path(), "test"):
        pass
    assert caught.value.filename == locks.LOCK
    with pytest.raises(OSError, match="is no file"), locks.waiting(Path(locks.LOCK)):
        pass
    assert standing(Path(locks.LOCK)) == before
    assert Path("precious").read_text() == "old"
    assert {path.name for path in Path().iterdir()} == {"precious", locks.LOCK}


# Logs of what failed


class Failing:
    """A runner of simulators whose bench ends badly."""

    log = logging.getLogger("failing")

    def test(self, *, log_file: Path, **_options: object) -> None:
        log_file.write_text("the reason\n")
        raise SystemExit(1)


def log_named(said: str) -> Path:
    """The log that an error names."""
    assert said.count("; see ") == 1
    return Path(said.split("; see ")[1].strip().removesuffix("."))


def test_the_log_of_a_failed_simulation_is_where_the_error_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulators, "build", lambda *_arguments: Path.cwd())
    monkeypatch.setattr("cocotb_tools.runner.get_runner", lambda _name: Failing())
    result = run("simulate", "tiny", "-o", "out")
    assert result.exit_code == 2
    assert "the bench counterflow.sim.bench.cycles did not finish; see " in result.stderr
    log = log_named(result.stderr)
    assert log.parent == Path("out")
    assert log.read_text() == "the reason\n"
    assert set(contents()) == {log.name}


def test_without_a_place_for_it_the_log_of_a_bench_is_beside_what_was_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from counterflow.sim.simulate import run_job

    monkeypatch.setattr(simulators, "build", lambda *_arguments: tmp_path)
    monkeypatch.setattr("cocotb_tools.runner.get_runner", lambda _name: Failing())
    with pytest.raises(SimulationError) as caught:
        run_job("", None)  # type: ignore[arg-type]
    assert log_named(str(caught.value)).read_text() == "the reason\n"


@pytest.mark.parametrize("name", ["synth", "build"])
def test_the_log_of_a_failed_synthesis_is_where_the_error_says(
    name: str, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = {"synth": synth, "build": build}[name]
    place = {"synth": 4, "build": 3}[name]

    def failing(*arguments: Any, **_options: Any) -> None:
        log = arguments[place] / "yosys.log"
        log.write_text("ERROR: no")
        raise ToolError("Yosys failed: no", log)

    monkeypatch.setattr(module, "_run", failing)
    board_option = ["--board", "ulx3s-85f"] if name == "build" else []
    result = run(name, "tiny", *board_option, "-o", "out")
    assert result.exit_code == 2
    assert log_named(result.stderr).read_text() == "ERROR: no"
    assert set(contents()) == {f"{name}-failed.log"}
