"""What proofs are made of: properties in Amaranth, for every input that there can be.

A `Spec` holds one component, drives it with free inputs, and asserts what must hold in every cycle.
By induction: that holds in the first cycles, and any `depth` cycles in which it holds are followed
by one in which it does.  What the solver must know of registers inside for that, it is told by
invariants, assertions like the others, over `Spec.probe`.
"""

from __future__ import annotations

from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Array, Assert, Assume, ClockDomain, Elaboratable, Module, Signal, Value


class Spec(Elaboratable):
    """What must hold of a ``component``; subclasses add it to the module in `build`.

    There is no reset: all starts at the initial values, which a reset brings back.
    """

    component: type  # what is proven; a mutant takes its place
    seeking = False  # an input that breaks the claim, not a proof: fewer of them may do for that

    def __init__(self) -> None:
        self.probes: dict[str, str] = {}
        self._domain = ClockDomain("sync", reset_less=True)
        self.ports: list[Signal] = [self._domain.clk]  # else the clock would stand still

    def build(self, m: Module) -> None:
        """Add the component as submodule ``dut``, its inputs, assumptions and assertions."""
        raise NotImplementedError

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains += self._domain
        self.build(m)
        return m

    def free(self, shape: Any, name: str) -> Signal:
        """An input that can be anything in every cycle."""
        signal = Signal(shape, name=name)
        self.ports.append(signal)
        return signal

    def drive(self, m: Module, *targets: Any) -> None:
        """Let inputs of the component be anything in every cycle."""
        for target in targets:
            value = Value.cast(target)
            m.d.comb += value.eq(self.free(len(value), f"free_{len(self.ports)}"))

    def probe(self, path: str, shape: Any = 1) -> Signal:
        """A signal inside, by its path in the flattened design, such as ``dut.queue.level``."""
        signal = self.free(shape, f"probe_{len(self.probes)}")
        self.probes[signal.name] = path
        return signal

    def memory(self, path: str, words: int, bits: int) -> Array:
        """The words of a memory inside."""
        return Array(self.probe(f"{path}[{word}]", bits) for word in range(words))

    def rtlil(self) -> str:
        """All of it for Yosys, as module ``top``."""
        text: str = rtlil.convert(self, name="top", ports=self.ports)  # with line numbers
        return text


def delay(m: Module, value: Value, cycles: int = 1) -> Value:
    """`value` as it was, zero before the first cycle."""
    for _ in range(cycles):
        register = Signal.like(value, name="delayed", init=0)
        m.d.sync += register.eq(value)
        value = register
    return value


def offered(m: Module, valid: Value, ready: Value, *payload: Value, by_dut: bool) -> None:
    """The rule of streams: once valid, the same is offered until it is taken."""
    rule = Assert if by_dut else Assume
    waited = delay(m, valid & ~ready)
    m.d.comb += rule(~waited | valid)
    for value in payload:
        before = delay(m, Value.cast(value))
        m.d.comb += rule(~waited | (Value.cast(value) == before))


class Watched:
    """One item among those that pass through a queue, any one: followed from its way in to out.

    The solver chooses which: what holds of it holds of all.  ``on``: it is in the queue, behind
    ``ahead`` others; ``data``: what it was; ``held``: how many items are in the queue.  Nothing is
    lost, made twice or overtaken if the queue gives out as many items as it took (`held` says when
    it has some) and gives out `data` when `leaves` is high.
    """

    def __init__(
        self, m: Module, spec: Spec, *, enters: Value, leaves: Value, data: Value, depth: int
    ) -> None:
        choose = spec.free(1, f"choose_{len(spec.ports)}")
        self.held = Signal(range(depth + 1), name="held")
        self.on, self.ahead = Signal(name="watching"), Signal(range(depth + 1), name="ahead")
        self.data = Signal(len(data), name="watched")
        self.leaves = Signal(name="watched_leaves")
        m.d.comb += self.leaves.eq(self.on & (self.ahead == 0) & leaves)
        m.d.sync += self.held.eq(self.held + enters - leaves)
        with m.If(enters & choose & ~self.on):
            m.d.sync += [self.on.eq(1), self.data.eq(data), self.ahead.eq(self.held - leaves)]
        with m.Elif(self.on & leaves):
            m.d.sync += [self.on.eq(self.ahead != 0), self.ahead.eq(self.ahead - 1)]
        m.d.comb += [Assert(self.held <= depth), Assert(~self.on | (self.ahead < self.held))]
        m.d.comb += Assert(~enters | leaves | (self.held < depth))  # there is room
        m.d.comb += Assert(~leaves | (self.held != 0))
