"""Advice in sentences: whether a network fits a device, what limits it, and what would help."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from counterflow.design.fit.fitting import Fitted, fit, takes
from counterflow.design.fpga.needs import Needs, needs
from counterflow.design.fpga.reached import Clock, clock
from counterflow.design.fpga.targets import RESOURCE_NAMES, TARGETS, Resources, Target
from counterflow.design.network.description import Description, Fold
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.holdings import everything, holdings
from counterflow.design.schedule.planner import Plan, plan

NARROWER = (("s18.16", "s12.16"), ("s16.14", "s10.14"), ("s14.12", "s10.12"))
"""Formats of weight and velocity that are tried where memories do not fit."""

SOME = 3  # names of units that a sentence bears

RAM_BITS = {"ecp5": 18_432, "ice40": 4096, "xc7": 18_432, "xcup": 18_432}
"""Bits of a block RAM."""

ULTRA_BITS = 4096 * 72
"""Bits of an UltraRAM."""

RAM_BITS_OF_LUT = 16  # at most, if it can be one at all
SURE = 0.5  # of the bits of stashes in some fold, that every fold has: delays depend on the fold


def verdict(fitted: Fitted, frequency: float | None = None) -> list[str]:
    """What fits, how fast it is at `frequency` MHz (None: as similar designs), what limits that."""
    taken, has = fitted.needs.total, fitted.target.has
    shares = (
        f"{taken.multipliers:,} of {has.multipliers:,} multipliers",
        f"{taken.block_rams:,} of {has.block_rams:,} block RAMs",
        *([f"{taken.ultra_rams:,} of {has.ultra_rams:,} UltraRAMs"] if has.ultra_rams else []),
        f"roughly {round(taken.luts, -2):,} of {has.luts:,} LUTs",
    )
    fits = "fits" if fitted.routable else "may fit"
    mhz, source = reckoned(fitted, frequency)
    speed = samples_per_second(fitted.plan, mhz)
    return [
        f"{fitted.plan.description.name} {fits} {fitted.target.name}: {', '.join(shares)}.",
        f"At {mhz:g} MHz{source} it trains on {speed:,.0f} samples a second.",
        limits(fitted),
    ]


def reckoned(fitted: Fitted, asked: float | None) -> Clock:
    """The clock to reckon with: `asked`, in MHz, or what similar designs reached."""
    return clock(fitted.target, fitted.needs.total.luts, asked)


def samples_per_second(design: Plan, frequency: float) -> float:
    """Training samples a second at a clock of `frequency` MHz, in the pipelined steady state."""
    return frequency * 1e6 / design.schedule.interval


def limits(fitted: Fitted) -> str:
    """What sets the interval, and what a markedly shorter one takes."""
    units = fitted.bottleneck
    some = " and ".join(units) if len(units) <= SOME else f"{units[0]} and {len(units) - 1} others"
    sets = f"{some} {'sets' if len(units) == 1 else 'set'} the interval"
    shortest, interval = fitted.search.intervals[0], fitted.next_interval
    if interval is None:
        return f"{sets}, and no budget brings {fitted.search.slowest} below {shortest:,} cycles."
    step = fitted.next_step
    if step is None:
        return f"{sets}; one of {interval:,} cycles needs more than twice of what there is."
    lack = " and ".join(RESOURCE_NAMES[name] for name in fitted.lacking)
    more = f", more {lack} than there are" if lack else ""
    return f"{sets}; one of {step.interval:,} cycles needs {takes(step)}{more}."


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
            ways.append(f"{other.name} (every {found.interval:,} cycles)")
            break
    if ways:
        return f"It fits {', or '.join(ways)}."
    for other in larger(target):
        for formats, narrow in narrowed(description):
            found = _fitted(narrow, other)
            if found is not None:
                return f"It fits {other.name} with {formats} (every {found.interval:,} cycles)."
    none = "It fits no target that is known, nor with narrower weights"
    for other in (target, *larger(target)):
        if other.has.block_rams and _fitted(description, other, outside=True) is not None:
            return f"{none}; with its stashes outside the chip it would fit {other.name}."
    return f"{none}; use fewer or smaller layers."


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
    """Targets with more multipliers or LUTs: those of the family first, the smallest first."""
    others = [
        other
        for other in TARGETS.values()
        if other.has.multipliers > target.has.multipliers or other.has.luts > target.has.luts
    ]
    return sorted(others, key=lambda other: (other.family != target.family, other.has.luts))


def smallest(design: Plan, family: str = "ecp5") -> str | None:
    """The smallest target of a family that a plan fits as it is folded, or None."""
    taken = needs(design, family).total
    targets = [target for target in TARGETS.values() if target.family == family]
    for target in sorted(targets, key=lambda target: target.has.luts):
        pairs = zip(taken, target.has, strict=True)
        if all(needed <= there for needed, there in pairs):
            return target.name
    return None


def _fitted(description: Description, target: Target, *, outside: bool = False) -> Needs | None:
    """The fold that fits, or None."""
    try:
        if least_bits(description, outside=outside) > _ram_bits(target):
            return None  # cheap to see
        return fit(description, target, outside=outside).needs
    except ValueError:
        return None


@lru_cache(maxsize=16)  # descriptions are asked for on one target after the other
def least_bits(description: Description, *, outside: bool = False) -> int:
    """Bits of weights, of sums of gradients and, unless they are outside, of stashes.

    Every fold has the first two, and of stashes at least about half as many as another one.
    """
    found = 0
    for unit in description.weighted:
        numbers = unit.arithmetic(description.recipe, 1, 0, back=not unit.first)
        bits = numbers.word_bits + (numbers.gradient.bits if numbers.sums_gradients else 0)
        found += unit.geometry.taps * unit.geometry.outputs * bits
    if outside:
        return found
    some = plan(description.model_copy(update={"fold": Fold()}))
    return found + round(SURE * everything(holdings(some)).get("stash", 0))


def _ram_bits(target: Target) -> int:
    """Bits that the memories of a target hold, the LUTs' included."""
    has = target.has
    bits = RAM_BITS[target.family] * has.block_rams + ULTRA_BITS * has.ultra_rams
    return bits + RAM_BITS_OF_LUT * has.luts


def of_synthesis(design: Plan, target: Target, short: Resources, *, alone: bool = False) -> str:
    """What would make a plan fit that synthesis found to be too large, in a sentence.

    `short`: by how much the target is too small; `alone`: for a single unit.  LUTs are planned with
    as roughly as those of this plan turned out to be counted.
    """
    share = 1.0
    if short.luts and not alone:
        planned = needs(design, target.family).total.luts
        share = min(1.0, planned / (target.has.luts + short.luts))
    try:
        found = fit(design.description, target, luts=share, rough=1.0).needs
    except ValueError:
        return remedy(design.description, target)
    return f"Folded with --fit it takes {takes(found)}, with {found.interval:,} cycles a sample."
