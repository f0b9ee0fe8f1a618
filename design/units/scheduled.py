"""What a schedule says of a unit, whatever its kind: its borders, and when what passes them.

A schedule is made in two sweeps (`design.schedule.build`).  Forward, a unit turns the cycles in
which its inputs arrive into those in which its outputs leave; backward it does so for gradients.
`Times` is a unit while that goes on, `Scheduled` what comes of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np

from counterflow.design.graph import Edge, Unit
from counterflow.design.parts.formats import Format
from counterflow.design.units.timing import Cycles
from counterflow.design.units.watched import KIND, Field, stream_fields


class Came(IntEnum):
    """How a token's gradient stands to a run of a chain that was empty before it."""

    BEFORE = 0  # it passed in an earlier run
    FIRST = 1  # it is the first one to pass
    LATER = 2


Pattern = tuple[Came, Any]
"""How a token's gradient came, and how it did at the unit's sources, if it has several."""

LONG_AGO = -(1 << 40)  # a cycle before all others


class Gradients(ABC):
    """Cycles in which the elements of a gradient pass a border.

    ``delay``: in slot j of those units that have slots, that of token j - delay comes back;
    ``later``: the cycles of a token 0 that follows others.
    """

    delay: int
    later: Cycles

    @abstractmethod
    def pattern(self, token: int, before: int) -> Pattern:
        """How the gradient of token `token` came, where the chain has made `before` slots."""

    @abstractmethod
    def times(self, pattern: Pattern) -> Cycles:
        """Cycles of a token 0 that came so."""

    def of(self, token: int, interval: int, before: int = 0) -> Cycles:
        """Those of token number `token`, counted from the first of the run."""
        times = self.later if token > 0 else self.times(self.pattern(token, before))
        return times + token * interval


@dataclass(frozen=True, eq=False)
class SlotGradients(Gradients):
    """Those of a unit with slots, or of a loss: ``first`` with nothing before it, ``later``."""

    first: Cycles
    later: Cycles
    delay: int

    def pattern(self, token: int, before: int) -> Pattern:
        """See `Gradients.pattern`."""
        oldest = -min(before, self.delay)
        if token < oldest:
            return Came.BEFORE, None
        return (Came.LATER if token > oldest else Came.FIRST), None

    def times(self, pattern: Pattern) -> Cycles:
        """See `Gradients.times`."""
        return self.later if pattern[0] is Came.LATER else self.first


@dataclass(frozen=True, eq=False)
class PassedGradients(Gradients):
    """Those behind a unit that makes them from one gradient or several, as they come.

    A source with a smaller delay has sent some of a run's first ones in the run before.
    ``followed``: how a token waits for the one before it, see `Passing.followed`.
    """

    sources: tuple[Gradients, ...]
    unit: Callable[[Sequence[Cycles]], Cycles]
    interval: int
    followed: Callable[[Cycles, int], Cycles]
    _known: dict[Pattern, Cycles] = field(default_factory=dict, repr=False)

    @cached_property
    def delay(self) -> int:  # type: ignore[override]
        return max(source.delay for source in self.sources)

    @cached_property
    def later(self) -> Cycles:  # type: ignore[override]
        return self.followed(self.unit([source.later for source in self.sources]), self.interval)

    def pattern(self, token: int, before: int) -> Pattern:
        """See `Gradients.pattern`."""
        found = tuple(source.pattern(token, before) for source in self.sources)
        last = max(range(len(found)), key=lambda index: self.sources[index].delay)
        return found[last][0], found

    def times(self, pattern: Pattern) -> Cycles:
        """See `Gradients.times`."""
        if pattern not in self._known:
            arrivals = [
                source.times(part) if part[0] is not Came.BEFORE else source.later + LONG_AGO
                for source, part in zip(self.sources, pattern[1], strict=True)
            ]
            times = self.unit(arrivals)
            late = pattern[0] is Came.LATER
            self._known[pattern] = self.followed(times, self.interval) if late else times
        return self._known[pattern]


