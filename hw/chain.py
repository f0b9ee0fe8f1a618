"""The chain: intake, the units of the graph, and the register bus through those with weights."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.bus.buildable import check_buildable
from counterflow.design.bus.registers import NODE_BITS, REGISTER_BITS, WORD_BITS
from counterflow.design.network.description import Description
from counterflow.design.schedule.planner import Plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.latency import BUS_SPACING
from counterflow.design.units.losses import LossStage
from counterflow.design.units.scheduled import gradient_port, port
from counterflow.hw.intake import Intake, sample_stream
from counterflow.hw.losses.predictions import prediction, prediction_stream
from counterflow.hw.parts import border
from counterflow.hw.parts.merge import Merge, merged_stream
from counterflow.hw.parts.modules import is_compact
from counterflow.hw.parts.streams import label_stream
from counterflow.hw.units import UNITS

MITIGATIONS = ("none", "lwpv", "sc", "lwpv+sc")  # prediction is in velocity form, from one read

Request = data.StructLayout(
    {"write": 1, "node": NODE_BITS, "register": REGISTER_BITS, "data": WORD_BITS}
)
Response = data.StructLayout({"valid": 1, "done": 1, "data": WORD_BITS})


def predictions(loss: LossStage) -> str:
    """The name of the stream of what a loss says of tokens."""
    return f"predictions{loss.unit.head or ''}"


def all_predictions(schedule: Schedule) -> stream.Signature:
    """What all losses say, in one stream; with heads, the number of the component beside.

    That of the network is 0.
    """
    each = schedule.loss.arithmetic
    if not schedule.heads:
        return prediction_stream(each)
    return merged_stream(prediction(each), (*schedule.heads, 0))


def merged(m: Module, chain: Chain) -> stream.Interface:
    """The stream of `all_predictions` of a chain in `m`."""
    if not chain.schedule.heads:
        return chain.predictions
    schedule = chain.schedule
    transfer = prediction(schedule.loss.arithmetic)
    m.submodules.merge = merge = Merge(transfer=transfer, channels=(*schedule.heads, 0))
    for index, loss in enumerate(schedule.losses):
        connect(m, getattr(chain, predictions(loss)), merge.given(index))
    return merge.o


class Chain(wiring.Component):
    """A network that trains: samples and labels in, predictions out.

    Parameters: ``plan``.
    Members: ``samples``, ``labels`` in and ``predictions`` out, streams; ``predictions1`` and so on
    those of heads, by the numbers of their components; ``request`` in, stream of
    register accesses, and ``response`` out, one each in order, valid for one cycle, two cycles
    later for each unit and one for the intake; ``request`` is ready every BUS_SPACING cycles, so
    that an access sees what the one before it did.
    Cost and rate: `design.schedule.planner`.
    """

    def __init__(self, *, plan: Plan) -> None:
        description: Description = plan.description
        schedule: Schedule = plan.schedule
        number = description.formats.input
        if description.recipe.float_only is not None:
            raise ValueError(description.recipe.float_only)
        check_buildable(plan)
        if description.recipe.mitigation not in MITIGATIONS:
            raise ValueError(
                f"the hardware has no mitigation {description.recipe.mitigation!r}, only the "
                f"golden model does; choose one of {', '.join(MITIGATIONS)}"
            )
        if len(schedule.stages) >= 2**NODE_BITS:
            raise ValueError(
                f"{description.name} has {len(schedule.stages)} layers; the register bus reaches "
                f"{2**NODE_BITS - 1}"
            )
        super().__init__(
            {
                "samples": In(sample_stream(number)),
                "labels": In(label_stream()),
                **{
                    predictions(loss): Out(prediction_stream(loss.arithmetic))
                    for loss in schedule.losses
                },
                "request": In(stream.Signature(Request)),
                "response": Out(Response),
            }
        )
        self.intake = Intake(
            inputs=description.elements,
            classes=description.classes,
            number=number,
            interval=schedule.interval,
            identity=description.identity,
        )
        self.schedule = schedule
        self.parts: dict[str, Any] = {
            unit.name: UNITS[unit.unit.kind].of(unit, schedule) for unit in schedule.units
        }
        self.units = [self.parts[stage.name] for stage in schedule.stages]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.intake = intake = self.intake
        for name, part in self.parts.items():
            m.submodules[name] = part
        connect(m, flipped(self.samples), intake.samples)
        connect(m, flipped(self.labels), intake.labels)
        m.submodules.borders = borders = Module()
        self._losses(m, borders, near=is_compact(platform))
        self._edges(borders)
        self._bus(m)
        return m

    def _losses(self, m: Module, borders: Module, *, near: bool) -> None:
        """Labels to every loss at once, which all have room for it, and predictions out."""
        losses = self.schedule.losses
        self._labels(borders, {loss.name: self.parts[loss.name].labels for loss in losses}, near)
        for loss in losses:
            out = getattr(self, predictions(loss))
            connect(m, self.parts[loss.name].predictions, flipped(out))

    def _labels(self, m: Module, takers: dict[str, Any], near: bool) -> None:
        admitted, every = self.intake.admitted, []
        if not near:  # on a large device losses lie anywhere
            admitted = label_stream().create(path=("admitted",))
            border.join(m, "labels", self.intake.admitted, flipped(admitted))
        for name, taker in takers.items():
            one = label_stream().create(path=(f"{name}_labels",))
            border.join(m, f"{name}_labels", one, taker)
            every.append(one)
        m.d.comb += admitted.ready.eq(Cat(one.ready for one in every).all())
        for one in every:
            others = Cat(other.ready for other in every if other is not one).all()
            m.d.comb += [one.payload.eq(admitted.payload), one.valid.eq(admitted.valid & others)]

    def _edges(self, m: Module) -> None:
        """Join the units: activations from maker to reader, gradients the other way."""
        made: dict[int, tuple[Any, str]] = {self.schedule.graph.source.number: (self.intake, "x")}
        back: dict[tuple[int, int], tuple[Any, str]] = {}
        for unit in self.schedule.graph.units:
            part, count = self.parts[unit.name], len(unit.inputs)
            for index, edge in enumerate(unit.inputs):
                maker, leaving = made[edge.number]
                arriving = port("x", index, count)
                name = f"{unit.name}_{arriving}"
                border.join(m, name, getattr(maker, leaving), getattr(part, arriving))
                for path in edge.paths:
                    there, arriving = back[edge.number, path]
                    leaving = gradient_port("dx", index, count, edge, path)
                    name = f"{unit.name}_{leaving}"
                    border.join(m, name, getattr(part, leaving), getattr(there, arriving))
            for index, edge in enumerate(unit.outputs):
                made[edge.number] = part, port("y", index, len(unit.outputs))
                for path in edge.paths:
                    name = gradient_port("dy", index, len(unit.outputs), edge, path)
                    back[edge.number, path] = part, name

    def _bus(self, m: Module) -> None:
        """Every node in turn; a response is the access as it leaves the last one."""
        recent = Signal(BUS_SPACING - 1, name="recent")
        accepted = self.request.valid & self.request.ready
        request = self.request.payload
        entry = self.intake.bus_i
        m.d.sync += recent.eq(Cat(accepted, recent))
        m.d.comb += [
            self.request.ready.eq(recent == 0),
            entry.valid.eq(accepted),
            entry.next.eq(accepted & (request.node == 0)),
            entry.write.eq(request.write),
            entry.node.eq(request.node),
            entry.register.eq(request.register),
            entry.data.eq(request.data),
        ]
        link = self.intake.bus_o
        for unit in self.units:
            m.d.comb += unit.bus_i.eq(link)
            link = unit.bus_o
        m.d.comb += [
            self.response.valid.eq(link.valid),
            self.response.data.eq(link.data),
            self.response.done.eq(link.done),
        ]
