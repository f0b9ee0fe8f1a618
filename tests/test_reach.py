"""What a router's log says of the frequency that it aims at, and what is tried then."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from counterflow.design.fpga.targets import target
from counterflow.design.tools import routing
from counterflow.design.tools.follow import ToolError
from counterflow.design.tools.reach import ROUNDS, Reach, aims

PLACED = "Info: Max frequency for clock '$glbnet$clk': {:.2f} MHz (PASS at 50.00 MHz)"
ROUTES = "Info: Running router2..."
MADE = "Info:     iter={} wires=260816 overused=11683 overuse=13823 tmgfail={} archfail=NA"


def heard(aim: float | None, lines: Iterable[str]) -> Reach:
    reach = Reach(aim)
    for line in lines:
        reach.line(line)
    return reach


@pytest.mark.parametrize(
    ("aim", "failing", "hopeless"),
    [
        (100, [0, 0, 7, 0], False),  # on the way connections are in each other's way
        (100, [*[3] * (ROUNDS - 1), 0, *[9] * (ROUNDS - 1)], False),
        (100, [3] * ROUNDS, True),
        (100, [0, *[9] * ROUNDS, 0], True),
        (None, [9] * ROUNDS, False),
    ],
)
def test_connections_that_are_too_slow_in_many_rounds_say_that_there_is_no_hope(
    aim: float | None, failing: list[int], hopeless: bool
) -> None:
    lines = [MADE.format(number, count) for number, count in enumerate(failing, 1)]
    reach = heard(aim, [PLACED.format(99), ROUTES, *lines])
    assert reach.hopeless == hopeless
    assert reach.foretold == 99


def test_placement_foretells_the_clock_of_the_slowest_and_gives_none_up() -> None:
    reach = heard(100, [PLACED.format(200), PLACED.format(40), ROUTES, PLACED.format(1)])
    assert (reach.hopeless, reach.foretold) == (False, 40)


@pytest.mark.parametrize(("foretold", "second"), [(50.0, 80.0), (85.0, 85.0), (104.0, 95.0)])
def test_what_is_out_of_reach_is_tried_slower_and_then_without_an_aim(
    foretold: float, second: float
) -> None:
    found = []
    for reach in aims(100):
        found.append(reach.aim)
        reach.line(PLACED.format(foretold))
    assert found == [100, second, None]


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A router that reaches 70 MHz, whose runs aim at what the list then has."""
    aimed: list[float] = []
    monkeypatch.setattr(routing, "read_report", lambda fmax: routing.Routed(fmax, (), {}, {}))

    def arguments(_target: Any, aim: float | None, _seed: int, _pinned: Any) -> list[str]:
        aimed.append(aim or 0)
        slow = int(aim is not None and aim > 70)
        lines = [PLACED.format(72), ROUTES, *[MADE.format(one, slow) for one in range(ROUNDS)]]
        program = (
            f"import time; log = open({routing.LOG!r}, 'w'); print(*{lines}, sep='\\n', file=log)\n"
            f"log.flush(); time.sleep(60 * {slow})\n"
            f"open('report.json', 'w').write('{aim or 0}')"
        )
        return ["-c", program]

    monkeypatch.setattr(routing, "arguments", arguments)
    monkeypatch.setattr(
        type(routing.ROUTERS["nextpnr-ecp5"]), "command", lambda _: [sys.executable]
    )
    return aimed


@pytest.mark.parametrize(
    ("frequency", "tried"), [(60, [60]), (70, [70]), (90, [90, 72, 0]), (73, [73, 69.35])]
)
def test_a_design_is_placed_once_more_where_its_clock_is_out_of_reach(
    router: list[float], tmp_path: Path, frequency: float, tried: list[float]
) -> None:
    lines: list[str] = []
    where: Any = {"frequency": frequency, "seed": 1}
    reached: Any = routing.route(target("ecp5-25f"), tmp_path, lines.append, **where)
    assert router == pytest.approx(tried)
    assert reached.fmax == pytest.approx(tried[-1])
    assert (reached.aimed or 0) == reached.fmax
    told = [line for line in lines if "out of reach" in line]
    assert len(told) == len(tried) - 1
    for one, line in zip(tried, told, strict=False):
        assert f"{one:g} MHz" in line


def test_the_clock_of_a_board_is_met_or_not_but_never_lowered(
    router: list[float], tmp_path: Path
) -> None:
    where: Any = {"frequency": 90, "seed": 1, "pinned": ("--lpf", "top.lpf")}
    reached = routing.route(target("ecp5-25f"), tmp_path, lambda _line: None, **where)
    assert router == [90, 0]
    assert reached.aimed is None


def test_a_router_that_is_stopped_is_not_started_again(router: list[float], tmp_path: Path) -> None:
    stopped = Event()
    stopped.set()
    where: Any = {"frequency": 90, "seed": 1, "stopped": stopped}
    with pytest.raises(ToolError):
        routing.route(target("ecp5-25f"), tmp_path, lambda _line: None, **where)
    assert router == [90]
