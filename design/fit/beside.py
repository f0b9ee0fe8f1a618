"""Fitting a network with stashes in a memory beside the chip: as few bytes a second as will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from counterflow.design.fit.fitting import Fitted, UnfitError, fit
from counterflow.design.fpga.needs import Needs, needs
from counterflow.design.fpga.outside import Stashed, worth_it
from counterflow.design.fpga.targets import Target
from counterflow.design.network.description import Description


def fit_beside(
    description: Description,
    target: Target,
    stash: str,
    *,
    multipliers: int | None = None,
    interval: int | None = None,
    lut_multipliers: int = 0,
) -> Fitted:
    """As `fit`, with `stash` "inside", "all" outside, or "outside" where the network needs it.

    In the last case the fold is that of a network with all of them outside, and those come back for
    which there is room.  `UnfitError` where nothing fits.
    """
    within = partial(
        fit,
        description,
        target,
        multipliers=multipliers,
        interval=interval,
        lut_multipliers=lut_multipliers,
    )
    if stash != "all":
        try:
            return within(outside=False)
        except UnfitError:
            if stash == "inside":
                raise
    fitted = within(outside=True)
    return fitted if stash == "all" else replace(fitted, needs=_fewest(fitted))


def _fewest(fitted: Fitted) -> Needs:
    """What a fold takes with only those stashes outside that there is no room for.

    They are chosen by the bytes that pass for each bit that they free, fewest first; then those
    come back, most bytes first, without which it fits all the same.
    """
    search, every = fitted.search, worth_it(fitted.plan)

    def counted(outside: Sequence[Stashed]) -> Needs:
        names = tuple(one.unit for one in outside)
        return needs(replace(fitted.plan, outside=names), search.family, search.has)

    low, high = 0, len(every)  # so many of the first are too few; are enough
    while high - low > 1:
        middle = (low + high) // 2
        if search.fits(counted(every[:middle])):
            high = middle
        else:
            low = middle
    kept = list(every[:high])
    for one in sorted(kept, key=lambda one: -one.traffic):
        fewer = [other for other in kept if other is not one]
        if search.fits(counted(fewer)):
            kept = fewer
    return counted(kept)
