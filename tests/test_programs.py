"""Programs that come as Python packages: compiled once on a machine, whoever comes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from counterflow.design.tools.programs import Packaged

STARTED = "started"  # a line for each start
SLOW = """import pathlib, sys, time
def main():
    assert sys.argv[1:] == ["--version"], sys.argv
    time.sleep(0.2)
    with pathlib.Path({path!r}).open("a") as file:
        file.write("started\\n")
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packaged:
    """A program that takes its time, on a machine on which nothing was started yet."""
    (tmp_path / "slow_program.py").write_text(SLOW.format(path=str(tmp_path / STARTED)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return Packaged("a slow program", "slow-program", "slow_program", "main")


def starts(folder: Path) -> int:
    path = folder / STARTED
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_of_several_that_start_at_once_one_compiles(slow: Packaged, tmp_path: Path) -> None:
    def command(_number: int) -> list[str]:
        found = slow.command()
        assert starts(tmp_path) == 1  # it is compiled when the command is there
        return found

    with ThreadPoolExecutor(4) as pool:
        commands = list(pool.map(command, range(4)))
    assert commands == [commands[0]] * 4
    assert starts(tmp_path) == 1


def test_another_version_is_compiled_again(slow: Packaged, tmp_path: Path) -> None:
    slow.command()
    program = tmp_path / "slow_program.py"
    program.write_text(program.read_text() + "\n# another\n")
    slow.command()
    assert starts(tmp_path) == 2


def test_where_nothing_can_be_kept_the_command_is_there_all_the_same(
    slow: Packaged, tmp_path: Path
) -> None:
    kept = tmp_path / "home" / ".cache" / "counterflow"
    kept.mkdir(parents=True)
    (kept / "compiled").write_text("a file where the folder would be")
    assert slow.command()[-1] == "import slow_program as m; m.main()"
    assert starts(tmp_path) == 0
