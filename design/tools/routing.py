"""Place and route with nextpnr: the clock frequency after routing, and what limits it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from counterflow.design.fpga.targets import Target
from counterflow.design.tools.follow import OnLine, ToolError, follow
from counterflow.design.tools.programs import ROUTERS
from counterflow.design.tools.reach import Reach, aims
from counterflow.design.tools.synthesis import NETLIST

LOG = "nextpnr.log"
_REPORT = "report.json"
_CLOCK = "clock.lpf"  # where the clock comes in
RETRIES = {"ecp5"}  # families whose router makes connections anew that are too slow
MARGIN = 1.01  # of what it then aims at, since it reckons a little better than it reports
ARRIVALS = 25  # kinds of registers whose arrivals are kept


class CriticalPath(NamedTuple):
    """The slowest path of a clock; times in ns.

    ``start`` and ``end`` name what the registers at its ends drive; ``levels`` counts the cells
    between them, ``logic`` is the time in cells, first and last register included, ``routing`` that
    on wires.
    """

    start: str
    end: str
    levels: int
    logic: float
    routing: float

    @property
    def delay(self) -> float:
        return self.logic + self.routing


@dataclass(frozen=True)
class Routed:
    """A placed and routed design.

    ``fmax`` in MHz; ``paths``: the slowest of each clock; ``cells`` by kind as (used, available);
    ``arrivals``: registers and memories by the time in ns at which their slowest input arrives,
    latest first, those that differ only in numbers taken together.  ``aimed``: the MHz up to which
    connections were made anew, None where each was made once.
    """

    fmax: float
    paths: tuple[CriticalPath, ...]
    cells: Mapping[str, tuple[int, int]]
    arrivals: Mapping[str, float]
    aimed: float | None = None


def arguments(
    target: Target, aim: float | None, seed: int, pinned: Sequence[str] = ()
) -> list[str]:
    """The command line for nextpnr; the result depends on nothing else.

    `aim`: a frequency in MHz up to which connections are made anew, where the family's router can
    do that.  `pinned`: options for a design with its pins in a file; without, they are where they
    like.
    """
    free = pinned or ["--pcf-allow-unconstrained"]
    if target.family == "ecp5":
        located = ["--lpf", _CLOCK] if target.clock_site else []
        free = pinned or [*located, "--lpf-allow-unconstrained"]
        # For a unit of 13,000 LUTs the default router was not done after six times as long.  Where
        # nearly all block RAMs are taken this placer needs half the time and a sixth less wire.
        free = [*free, "--router", "router2", "--placer", "static"]
    anew = target.family in RETRIES and aim is not None
    wanted = (aim or target.frequency) * (MARGIN if anew else 1)
    return [
        *target.device,
        *("--json", NETLIST, "--report", _REPORT, "--log", LOG, "--quiet"),
        *("--freq", f"{wanted:g}", "--seed", str(seed), "--timing-allow-fail"),
        *(["--tmg-ripup"] if anew else []),
        *("--detailed-timing-report", *free),
    ]


def route(
    target: Target,
    folder: Path,
    on_line: OnLine,
    *,
    frequency: float,
    seed: int,
    pinned: Sequence[str] = (),
    stopped: Event | None = None,
) -> Routed:
    """Place and route the netlist in `folder`, aiming at `frequency` MHz, which it may miss.

    Where that turns out to be out of reach it is placed again, and aims lower (`reach.aims`).
    `pinned` as for `arguments`; files that it names are relative to `folder`.
    Leaves `LOG` there; `on_line` receives it.  ToolError where it does not fit or cannot be routed,
    or was `stopped` by another thread.
    """
    if target.router is None:
        raise ValueError(f"no program here places and routes for {target.name}")
    router = ROUTERS[target.router]
    if target.clock_site and not pinned:  # from some pins there is no way left to the global clocks
        (folder / _CLOCK).write_text(f'LOCATE COMP "clk" SITE "{target.clock_site}";\n')
    # Where a clock comes in at a pin its file of pins says what for, whatever the command says.
    for reach in aims(frequency, lower=not pinned):
        command = [*router.command(), *arguments(target, reach.aim, seed, pinned)]
        if _reached(command, folder, on_line, reach, what=router.what, stopped=stopped):
            break
        on_line(f"Info: {reach.aim:g} MHz are out of reach, so that it is placed once more")
    found = read_report(json.loads((folder / _REPORT).read_text(encoding="utf-8")))
    return replace(found, aimed=reach.aim if target.family in RETRIES else None)


def _reached(
    command: Sequence[str],
    folder: Path,
    on_line: OnLine,
    reach: Reach,
    *,
    what: str,
    stopped: Event | None,
) -> bool:
    """Run the `command`, as long as there is hope that it gets to what it aims at."""

    def heard(line: str) -> None:
        reach.line(line)
        on_line(line)

    def left() -> bool:  # by who wanted it
        return stopped is not None and stopped.is_set()

    (folder / LOG).unlink(missing_ok=True)  # of another aim
    try:
        follow(command, folder, LOG, heard, what=what, stopped=lambda: reach.hopeless or left())
    except ToolError:
        if left() or not reach.hopeless:
            raise
    return not reach.hopeless


def read_report(report: Mapping[str, Any]) -> Routed:
    """What nextpnr reports, of the slowest clock."""
    paths = [_path(one["path"]) for one in report["critical_paths"] if _clocked(one)]
    return Routed(
        fmax=min(clock["achieved"] for clock in report["fmax"].values()),
        paths=tuple(sorted(paths, key=lambda path: -path.delay)),
        cells={
            kind: (amount["used"], amount["available"])
            for kind, amount in report["utilization"].items()
            if amount["used"]
        },
        arrivals=_arrivals(report.get("detailed_net_timings", ())),
    )


def _arrivals(nets: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The `ARRIVALS` latest arrivals by kind of register."""
    latest: dict[str, float] = {}
    for net in nets:
        for end in net["endpoints"]:
            name = re.sub(r"(?<![a-z])\d+", "#", _plain(end["cell"]))
            latest[name] = max(latest.get(name, 0.0), end["delay"][1])
    return dict(sorted(latest.items(), key=lambda item: (-item[1], item[0]))[:ARRIVALS])


