"""Advice in sentences: whether a network fits a device, what limits it, and what would help."""

from __future__ import annotations

from collections.abc import Iterator

from counterflow.description import Description
from counterflow.fitting import PLANNED, Fitted, Unfit, fit, takes
from counterflow.formats import Format
from counterflow.needs import Needs, needs
from counterflow.planner import Plan
from counterflow.targets import RESOURCE_NAMES, TARGETS, Resources, Target

NARROWER = (("s18.16", "s12.16"), ("s16.14", "s10.14"), ("s14.12", "s10.12"))
"""Formats of weight and velocity that are tried where memories do not fit."""

RAM_BITS = {"ecp5": 18_432, "ice40": 4096, "xc7": 18_432}
"""Bits of a block RAM."""


def verdict(fitted: Fitted, frequency: float) -> list[str]:
    """What fits and how fast it is at `frequency` MHz, what limits it, and the next step."""
    taken, has = fitted.needs.total, fitted.target.has
    interval = fitted.needs.interval
    shares = (
        f"{taken.multipliers:,} of {has.multipliers:,} multipliers",
        f"{taken.block_rams:,} of {has.block_rams:,} block RAMs",
        f"roughly {round(taken.luts, -2):,} of {has.luts:,} LUTs",
    )
    fits = "fits" if taken.luts <= has.luts else "may fit"
    speed = frequency * 1e6 / interval
    return [
        f"It {fits} {fitted.target.name}: {', '.join(shares)}.",
        f"At {frequency:g} MHz it trains on {speed:,.0f} samples a second.",
        _limits(fitted),
    ]


def _limits(fitted: Fitted) -> str:
    units = fitted.bottleneck
    sets = f"{' and '.join(units)} {'sets' if len(units) == 1 else 'set'} the interval"
    if fitted.needs.interval <= fitted.least_interval:
        return (
            f"{sets.capitalize() if False else sets}; no budget makes it shorter, since streams "
            "carry one element a cycle."
        )
    step = fitted.next_step()
    if step is None:
        return f"{sets}; a markedly shorter one needs more than twice of what there is."
    return f"{sets}; one of {step.interval:,} cycles needs {takes(step)}{_lack(step, fitted)}."


def _lack(step: Needs, fitted: Fitted) -> str:
    """What a step needs more of than there is."""
    missing = [
        RESOURCE_NAMES[name]
        for name in PLANNED
        if getattr(step.total, name) > getattr(fitted.search.has, name)
    ]
    return f", more {' and '.join(missing)} than there are" if missing else ""


def remedy(
    description: Description,
    target: Target,
    *,
    multipliers: int | None = None,
    interval: int | None = None,
) -> str:
    """What would fit where `description` does not fit `target`, in a sentence; each was planned."""
    if multipliers is not None or interval is not None:
        found = _fitted(description, target)
        if found is not None:
            return f"Without that limit it fits: {takes(found)}, every {found.interval:,} cycles."
    ways = []
    for formats, narrow in narrowed(description):
        found = _fitted(narrow, target)
        if found is not None:
            ways.append(f"with {formats} (every {found.interval:,} cycles)")
            break
    for other in larger(target):
        found = _fitted(description, other)
        if found is not None:
            ways.append(f"on {other.name} (every {found.interval:,} cycles)")
            break
    if ways:
        return f"It fits {', or '.join(ways)}."
    for other in larger(target):
        for formats, narrow in narrowed(description):
            found = _fitted(narrow, other)
            if found is not None:
                return f"It fits {other.name} with {formats} (every {found.interval:,} cycles)."
    return (
        "It fits no target that is known, nor with narrower weights; use fewer or smaller layers."
    )


def narrowed(description: Description) -> Iterator[tuple[str, Description]]:
    """The description with narrower weights, in words and as a value."""
    old = description.formats
    for weight, velocity in NARROWER:
        new = {"weight": Format.parse(weight), "velocity": Format.parse(velocity)}
        if new["weight"].bits + new["velocity"].bits >= old.weight.bits + old.velocity.bits:
            continue
        try:
            formats = type(old).model_validate({**old.model_dump(), **new})
            fields = {name: getattr(description, name) for name in type(description).model_fields}
            narrow = type(description).model_validate({**fields, "formats": formats})
        except ValueError:
            continue  # these numbers would not hold such weights
        yield f"formats.weight {weight} and formats.velocity {velocity}", narrow


def larger(target: Target) -> list[Target]:
    """Targets with more block RAM bits or more multipliers, the family's own first, smallest first."""
    others = [
        other
        for other in TARGETS.values()
        if other.has.multipliers > target.has.multipliers or other.has.luts > target.has.luts
    ]
    return sorted(others, key=lambda other: (other.family != target.family, other.has.luts))


def _fitted(description: Description, target: Target) -> Needs | None:
    """The fold that fits, or None."""
    bits = sum(
        unit.geometry.taps * unit.geometry.outputs * _word(description, unit.layer)
        for unit in description.weighted
    )
    if bits > RAM_BITS[target.family] * target.has.block_rams + 4 * target.has.luts * 4:
        return None  # cheap to see
    try:
        return fit(description, target).needs
    except ValueError:
        return None


def _word(description: Description, layer: int) -> int:
    own = description.overrides(layer)
    weight = own.weight or description.formats.weight
    velocity = own.velocity or description.formats.velocity
    return weight.bits + velocity.bits


def of_synthesis(design: Plan, target: Target, short: Resources) -> str | None:
    """What would make a plan fit that synthesis found to be too large; None where nothing is known.

    `short`: by how much the target is too small.  LUTs are planned with as roughly as this plan's
    turned out to be.
    """
    made, planned = target.has.luts + short.luts, needs(design, target.family).total.luts
    share = min(1.0, planned / made) if short.luts else 1.0
    try:
        found = fit(design.description, target, luts=share)
    except ValueError:
        return remedy(design.description, target)
    return (
        f"Folded with --fit it does: {takes(found.needs)}, every {found.needs.interval:,} cycles."
    )


__all__ = ["Unfit", "of_synthesis", "remedy", "verdict"]