@dataclass(frozen=True, eq=False)
class Border:
    """One stream that a unit sends: ``y`` to the next or ``dx`` to the one before, by port.

    ``number`` is the format of its elements, ``made_by`` the golden operation behind them; ``path``
    the loss whose gradients they are, 0 for activations.
    """

    port: str
    edge: Edge
    number: Format
    times: Cycles | Gradients
    made_by: str
    path: int = 0

    @property
    def forward(self) -> bool:
        """Whether it carries activations, each with the kind of its token, or gradients."""
        return not isinstance(self.times, Gradients)

    def cycles(self, token: int, interval: int, before: int) -> Cycles:
        """When the elements of token `token` of a run pass; see `Gradients.of`."""
        if isinstance(self.times, Gradients):
            return self.times.of(token, interval, before)
        return self.times + token * interval


class Scheduled(ABC):
    """A unit with its place in time.

    ``borders``: what it sends; ``start``: the cycle from which it is busy with token 0; ``delay``:
    in slot j the gradient of token j - delay passes it.
    """

    unit: Any
    delay: int
    start: int

    @property
    def name(self) -> str:
        name: str = self.unit.name
        return name

    @property
    @abstractmethod
    def borders(self) -> tuple[Border, ...]: ...

    @property
    def watched(self) -> tuple[Field, ...]:
        """What a bench watches of it: its borders, unless a kind has more."""
        found: list[Field] = []
        for border in self.borders:
            members = {"data": (border.number.bits, border.number.signed)}
            if border.forward:
                members["kind"] = KIND
            elif border.edge.returned:
                members["x"] = (border.edge.x.bits, border.edge.x.signed)
            found += stream_fields(self.name, border.port, border.made_by, **members)
        return tuple(found)

    def events(self, owner: str, member: str) -> Cycles:
        """Cycles in which the watched field ``owner.member`` has values of token or slot 0."""
        (border,) = (border for border in self.borders if border.port == owner)
        return border.times.later if isinstance(border.times, Gradients) else border.times

    @property
    @abstractmethod
    def memory_bits(self) -> int:
        """Bits of its memories, without tables."""

    @property
    def held(self) -> Mapping[str, int]:
        """Bits of its memories and tables by what they hold, as plans list it.

        A kind that does not say is listed under its own name.
        """
        return {self.unit.kind: self.memory_bits}

    @property
    @abstractmethod
    def waiting(self) -> tuple[int, ...]:
        """Activations of each input that wait in it at most, for what they meet there."""

    @property
    @abstractmethod
    def returning(self) -> tuple[int, ...]:
        """Gradients of each output that wait in it at most."""


class Times(ABC):
    """A unit while a schedule is made: `forward`, then `backward`, then `scheduled`."""

    @abstractmethod
    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """Cycles in which token 0 leaves by each output, from those in which it arrives."""

    @abstractmethod
    def backward(self, errors: Sequence[Gradients], slot: int) -> Sequence[Gradients]:
        """The gradients that leave by each input that wants some, from those that arrive.

        Both by port, and at each port path by path, as the edge there has them.
        """

    @abstractmethod
    def scheduled(self, slot: int) -> Scheduled:
        """The unit where slots are `slot` cycles long."""


def port(name: str, index: int, count: int) -> str:
    """The name of port number `index` of `count`: a number only where there are several."""
    return name if count == 1 else f"{name}{index}"


def gradient_port(name: str, index: int, count: int, edge: Edge, path: int) -> str:
    """That of the gradients of loss `path` at `edge`; those of the last loss have the bare name."""
    own = path == edge.paths[-1]
    return port(name, index, count) + ("" if own else f"_{path}")


def forward_borders(unit: Unit, times: Sequence[Cycles], made_by: str) -> list[Border]:
    """What `unit` sends forward."""
    return [
        Border(port("y", index, len(unit.outputs)), edge, edge.x, one, made_by)
        for index, (edge, one) in enumerate(zip(unit.outputs, times, strict=True))
    ]


def backward_borders(unit: Unit, times: Sequence[Gradients], made_by: str) -> list[Border]:
    """What `unit` sends back, by those inputs that want it, path by path."""
    wanted = [(index, edge, path) for index, edge in enumerate(unit.inputs) for path in edge.paths]
    count = len(unit.inputs)
    return [
        Border(gradient_port("dx", index, count, edge, path), edge, edge.error, one, made_by, path)
        for (index, edge, path), one in zip(wanted, times, strict=True)
    ]


def nothing() -> Cycles:
    """Times of no elements."""
    return np.zeros(0, np.int64)
