"""Bench: a chain behind AXI trains as golden does, under pauses, bad packets and bad addresses.

Each scenario of a job is a coroutine of `AxiBench`.  What went wrong stands in the job's `Found`;
the rules of AXI are watched in every cycle of every scenario.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge, SimTimeoutError, with_timeout
from cocotbext.axi import AxiResp

from counterflow.design.bus.registers import NODE_BYTES, WORD_BYTES, address, nodes
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.planner import plan
from counterflow.golden.chain import Chain, Prediction
from counterflow.golden.training.start import initial_chain
from counterflow.sim.bench.axi_host import AxiHost, BusError, Packet
from counterflow.sim.bench.host import PERIOD, number
from counterflow.sim.bench.job import Found, Job

SETTLE_SLOTS = 4  # slots without anything to do before a run counts as over


class AxiBench:
    """One simulated chain behind AXI, and the golden model beside it."""

    def __init__(self, dut: Any, job: Job) -> None:
        self.dut, self.job, self.found = dut, job, Found()
        self.plan = plan(job.description)
        self.host = AxiHost(dut, self.plan)

    async def run(self) -> None:
        """The job's scenario, within a limit of cycles."""
        await self.host.start()
        limit = self.job.depth * PERIOD
        try:
            await with_timeout(getattr(self, f"_{self.job.scenario}")(), limit, "ns")
        except SimTimeoutError:
            self.found.differ(f"no end after {self.job.depth} cycles")
        for broken in self.host.rules.broken:
            self.found.differ(broken)

    async def _stalls(self) -> None:
        """All tokens under the job's stall patterns; the weights loaded and read back, too."""
        self.host.pause(self.job.stalls, self.job.seed)
        golden = await self._begun()
        await self._compared(golden, self.job.tokens)

    async def _spoilt(self) -> None:
        """TLAST too early or too late, labels out of range: dropped, counted, the rest learnt."""
        self.host.pause(self.job.stalls, self.job.seed)
        golden = await self._begun()
        inputs, classes = self.job.description.elements, self.job.description.classes
        pairs = list(zip(self.job.tokens, self.job.lengths, strict=True))
        whole = [(one, size) for one, size in pairs if one.sample < 0 or size == inputs]
        good = [one for one, _ in whole if one.sample < 0 or self.job.labels[one.sample] < classes]
        await self._compared(golden, good, fed=self.job.tokens, lengths=self.job.lengths)
        for name, expected in (
            ("bad_samples", len(pairs) - len(whole)),
            ("bad_labels", len(whole) - len(good)),
            ("tokens", len(good)),
        ):
            self._equal(
                name, await self.host.blocking(getattr, self.host.driver.intake, name), expected
            )

    async def _reset(self) -> None:
        """A reset in the middle of a packet leaves nothing behind."""
        golden = await self._begun()
        self._feed(self.job.tokens)
        await ClockCycles(self.dut.aclk, self.job.interrupt)
        self.host.source.clear()
        await self.host.reset()
        self.host.sink.clear()
        golden = await self._begun()
        await self._compared(golden, self.job.tokens)

    async def _rate(self) -> None:
        """The cycles between the ends of two samples at the input, without pauses."""
        await self._begun()
        self._feed(self.job.tokens)
        ends: list[int] = []
        cycle = 0
        while len(ends) < len(self.job.tokens):
            await RisingEdge(self.dut.aclk)
            cycle += 1
            names = ("tvalid", "tready", "tlast")
            if all(number(getattr(self.dut, f"s_axis_{name}")) for name in names):
                ends.append(cycle)
        steady = np.diff(ends)[len(ends) // 2 :]
        for period in steady.tolist():
            self._equal("cycles between two samples", period, self.plan.schedule.interval)

    async def _registers(self) -> None:
        """Every address is answered: as mapped, else with an error that changes nothing."""
        self.host.pause(self.job.stalls, self.job.seed)
        known = nodes(stage.name for stage in self.plan.schedule.stages)
        beyond = len(known) * NODE_BYTES
        for node in known:
            mapped = {int(one): one for one in node.registers}
            for word in range(NODE_BYTES // WORD_BYTES):
                place, one = address(node.number, word), mapped.get(word)
                await self._answers("read", place, one is not None and one.readable)
                await self._answers("write", place, one is not None and one.writable)
        for place in (beyond, beyond + 4, 2 * beyond, (1 << 14) - WORD_BYTES):
            await self._answers("read", place, False)
            await self._answers("write", place, False)
        identity = self.job.description.identity
        self._equal("identity", await self.host.blocking(self.host.read32, 0), identity)
        await self.host.blocking(self.host.driver.check)
        await self._partial()
        await self._together()
        await self._valid_waits_for_nobody()

    async def _answers(self, what: str, place: int, good: bool) -> None:
        """Whether an access is taken, and with what it is refused if not."""
        arguments = (place,) if what == "read" else (place, 1)
        try:
            await self.host.blocking(getattr(self.host, f"{what}32"), *arguments)
            response = AxiResp.OKAY
        except BusError as error:
            response = error.response
        self._equal(f"{what} of {place:#x}", response, AxiResp.OKAY if good else AxiResp.DECERR)

    async def _partial(self) -> None:
        """A write of less than a word is refused and writes nothing."""
        place = address(1, 2)  # a generator
        await self.host.blocking(self.host.write32, place, 0x12345678)
        answer = await self.host.lite.write(place, b"\xff")
        self._equal("a write of one byte", answer.resp, AxiResp.SLVERR)
        self._equal("generator", await self.host.blocking(self.host.read32, place), 0x12345678)

    async def _together(self) -> None:
        """Reads and writes at the same time: each is answered, with its own."""
        place = address(1, 2)
        words = range(1, 9)
        writes = [self.host.lite.init_write(place, one.to_bytes(4, "little")) for one in words]
        reads = [self.host.lite.init_read(0, WORD_BYTES) for _ in words]
        identity = self.job.description.identity
        for event in writes:
            await event.wait()
            self._equal("a write beside reads", event.data.resp, AxiResp.OKAY)
        for event in reads:
            await event.wait()
            self._equal("a read beside writes", int.from_bytes(event.data.data, "little"), identity)
        self._equal("generator", await self.host.blocking(self.host.read32, place), words[-1])

    async def _valid_waits_for_nobody(self) -> None:
        """What the hardware has to say it offers, even if nobody is ever ready."""
        host = self.host
        host.pause(("none", "none", "none"), 0)
        channels = (host.lite.write_if.b_channel, host.lite.read_if.r_channel, host.sink)
        for channel in channels:
            channel.clear_pause_generator()
            channel.pause = True
        host.lite.init_write(address(1, 2), b"\1\0\0\0")
        host.lite.init_read(0, WORD_BYTES)
        self._feed([Token(Kind.INFER, 0)])
        delay = self.plan.schedule.delay + len(self.plan.schedule.stages) + SETTLE_SLOTS
        await ClockCycles(self.dut.aclk, delay * self.plan.schedule.interval)
        valids = ("m_axis_tvalid", "s_axil_bvalid", "s_axil_rvalid")
        # An access at a time: the read is answered once the write's answer was taken.
        self._equal("b or r is valid", self._high(*valids[1:]), 1)
        self._equal("m_axis is valid", self._high(valids[0]), 1)
        for channel in channels:
            channel.pause = False

    def _high(self, *names: str) -> int:
        return sum(number(getattr(self.dut, name)) for name in names)

    async def _begun(self) -> Chain:
        """Golden at its initial state, and the hardware loaded with the same."""
        golden = initial_chain(self.job.description, self.plan.schedule, self.job.seed)
        settings = golden.settings
        driver = self.host.driver
        await self.host.blocking(driver.load, golden.states)
        await self.host.blocking(
            driver.set,
            predict=settings.predict,
            compensate=settings.compensate,
            extra_shift=settings.extra_shift,
        )
        return golden

    def _feed(self, tokens: Sequence[Token], lengths: Sequence[int] = ()) -> None:
        self.host.feed(tokens, self.job.samples, self.job.labels, lengths)

    async def _compared(
        self,
        golden: Chain,
        tokens: Sequence[Token],
        fed: Sequence[Token] | None = None,
        lengths: Sequence[int] = (),
    ) -> None:
        """Feed `fed` (default: `tokens`); golden over `tokens` predicts all that comes of it."""
        self._feed(tokens if fed is None else fed, lengths)
        expected = golden.run(tokens, self.job.samples, self.job.labels)
        heads = self.plan.schedule.heads
        found = await self.host.predictions(len(expected) * (1 + len(heads)))
        self._predicted("prediction", [one for one in found if one.dest == 0], expected)
        for head in heads:
            said = [one.heads[head] for one in expected]
            own = [one for one in found if one.dest == head]
            self._predicted(f"head {head}'s prediction", own, said)
        await self.host.source.wait()
        slots = SETTLE_SLOTS + len(self.plan.schedule.stages)
        await ClockCycles(self.dut.aclk, slots * self.plan.schedule.interval)
        self._equal("predictions left over", self.host.sink.count(), 0)
        states = await self.host.read_back()
        for stage, got, state in zip(self.plan.schedule.stages, states, golden.states, strict=True):
            for name in stage.remembered:
                self._equal(f"{stage.name}.{name}", getattr(got, name), getattr(state, name))

    def _predicted(
        self, what: str, found: Sequence[Packet], expected: Sequence[Prediction]
    ) -> None:
        """The packets of one loss, in the order of the tokens."""
        self._equal(f"the number of packets that are a {what}", len(found), len(expected))
        for index, (packet, want) in enumerate(zip(found, expected, strict=False)):
            self._equal(f"scores of {what} {index}", packet.scores, want.scores)
            self._equal(f"kind of {what} {index}", packet.kind, want.token.kind)
            self._equal(f"loss of {what} {index}", packet.loss, want.loss)

    def _equal(self, what: str, found: Any, expected: Any) -> None:
        got, want = np.asarray(found), np.asarray(expected)
        self.found.compared += want.size
        if got.shape != want.shape or (got != want).any():
            self.found.differ(f"{what} is {found}, expected {expected}")


async def compared(dut: Any, job: Job) -> Found:
    """What the bench found of the job."""
    bench = AxiBench(dut, job)
    await bench.run()
    return bench.found
