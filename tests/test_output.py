"""Whatever stands where output goes: links are followed, and nothing but a file is replaced."""

from __future__ import annotations

import ast
import os
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from counterflow.cli import main
from counterflow.commands.places import Writable, default
from counterflow.design.network.files import move, write_atomically
from tests.kept import standing

pytestmark = pytest.mark.usefixtures("elsewhere")

ROOT = Path(__file__).parent.parent
FLOORS = ("counterflow", "design", "golden", "hw", "sim", "boards")


def by_move(path: Path, text: str) -> None:
    made = path.parent / "made"
    made.write_text(text, encoding="utf-8")
    move(made, path)
    assert not made.exists()


WRITERS: dict[str, Callable[[Path, str], object]] = {"write": write_atomically, "move": by_move}


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # the whole path may be too long for a socket


ODD: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a socket": make_socket,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/null"),
}


def names() -> set[str]:
    return {str(path) for path in Path().rglob("*")}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_stays(kind: str, writer: str) -> None:
    path = Path("P")
    ODD[kind](path)
    before = standing(path)
    with pytest.raises(OSError, match=f"is {kind}, expected a file") as caught:
        WRITERS[writer](path, "new")
    assert caught.value.filename == "P"
    assert standing(path) == before
    assert names() - {"made"} == {"P"}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing yet"])
def test_a_link_is_followed(there: bool, writer: str) -> None:
    Path("far").mkdir()
    if there:
        Path("far/file").write_text("old")
    Path("far/link").symlink_to("file")
    Path("P").symlink_to("far/link")
    WRITERS[writer](Path("P"), "new")
    assert (Path("P").is_symlink(), Path("far/link").is_symlink()) == (True, True)
    assert Path("far/file").read_text() == "new"
    assert names() == {"P", "far", "far/link", "far/file"}


@pytest.mark.parametrize("writer", WRITERS)
def test_links_in_a_circle_and_links_into_nowhere(writer: str) -> None:
    Path("P").symlink_to("Q")
    Path("Q").symlink_to("P")
    with pytest.raises(OSError, match=r"links|circle") as caught:
        WRITERS[writer](Path("P"), "new")
    assert caught.value.filename == "P"
    Path("R").symlink_to("new/folder/file")
    WRITERS[writer](Path("R"), "new")
    assert Path("new/folder/file").read_text() == "new"


@pytest.mark.parametrize("writer", WRITERS)
def test_a_private_file_stays_private(writer: str) -> None:
    write_atomically(Path("P"), "old")
    Path("P").chmod(0o600)
    WRITERS[writer](Path("P"), "new")
    assert stat.S_IMODE(Path("P").stat().st_mode) == 0o600


def test_a_file_that_may_not_be_written_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(Path("P"), "old").chmod(0o400)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # root may all
    with pytest.raises(PermissionError, match="may not be written to"):
        write_atomically(Path("P"), "new")
    assert Path("P").read_text() == "old"


def test_a_file_that_takes_what_is_printed_stays() -> None:
    path, saved = Path("P"), os.dup(1)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        try:
            for name in ("P", "/dev/stdout"):
                with pytest.raises(OSError, match="takes what is printed"):
                    write_atomically(Path(name), "new")
        finally:
            os.dup2(saved, 1)
            os.close(saved)


WRITING = """
import sys
from pathlib import Path
from counterflow.design.network.files import write_atomically
while True:
    for letter in "ab":
        write_atomically(Path("P"), letter * 3_000_000)
        print(letter, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_the_old_file_or_the_new_one() -> None:
    for moment in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITING],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.read(4) == b"a\nb\n"
            time.sleep(0.003 * moment)
            process.kill()
        text = Path("P").read_text()
        assert text in ("a" * 3_000_000, "b" * 3_000_000)


def test_an_error_names_what_the_user_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        write_atomically(Path("deep/P"), "new")
    assert caught.value.filename == "deep/P"
    assert names() == {"deep"}


# Before the work


def options() -> list[tuple[str, click.Option]]:
    """Every option of every command that takes a path to be written, with the command's words."""
    found, left = [], [("", main)]
    while left:
        words, command = left.pop()
        if isinstance(command, click.Group):
            left += [(f"{words} {name}", one) for name, one in command.commands.items()]
        paths = [one for one in command.params if isinstance(one.type, Writable)]
        found += [(f"{words} {one.opts[0]}", one) for one in paths]
    return found


@pytest.mark.parametrize(("name", "option"), options(), ids=[name for name, _ in options()])
def test_what_cannot_be_made_is_refused_before_the_work(name: str, option: click.Option) -> None:
    folder = option.type.dir_okay
    Path("file").touch()
    os.mkfifo("fifo")
    Path("gone").symlink_to("new")
    Path("kept").mkdir()
    before = names()
    refused = ["file/x", "fifo", "fifo/x", "/proc/x", "/sys/x", "x" * 300, f"new/{'x' * 300}/y"]
    refused += ["", "file"] if folder else ["", "kept", "new/"]
    for path in refused:
        with pytest.raises(click.BadParameter, match=r"cannot be|is a|is no name") as caught:
            option.type.convert(path, option, None)
        assert "it File" not in str(caught.value)  # but what the system says by itself
    for path in ("new", "new/deep", "kept/x", "kept" if folder else "file"):
        assert option.type.convert(path, option, None) == Path(path)
    made = option.type.convert("gone", option, None)
    made.mkdir() if folder else write_atomically(made, "new")
    assert Path("new").exists()
    assert names() == before | {"new"}


