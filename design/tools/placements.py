"""Place and route one netlist under several seeds, in processes beside each other."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

from counterflow.design.fpga.targets import Target
from counterflow.design.tools.follow import ToolError
from counterflow.design.tools.routing import LOG, Progress, Routed, route
from counterflow.design.tools.synthesis import NETLIST


@dataclass(frozen=True)
class Placements:
    """What came of each seed: one clock frequency of one seed says little of a design.

    ``routed`` by seed; ``failed``: why others have no result.
    """

    routed: Mapping[int, Routed]
    failed: Mapping[int, str]

    @property
    def best(self) -> int:
        """The seed of the fastest; of equals the lowest."""
        return min(self.routed, key=lambda seed: (-self.routed[seed].fmax, seed))

    @property
    def median(self) -> float:
        """The median of the frequencies in MHz."""
        return statistics.median(one.fmax for one in self.routed.values())

    def __str__(self) -> str:
        """Which seed it is, beside how many others, for a sentence."""
        if len(self.routed) + len(self.failed) == 1:
            return f"seed {self.best}"
        lost = f", {len(self.failed)} not routed" if self.failed else ""
        return (
            f"seed {self.best}, the best of {len(self.routed) + len(self.failed)} "
            f"(median {self.median:.2f} MHz{lost})"
        )

    @property
    def frequencies(self) -> dict[int, float]:
        """MHz by seed."""
        return {seed: one.fmax for seed, one in sorted(self.routed.items())}


def processes() -> int:
    """How many routers run beside each other: as many as this process may use processors."""
    return len(os.sched_getaffinity(0))


OnSeed = Callable[[int, str], None]


def place(
    target: Target,
    folder: Path,
    seeds: Sequence[int],
    on_line: OnSeed,
    *,
    frequency: float,
    pinned: Sequence[str] = (),
    given: Sequence[str] = (),
    kept: Sequence[str] = (),
) -> Placements:
    """Place and route the netlist in `folder` under each of `seeds`.

    What a seed gives is the same as by itself.  `on_line` hears the seed and a line of its log, one
    line at a time; `pinned` as for `routing.route`, with the files of `given` from `folder`.  The
    log of the best is left in `folder`, and so are files of it that are to be `kept`.  ToolError
    where none can be routed.
    """
    stopped, speaking = Event(), Lock()
    routed: dict[int, Routed] = {}
    failed: dict[int, str] = {}

    def one(seed: int) -> None:
        scratch = _folder(folder, seed)
        scratch.mkdir()
        for name in (NETLIST, *given):
            _lend(folder / name, scratch / name)

        def heard(line: str) -> None:
            with speaking:
                on_line(seed, line)

        aim: Any = {"frequency": frequency, "seed": seed, "pinned": pinned, "stopped": stopped}
        try:
            routed[seed] = route(target, scratch, heard, **aim)
        except ToolError as error:
            error.log = None  # it does not stay
            failed[seed] = str(error)

    with ThreadPoolExecutor(processes()) as pool:
        try:
            for _ in pool.map(one, seeds):
                pass
        except BaseException:
            stopped.set()  # or the end of the pool would wait for all that run
            pool.shutdown(cancel_futures=True)
            raise
    found = Placements(routed, failed)
    shown = found.best if routed else seeds[0]
    for name in (LOG, *(kept if routed else ())):
        if (_folder(folder, shown) / name).exists():
            shutil.move(_folder(folder, shown) / name, folder / name)
    for seed in seeds:
        shutil.rmtree(_folder(folder, seed))
    if not routed:
        raise ToolError(failed[shown], folder / LOG if (folder / LOG).exists() else None)
    return found


def _lend(path: Path, to: Path) -> None:
    """The file under a second name: the packaged router follows no symbolic link."""
    try:
        to.hardlink_to(path)
    except OSError:  # not on this file system
        shutil.copy(path, to)


def _folder(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed}"


def followed(seeds: Sequence[int], on_stage: Callable[[str, str], None]) -> OnSeed:
    """Tells `on_stage` how far a router is: of several the one that spoke last."""
    progress = {seed: Progress() for seed in seeds}

    def on_line(seed: int, line: str) -> None:
        one = progress[seed]
        one.line(line)
        detail = f"seed {seed}: {one.detail}" if len(seeds) > 1 else one.detail
        on_stage(one.stage, detail)

    return on_line
