"""Which networks fit which board, as far as the planner can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from counterflow.boards.table import BOARDS, Board
from counterflow.design.fit.fitting import fit
from counterflow.design.fpga.needs import needs, settled
from counterflow.design.fpga.targets import Resources, Target, total
from counterflow.design.network.description import Description
from counterflow.design.network.files import description_of
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.losses import LossUnit

LINK = Resources(block_rams=5, luts=1100)
"""About what host link, UART and reset take beside the network."""

MERGED = 0.8
"""About the LUTs, for each bit and loss, of the stream in which predictions of several leave."""

SPREAD: Mapping[str, float] = {"ecp5": 1.0, "ice40": 1.5, "xc7": 1.0}
"""Logic cells by LUT: one of iCE40 has a LUT and a flip-flop behind it, and serves a flip-flop
that follows no LUT of its own all alone."""

COMPACT = 1.35
"""The same for a compact plan, which has fewer such flip-flops."""


class Fit(NamedTuple):
    """A network on a board: what its plan takes, or why there is none in ``reason``."""

    network: str
    design: Plan | None
    taken: Resources
    reason: str = ""

    @property
    def fits(self) -> bool:
        return self.design is not None


NOTHING = Resources()


def around(description: Description) -> Resources:
    """`LINK`, with the merge of predictions (`hw.parts.merge`) where there are heads."""
    losses = [unit.numbers for unit in description.graph.units if isinstance(unit, LossUnit)]
    if len(losses) == 1:
        return LINK
    merged = round(MERGED * losses[-1].prediction_bits * len(losses))
    return LINK._replace(luts=LINK.luts + merged)


def own_fold(description: Description, target: Target, around: Resources = NOTHING) -> Plan | None:
    """The plan with the fold that a description names, if that and `around` fit `target`."""
    design = settled(plan(description), target, around.block_rams)
    return design if _lack(design, target, around) is None else None


def fit_on(description: Description, board: Board) -> Fit:
    """`description` on `board`, with its own fold if that fits, else with another."""
    name, target, beside = description.name, board.fpga, around(description)
    design = own_fold(description, target, beside)
    if design is None:
        try:
            design = settled(
                fit(description, _left(target, beside)).plan, target, beside.block_rams
            )
        except ValueError as error:  # UnfitError, or too few multipliers for so many units
            return Fit(name, None, Resources(), str(error))
    taken = needs(design, target.family).total
    lack = _lack(design, target, beside)
    if lack is not None:
        return Fit(name, None, taken, f"{name} does not fit {target.name}: {lack}")
    return Fit(name, design, taken)


def _left(target: Target, around: Resources) -> Target:
    """What of `target` is left for a network beside what is `around` it."""
    has = target.has
    blocks, luts = has.block_rams - around.block_rams, has.luts - around.luts
    return replace(target, has=has._replace(block_rams=max(0, blocks), luts=max(0, luts)))


def table(boards: Iterable[Board], networks: Iterable[str]) -> dict[str, list[Fit]]:
    """Every network of these names on every board, by board."""
    names = tuple(networks)
    return {board.name: [_shipped(name, board.target) for name in names] for board in boards}


@cache
def _shipped(network: str, device: str) -> Fit:
    """A network that ships on the boards with this device, which is looked at once."""
    board = next(one for one in BOARDS.values() if one.target == device)
    return fit_on(description_of(network), board)


def others(description: Description, board: Board) -> str:
    """A sentence with the boards that a network fits which is too large for `board`."""
    found: dict[str, bool] = {}
    for other in BOARDS.values():
        if other.target != board.target and other.target not in found:
            found[other.target] = fit_on(description, other).fits
    names = [other.name for other in BOARDS.values() if found.get(other.target)]
    if not names:
        return "It fits no board that is known; use fewer or smaller layers."
    return f"It fits {', '.join(names)}."


def _lack(design: Plan, target: Target, around: Resources) -> str | None:
    """What there is too little of for a network and what is `around` it, or None."""
    needed, has = total([needs(design, target.family).total, around]), target.has
    if needed.multipliers > has.multipliers:
        return f"it needs {needed.multipliers:,} multipliers of {has.multipliers:,}"
    if needed.block_rams > has.block_rams:
        return f"it needs {needed.block_rams:,} block RAMs of {has.block_rams:,}"
    spread = COMPACT if design.compact else SPREAD[target.family]
    cells = round(spread * needed.luts) if around.luts else needed.luts
    if cells > has.luts:
        return f"it needs about {round(cells, -2):,} logic cells of {has.luts:,}"
    return None