def _clocked(path: Mapping[str, str]) -> bool:
    """Whether both ends of a path are registers, not pins."""
    return "<async>" not in path["from"] + path["to"]


def _path(steps: Sequence[Mapping[str, Any]]) -> CriticalPath:
    routing = [step for step in steps if step["type"] == "routing"]
    crossed = [step for step in routing if step["delay"] > 0]  # a carry takes no wire
    return CriticalPath(
        start=_plain(routing[0]["net"] if routing else steps[0]["from"]["cell"]),
        end=_plain(steps[-1]["to"]["cell"]),
        levels=max(0, len(crossed) - 1),
        logic=sum(step["delay"] for step in steps if step["type"] != "routing"),
        routing=sum(step["delay"] for step in routing),
    )


def _plain(name: str) -> str:
    """The name of a register or memory in the design, from that of what became of it.

    Yosys names cells after the signal that they drive and what lies between.
    """
    signal = _PRIMITIVE.split(name.removeprefix("inner."))[0]
    return signal or name


_PRIMITIVE = re.compile(r"_(?:TRELLIS_|SB_|DP16KD|MULT18X18D|CCU2C|LUT4|PFUMX|L6MUX21)|\$")


class Progress:
    """Reads nextpnr's log: the stage that it is in, and how far that is."""

    _STAGES: Mapping[str, str] = {
        "Packing": "pack",
        "Creating initial": "place",
        "Running main analytical placer": "place",
        "Running Static placer": "place",
        "Routing": "route",
    }

    def __init__(self) -> None:
        self.stage = "pack"
        self.detail = ""

    def line(self, line: str) -> None:
        """Take one line of the log."""
        text = line.removeprefix("Info:").strip()
        for start, stage in self._STAGES.items():
            if text.startswith(start) and stage != self.stage:
                self.stage, self.detail = stage, ""
        wires = re.search(r"(?:wirelen(?: solved)? =|hpwl:) (\d+)", text)
        left = re.match(r"(\d+) \|\s*\d+\s+\d+ \|\s*\d+\s+\d+ \|\s*(\d+)\|", text)
        overused = re.match(r"iter=(\d+) .*?\boverused=(\d+)", text)
        if wires and self.stage == "place":
            self.detail = f"wire length {int(wires[1]):,}"
        elif left:
            self.detail = f"{int(left[2]):,} connections to go"
        elif overused:
            self.detail = f"iteration {overused[1]}, {int(overused[2]):,} wires overused"
