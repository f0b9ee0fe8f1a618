"""Bench: under stalls, spoilt samples, reset and power-cycle, the same values in the same order.

Each scenario of a job is a coroutine of `OrderBench`; what must hold is always the same: every
stream carries golden's values in golden's order, every memory write is golden's, nothing is left
over, and at the end all weights and counters are equal.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from counterflow.design.bus.registers import UnitRegister
from counterflow.design.bus.transfers import Transfer
from counterflow.design.parts.tokens import Token
from counterflow.design.schedule.planner import plan
from counterflow.golden.chain import Chain
from counterflow.golden.cycle_trace import Trace
from counterflow.golden.transfer import control_of
from counterflow.golden.units.state import State
from counterflow.sim.bench import counters, in_order
from counterflow.sim.bench.at_work import AtWork
from counterflow.sim.bench.compare import Layout
from counterflow.sim.bench.counters import NONE_DROPPED, Dropped
from counterflow.sim.bench.host import Host, HostError, number
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.bench.memories import FEED_TOKENS
from counterflow.sim.bench.recorder import Bits, Recorder
from counterflow.sim.bench.stalls import pattern

GATES = ("sample_gate", "label_gate", "prediction_gate")
SETTLE_SLOTS = 4  # slots without anything to do before a run counts as over


class OrderBench:
    """One simulated chain and the golden model beside it."""

    def __init__(self, dut: Any, job: Job) -> None:
        self.dut, self.job, self.found = dut, job, Found()
        self.plan = plan(job.description)
        self.host = Host(dut, self.plan)
        self.layout = Layout(Trace(self.plan).fields)
        self.recorder = Recorder(dut, self.layout, job.depth)
        self.at_work = AtWork(self.plan, self.layout)
        self._gates: list[Any] = []
        self._over = False  # the run that is recorded
        self._golden: Chain  # of the run that is compared, or was last
        self._learnt: list[Token] = []  # by it, since the last reset
        self._dropped = NONE_DROPPED

    async def run(self) -> None:
        """The job's scenario."""
        began = time.monotonic()
        try:
            await self.host.start()
            await self._first_counters()
            await getattr(self, f"_{self.job.scenario}")()
            # Only now: runs may leave gradients to the next, whose products are not made yet.
            self.found.count(
                await counters.read(
                    self.host,
                    self._golden,
                    self._learnt,
                    self.at_work,
                    self._dropped,
                    near_carry=self.job.near_carry,
                )
            )
        except HostError as error:
            self.found.differ(str(error))
        self.found.seconds = time.monotonic() - began
        if self.found.mismatches == 0 and self.found.compared == 0:
            raise AssertionError("nothing was compared")

    async def _first_counters(self) -> None:
        golden, near_carry = self.job.chain(self.plan.schedule), self.job.near_carry
        self.found.count(
            await counters.read_first(self.host, golden, self.at_work, near_carry=near_carry)
        )

    async def _stalls(self) -> None:
        """All tokens under the job's stall patterns."""
        golden = self.job.chain(self.plan.schedule)
        await self._begin(golden.states, golden)
        for settings, tokens in self.job.runs():
            if settings is not None:
                golden.set(settings)
                await self.host.set(settings)
            await self._compared(golden, tokens)

    async def _spoilt(self) -> None:
        """Some samples have wrong lengths or labels: dropped, counted, the rest is learnt."""
        golden = self.job.chain(self.plan.schedule)
        await self._begin(golden.states, golden)
        classes, inputs = self.job.description.classes, self.job.description.elements
        good = [
            token
            for token, length in zip(self.job.tokens, self.job.lengths, strict=True)
            if token.sample < 0 or (length == inputs and self.job.labels[token.sample] < classes)
        ]
        samples = [
            (length == inputs, self.job.labels[token.sample] < classes)
            for token, length in zip(self.job.tokens, self.job.lengths, strict=True)
            if token.sample >= 0
        ]
        dropped = Dropped(
            samples=sum(not whole for whole, _ in samples),
            labels=sum(whole and not known for whole, known in samples),
        )
        await self._compared(golden, good, self.job.tokens, self.job.lengths, dropped)

    async def _reset(self) -> None:
        """A reset in mid-training leaves nothing behind: the run after it is as the first."""
        golden = self.job.chain(self.plan.schedule)
        await self._begin(golden.states, golden)
        self._feed(self.job.tokens[: FEED_TOKENS // 2])
        await self.host.cycles(self.job.interrupt)
        await self.host.reset()
        await self._begin(golden.states, golden)
        await self._compared(golden, self.job.tokens)

    async def _power_cycle(self) -> None:
        """Train, drain, read back, lose everything, load, go on: as if nothing had happened."""
        half = len(self.job.tokens) // 2
        first, second = self.job.tokens[:half], self.job.tokens[half:]
        golden = self.job.chain(self.plan.schedule)
        undisturbed = self.job.chain(self.plan.schedule)
        undisturbed.run(self.job.tokens, self.job.samples, self.job.labels)
        await self._begin(golden.states, golden)
        await self._compared(golden, first)
        saved = await self.host.read_back()
        await self.host.reset()
        await self.host.load([_blank(state) for state in saved])
        restored = Chain(self.job.description, self.plan.schedule, saved)
        await self._begin(saved, restored)
        await self._compared(restored, second)
        self._states(await self.host.read_back(), undisturbed.states)

    async def _begin(self, states: Sequence[State], golden: Chain) -> None:
        self._learnt = []
        self.at_work.reset()
        await self.host.load(states)
        await self.host.set(golden.settings)

    def _feed(self, tokens: Sequence[Token], lengths: Sequence[int] | None = None) -> None:
        self.host.feed(tokens, self.job.samples, self.job.labels, lengths)

    async def _compared(
        self,
        golden: Chain,
        tokens: Iterable[Token],
        fed: Sequence[Token] | None = None,
        lengths: Sequence[int] | None = None,
        dropped: Dropped = NONE_DROPPED,
    ) -> None:
        """Run `fed` (default: `tokens`) and compare with golden over `tokens`."""
        self._golden, self._dropped = golden, dropped
        tokens = list(tokens)
        trace = Trace(self.plan, before=golden.slot)
        golden.run(tokens, self.job.samples, self.job.labels, trace)
        expected = self.layout.to_bits(trace.take(trace.end))
        found = await self._recorded_run(list(fed or tokens), lengths, len(expected))
        in_order.check(self.layout, expected, found, self.found)
        self._states(await self.host.read_back(), golden.states)
        self._learnt += tokens

    async def _recorded_run(
        self, tokens: list[Token], lengths: Sequence[int] | None, stall_free: int
    ) -> Bits:
        """Feed `tokens` under the stall patterns and record until nothing happens any more.

        A cycle limit of many times the stall-free length turns a deadlock into a failure.
        """
        interval, depth = self.plan.schedule.interval, self.job.depth
        self._over = False
        self._gates = [
            cocotb.start_soon(self._gate(gate, name, self.job.seed + index))
            for index, (gate, name) in enumerate(zip(GATES, self.job.stalls, strict=True))
            if name != "none"
        ]
        reading = cocotb.start_soon(self._read_meanwhile()) if self.job.reads else None
        blocks: list[Bits] = []
        before, fed, quiet = self.host.tokens, 0, 0
        self.dut.recording.value = 1
        limit = 20 * stall_free + 2_000
        idle_blocks = max(2, -(-(SETTLE_SLOTS * interval + 400) // depth))
        while quiet < idle_blocks or fed < len(tokens):
            room = FEED_TOKENS // 2
            if fed < len(tokens) and self._sent() - before >= fed - room:
                part = tokens[fed : fed + room]
                self._feed(part, None if lengths is None else lengths[fed : fed + room])
                fed += len(part)
            await self.host.cycles(depth)
            blocks.append(self.recorder.read())
            self.at_work.see(blocks[-1])
            quiet = 0 if blocks[-1].any() else quiet + 1
            self.found.cycles += depth
            if self.found.cycles > limit:
                raise HostError(f"not done after {limit} cycles, {fed} tokens fed: deadlock?")
        self.dut.recording.value = 0
        self._over = True
        if reading is not None:
            await reading
        for gate in self._gates:
            gate.cancel()
        for gate in GATES:
            getattr(self.dut, gate).value = 1
        return np.concatenate(blocks)

    async def _read_meanwhile(self) -> None:
        """Read settings and weights of units at work, which must not notice.

        Weights are refused while a slot is due or under way, settings never are.
        """
        random, word = Random(self.job.seed), control_of(self._golden.settings)
        while not self._over:
            stage = random.choice(self.plan.schedule.stages)
            tile = random.randrange(stage.blocks[0].words)
            try:
                await self.host.attempt(Transfer(True, stage.index + 1, UnitRegister.FETCH, tile))
                read = Transfer(False, stage.index + 1, UnitRegister.CONTROL, 0)
                self.found.check(f"{stage.name}.CONTROL", await self.host.attempt(read), word)
            except HostError as error:
                self.found.differ(f"registers read in training: {error}")
                return
            await self.host.cycles(random.randint(1, self.job.reads))

    def _sent(self) -> int:
        """Tokens that the feeder has handed over, bubbles included."""
        return number(self.dut.tokens_sent)

    async def _gate(self, gate: str, name: str, seed: int) -> None:
        handle = getattr(self.dut, gate)
        for is_open in pattern(name, seed):
            handle.value = int(is_open)
            await FallingEdge(self.dut.clk)

    def _states(self, found: Sequence[State], expected: Sequence[State]) -> None:
        for stage, got, want in zip(self.plan.schedule.stages, found, expected, strict=True):
            for name in stage.remembered:
                self.found.check(f"{stage.name}.{name}", getattr(got, name), getattr(want, name))


def _blank(state: State) -> State:
    """A state of zeros of the same shapes: what a chip may hold after power-up."""
    zeros = {name: np.zeros_like(value) for name, value in state.arrays.items()}
    made: Any = type(state)
    return made(**zeros, generator=1)


async def compared(dut: Any, job: Job) -> Found:
    """What the bench found of the job."""
    bench = OrderBench(dut, job)
    await bench.run()
    return bench.found
