"""The host's side of a chain behind AXI, with the sources, sinks and masters of cocotbext-axi."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)
from numpy.typing import NDArray

from counterflow.design.bus.driver import Driver
from counterflow.design.bus.registers import WORD_BYTES
from counterflow.design.parts.tokens import KIND_BITS, Kind, Token
from counterflow.design.schedule.planner import Plan
from counterflow.golden.units import state_of
from counterflow.golden.units.state import State
from counterflow.sim.bench.axi_rules import CHANNELS, WITH_HEADS, Rules
from counterflow.sim.bench.host import PERIOD
from counterflow.sim.bench.stalls import pattern


class BusError(RuntimeError):
    """An access was answered with something else than OKAY."""

    def __init__(self, response: AxiResp) -> None:
        super().__init__(response.name)
        self.response = response


class Packet(NamedTuple):
    """A packet of m_axis; what stands beside the scores is a list where it changes among them."""

    scores: list[int]
    user: int | list[int]
    dest: int | list[int]

    @property
    def kind(self) -> int:
        """The token's kind; -1 where that changes."""
        return self.user % (1 << KIND_BITS) if isinstance(self.user, int) else -1

    @property
    def loss(self) -> int:
        """The token's loss; -1 where that changes."""
        return self.user >> KIND_BITS if isinstance(self.user, int) else -1


class AxiHost:
    """Drives `hw.tops.axi.AxiChain`; ``rules`` watches it, ``driver`` is the one that users have.

    The driver knows nothing of a simulation: call it in `blocking`.
    """

    def __init__(self, dut: Any, plan: Plan) -> None:
        self.dut, self.plan = dut, plan
        self.rules = Rules(WITH_HEADS if plan.schedule.heads else CHANNELS)
        self.driver = Driver(self, plan)
        reset = dut.aclk, dut.aresetn, False  # which is active when low
        samples, scores = (AxiStreamBus.from_prefix(dut, name) for name in ("s_axis", "m_axis"))
        self.source = AxiStreamSource(samples, *reset, byte_lanes=1)
        self.sink = AxiStreamSink(scores, *reset, byte_lanes=1)
        self.lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), *reset)

    async def start(self) -> None:
        """Start the clock, reset, and watch the rules from then on."""
        Clock(self.dut.aclk, PERIOD, "ns").start()
        cocotb.start_soon(self.rules.watch(self.dut))
        await self.reset()

    async def reset(self) -> None:
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 3)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 2)

    def pause(self, stalls: Sequence[str], seed: int) -> None:
        """Stall by patterns of `sim.bench.stalls`: the samples, the registers, the predictions."""
        samples, registers, predictions = stalls
        write, read = self.lite.write_if, self.lite.read_if
        lite = write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel
        channels = [(self.source, samples), (self.sink, predictions)]
        channels += [(channel, registers) for channel in lite]
        for number, (channel, name) in enumerate(channels):
            channel.set_pause_generator(_closed(pattern(name, seed + number)))

    async def blocking(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """Call what waits for the bus without knowing that it is a simulation."""
        return await bridge(function)(*arguments, **named)

    @resume
    async def read32(self, address: int) -> int:
        answer = await self.lite.read(address, WORD_BYTES)
        return int.from_bytes(_checked(answer), "little")

    @resume
    async def write32(self, address: int, word: int) -> None:
        _checked(await self.lite.write(address, word.to_bytes(WORD_BYTES, "little")))

    async def read_back(self) -> list[State]:
        """Read all weights, velocities and generator states of a resting chain."""
        found = await self.blocking(self.driver.read_back)
        stages = self.plan.schedule.stages
        return [state_of(stage, *one) for stage, one in zip(stages, found, strict=True)]

    def feed(
        self,
        tokens: Sequence[Token],
        samples: NDArray[np.int64],
        labels: NDArray[np.integer],
        lengths: Sequence[int] = (),
    ) -> None:
        """Queue a packet for each token; a sample that is to be longer starts anew at its end."""
        mask = (1 << len(self.dut.s_axis_tdata)) - 1
        for index, token in enumerate(tokens):
            real = token.kind is not Kind.BUBBLE
            row = samples[token.sample] if real else np.zeros(1, np.int64)
            length = lengths[index] if real and lengths else len(row)
            elements = [int(value) & mask for value in np.resize(row, length)]
            label = int(labels[token.sample]) if real else 0
            user = int(token.kind) | label << KIND_BITS
            # The label counts with the first element, whatever stands beside the others.
            self.source.send_nowait(AxiStreamFrame(elements, tuser=[user, *elements[1:]]))

    async def predictions(self, count: int) -> list[Packet]:
        """The next `count` packets."""
        bits = self.plan.schedule.loss.arithmetic.logit.bits
        half = 1 << (bits - 1)
        found = []
        for _ in range(count):
            frame = await self.sink.recv()
            scores = [(int(one) + half) % (1 << bits) - half for one in frame.tdata]
            found.append(Packet(scores, frame.tuser, frame.tdest or 0))
        return found


def _closed(gate: Iterator[bool]) -> Iterator[bool]:
    """When to pause: whenever the gate is not open."""
    for is_open in gate:
        yield not is_open


def _checked(answer: Any) -> bytes:
    if answer.resp is not AxiResp.OKAY:
        raise BusError(answer.resp)
    return bytes(answer.data if hasattr(answer, "data") else b"")
