"""Norms of groups in `golden.fast.chain`: their records; the loops are in `group_normalise`."""

from __future__ import annotations

from typing import Any

from counterflow.design.units.group_normalisation import GroupNormalisation
from counterflow.design.units.group_times import GroupNormStage
from counterflow.design.units.normal import ROOTS, Share
from counterflow.golden.fast.narrowings import largest_narrowed
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.units import norm


def record(stage: GroupNormStage, where: Places) -> dict[str, Any]:
    """The fields of its record but for those that say where its own part of the memory starts."""
    numbers = stage.numbers
    return norm.common(stage, where) | {
        "group": numbers.group,
        "count": numbers.count,
        "guard": numbers.mean_guard,
        "y_frac": numbers.y.frac,
        "control_drop": numbers.correction_drop,
        "mean": _share(numbers.centre_share),
        "variance": _share(numbers.variance_share),
        "scale": _share(numbers.product_share),
        "shift": _share(numbers.error_share),
    }


def _share(share: Share) -> tuple[int, ...]:
    """The fields of SHARE; nothing that is not remembered has limits."""
    return share.factor, share.shift, 0, 0


def fits(numbers: GroupNormalisation, bits: int) -> bool:
    """Whether words of `bits` bits hold every intermediate value but for sums over an image."""
    (_, halvings), root = numbers.halvings, max(ROOTS)
    xhat, largest, shifts = norm.sent(numbers)
    if numbers.dx is not None:
        exact = numbers.corrected.magnitude << numbers.y.frac
        exact += numbers.product_mean.magnitude * xhat + (1 << numbers.correction_drop)
        shift = numbers.scaled_shift + numbers.lift
        scaled = ((exact >> numbers.correction_drop) * root << numbers.lift) + (
            1 << halvings + shift
        )
        wide = scaled >> numbers.halvings[0] + shift
        largest += [exact, scaled, largest_narrowed(wide, numbers.wide_frac - numbers.dx.frac)]
        shifts += [numbers.correction_drop, halvings + shift]
    return max(largest) < 1 << (bits - 1) and max(shifts) < bits - 1
