"""Which networks fit which board, as far as the planner can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from boards.table import Board
from counterflow.description import Description
from counterflow.files import description_of
from counterflow.fitting import fit
from counterflow.needs import needs
from counterflow.planner import Plan, plan
from counterflow.targets import Resources, Target

LINK = 700  # LUTs of host link, UART and reset, about
SPREAD: Mapping[str, float] = {"ecp5": 1.0, "ice40": 1.5, "xc7": 1.0}
"""Logic cells by LUT: one of iCE40 has a LUT and a flip-flop behind it, and serves a flip-flop
that follows no LUT of its own all alone."""


class Fit(NamedTuple):
    """A network on a board: what its plan takes, or why there is none in ``reason``."""

    network: str
    design: Plan | None
    taken: Resources
    reason: str = ""

    @property
    def fits(self) -> bool:
        return self.design is not None


def own_fold(description: Description, target: Target) -> Plan | None:
    """The plan with the fold that a description names, if that fits `target`."""
    design = plan(description)
    return design if _lack(needs(design, target.family).total, target) is None else None


def fit_on(name: str, board: Board) -> Fit:
    """The shipped network `name` on `board`, with its own fold if that fits, else with another."""
    description, target = description_of(name), board.fpga
    design = own_fold(description, target)
    if design is None:
        try:
            design = fit(description, target).plan
        except ValueError as error:  # UnfitError, or too few multipliers for so many units
            return Fit(name, None, Resources(), str(error))
    taken = needs(design, target.family).total
    lack = _lack(taken, target)
    if lack is not None:
        return Fit(name, None, taken, f"{name} does not fit {target.name}: {lack}")
    return Fit(name, design, taken)


def table(boards: Iterable[Board], networks: Iterable[str]) -> dict[str, list[Fit]]:
    """Every network on every board, by board; those with the same device are looked at once."""
    found: dict[str, list[Fit]] = {}
    done: dict[str, list[Fit]] = {}
    names = tuple(networks)
    for board in boards:
        if board.target not in done:
            done[board.target] = [fit_on(name, board) for name in names]
        found[board.name] = done[board.target]
    return found


def _lack(taken: Resources, target: Target) -> str | None:
    """What there is too little of, the host link counted, or None."""
    if taken.multipliers > target.has.multipliers:
        return f"it needs {taken.multipliers:,} multipliers of {target.has.multipliers:,}"
    if taken.block_rams > target.has.block_rams:
        return f"it needs {taken.block_rams:,} block RAMs of {target.has.block_rams:,}"
    cells = round(SPREAD[target.family] * taken.luts) + LINK
    if cells > target.has.luts:
        return f"it needs about {round(cells, -2):,} logic cells of {target.has.luts:,}"
    return None
