"""Bench of the SoC in docs/examples: a host on its bus trains a network from its memory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from counterflow.design.bus.driver import Driver
from counterflow.design.data.sets import synthetic
from counterflow.design.network.files import load
from counterflow.design.parts.tokens import KIND_BITS, Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.golden.training.start import initial_chain
from counterflow.sim.bench.host import PERIOD
from counterflow.sim.simulate import quantised

CSRS, REGISTERS, MEMORY = "COUNTERFLOW_CSRS", "COUNTERFLOW_REGISTERS", "COUNTERFLOW_MEMORY"
FLIPPED = "COUNTERFLOW_FLIPPED"  # a word of memory of which a bit is to be wrong
SAMPLES, LIMIT, SCORES = 12, 100_000, 0x2000  # offset of the predictions in memory
SEED, LAST = 5, 1 << 31


class Host:
    """A master on the SoC's bus."""

    def __init__(self, dut: Any) -> None:
        self.lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "host"), dut.clk25, dut.rst)
        self.csrs = json.loads(Path(os.environ[CSRS]).read_text())["csr_registers"]
        self.memory = int(os.environ[MEMORY])

    @resume
    async def read32(self, address: int) -> int:
        answer = await self.lite.read(address, 4)
        assert answer.resp is AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    @resume
    async def write32(self, address: int, word: int) -> None:
        answer = await self.lite.write(address, word.to_bytes(4, "little"))
        assert answer.resp is AxiResp.OKAY

    def set(self, csr: str, value: int) -> None:
        """Write a register of LiteX, whose first word is its highest."""
        about = self.csrs[csr]
        for word in range(about["size"]):
            shift = 32 * (about["size"] - 1 - word)
            self.write32(about["addr"] + 4 * word, value >> shift & 0xFFFFFFFF)

    def get(self, csr: str) -> int:
        return self.read32(self.csrs[csr]["addr"])

    def start(self, dma: str, place: int, words: int) -> None:
        for name, value in (("base", place), ("length", 4 * words), ("enable", 1)):
            self.set(f"{dma}_{name}", value)

    def train(self, words: list[int], scores: int) -> list[int]:
        """Put samples into memory, let the DMAs run, return the words of the predictions."""
        for number, word in enumerate(words):
            self.write32(self.memory + 4 * number, word)
        self.start("scores", self.memory + SCORES, scores)
        self.start("samples", self.memory, len(words))
        while not (self.get("samples_done") and self.get("scores_done")):
            pass
        return [self.read32(self.memory + SCORES + 4 * number) for number in range(scores)]


def packets(design: Plan, tokens: list[Token], samples: Any, labels: Any) -> list[int]:
    """The words of memory that carry `tokens`."""
    words = []
    for token in tokens:
        real = token.kind is not Kind.BUBBLE
        elements = [int(one) for one in samples[token.sample]] if real else [0]
        user = int(token.kind) | (int(labels[token.sample]) << KIND_BITS if real else 0)
        words += [element | user << 8 for element in elements]
        words[-1] |= LAST
    return words


@cocotb.test()
async def trains_from_memory(dut: Any) -> None:
    design = plan(load("tiny"))
    data = synthetic(design.description.elements, design.description.classes, SAMPLES, 1)
    samples = quantised(design.description, data)
    tokens = list(drained([Token(Kind.TRAIN, i) for i in range(SAMPLES)], design.schedule.delay))
    golden = initial_chain(design.description, design.schedule, SEED)
    settings = golden.units[0].settings
    host = Host(dut)
    driver = Driver(host, design, base=int(os.environ[REGISTERS]))

    def all_of_it() -> list[int]:
        driver.check()
        driver.load(golden.states)
        driver.set(
            predict=settings.predict,
            compensate=settings.compensate,
            extra_shift=settings.extra_shift,
        )
        words = packets(design, tokens, samples, data.train_y)
        if FLIPPED in os.environ:
            words[int(os.environ[FLIPPED])] ^= 1 << 7
        return host.train(words, SAMPLES * design.description.classes)

    Clock(dut.clk25, PERIOD, "ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk25, 4)
    dut.rst.value = 0
    found = await with_timeout(bridge(all_of_it)(), LIMIT * PERIOD, "ns")
    expected = golden.run(tokens, samples, data.train_y)
    scores = np.array(found, np.uint32).astype(np.uint16).astype(np.int16)
    assert scores.tolist() == [int(score) for one in expected for score in one.scores]
    await ClockCycles(dut.clk25, 8 * design.schedule.interval)
    states = await bridge(driver.read_back)()
    for state, wanted in zip(states, golden.states, strict=True):
        for name in ("weight", "velocity", "bias", "bias_velocity", "generator"):
            assert np.array_equal(getattr(state, name), getattr(wanted, name)), name