def test_checked_options_are_all_that_write() -> None:
    asked = {name for name, _ in options()}
    folders = {f" {one} -o" for one in ("plan", "train", "verilog", "simulate", "synth", "build")}
    assert folders | {" demo -o", " compare -o", " host train -o", " host checkpoint -o"} <= asked
    assert {" train --checkpoint", " host train --checkpoint", " host train --progress"} <= asked


def test_default_folders_are_tried_as_well() -> None:
    Path("build").touch()
    with pytest.raises(ValueError, match="build is a file; name another folder with --out"):
        default(Path("build/tiny"))
    for command in (["verilog", "tiny"], ["simulate", "tiny"], ["demo", "--net", "tiny"]):
        result = CliRunner().invoke(main, command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "build is a file" in result.stderr


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "a folder"])
def test_a_checkpoint_replaces_none_of_these(kind: str) -> None:
    ODD[kind](Path("P"))
    before = standing(Path("P"))
    result = CliRunner().invoke(main, ["train", "tiny", "--epochs", "1", "--checkpoint", "P"])
    assert result.exit_code == 2
    assert "P" in result.stderr
    assert standing(Path("P")) == before


def test_a_checkpoint_goes_through_a_link() -> None:
    Path("P").symlink_to("far.npz")
    command = ["train", "tiny", "--epochs", "1", "--checkpoint", "P"]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert Path("P").is_symlink()
    assert "about" in np.load("far.npz")


# The one home of writers

# Not for users: scratch folders, which no command leaves, caches, and buffers in memory.
SCRATCH = {
    "design/network/files.py",
    *("boards/flow.py", "design/tools/synthesis.py", "design/tools/follow.py"),
    *(
        "design/tools/output_registers.py",
        "design/tools/reset_copies.py",
        "design/tools/placements.py",
        "design/tools/programs.py",
        "design/tools/routing.py",
    ),
    "design/parts/locks.py",  # of which the lock counts, not what is written
    "counterflow/host/journal.py",  # appended to: tests/test_journal.py has what ends leave of it
    "counterflow/commands/places.py",  # a try in a folder that goes
    *("design/data/cifar.py", "design/data/idx.py", "design/data/download.py"),
    *("sim/simulator.py", "sim/compiled/library.py", "sim/bench/job.py", "sim/bench/cycles.py"),
    *("sim/gates.py", "sim/proofs/proof.py", "sim/aig.py", "sim/runtime.py", "sim/fst.py"),
    *("counterflow/figures.py", "golden/training/checkpoint.py", "counterflow/surroundings.py"),
    "counterflow/exchange/files.py",  # NPZ, in memory
    "counterflow/results/studies.py",  # a scratch folder
}
WRITE = {
    *("write_text", "write_bytes", "rename", "renames", "touch", "truncate", "hardlink_to"),
    *("savefig", "savez", "savez_compressed", "savetxt", "tofile", "imsave"),
    *("copyfile", "copy2", "copytree", "copyfileobj", "NamedTemporaryFile", "FileHandler"),
}
OF_MODULES = {  # names that others have, too
    "shutil": {"copy", "move"},
    "os": {"open", "link", "symlink", "mkfifo"},
    **{module: {"dump"} for module in ("json", "pickle", "tomli_w")},
    **{module: {"save"} for module in ("np", "numpy")},
}
MODE = re.compile(r"[wxa][bt+]{0,2}|r[bt]?\+[bt]?")  # of files that are opened to be written


def test_nothing_else_writes() -> None:
    """All output goes through `write_atomically` and `move`."""
    found = set()
    for floor in FLOORS:
        for path in (ROOT / floor).rglob("*.py"):
            calls = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if any(isinstance(call, ast.Call) and _writes(call) for call in calls):
                found.add(str(path.relative_to(ROOT)))
    assert found == SCRATCH


def _writes(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    name = call.func.id if isinstance(call.func, ast.Name) else name
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    module = owner.id if isinstance(owner, ast.Name) else ""
    if name in OF_MODULES.get(module, ()):
        return (module, name) != ("os", "open") or not _reads(call)
    if name in ("open", "fdopen"):
        given = [*call.args, *(one.value for one in call.keywords if one.arg == "mode")]
        modes = [str(one.value) for one in given if isinstance(one, ast.Constant)]
        return any(MODE.fullmatch(mode) for mode in modes)
    if name == "replace":  # of a path: that of a text has two arguments, of a value has names
        return module == "os" or (len(call.args) == 1 and not call.keywords)
    return name in WRITE


def _reads(call: ast.Call) -> bool:
    """Whether the flags of `os.open` ask to read alone, or it is of what is always there."""
    return ast.unparse(call.args[1]) == "os.O_RDONLY" or "devnull" in ast.unparse(call.args[0])


@pytest.mark.parametrize(
    "text",
    [
        *("path.write_text(x)", "open('x', 'w')", "open('x', mode='wb')", "path.open('a')"),
        *("path.open('r+b')", "os.open(p, os.O_RDWR | os.O_CREAT)", "os.replace(a, b)"),
        *("json.dump(x, file)", "np.save(p, x)", "figure.savefig(p)", "shutil.copy(a, b)"),
        *("array.tofile(p)", "a.replace(b)", "shutil.copyfileobj(a, b)", "path.touch()"),
    ],
)
def test_a_writer_is_known_as_one(text: str) -> None:
    (call,) = (one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Call))
    assert _writes(call)


@pytest.mark.parametrize(
    "text",
    [
        *("open('name')", "path.open('rb')", "text.replace('a', 'b')", "replace(value, a=1)"),
        *("os.open(p, os.O_RDONLY)", "json.dumps(x)", "np.load(p)", "figure.save(p)", "a.copy()"),
    ],
)
def test_a_reader_is_none(text: str) -> None:
    (call,) = (one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Call))
    assert not _writes(call)
