"""The register bus answers each access once and in order; a dense unit's weights go in and out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import UnitRegister, control_word
from counterflow.design.bus.transfers import Transfer, load_accesses, read_accesses
from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import plan
from counterflow.design.units.latency import BUS_NODE, BUS_SPACING, ISSUE, OPERANDS, PRODUCT, UPDATE
from counterflow.design.units.slots import Stage
from counterflow.golden.transfer import decode
from counterflow.golden.units import convolution as golden
from counterflow.hw.parts.bus import Access, BusNode
from counterflow.hw.units.convolution import Convolution
from counterflow.sim.bench.stalls import pattern
from counterflow.sim.streams import Taken, receive, send, simulate

NODES = 3
UNIT = 2  # number of the node of the second unit
READ, WRITTEN, BOTH, NOWHERE = 2, 4, 7, 9
# From a tile's issue until its new words are stored, but for turns after the first.
SETTLED = ISSUE + OPERANDS + PRODUCT + UPDATE + 1


class Nodes(wiring.Component):
    """Three nodes in a row; READ gives a number of node and cycle, BOTH one of the node alone."""

    def __init__(self) -> None:
        self.nodes = [
            BusNode(node=n, readable={READ: 32, BOTH: 32}, writable=(WRITTEN, BOTH))
            for n in range(NODES)
        ]
        super().__init__({"bus_i": In(Access), "bus_o": Out(Access), "cycle": Out(16)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.cycle.eq(self.cycle + 1)
        link = self.bus_i
        for number, node in enumerate(self.nodes):
            m.submodules[f"node_{number}"] = node
            m.d.comb += [
                node.i.eq(link),
                node.value(READ).eq(self.cycle + 1000 * number),
                node.value(BOTH).eq(0xB0 + number),
            ]
            link = node.o
        m.d.comb += self.bus_o.eq(link)
        return m


def put(ctx: Any, port: Any, access: Transfer | None, first: int = UNIT) -> None:
    """Set one access, or none, on a bus input; `first` is the number of the node behind it."""
    words = Transfer(False, 0, 0, 0) if access is None else access
    valid = access is not None
    flags = {"valid": valid, "next": valid and words.node == first, "done": 0}
    ctx.set(port, {**flags, **words._asdict(), "data": words.data & 0xFFFFFFFF})


def test_every_access_comes_out_once_in_order_and_is_done_by_its_node_alone() -> None:
    source = random.Random(1)
    dut = Nodes()
    wanted: list[Transfer | None] = []
    for _ in range(400):
        node, register = source.randrange(NODES + 1), source.choice((READ, WRITTEN, BOTH, NOWHERE))
        made = Transfer(bool(source.randrange(2)), node, register, source.getrandbits(32))
        wanted.append(made if source.random() < 0.8 else None)
    refused = [source.random() < 0.3 for _ in wanted]
    strobes: list[tuple[int, int, int, int]] = []
    answers: list[tuple[int, ...]] = []

    async def bench(ctx: Any) -> None:
        outputs = [dut.bus_o.valid, dut.bus_o.done, dut.bus_o.data]
        for cycle, offered in enumerate([*wanted, *[None] * BUS_NODE * NODES]):
            put(ctx, dut.bus_i, offered, first=0)
            for number, node in enumerate(dut.nodes):
                entered = cycle - BUS_NODE * number - 1
                if 0 <= entered < len(refused):
                    ctx.set(node.refuse, refused[entered])
                for register in (WRITTEN, BOTH):
                    if ctx.get(node.strobe(register)):
                        strobes.append((cycle, number, register, ctx.get(node.data)))
            answers.append(tuple((await ctx.tick().sample(*outputs))[2:]))

    simulate(dut, bench)
    expected_strobes = []
    for cycle, (access, refuse) in enumerate(zip(wanted, refused, strict=True)):
        valid, done, data = answers[cycle + BUS_NODE * NODES]
        assert valid == (access is not None)
        if access is None:
            continue
        node, moment = access.node, cycle + BUS_NODE * access.node + 1  # when it is decoded
        if node < NODES and access.write and access.register in (WRITTEN, BOTH):
            assert done == (not refuse)
            expected_strobes.append((moment, *access[1:]))
        elif node < NODES and not access.write and access.register in (READ, BOTH):
            value = moment + 1000 * node if access.register == READ else 0xB0 + node
            assert (done, data) == (1, value)
        else:
            assert (done, data) == (0, access.data)
    assert sorted(strobes) == sorted(expected_strobes)


def unit_of(shared: bool, slack: int = 0) -> tuple[Stage, Convolution]:
    """The second unit of a chain, with padding in its last row and its last column."""
    lanes = {"outputs": 3, "inputs": 2, "shared": shared}
    description = Description.model_validate(
        {
            "name": "bus",
            "inputs": 6,
            "layers": [{"outputs": 5}, {"outputs": 4, "activation": "none"}],
            "fold": {"lanes": [{"outputs": 1, "inputs": 1}, lanes]},
        }
    )
    schedule = plan(description).schedule
    stage = schedule.stages[1]
    return stage, Convolution(stage=stage, interval=schedule.interval + slack)


def random_state(stage: Stage, seed: int) -> golden.UnitState:
    numbers, tiling = stage.arithmetic, stage.tiling
    source = np.random.default_rng(seed)
    weight, velocity, bias, bias_velocity = (
        source.integers(number.min, number.max + 1, size)
        for size in ((tiling.outputs, tiling.geometry.taps), tiling.outputs)
        for number in (numbers.weight, numbers.velocity)
    )
    weight[0, :2] = numbers.weight.min, numbers.weight.max
    seed = int(source.integers(1, 1 << 32))
    return golden.UnitState(weight, bias, seed, velocity, bias_velocity)


async def access_all(ctx: Any, dut: Convolution, accesses: Sequence[Transfer]) -> list[int]:
    """Make accesses as far apart as the chain does; the responses, which must be done."""
    words = []
    for access in accesses:
        put(ctx, dut.bus_i, access)
        await ctx.tick()
        put(ctx, dut.bus_i, None)
        await ctx.tick().repeat(BUS_NODE - 1)
        response = ctx.get(dut.bus_o)
        assert (response.valid, response.done) == (1, 1), f"{access} is not done"
        words.append(int(response.data))
        await ctx.tick().repeat(BUS_SPACING - BUS_NODE)
    return words


def same(stage: Stage, words: list[int], state: golden.UnitState) -> bool:
    """Whether the words read back would load this state."""
    return load_accesses(stage, decode(stage, words)) == load_accesses(stage, state)


@pytest.mark.parametrize("shared", [False, True])
def test_weights_biases_and_generator_read_back_as_they_were_loaded(shared: bool) -> None:
    stage, dut = unit_of(shared)

    async def bench(ctx: Any) -> None:
        for seed in range(2):
            state = random_state(stage, seed)
            await access_all(ctx, dut, load_accesses(stage, state))
            for _ in range(2):  # reading does not wear
                assert same(stage, await access_all(ctx, dut, read_accesses(stage)), state)

    simulate(dut, bench)


def test_settings_and_the_number_of_tiles_are_registers() -> None:
    stage, dut = unit_of(False)

    async def bench(ctx: Any) -> None:
        for predict, compensate, shift in ((True, False, 5), (False, True, 7), (False, False, 0)):
            word = control_word(predict, compensate, shift)
            written = Transfer(True, 2, UnitRegister.CONTROL, word)
            read = [Transfer(False, 2, r, 0) for r in (UnitRegister.CONTROL, UnitRegister.TILES)]
            words = await access_all(ctx, dut, [written, *read])
            assert words[1:] == [word, stage.tiling.tiles]
            found = dut.registers.settings
            settings = (found.predict, found.compensate, found.extra_shift)
            assert tuple(map(ctx.get, settings)) == (predict, compensate, shift)

    simulate(dut, bench)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_memory_access_is_refused_until_a_slot_has_settled_and_harms_no_slot(
    shared: bool, late: bool
) -> None:
    """Accesses are tried all the time; a STORE that is refused would overwrite another tile."""
    stage, dut = unit_of(shared, slack=SETTLED + 5)
    settled = SETTLED + stage.tiling.move_turns - 1
    assert (stage.tiling.move_turns > 1) == shared
    state = random_state(stage, 7)
    tokens = np.random.default_rng(1).integers(0, 1 << stage.arithmetic.x.bits, (8, 5))
    got: list[Taken] = []
    outcomes = set()
    loaded = waits = False
    gap = "random" if late else "none"

    async def source(ctx: Any) -> None:
        items = [{"data": int(v), "kind": Kind.INFER} for v in tokens.reshape(-1)]
        while not loaded:
            await ctx.tick()
        await send(ctx, dut.x, items, pattern(gap, 1))

    async def errors(ctx: Any) -> None:
        ctx.set(dut.dx.ready, 1)
        while not loaded:
            await ctx.tick()
        for element in range(4 * (len(tokens) - stage.delay)):
            gate = [False] * (90 if late and element % 4 == 3 else 0)  # before a slot's second row
            await send(ctx, dut.dy, [3], iter([*gate, True]))

    async def sink(ctx: Any) -> None:
        got.extend(await receive(ctx, dut.y, 4 * len(tokens), pattern(gap, 2)))

    async def bus(ctx: Any) -> None:
        nonlocal loaded, waits
        await access_all(ctx, dut, load_accesses(stage, state))
        await access_all(ctx, dut, [Transfer(True, 2, UnitRegister.FETCH, 0)])
        loaded, rest, since, entered = True, settled, 0, False
        choice = random.Random(1)
        for cycle in range(500):
            tries = since >= BUS_SPACING - 1 and choice.random() < 0.6
            walk = dut.walk
            idle = ctx.get(walk.state.idle)
            rests = rest >= settled and idle
            may_rest = rest + 1 >= settled and idle  # in the next cycle, when it is decoded
            register = UnitRegister.FETCH if may_rest else UnitRegister.STORE
            put(ctx, dut.bus_i, Transfer(True, 2, register, not may_rest) if tries else None)
            _, _, issue, idle, due = await ctx.tick().sample(
                walk.now.issue, walk.state.idle, walk.state.arrived
            )
            waits |= rest >= settled and not idle
            if entered:
                done = bool(ctx.get(dut.bus_o).done)
                expected = rests and not due  # a slot that is due comes first
                assert done == expected, f"cycle {cycle}, {rest} of rest, idle {idle}"
                outcomes.add(done)
            rest = 0 if issue else rest + 1
            since, entered = 0 if tries else since + 1, tries
        put(ctx, dut.bus_i, None)
        while len(got) < 4 * len(tokens):
            await ctx.tick()
        for _ in range(settled):
            await ctx.tick()
        assert same(stage, await access_all(ctx, dut, read_accesses(stage)), state)

    simulate(dut, source, errors, sink, bus, limit=4000)
    assert outcomes == {False, True}
    assert waits == late  # in mid-slot, for so long that nothing is under way any more
    model = golden.Convolution(stage, state)
    expected = np.concatenate([model.forward(x, training=False) for x in tokens])
    assert [taken.payload.data for taken in got] == expected.tolist()
