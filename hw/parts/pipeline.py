"""Registers in a row, tables, and sums in registered levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from amaranth.hdl import C, Cat, Module, Signal, Value
from amaranth.lib.memory import Memory

from counterflow.design.fpga.blocks import LONG, WORTH_LUT_RAM
from counterflow.design.parts.formats import Format
from counterflow.design.units.latency import TREE_RADIX
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.delay_line import DelayLine
from counterflow.hw.parts.modules import is_compact

STROBE_BITS = 2
FAN_OUT = 8  # registers, or blocks of logic, that one register of a tree reaches


def delayed(m: Module, value: Value, cycles: int, name: str, platform: object = None) -> Value:
    """`value` as it was `cycles` cycles ago; cost: `cycles` registers of its width.

    What is wider than a strobe is data, which needs no reset: a strobe says when it counts.
    A long delay of data is a `DelayLine` where the `platform` is given.
    """
    block = is_compact(platform)
    if platform is not None and cycles >= (LONG if block else WORTH_LUT_RAM):
        line = DelayLine(bits=len(value), cycles=cycles, block=block)
        m.submodules[f"{name}_line"] = line
        late = Signal(value.shape(), name=f"{name}_late")
        m.d.comb += [line.i.eq(value), late.eq(line.o)]
        return late
    data = len(value) > STROBE_BITS
    for stage in range(1, cycles + 1):
        register = Signal(value.shape(), name=f"{name}_{stage}", reset_less=data)
        m.d.sync += register.eq(value)
        value = register
    return value


def delayed_beside(
    m: Module, values: Mapping[str, Value], cycles: int, platform: object
) -> list[Value]:
    """`delayed` of several unsigned data by name, in one `DelayLine` where it is one."""
    if platform is None:
        return [delayed(m, value, cycles, name) for name, value in values.items()]
    late = delayed(m, Cat(values.values()), cycles, "_".join(values), platform)
    ends = list(accumulate(map(len, values.values())))
    return [late[end - len(one) : end] for one, end in zip(values.values(), ends, strict=True)]


def own(
    m: Module, value: Value, name: str, enable: Value | None = None, *, init: int = 0
) -> Signal:
    """`value` a cycle ago, or in the last cycle with `enable`, in a register beside its reader.

    What goes to many lanes would be one register that is far from most of them: synthesis makes
    registers of the same content one, except those with this attribute (`design.tools.synthesis`).
    """
    register = Signal(
        value.shape(), name=name, init=init, reset_less=True, attrs={"own_register": 1}
    )
    with m.If(C(1) if enable is None else enable):
        m.d.sync += register.eq(value)
    return register


def spread_levels(readers: int) -> int:
    """Registers in a row from one register to so many readers, none with more than `FAN_OUT`."""
    levels = 0
    while readers > FAN_OUT:
        readers = -(-readers // FAN_OUT)
        levels += 1
    return levels


def spread(m: Module, value: Value, readers: int, cycles: int, name: str) -> list[Value]:
    """`value` `cycles` cycles ago for each of so many readers, out of a tree of registers.

    One register with many readers is far from most of them, and its wire alone takes more of a
    cycle than all logic.  Here each reaches `FAN_OUT` of the next level at most, if there are
    `spread_levels` cycles or more; what is too early goes through a row of single registers.
    Readers that follow each other share the last ones.  They have no reset: what they show before
    `cycles` cycles have gone by must not matter.
    """
    found = [value]
    for level in reversed(range(cycles)):
        count = -(-readers // FAN_OUT ** (level + 1))
        found = [
            own(m, found[index * len(found) // count], f"{name}_{level}_{index}")
            for index in range(count)
        ]
    return [found[index * len(found) // readers] for index in range(readers)]


def looked_up(
    m: Module,
    name: str,
    entries: Sequence[int],
    bits: int,
    index: Value,
    platform: object = None,
) -> Value:
    """The entry that `index` names, of a read-only memory, in the same cycle."""
    if is_compact(platform):
        block = BlockMemory(words=len(entries), bits=bits, falling=True, init=entries)
        m.submodules[name] = block
        m.d.comb += block.read_address.eq(index)
        return block.read_data
    table = Memory(shape=bits, depth=len(entries), init=entries)
    m.submodules[name] = table
    read = table.read_port(domain="comb")
    m.d.comb += read.addr.eq(index)
    entry: Value = read.data
    return entry


def apart(m: Module, value: Value, name: str) -> Signal:
    """`value`, for an addition that shall stay one of its own.

    Of several in a cycle synthesis makes one: full adders, two LUTs a bit each, and a carry chain.
    Chains behind each other take one LUT a bit each, and hardly longer, for the next one begins
    with the lowest bits.
    """
    signal = Signal(value.shape(), name=name, attrs={"keep": 1})
    m.d.comb += signal.eq(value)
    return signal


def summed(
    m: Module,
    terms: Sequence[Value],
    name: str,
    radix: int = TREE_RADIX,
    levels: int = 0,
    number: Format | None = None,
) -> Value:
    """The exact sum of `terms`, `design.units.latency.tree_latency` cycles later.

    One register after each addition of `radix` terms; a single term passes through, unless there
    shall be at least so many `levels`.  With a signed ``number`` that holds the sum all is added
    modulo 2**bits, whatever the terms and sums on the way would need.
    """
    level = 0
    if number is not None:
        terms = [within(term, number) for term in terms]
    while len(terms) > 1 or level < levels:
        sums: list[Value] = []
        for index in range(0, len(terms), radix):
            here = f"{name}_{level}_{index // radix}"
            total = _at_once(m, terms[index : index + radix], here, number)
            register = Signal(total.shape(), name=here, reset_less=True)
            m.d.sync += register.eq(total)
            sums.append(register)
        terms, level = sums, level + 1
    return terms[0]


def _at_once(m: Module, terms: Sequence[Value], name: str, number: Format | None) -> Value:
    """The sum of `terms` in the same cycle, by a tree of additions of two."""

    def added(pair: Sequence[Value]) -> Value:
        total = sum(pair[1:], start=pair[0])
        return total if number is None else within(total, number)

    level = 0
    while len(terms) > 2:
        pairs = [terms[index : index + 2] for index in range(0, len(terms), 2)]
        terms = [
            apart(m, added(pair), f"{name}_{level}_{index}") if len(pair) > 1 else pair[0]
            for index, pair in enumerate(pairs)
        ]
        level += 1
    return added(terms)


def within(value: Value, number: Format) -> Value:
    """`value` modulo 2**bits of the signed `number`, as one: itself where that holds it."""
    return value if len(value) <= number.bits else value[: number.bits].as_signed()


def terms_of(value: Value, factor: int) -> list[Value]:
    """Shifted copies of `value`, some negative, that sum to value * factor.

    The non-adjacent form has the fewest non-zero digits; written as a product, synthesis would
    spend a multiplier block on it.
    """
    terms: list[Value] = []
    place = 0
    while factor:
        if factor & 1:
            digit = 2 - (factor & 3)  # 1 or -1, whichever clears the next bit too
            factor -= digit
            shifted = value.shift_left(place)
            terms.append(shifted if digit > 0 else -shifted)
        factor >>= 1
        place += 1
    return terms


def times_constant(value: Value, factor: int) -> Value:
    """value * factor by additions, within a cycle."""
    terms = terms_of(value, factor)
    return sum(terms[1:], start=terms[0]) if terms else value - value
