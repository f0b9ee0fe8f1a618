"""Units without slots, which take what comes and send on what results: *passing* units.

They have no parameters and no lanes.  What one computes, its memories and its latencies are a
frozen value, `Passing`; the schedule gives it room for what a stall-free run holds and no more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import digits
from typing import Any, ClassVar

from counterflow.design.graph import Unit
from counterflow.design.parts.formats import Format
from counterflow.design.parts.recipe import Recipe
from counterflow.design.units.scheduled import (
    Border,
    Gradients,
    PassedGradients,
    Scheduled,
    Times,
    backward_borders,
    forward_borders,
)
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import Cycles, steady

QUEUE_WORDS = 8  # of y and of dx: as many as are under way at one a cycle, and one or more

LUTS = {"ecp5": 640, "ice40": 600, "xc7": 220}  # of a pooling unit whose windows are side by side


@dataclass(frozen=True, eq=False)
class Traffic:
    """What passes a unit in a stall-free run, by port.

    ``arrivals`` and ``errors``: cycles in which x and dy of one token are taken; another token
    follows every `interval` cycles.  When a run ends, the gradients of so many tokens are
    ``left_over`` at each output, as their fellows have not come back yet.
    """

    arrivals: Sequence[Cycles]
    errors: Sequence[Cycles]
    interval: int
    left_over: Sequence[int]


class Passing(ABC):
    """What a passing unit does: formats, memories, latencies.

    `forward` and `backward` turn cycles in which each element of a token is taken, by port, into
    those in which each leaves; tokens may follow each other without a gap.  A unit of one input
    and one output gives `output_times` and `gradient_times` in their place.
    """

    holds: ClassVar[Mapping[str, str]] = {"stash": "stash", "y": "queues", "dx": "queues"}
    """What its memories hold, by their names without numbers; others are listed by its kind."""

    @property
    def products(self) -> Sequence[tuple[Format, Format]]:
        """Formats of the two factors of each multiplier, none of which is a lane's."""
        return ()

    @property
    @abstractmethod
    def memories(self) -> Sequence[tuple[str, int, int]]:
        """(name, words, bits) of every memory, without tables."""

    @property
    def tables(self) -> Sequence[tuple[str, int, int]]:
        """(name, entries, bits) of every read-only memory."""
        return ()

    def luts(self, family: str, cells: tuple[int, int]) -> int:
        """About how many LUTs it takes; `cells` are the LUT RAMs and flip-flops of its memories."""
        return LUTS[family]

    @abstractmethod
    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """Cycles in which y leaves by each output."""

    @abstractmethod
    def backward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """Cycles in which dx leaves by each input that wants it."""

    def followed(self, times: Cycles, interval: int) -> Cycles:
        """`times` of the dx of a token that comes behind another, `interval` cycles later."""
        return steady(times, interval)

    @abstractmethod
    def fitted(self, traffic: Traffic) -> Any:
        """This with room for what a stall-free run holds, and no more."""

    @property
    def waiting(self) -> tuple[int, ...]:
        """Activations of each input that can wait for their fellows."""
        return (0,)

    @property
    def returning(self) -> tuple[int, ...]:
        """Gradients of each output that can wait."""
        return (0,)


