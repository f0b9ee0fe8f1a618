"""The host's side of a simulated chain: reset, registers, weights, tokens (inside cocotb)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, Timer
from numpy.typing import NDArray

from counterflow.design.bus.registers import (
    CONTROL_MASK,
    NODE_BITS,
    REGISTER_BITS,
    WORD_BITS,
    IntakeRegister,
    UnitRegister,
)
from counterflow.design.bus.transfers import Transfer, load_accesses, read_accesses
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.latency import BUS_SPACING
from counterflow.design.units.slotted import Slotted
from counterflow.golden.transfer import control_of, decode
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings
from counterflow.sim.bench.memories import ACCESSES, FEED_ELEMENTS, FEED_TOKENS, feed_words

PERIOD = 10  # ns


class HostError(Exception):
    """The simulated chain does not answer as it must."""


class UnknownError(HostError):
    """A simulator with four states does not know what the design says."""


def number(handle: Any) -> int:
    """The value of a signal; UnknownError, which names it, where that is X."""
    try:
        return int(str(handle.value), 2)  # a fifth of the time that its own conversion takes
    except ValueError:
        raise UnknownError(f"{handle._name} is unknown (X)") from None


class Host:
    """Drives `sim.bench.top.BenchTop`; signals change on falling edges, between clock edges."""

    def __init__(self, dut: Any, plan: Plan) -> None:
        self.dut, self.plan = dut, plan
        self.tokens = self.samples = self.accesses = 0
        self.answered = 0  # cycles from the last reset to the last response

    async def start(self) -> None:
        """Start the clock and reset."""
        self.dut.recording.value = 0
        for gate in ("sample_gate", "label_gate", "prediction_gate"):
            getattr(self.dut, gate).value = 1
        Clock(self.dut.clk, PERIOD, "ns").start()
        await self.reset()

    async def cycles(self, count: int) -> None:
        """Let `count` clock cycles go by without waking up in each of them."""
        await Timer((count - 1) * PERIOD + PERIOD * 3 // 4, "ns")
        await FallingEdge(self.dut.clk)

    async def reset(self) -> None:
        """Two cycles of reset; nothing is left to be sent."""
        self.tokens = self.samples = self.accesses = 0
        for sent in ("tokens", "samples", "accesses"):
            getattr(self.dut, sent).value = 0
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 2)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def access(self, accesses: Sequence[Transfer]) -> list[int]:
        """Make register accesses one after the other; the words of the responses.

        An access that no node took, or that stays without response, raises HostError.
        """
        words: list[int] = []
        for start in range(0, len(accesses), ACCESSES):
            several = accesses[start : start + ACCESSES]
            for access, word in zip(several, await self._answers(several), strict=True):
                if word is None:
                    raise HostError(f"no node took the register access {access}")
                words.append(word)
        return words

    async def attempt(self, access: Transfer) -> int | None:
        """Make one access of a chain that may be at work; None where that is why it is refused."""
        return (await self._answers([access]))[0]

    async def _answers(self, accesses: Sequence[Transfer]) -> list[int | None]:
        """Make accesses, no more than a memory holds; the words of those that were not refused."""
        first, dut = self.accesses, self.dut
        number(dut.ready)
        for place, access in enumerate(accesses, first):
            dut.request_memory[place % ACCESSES].value = _packed(access)
        self.accesses += len(accesses)
        dut.accesses.value = self.accesses
        limit = BUS_SPACING * len(accesses) + 4 * (len(self.plan.schedule.stages) + 1) + 16
        while left := self.accesses - number(dut.accesses_answered):
            soonest = max(1, BUS_SPACING * (left - 1))
            if limit <= 0:
                raise HostError("register accesses stay without response")
            await self.cycles(soonest)
            limit -= soonest
        await self.cycles(1)
        places = range(first, self.accesses)
        noted = [number(dut.response_memory[place % ACCESSES]) for place in places]
        self.answered = noted[-1] >> 2 + WORD_BITS
        return [one >> 2 & (1 << WORD_BITS) - 1 if one & 2 else None for one in noted]

    async def load(self, states: Sequence[State]) -> None:
        """Write all weights, velocities and generator states."""
        for stage, state in zip(self.plan.schedule.stages, states, strict=True):
            await self.access(load_accesses(stage, state))

    async def read_back(self) -> list[State]:
        """Read all weights, velocities and generator states of a resting chain."""
        states = []
        for stage in self.plan.schedule.stages:
            states.append(decode(stage, await self.access(read_accesses(stage))))
        return states

    async def set(self, settings: Settings) -> None:
        """Set prediction, compensation and rate shift of every unit."""
        word = control_of(settings)
        for stage in self.plan.schedule.stages:
            await self.access([Transfer(True, stage.index + 1, UnitRegister.CONTROL, word)])

    async def read_round(self, stage: Slotted) -> list[list[int]]:
        """The pairs of a fetched word, read twice: whoever reads all has moved them round."""
        node, lanes = stage.index + 1, stage.blocks[0].lanes
        pair = [
            Transfer(False, node, register, 0)
            for register in (UnitRegister.WEIGHT, UnitRegister.VELOCITY)
        ]
        await self.access([Transfer(True, node, UnitRegister.FETCH, 0)])
        return [await self.access(pair * lanes) for _ in range(2)]

    async def turned_control(self, stage: Slotted, control: int) -> tuple[int, int]:
        """The settings of a unit in an empty chain, and all bits of them turned over for a while.

        Then they are `control`.
        """
        node, register = stage.index + 1, UnitRegister.CONTROL
        read = Transfer(False, node, register, 0)
        first, _, second, _ = await self.access(
            [
                read,
                Transfer(True, node, register, ~control & CONTROL_MASK),
                read,
                Transfer(True, node, register, control),
            ]
        )
        return first, second

    async def unit_counter(self, stage: Slotted, register: UnitRegister) -> int:
        """One counter of a dense unit."""
        return (await self.access([Transfer(False, stage.index + 1, register, 0)]))[0]

    async def intake_counter(self, register: IntakeRegister) -> int:
        """One counter of the intake."""
        return (await self.access([Transfer(False, 0, register, 0)]))[0]

    def feed(
        self,
        tokens: Sequence[Token],
        samples: NDArray[np.int64],
        labels: NDArray[np.integer],
        lengths: Sequence[int] | None = None,
    ) -> None:
        """Hand at most FEED_TOKENS tokens to the feeder, which has sent what it had."""
        inputs, bits = self.plan.description.elements, self.plan.description.formats.input.bits
        words = feed_words(inputs)
        assert len(tokens) <= FEED_TOKENS
        for number, token in enumerate(tokens):
            label = 0 if token.kind is Kind.BUBBLE else int(labels[token.sample])
            place = (self.tokens + number) % FEED_TOKENS
            self.dut.token_memory[place].value = int(token.kind) | label << 2
        wanted = [(i, t) for i, t in enumerate(tokens) if t.kind is not Kind.BUBBLE]
        for number, (index, token) in enumerate(wanted):
            place = (self.samples + number) % FEED_TOKENS
            row = samples[token.sample]
            for word in range(words):
                part = row[word * FEED_ELEMENTS : (word + 1) * FEED_ELEMENTS]
                packed = sum((int(v) & ((1 << bits) - 1)) << (bits * i) for i, v in enumerate(part))
                self.dut.sample_memory[place * words + word].value = packed
            self.dut.length_memory[place].value = inputs if lengths is None else lengths[index]
        self.tokens += len(tokens)
        self.samples += len(wanted)
        self.dut.tokens.value = self.tokens
        self.dut.samples.value = self.samples


def _packed(access: Transfer) -> int:
    shift = 1
    packed = int(access.write)
    for value, bits in ((access.node, NODE_BITS), (access.register, REGISTER_BITS)):
        packed |= int(value) << shift
        shift += bits
    return packed | (access.data & ((1 << WORD_BITS) - 1)) << shift
