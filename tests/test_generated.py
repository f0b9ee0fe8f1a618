"""Verilog is kept for the next call, and made anew where anything has a say in it that changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim import generated
from counterflow.sim.generated import digest, kept_verilog


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFLOW_CACHE", str(tmp_path))


class Counting:
    """Writes Verilog, each time another one."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        return f"module m{self.calls}; endmodule\n"


@pytest.fixture(scope="module")
def tiny() -> Plan:
    return plan(load("tiny"))


def test_what_was_generated_once_is_read(tiny: Plan) -> None:
    generate = Counting()
    first = kept_verilog("bench", tiny, generate)
    assert kept_verilog("bench", plan(load("tiny")), generate) == first
    assert generate.calls == 1


def test_another_kind_network_fold_or_writer_is_generated(
    tiny: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = Counting()
    folded = load("tiny").model_copy(update={"fold": load("digits").fold})
    others = [("harsh", tiny), ("bench", plan(load("tiny-conv"))), ("bench", plan(folded))]
    for kind, design in [("bench", tiny), *others]:
        kept_verilog(kind, design, generate)
    assert generate.calls == 4
    monkeypatch.setattr(generated, "_writers", lambda: "another version of Amaranth")
    kept_verilog("bench", tiny, generate)
    assert generate.calls == 5


def test_an_interrupted_call_leaves_nothing_to_read(tiny: Plan, tmp_path: Path) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_verilog("bench", tiny, interrupted)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", ["text", "name", "new", "moved"])
def test_any_change_of_a_source_is_seen(tmp_path: Path, change: str) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "unit.py").write_text("a = 1\n")
    (tmp_path / "parts" / "lane.py").write_text("b = 2\n")
    (tmp_path / "unit.pyc").write_text("made of it")
    before = digest(tmp_path)
    (tmp_path / "unit.pyc").write_text("made of it again")
    assert digest(tmp_path) == before
    if change == "text":
        (tmp_path / "parts" / "lane.py").write_text("b = 3\n")
    elif change == "name":
        (tmp_path / "unit.py").rename(tmp_path / "units.py")
    elif change == "new":
        (tmp_path / "parts" / "more.v").write_text("")
    else:
        (tmp_path / "parts" / "lane.py").write_text("")
        (tmp_path / "unit.py").write_text("a = 1\nb = 2\n")
    assert digest(tmp_path) != before


def test_the_sources_of_hardware_are_among_those_looked_at() -> None:
    names = {file.name for one in generated.WRITERS for file in generated._files(_folder(one))}
    assert {"update.py", "top.py", "lane.py", "planner.py"} <= names


def _folder(package: str) -> Path:
    return Path(__file__).parents[1] / package.replace(".", "/")
