"""What a build found: the prediction beside the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from counterflow.boards.pins import pins
from counterflow.boards.pll import dividers
from counterflow.boards.table import Board
from counterflow.design.fit.advice import samples_per_second
from counterflow.design.fpga.needs import needs
from counterflow.design.fpga.targets import Resources
from counterflow.design.schedule.planner import Plan
from counterflow.design.tools.synthesis_report import SynthesisReport

AROUND = "board"  # what is in no unit of the network: host link, clock and reset


@dataclass(frozen=True)
class BuildReport:
    """Outcome of a build for ``board``.

    ``found`` is what synthesis and routing did, its ``frequency`` what the PLL makes, in MHz;
    ``asked`` what the user wanted of it.
    """

    board: Board
    design: Plan
    found: SynthesisReport
    asked: float
    baud: int

    @property
    def planned(self) -> Resources:
        """What the planner counted of the network alone."""
        return needs(self.design, self.board.fpga.family).total

    @property
    def samples_per_second(self) -> float:
        """Training samples a second that the hardware takes where the host keeps up with it."""
        return samples_per_second(self.design, self.found.frequency)

    def late(self) -> str | None:
        """Sentences of what is too slow and what to lower, or None where timing is met."""
        routed = self.found.routed
        if routed is None or routed.fmax >= self.found.frequency:
            return None
        path = routed.paths[0] if routed.paths else None
        slowest = (
            ""
            if path is None
            else (
                f"The slowest path, {path.delay:.1f} ns in {path.levels} levels of logic, leads "
                f"from {path.start} to {path.end}. "
            )
        )
        return (
            f"{self.found.network} on {self.board.name} does not meet {self.found.frequency:g} "
            f"MHz: after routing with {self.found.placements} it reaches {routed.fmax:.2f} MHz. "
            f"{slowest}{advised(self.board, routed.fmax)}"
        )

    def to_json(self) -> dict[str, Any]:
        """The keys that `counterflow build --json` promises."""
        routed = self.found.routed
        return {
            **self.found.to_json(),
            "board": self.board.name,
            "asked": self.asked,
            "met": routed is not None and self.late() is None,
            "interval": self.design.schedule.interval,
            "samples_per_second": self.samples_per_second,
            "baud": self.baud,
            "plan": {
                name: value
                for name, value in self.planned._asdict().items()
                if name in ("multipliers", "block_rams", "luts")
            },
        }


def advised(board: Board, fmax: float) -> str:
    """A sentence with a frequency that would be met, as far as can be known."""
    clock, family = pins(board).clock, board.fpga.family
    for wanted in range(int(fmax), 0, -1):
        try:
            setting = dividers(family, clock, wanted)
        except ValueError:
            continue
        if setting is None or setting.frequency <= fmax:
            return (
                f"Lower the clock with --freq {wanted}, try --seeds 5, or ask for fewer lanes "
                "with --multipliers."
            )
    return "No clock that this board can make is so slow; ask for fewer lanes with --multipliers."
