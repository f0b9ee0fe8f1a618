"""Halving: layer, unit, numbers and times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from counterflow.design.graph import Edge, Growth, Layer, Place
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.roles import Roundings
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import NARROW, QUEUE
from counterflow.design.units.passing import QUEUE_WORDS, OneToOne, PassingUnit
from counterflow.design.units.timing import Cycles

LATENCY = NARROW + QUEUE  # of x and of dy


class Halve(Layer):
    """Divides by 2^bits."""

    kind: Literal["halve"]
    bits: int = Field(default=1, ge=1, le=8)

    def grow(self, growth: Growth, edge: Edge, place: Place) -> Edge:
        """See `Layer.grow`."""
        y = growth.edge(edge.shape, edge.x, edge.error, paths=edge.paths, rectified=False)
        unit = HalvingUnit(
            name=f"halve{place.tag}",
            where=place.where,
            inputs=(edge,),
            outputs=(y,),
            bits=self.bits,
            rounding=growth.rounding,
        )
        growth.add(unit)
        return y


@dataclass(frozen=True)
class Halving(OneToOne):
    """The numbers of a unit.  Cost: no multiplier; latency LATENCY each way."""

    bits: int
    x: Format
    error: Format
    round_activation: Rounding
    round_error: Rounding

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        return [
            ("y", QUEUE_WORDS, self.x.bits + KIND_BITS),
            ("dx", QUEUE_WORDS, self.error.bits),
        ]

    def output_times(self, arrivals: Cycles) -> Cycles:
        return arrivals + LATENCY

    def gradient_times(self, arrivals: Cycles) -> Cycles:
        return arrivals + LATENCY

    def sized(self, arrivals: Cycles, errors: Cycles, interval: int, /) -> Halving:
        return replace(self)


@dataclass(frozen=True, kw_only=True)
class HalvingUnit(PassingUnit):
    """A unit of the graph.  Ports: x; y."""

    kind: ClassVar[str] = "halving"
    bits: int
    rounding: Roundings

    @property
    def numbers(self) -> Halving:
        edge, rounding = self.inputs[0], self.rounding
        return Halving(self.bits, edge.x, edge.error, rounding.activation, rounding.error)

    @property
    def twin(self) -> str:
        return "tests.toy.golden.Halving"
