"""A driver for the hardware behind any bus that reads and writes 32-bit words by byte address.

from counterflow.design.bus.driver import Driver
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan

driver = Driver(bus, plan(load("digits")))
driver.check()                      # is it this network that is behind the bus?
driver.load(checkpoint.states)
driver.units[0].extra_shift = 1     # a field, a register: by name, in lower case
print(driver.intake.tokens, driver.units[0].saturations)
states = driver.read_back()
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from counterflow.design.bus.registers import (
    WORD_BITS,
    Field,
    Node,
    Register,
    address,
    control_word,
    nodes,
)
from counterflow.design.bus.transfers import (
    Parts,
    State,
    Transfer,
    load_accesses,
    parts,
    read_accesses,
)
from counterflow.design.schedule.planner import Plan


class Bus(Protocol):
    """What reaches the registers; an access that is answered with an error raises an exception."""

    def read32(self, address: int) -> int: ...
    def write32(self, address: int, word: int) -> None: ...


class Registers:
    """The registers of one node as attributes, by their names in lower case, and their fields.

    Reading a register that can only be written, or an unknown one, raises AttributeError, as does
    writing one that can only be read; ValueError names a value that a register cannot hold.
    """

    _bus: Bus
    _node: Node
    _base: int
    _found: dict[str, tuple[Register, Field | None]]

    def __init__(self, bus: Bus, node: Node, base: int) -> None:
        places = {one.name.lower(): (one, None) for one in node.registers}
        fields = {field.name: (one, field) for one in node.registers for field in one.fields}
        found: dict[str, tuple[Register, Field | None]] = {**places, **fields}
        self.__dict__.update(_bus=bus, _node=node, _base=base, _found=found)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._found]

    def __getattr__(self, name: str) -> int:
        register, field = self._named(name)
        if not register.readable:
            raise AttributeError(f"register {register.name} of {self._node.name} is written only")
        word: int = self._bus.read32(self._base + address(self._node.number, register))
        if field is not None:
            return (word & field.mask) >> field.low
        return word - (word >> (WORD_BITS - 1) << WORD_BITS) if register.signed else word

    def __setattr__(self, name: str, value: int) -> None:
        register, field = self._named(name)
        if not register.writable:
            raise AttributeError(f"register {register.name} of {self._node.name} is read only")
        bits = register.bits if field is None else field.bits
        low = -(1 << (bits - 1)) if register.signed else 0
        if not low <= value < low + (1 << bits):
            raise ValueError(
                f"{name} of {self._node.name} is to be {value}; it takes {low} to "
                f"{low + (1 << bits) - 1}"
            )
        word = int(value)
        if field is not None:
            word = (getattr(self, register.name.lower()) & ~field.mask) | word << field.low
        place = self._base + address(self._node.number, register)
        self._bus.write32(place, word & ((1 << WORD_BITS) - 1))

    def _named(self, name: str) -> tuple[Register, Field | None]:
        found = self.__dict__.get("_found", {})  # none while a copy is being made
        if name not in found:
            raise AttributeError(
                f"{self._node.name} has no register {name!r}; it has {', '.join(found)}"
                if found
                else name
            )
        return self._found[name]


class Driver:
    """The registers of the chain of `plan`, and what is done with many of them.

    ``base`` is the byte address of the first one.  ``intake`` and ``units``, in the order of the
    chain, are `Registers`.
    """

    def __init__(self, bus: Bus, plan: Plan, base: int = 0) -> None:
        self.plan, self._bus, self._base = plan, bus, base
        first, *others = nodes(stage.name for stage in plan.schedule.stages)
        self.intake = Registers(bus, first, base)
        self.units = [Registers(bus, node, base) for node in others]

    def check(self) -> None:
        """ValueError unless the hardware was made from this very description."""
        wanted = self.plan.description.identity
        found = self.intake.identity
        if found != wanted:
            raise ValueError(
                f"the hardware has the identity {found:08x}, not {wanted:08x} of "
                f"{self.plan.description.name}: it was made from another description"
            )

    def set(self, *, predict: bool, compensate: bool, extra_shift: int) -> None:
        """Set what every unit does at run time; in an empty chain only."""
        for unit in self.units:
            unit.control = control_word(predict, compensate, extra_shift)

    def load(self, states: Sequence[State]) -> None:
        """Write all weights, velocities, biases and generator states of a resting chain."""
        for stage, state in zip(self.plan.schedule.stages, states, strict=True):
            self._access(load_accesses(stage, state))

    def read_back(self) -> list[Parts]:
        """Read all weights, velocities, biases and generator states of a resting chain."""
        return [
            parts(stage, self._access(read_accesses(stage))) for stage in self.plan.schedule.stages
        ]

    def _access(self, accesses: Sequence[Transfer]) -> list[int]:
        """What is read; of a write the word itself."""
        words = []
        for one in accesses:
            place, word = self._base + address(one.node, one.register), one.data % (1 << WORD_BITS)
            if one.write:
                self._bus.write32(place, word)
            words.append(word if one.write else self._bus.read32(place))
        return words