class OneToOne(Passing):
    """One with one input and one output; subclasses have the times without ports."""

    @abstractmethod
    def output_times(self, arrivals: Cycles) -> Cycles:
        """Cycle in which each y leaves, given that in which each x of the token was taken.

        Shapes [inputs] to [outputs].
        """

    @abstractmethod
    def gradient_times(self, arrivals: Cycles) -> Cycles:
        """Cycle in which each dx leaves, given that in which each dy of the token was taken.

        Shapes [outputs] to [inputs].
        """

    @abstractmethod
    def sized(self, arrivals: Cycles, errors: Cycles, interval: int, /) -> Any:
        """See `Passing.fitted`."""

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.forward`."""
        return [self.output_times(*arrivals)]

    def backward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.backward`."""
        return [self.gradient_times(*arrivals)]

    def fitted(self, traffic: Traffic) -> Any:
        """See `Passing.fitted`."""
        return self.sized(traffic.arrivals[0], traffic.errors[0], traffic.interval)


@dataclass(frozen=True, kw_only=True)
class PassingUnit(Unit):
    """A unit of the graph without slots."""

    @property
    def numbers(self) -> Passing:
        """What it does, before anybody has said how much waits in it."""
        raise NotImplementedError

    @property
    def multipliers(self) -> int:
        return len(self.numbers.products)

    @property
    def twin(self) -> str:
        """Its golden twin."""
        return f"golden.units.{self.kind}.{self.kind.capitalize()}"

    def times(self, tiling: Tiling | None, recipe: Recipe) -> PassingTimes:
        """See `Unit.times`."""
        return PassingTimes(self)


@dataclass(frozen=True, eq=False)
class PassingStage(Scheduled):
    """A passing unit in the schedule, with `numbers` that have room.

    ``output_times``: cycles in which the outputs of token 0 leave, by port; ``gradients`` by those
    inputs that want some.
    """

    unit: PassingUnit
    numbers: Any
    delay: int
    output_times: tuple[Cycles, ...]
    gradients: tuple[Gradients, ...]

    @property
    def start(self) -> int:  # type: ignore[override]
        return int(self.output_times[0][0])

    @property
    def memory_bits(self) -> int:
        return sum(words * bits for _, words, bits in self.numbers.memories)

    @property
    def held(self) -> dict[str, int]:
        """See `Scheduled.held`."""
        found = {"tables": sum(words * bits for _, words, bits in self.numbers.tables)}
        for name, words, bits in self.numbers.memories:
            what = self.numbers.holds.get(name.rstrip(digits), self.unit.kind)
            found[what] = found.get(what, 0) + words * bits
        return found

    @property
    def borders(self) -> tuple[Border, ...]:
        """See `Scheduled`."""
        twin = self.unit.twin
        forward = forward_borders(self.unit, self.output_times, f"{twin}.forward")
        return (*forward, *backward_borders(self.unit, self.gradients, f"{twin}.backward"))

    @property
    def waiting(self) -> tuple[int, ...]:
        waiting: tuple[int, ...] = self.numbers.waiting
        return waiting

    @property
    def returning(self) -> tuple[int, ...]:
        returning: tuple[int, ...] = self.numbers.returning
        return returning


class PassingTimes(Times):
    """A passing unit while a schedule is made."""

    def __init__(self, unit: PassingUnit) -> None:
        self.unit, self.numbers = unit, unit.numbers
        self.arrivals: Sequence[Cycles] = ()
        self.outputs: Sequence[Cycles] = ()
        self.errors: Sequence[Gradients] = ()
        self.gradients: Sequence[Gradients] = ()

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Times.forward`."""
        self.arrivals, self.outputs = arrivals, self.numbers.forward(arrivals)
        return self.outputs

    def backward(self, errors: Sequence[Gradients], slot: int) -> Sequence[Gradients]:
        """See `Times.backward`."""
        self.errors = errors
        unit = self.unit
        came = [path for edge in unit.outputs for path in edge.paths]
        self.gradients = [
            PassedGradients(
                tuple(one for one, its in zip(errors, came, strict=True) if its == path),
                self._through(index),
                slot,
                self.numbers.followed,
            )
            for index, edge in enumerate(edge for edge in unit.inputs if edge.wanted)
            for path in edge.paths
        ]
        return self.gradients

    def _through(self, index: int) -> Callable[[Sequence[Cycles]], Cycles]:
        return lambda arrivals: self.numbers.backward(arrivals)[index]

    def scheduled(self, slot: int) -> PassingStage:
        """See `Times.scheduled`."""
        delays = [error.delay for error in self.errors]
        delay = max(delays, default=0)
        errors = [error.later for error in self.errors] if self.gradients else []
        left_over = [delay - one for one in delays]
        numbers = self.numbers.fitted(Traffic(self.arrivals, errors, slot, left_over))
        return PassingStage(self.unit, numbers, delay, tuple(self.outputs), tuple(self.gradients))
