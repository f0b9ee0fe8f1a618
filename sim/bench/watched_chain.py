"""The chain with all that benches watch of it beside each other, whatever drives it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.bus.registers import PRODUCTS_BITS
from counterflow.design.schedule.planner import Plan
from counterflow.design.schedule.watch import fields
from counterflow.design.units.watched import Field
from counterflow.hw.chain import Chain, Request, Response, predictions
from counterflow.hw.intake import sample_stream
from counterflow.hw.parts.streams import label_stream


class WatchedChain(wiring.Component):
    """A chain; those who inherit drive its samples and labels and take what is watched.

    Parameters: ``plan``; ``members`` beyond those that all have.
    Members: ``prediction_gate`` in: low stalls predictions; ``products`` out: the units' counters,
    summed.
    """

    def __init__(self, *, plan: Plan, members: Mapping[str, Any]) -> None:
        self.plan, self.chain = plan, Chain(plan=plan)
        self.watched = fields(plan)
        super().__init__(
            {
                "prediction_gate": In(1),
                "products": Out(PRODUCTS_BITS),
                **members,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.chain = chain = self.chain
        m.d.comb += [
            *(
                getattr(chain, predictions(loss)).ready.eq(self.prediction_gate)
                for loss in chain.schedule.losses
            ),
            self.products.eq(
                sum(chain.parts[stage.name].registers.products for stage in chain.schedule.weighted)
            ),
        ]
        self._drive(m)
        self._take(m, Cat(self._value(field) for field in self.watched))
        return m

    def _drive(self, m: Module) -> None:
        """Drive the chain's samples, labels and requests."""
        raise NotImplementedError

    def _take(self, m: Module, row: Value) -> None:
        """Do something with what is watched in each cycle."""
        raise NotImplementedError

    @cached_property
    def _starts(self) -> dict[Field, int]:
        """Where each part of a written word begins in it: those of a memory's words, in order."""
        found: dict[Field, int] = {}
        ends: dict[tuple[str, str], int] = {}
        for field in self.watched:
            if field.lane is not None:
                memory = field.unit, field.path.split(".")[0]
                found[field] = ends.get(memory, 0)
                ends[memory] = found[field] + field.bits
        return found

    def _value(self, field: Field) -> Value:
        """The signal behind a watched field, zero without its strobe."""
        units = {"intake": self.chain.intake, **self.chain.parts}
        owner, member = field.path.split(".")
        target = getattr(units[field.unit], owner)
        if owner == "walk":
            now, idle = target.now, target.state.idle
            return now.issue & idle if member == "begin" else now.finish
        if member in ("write", "address") or field.lane is not None:
            return self._written(target, member, field)
        if member == "valid":
            return target.valid
        if member == "blocked":
            return target.valid & ~target.ready
        payload = target.payload
        value = getattr(payload, member) if isinstance(payload, data.View) else payload
        return Mux(target.valid, Value.cast(value), 0)[: field.bits]

    def _written(self, memory: Any, member: str, field: Field) -> Value:
        if member == "write":
            return memory.write_enable
        if member == "address":
            return Mux(memory.write_enable, memory.write_address, 0)[: field.bits]
        start = self._starts[field]
        value = Mux(memory.write_enable, memory.write_data[start : start + field.bits], 0)
        return value[: field.bits]


class FreeTop(WatchedChain):
    """All of a chain's inputs from outside, and what is watched to the outside: for proofs.

    Members beside those of every `WatchedChain`: ``samples``, ``labels``, ``request`` as the
    chain's; ``row`` out, what is watched; ``answer`` out, the chain's response without what nobody
    reads of it.
    """

    def __init__(self, *, plan: Plan) -> None:
        super().__init__(
            plan=plan,
            members={
                "samples": In(sample_stream(plan.description.formats.input)),
                "labels": In(label_stream()),
                "request": In(stream.Signature(Request)),
                "row": Out(sum(field.bits for field in fields(plan))),
                "answer": Out(Response),
            },
        )

    def _drive(self, m: Module) -> None:
        connect(m, flipped(self.samples), self.chain.samples)
        connect(m, flipped(self.labels), self.chain.labels)
        connect(m, flipped(self.request), self.chain.request)

    def _take(self, m: Module, row: Value) -> None:
        given = self.chain.response
        m.d.comb += [
            self.row.eq(row),
            self.answer.valid.eq(given.valid),
            self.answer.done.eq(given.valid & given.done),
            self.answer.data.eq(Mux(given.valid & given.done, given.data, 0)),
        ]
