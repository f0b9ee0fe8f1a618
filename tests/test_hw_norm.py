"""The norm equals its golden twin and sends at the times foretold, whatever stalls."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from amaranth.hdl import Module

from counterflow.design.bus.registers import UnitRegister, control_word
from counterflow.design.bus.transfers import Transfer, load_accesses
from counterflow.design.graph import Edge
from counterflow.design.parts.formats import Format
from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.roles import Roundings
from counterflow.design.parts.tokens import Kind
from counterflow.design.units import normal_times
from counterflow.design.units.latency import BUS_SPACING
from counterflow.design.units.norm import NormUnit
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.scheduled import SlotGradients
from counterflow.golden.units.norm import Norm as Golden
from counterflow.golden.units.norm import NormState
from counterflow.golden.units.update import Settings
from counterflow.hw.norms import backward, forward
from counterflow.hw.units.norm import Norm
from counterflow.sim.bench.stalls import pattern
from counterflow.sim.streams import every, quiet, receive, send, simulate

TRUNCATED = Roundings(update="nearest-even", activation="truncate", error="truncate")


def stage(
    shape: tuple[int, int, int] = (4, 4, 2),
    formats: str = "s8.4 s8.4 s10.8 s10.8",
    *,
    late: int = 1,
    gaps: str = "none",
    wanted: bool = True,
    returned: bool = True,
    relu: bool = True,
    gamma: bool = False,
    rounding: Roundings | None = None,
    **recipe: Any,
) -> NormStage:
    """A norm of formats x, y, dy and dx, whose gradients come `late` slots behind y.

    ``gaps``: a pattern in which elements arrive each way.
    """
    x, y, dy, dx = map(Format.parse, formats.split())
    unit = NormUnit(
        name="norm",
        where="layers[1]",
        inputs=(Edge(0, shape, x, dx, (1,) * wanted, rectified=False),),
        outputs=(Edge(1, shape, y, dy, paths=(1,), rectified=relu, returned=returned),),
        weight=Format.parse("s20.18"),
        velocity=Format.parse("s14.18"),
        rounding=rounding or Roundings(),
        gamma=gamma,
    )
    elements = unit.inputs[0].elements

    def arrivals(seed: int) -> Any:
        gate = pattern(gaps, seed)
        cycles = np.flatnonzero([next(gate) for _ in range(8 * elements + 100)])[:elements]
        return cycles - cycles[0]

    times = unit.times(None, Recipe(**{"learning_rate": 2.0**-4, "momentum": 0.75, **recipe}))
    forth, back = arrivals(1), arrivals(2)
    slot = max(unit.bound, int(forth[-1]) + 1, int(back[-1]) + 1) + 3
    (leaves,) = times.forward([forth])
    came = int(leaves[-1]) + 3 + late * slot + back  # after all of y
    times.backward([SlotGradients(came, came, late)], slot)
    return times.scheduled(slot)


@dataclass
class Traffic:
    """What enters and what golden makes of it, by token; `states` are those that are written."""

    state: NormState
    settings: Settings
    kinds: list[Kind]
    x: list[Any]
    y: list[Any]
    dy: list[Any]
    dx: list[Any]
    states: list[tuple[int, NormState]]  # by slot


def traffic(made: NormStage, count: int = 9, settings: Settings | None = None) -> Traffic:
    """Tokens of all kinds, whole ranges with their ends, from any state that can be."""
    source, numbers = np.random.default_rng(count), made.numbers

    def noise(number: Format, size: int, part: int = 1) -> Any:
        low, high = number.min // part, number.max // part
        ends = source.choice([low, high, 0], size)
        return np.where(source.random(size) < 0.2, ends, source.integers(low, high + 1, size))

    found = {one.name: noise(one.number, numbers.channels, 4) for one in made.parameters}
    state = NormState(**found, generator=12345)
    recipe = numbers.parameters
    chosen = settings or Settings(recipe.predicts, recipe.compensates)
    kinds = [Kind(int(one)) for one in source.choice([0, 1, 2, 2, 2], count)]
    if recipe.accumulate > 1:
        kinds = [(Kind.ACCUMULATE, Kind.TRAIN, *kinds)[index % 3] for index in range(count)]
    all_of = Traffic(state.copy(), chosen, kinds, [], [], [], [], [])
    golden, kept = Golden(made, state, chosen), []
    for slot in range(count):
        all_of.x.append(noise(numbers.x, numbers.elements))
        all_of.y.append(golden.forward(all_of.x[-1], kinds[slot].learns))
        kept.append(golden._kept[-1].y)
        back = slot - made.delay
        if back >= 0:
            dy = noise(numbers.dy, numbers.elements) * kinds[back].learns
            pair = np.stack([dy, kept[back]])
            given = pair if made.unit.outputs[0].returned else dy
            all_of.dy.append(given)
            all_of.dx.append(golden.backward(given, kinds[back].learns))
        new = golden.update(moves=back >= 0 and kinds[back] is Kind.TRAIN)
        if new is not None:
            all_of.states.append((slot, new))
    return all_of


@dataclass
class Seen:
    """Cycles in which each border was passed, and what left."""

    x: list[int]
    dy: list[int]
    y: list[Any]
    dx: list[Any]
    writes: list[tuple[int, int, int]]  # cycle, address, word


def packed(made: NormStage, state: NormState) -> list[int]:
    """A state as the words of the memory."""
    words = [0] * made.numbers.channels
    low = 0
    for one in made.parameters:
        bits = one.number.bits
        for channel, value in enumerate(getattr(state, one.name).tolist()):
            words[channel] |= (value & ((1 << bits) - 1)) << low
        low += bits
    return words


def run(
    made: NormStage,
    tokens: Traffic,
    gates: dict[str, Iterator[bool]],
    kind: type[Norm] = Norm,
    limit: int = 20_000,
) -> Seen:
    """All `tokens` through a norm that the bus has loaded; no dy before its own y has left."""
    unit, seen, left = kind(stage=made), Seen([], [], [], [], []), [0]
    settings = tokens.settings
    word = control_word(settings.predict, settings.compensate, settings.extra_shift)
    accesses = [
        *load_accesses(made, tokens.state),
        Transfer(True, made.index + 1, UnitRegister.CONTROL, word),
    ]
    start = BUS_SPACING * len(accesses) + 40
    returned, wanted = made.unit.outputs[0].returned, made.numbers.dx is not None
    size = made.numbers.elements

    def gate(port: str) -> Iterator[bool]:
        return gates.get(port, itertools.repeat(True))

    async def load(ctx: Any) -> None:
        for one in accesses:
            fields = {"valid": 1, "next": 1, "write": 1, "node": one.node}
            fields |= {"register": int(one.register)}
            ctx.set(unit.bus_i, {**fields, "data": one.data & 0xFFFF_FFFF})
            await ctx.tick()
            ctx.set(unit.bus_i, {})
            await ctx.tick().repeat(BUS_SPACING - 1)

    def causal() -> Iterator[bool]:
        sent = 0
        for is_open in gate("dy"):
            may = is_open and left[0] > sent
            sent += may
            yield may

    async def x_in(ctx: Any) -> None:
        await ctx.tick().repeat(start)
        pairs = zip(tokens.x, tokens.kinds, strict=True)
        items = [{"data": int(v), "kind": int(kind)} for x, kind in pairs for v in x]
        await send(ctx, unit.x, items, gate("x"))

    async def dy_in(ctx: Any) -> None:
        await ctx.tick().repeat(start)
        items: list[Any] = [int(v) for dy in tokens.dy if not returned for v in dy]
        if returned:
            items = [{"data": int(d), "x": int(y)} for pair in tokens.dy for d, y in pair.T]
        await send(ctx, unit.dy, items, causal())

    async def y_out(ctx: Any) -> None:
        await ctx.tick().repeat(start)
        seen.y.extend(await receive(ctx, unit.y, size * len(tokens.y), gate("y")))
        await quiet(ctx, unit.y, 20)

    async def dx_out(ctx: Any) -> None:
        await ctx.tick().repeat(start)
        seen.dx.extend(await receive(ctx, unit.dx, size * len(tokens.dx), gate("dx")))
        await quiet(ctx, unit.dx, 20)

    async def watch(ctx: Any) -> None:
        """Every border and the memory, until nothing has happened for long."""
        await ctx.tick().repeat(start)
        states, cycle, still = unit.states, 0, 0
        given = len(tokens.x) * size, len(tokens.dy) * size
        cycles = every(
            ctx,
            unit.x.valid & unit.x.ready,
            unit.dy.valid & unit.dy.ready,
            unit.y.valid & unit.y.ready,
            states.write_enable,
            states.write_address,
            states.write_data,
        )
        while still < 4 * made.interval or (len(seen.x), len(seen.dy)) != given:
            found = await anext(cycles)
            took_x, took_dy, gave_y, write, address, data = found
            seen.x.extend([cycle] * took_x)
            seen.dy.extend([cycle] * took_dy)
            left[0] += gave_y
            if write:
                seen.writes.append((cycle, address, data))
            still = 0 if took_x or took_dy or write else still + 1
            cycle += 1

    benches = [watch, load, x_in, dy_in, y_out, *([dx_out] if wanted else [])]
    simulate(unit, *benches, limit=limit)
    return seen


def check(
    made: NormStage,
    stalls: dict[str, str] | None = None,
    kind: type[Norm] = Norm,
    settings: Settings | None = None,
    count: int = 9,
) -> Seen:
    """What leaves and what is remembered is what golden makes of it."""
    tokens = traffic(made, count, settings)
    gates = {port: pattern(name, seed) for seed, (port, name) in enumerate((stalls or {}).items())}
    seen = run(made, tokens, gates, kind)
    y = np.array([one.payload.data for one in seen.y]).reshape(len(tokens.y), -1)
    np.testing.assert_array_equal(y, tokens.y)
    kinds = [one.payload.kind for one in seen.y]
    assert kinds == np.repeat([int(one) for one in tokens.kinds], made.numbers.elements).tolist()
    if made.numbers.dx is not None:
        dx = np.array([one.payload for one in seen.dx]).reshape(len(tokens.dx), -1)
        np.testing.assert_array_equal(dx, tokens.dx)
    written = [(address, word) for _, address, word in seen.writes]
    channels = range(made.numbers.channels)
    expected = [
        (channel, words[channel])
        for words in (packed(made, state) for _, state in tokens.states)
        for channel in channels
    ]
    assert written == expected
    return seen


STAGES: dict[str, NormStage] = {
    "plain": stage(),
    "no power of two, three samples an update, truncated": stage(
        (3, 5, 3), "s10.4 s10.6 s14.12 s10.9", rounding=TRUNCATED, accumulate=3, mitigation="none"
    ),
    "kept here, behind no ReLU": stage(returned=False, relu=False, late=2, mitigation="lwpv"),
    "kept here, behind a ReLU, wide": stage(
        (2, 3, 1), "s16.8 s9.5 s14.12 s14.12", returned=False, late=3, mitigation="sc"
    ),
    "nobody wants dx": stage((2, 2, 4), "u8.8 s8.4 s10.8 s10.8", wanted=False),
    "narrow": stage((2, 2, 2), "s4.2 s4.2 s6.4 s5.3", late=4),
    "gamma, two samples an update": stage(gamma=True, returned=False, accumulate=2),
    "gamma, nobody wants dx": stage(
        (2, 2, 4), "u8.8 s8.4 s10.8 s10.8", gamma=True, returned=False, relu=False, wanted=False
    ),
}
MORE = {
    "more channels than are read at once": stage((2, 2, 34), late=2),
    "one of each": stage((4, 1, 1), "s12.5 s10.6 s12.12 s12.12", accumulate=2),
}
STALLS = ("none", "random", "burst", "slow")
PORTS = ("x", "y", "dy", "dx")


def everywhere(stalls: str) -> dict[str, str]:
    return dict.fromkeys(PORTS, stalls)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("stalls", ["random", pytest.param("none", marks=SLOW)])
@pytest.mark.parametrize("made", STAGES.values(), ids=STAGES)
def test_it_equals_golden_with_and_without_stalls(made: NormStage, stalls: str) -> None:
    check(made, everywhere(stalls))


@SLOW
@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("made", MORE.values(), ids=MORE)
def test_larger_and_smaller_ones_equal_golden(made: NormStage, stalls: str) -> None:
    check(made, everywhere(stalls))


@SLOW
@pytest.mark.parametrize("made", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("stalls", STALLS[2:])
@pytest.mark.parametrize("port", PORTS)
def test_it_does_so_where_one_port_alone_is_stalled(
    made: NormStage, port: str, stalls: str
) -> None:
    check(made, {port: stalls}, count=14)


@SLOW
@pytest.mark.parametrize("settings", [Settings(False, True), Settings(True, False)], ids=str)
def test_prediction_and_compensation_can_be_switched(settings: Settings) -> None:
    check(STAGES["plain"], settings=settings)


# ---- times -------------------------------------------------------------------------------------


def gates_of(made: NormStage, count: int) -> dict[str, Iterator[bool]]:
    """Elements arrive as in the schedule."""

    def at(times: Any, tokens: int) -> Iterator[bool]:
        starts = made.interval * np.arange(tokens)[:, None]
        wanted = set((starts + times - made.start).ravel().tolist())
        last = max(wanted)
        return (cycle in wanted or cycle > last for cycle in itertools.count())

    arrivals = made.output_times - normal_times.FORWARD - made.later
    return {"x": at(arrivals, count), "dy": at(made.errors.later, count - made.delay)}


def timed(made: NormStage, count: int = 9, built: NormStage | None = None) -> list[list[int]]:
    """Cycles of x, dy, y, dx and of words written, of a run as in the schedule; none if it stops.

    A norm that is `built` with less room than `made` may have none for what is left at the end.
    """
    try:
        seen = run(built or made, traffic(made, count), gates_of(made, count), limit=3_000)
    except AssertionError:
        assert built is not None
        return []
    left = [[one.cycle for one in port] for port in (seen.y, seen.dx)]
    return [seen.x, seen.dy, *left, [cycle for cycle, _, _ in seen.writes]]


TIMED = {
    gaps + what: stage(gaps=gaps, late=2, accumulate=2, **fields)
    for gaps in ("none", "random")
    for what, fields in {
        "": {},
        ", kept here": {"returned": False},
        ", gamma": {"returned": False, "gamma": True},
    }.items()
}


@pytest.mark.parametrize(
    "made",
    [pytest.param(made, id=name, marks=[SLOW] * ("none" in name)) for name, made in TIMED.items()],
)
def test_every_element_leaves_and_every_word_is_written_in_the_cycle_foretold(
    made: NormStage,
) -> None:
    count = 9
    shifts = made.interval * np.arange(count)[:, None]
    x, dy, y, dx, writes = timed(made, count)
    came = (made.errors.later + shifts[: count - made.delay]).ravel()
    assert y == (made.output_times + shifts).ravel().tolist()
    assert x == (made.output_times - normal_times.FORWARD - made.later + shifts).ravel().tolist()
    assert dy == came.tolist()
    assert dx == (came + backward.BACKWARD).tolist()
    states = traffic(made, count).states
    expected = [made.written(state, slot, 0)[0].times for slot, state in states]
    assert writes == np.concatenate(expected).tolist()


LESS = {
    "a token": lambda made: replace(made, tokens=made.tokens - 1),
    "an element of y": lambda made: replace(made, stash_words=made.stash_words - 1),
}


@pytest.mark.parametrize("gaps", ["random", pytest.param("none", marks=SLOW)])
@pytest.mark.parametrize("what", ["gamma", pytest.param("kept here", marks=SLOW)])
@pytest.mark.parametrize("less", LESS)
def test_room_for_one_less_and_somebody_waits(less: str, what: str, gaps: str) -> None:
    made = TIMED[f"{gaps}, {what}"]
    assert made.stash_words > 1
    found = timed(made, 14)
    assert timed(made, 14, LESS[less](made)) != found


@pytest.mark.parametrize(("module", "name"), [(forward, "Y_QUEUE"), (backward, "DX_QUEUE")])
@pytest.mark.parametrize("what", ["none", pytest.param("none, gamma", marks=SLOW)])
def test_a_queue_with_a_place_less_keeps_somebody_waiting(
    module: Any, name: str, what: str
) -> None:
    made = TIMED[what]
    found = timed(made)
    with mock.patch.object(module, name, getattr(module, name) - 1):
        assert timed(made) != found


# ---- faults ------------------------------------------------------------------------------------


class OtherBank(Norm):
    """Tokens see what the update before the right one left."""

    def _seen(self, m: Module, forward: Any, backward: Any) -> None:
        super()._seen(m, forward, backward)
        address = self._banked(~forward.in_bank, forward.channel)
        m.d.comb += m.submodules.tables.read_address.eq(address)


class AllTrain(Norm):
    """Whatever comes back is learnt from."""

    def _totals(self, m: Module, name: str, way: Any, update: Any) -> None:
        super()._totals(m, name, way, update)
        if name == "backward":
            m.d.comb += update.backward_kind.eq(Kind.TRAIN)


class OneToken(Norm):
    """What is kept of a token is overwritten by the next one."""

    def _kept(self, m: Module, forward: Any, backward: Any) -> None:
        super()._kept(m, forward, backward)
        m.d.comb += m.submodules.kept.write_address.eq(forward.keep_address[0])


@pytest.mark.parametrize(
    "fault", [OtherBank, pytest.param(AllTrain, marks=SLOW), pytest.param(OneToken, marks=SLOW)]
)
def test_a_planted_fault_is_found(fault: type[Norm]) -> None:
    with pytest.raises(AssertionError):
        check(TIMED["none"], kind=fault)
