"""What a network is short of on a device: by how much, resource by resource, and on all devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from counterflow.design.fit.fitting import PLANNED, ROUGH, Fitted, UnfitError, fit
from counterflow.design.fit.nearest import nearest
from counterflow.design.fit.search import Search, rams
from counterflow.design.fpga.needs import Needs
from counterflow.design.fpga.targets import ALL_NAMES, TARGETS, Resources, Target
from counterflow.design.fpga.ultra import WORTH
from counterflow.design.network.description import Description

MEMORY = "memory"  # block RAMs and UltraRAMs together


@dataclass(frozen=True)
class Short:
    """A resource of which a design needs more than a device has.

    ``resource`` is a field of `Resources`, or ``memory``: block RAMs and UltraRAMs together, an
    UltraRAM as the block RAMs that hold as many bits.  ``unit`` is the one that takes most of it.
    """

    resource: str
    needed: int
    there: int
    unit: str

    @property
    def lacking(self) -> int:
        """How many there are too few."""
        return self.needed - self.there

    @property
    def factor(self) -> float | None:
        """Needed over there; None where there are none."""
        return self.needed / self.there if self.there else None

    @property
    def name(self) -> str:
        """As a table or a sentence calls it."""
        return ALL_NAMES.get(self.resource, "block RAMs (UltraRAMs as 16)")

    def __str__(self) -> str:
        about = "about " if self.resource == "luts" else ""
        times = "" if self.factor is None else f", {self.factor:.2f} times"
        return f"{about}{self.lacking:,} {self.name} ({self.needed:,} of {self.there:,}{times})"


def shortages(search: Search, interval: int | None = None) -> list[Short]:
    """What is short whatever the fold: of each resource, for the fold that takes least of it.

    Where nothing is and no fold fits all the same, what spares one resource takes another: then
    what the nearest fold is short of, within `interval` cycles if that is given.
    """
    least = _least(search)
    found = [_short(resource, search.has, needed) for resource, needed in least.items()]
    short = [one for one in found if one is not None]
    if short:
        return short
    closest = nearest(search, interval)
    over = (_short(resource, search.has, closest) for resource in PLANNED)
    return [one for one in over if one is not None]


def _least(search: Search) -> dict[str, Needs]:
    return {resource: search.least(index) for index, resource in enumerate(PLANNED)}


def _short(resource: str, has: Resources, needed: Needs) -> Short | None:
    """What a fold is short of, if it is."""
    if resource == "block_rams" and has.ultra_rams:
        resource = MEMORY
    amount, there = _amount(needed.total, resource), _amount(has, resource)
    if resource == MEMORY:  # one kind can be short while there is some of the other
        over = needed.total.block_rams - has.block_rams
        over += WORTH * max(0, needed.total.ultra_rams - has.ultra_rams)
        amount = there + over
    if amount <= there:
        return None
    unit = max(needed.units, key=lambda one: _amount(needed.units[one], resource))
    return Short(resource, amount, there, unit)


def _amount(of: Resources, resource: str) -> int:
    return rams(of) if resource == MEMORY else int(getattr(of, resource))


@dataclass(frozen=True, eq=False)
class Outcome:
    """A network on a device: the fold that fits it, or what is short of, and why in words."""

    target: Target
    fitted: Fitted | None
    short: tuple[Short, ...] = ()
    why: str = ""

    @property
    def words(self) -> str:
        """One line about it."""
        if self.fitted is not None:
            needs, there = self.fitted.needs, self.target.has.luts
            outside = len(self.fitted.plan.outside)
            said = f"{needs.interval:,} cycles a sample" + f", {outside} stashes outside" * (
                outside > 0
            )
            if not self.fitted.routable:
                return f"may fit: {said}, about {needs.total.luts:,} LUTs of {there:,}"
            return f"fits: {said}"
        return f"short of {'; '.join(map(str, self.short))}" if self.short else self.why


def outcomes(
    description: Description, targets: Iterable[Target] = (), *, outside: bool = False
) -> Iterator[Outcome]:
    """`description` on each of `targets`, by default all, by family and the smallest first.

    `outside` as `fit` means it.  What no fold for the largest target of a family can do without is
    looked for once, and only targets that have it are searched.
    """
    every = sorted(targets or TARGETS.values(), key=lambda one: (one.family, one.has.luts))
    for family in dict.fromkeys(target.family for target in every):
        members = [target for target in every if target.family == family]
        least_of_all = description.least_multipliers
        able = [target for target in members if target.has.multipliers >= least_of_all]
        least: dict[str, Needs] = {}
        if able:
            least = _least(Search(description, able[-1].has, family, outside=outside))
        for target in members:
            if target not in able:
                yield Outcome(target, None, (too_few(description, target),))
                continue
            # LUTs are too rough to refuse a device by the last of them, as `fit` knows.
            rough = target.has._replace(luts=int(ROUGH * target.has.luts))
            if any(_short(resource, rough, needed) for resource, needed in least.items()):
                found = (_short(resource, target.has, needed) for resource, needed in least.items())
                yield Outcome(target, None, tuple(one for one in found if one is not None))
            else:
                yield _outcome(description, target, outside)


def _outcome(description: Description, target: Target, outside: bool) -> Outcome:
    try:
        return Outcome(target, fit(description, target, outside=outside))
    except UnfitError as error:
        return Outcome(target, None, tuple(short_of(description, target, error)), str(error))


def short_of(
    description: Description,
    target: Target,
    error: UnfitError,
    *,
    multipliers: int | None = None,
    interval: int | None = None,
) -> list[Short]:
    """What `error` says in words, of a `fit` with the same limits."""
    if error.search is None:
        return [too_few(description, target, multipliers)]
    return shortages(error.search, interval)


def too_few(description: Description, target: Target, multipliers: int | None = None) -> Short:
    """Fewer multipliers than any fold has, on `target` or in a smaller budget."""
    least, unit = description.least_multipliers, description.weighted[0].name
    there = target.has.multipliers if multipliers is None else multipliers
    return Short("multipliers", least, min(there, target.has.multipliers), unit)
