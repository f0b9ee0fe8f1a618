"""Bench: a stall-free run, every watched value in every cycle equal to the golden trace."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.bus.registers import PRODUCTS_BITS
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.planner import Plan, plan
from counterflow.golden.chain import Prediction
from counterflow.golden.units.update import Settings
from counterflow.sim.bench import counters
from counterflow.sim.bench.ahead import expecting
from counterflow.sim.bench.at_work import AtWork
from counterflow.sim.bench.compare import locate
from counterflow.sim.bench.host import Host, HostError, number
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.bench.recorder import Recorder
from counterflow.sim.bench.reports import SlotTime


class CycleBench:
    """State of one run: golden chain and trace beside the simulated hardware."""

    def __init__(self, dut: Any, job: Job) -> None:
        self.job, self.found = job, Found()
        self.plan: Plan = plan(job.description)
        self.expected = expecting(self.plan, job)
        self.golden, self.layout = self.expected.golden, self.expected.layout
        self.one_loss = self.plan.schedule.loss.arithmetic.one_loss
        self.before = self.earlier = 0  # slots and cycles before this run
        self.host = Host(dut, self.plan)
        self.recorder = Recorder(dut, self.layout, job.depth)
        self.at_work = AtWork(self.plan, self.layout)
        self.dut = dut
        self.fed = 0
        self.predictions: list[Prediction] = []  # golden's
        self._slots_open: dict[str, list[int]] = {}
        self._slots_done: Counter[str] = Counter()

    async def run(self) -> None:
        """Load, feed, compare block by block, read back."""
        try:
            await self._compared()
        except HostError as error:  # as a unit does that hangs
            self.found.differ(str(error))
        finally:
            self.expected.close()

    async def _compared(self) -> None:
        await self.host.start()
        self.found.count(
            await counters.read_first(
                self.host, self.golden, self.at_work, near_carry=self.job.near_carry
            )
        )
        await self.host.load(self.golden.states)
        began = time.monotonic()
        products: list[int] = []
        settings = self.golden.settings
        for change, tokens in self.job.runs():
            settings = change or settings
            await self.host.set(settings)
            await self._run(tokens, settings, products)
        self.golden = self.expected.finish()
        self.found.seconds = time.monotonic() - began
        self._utilisation(products, self.job.depth)
        await self._read_back()

    async def _run(self, tokens: Sequence[Token], settings: Settings, products: list[int]) -> None:
        """Feed tokens to an empty chain, compare until it is empty again."""
        self.before, self.earlier = self.fed, self.found.cycles
        self.dut.recording.value = 1
        for block in self.expected.blocks(tokens, settings):
            if block.tokens:
                self.host.feed(block.tokens, self.job.samples, self.job.labels)
                self.fed += len(block.tokens)
                self.predictions += block.predictions
                self._progress()
            await self._block(block.rows)
            if not block.ends:
                products.append(number(self.dut.products))
        self.dut.recording.value = 0

    async def _block(self, rows: NDArray[np.int64]) -> None:
        """Simulate as many cycles as there are rows and compare them."""
        first, cycles = self.found.cycles, len(rows)
        await self.host.cycles(cycles)
        expected, found = self.layout.to_bits(rows), self.recorder.read()
        self.found.cycles += cycles
        self.found.compared += cycles * len(self.layout.fields)
        if not np.array_equal(expected, found):
            self._differ(first, expected, found)
        self.at_work.see(found)
        self._observe(first, (found == 1).astype(np.uint8))

    def _differ(self, first: int, expected: NDArray[np.uint8], found: NDArray[np.uint8]) -> None:
        differences = self.layout.differences(expected, found)
        row, column = differences[0]
        cycle, rows = first - self.earlier + row, (expected[row], found[row])
        place = locate(self.plan.schedule, self.layout, cycle, column, *rows)
        cycle, slot = place.cycle + self.earlier, place.slot + self.before
        self.found.differ(str(replace(place, cycle=cycle, slot=slot)), len(differences))

    def _observe(self, first: int, bits: NDArray[np.uint8]) -> None:
        """Losses and slot times as the hardware showed them."""
        names = [str(field) for field in self.layout.fields]
        valid = bits[:, self.layout.start[names.index("loss.predictions.valid")]]
        last = bits[:, self.layout.start[names.index("loss.predictions.last")]]
        column = names.index("loss.predictions.loss")
        for row in np.nonzero(valid & last)[0]:
            self.found.losses.append(self.layout.value(bits[row], column) * self.one_loss)
        if len(self.found.slots) > self.job.slots_shown * len(self.plan.schedule.weighted):
            return
        for stage in self.plan.schedule.weighted:
            begins = self._slots_open.setdefault(stage.name, [])
            for edge in ("begin", "finish"):
                where = self.layout.start[names.index(f"{stage.name}.walk.{edge}")]
                for row in np.nonzero(bits[:, where])[0]:
                    if edge == "begin":
                        begins.append(first + int(row))
            for row in np.nonzero(
                bits[:, self.layout.start[names.index(f"{stage.name}.walk.finish")]]
            )[0]:
                self._slot(stage.name, stage.delay, first + int(row))

    def _slot(self, name: str, delay: int, finish: int) -> None:
        """Enter one finished slot of a stage."""
        number = self._slots_done[name]
        self._slots_done[name] += 1
        start = self._slots_open[name][number]

        def token(slot: int) -> int | None:
            inside = 0 <= slot < len(self.job.tokens)
            return slot if inside and self.job.tokens[slot].kind is not Kind.BUBBLE else None

        self.found.slots.append(
            SlotTime(name, number, start, finish + 1, token(number), token(number - delay))
        )

    def _utilisation(self, products: list[int], block: int) -> None:
        """From the products counters, over the blocks in which every stage is in steady state."""
        schedule = self.plan.schedule
        settled = max(stage.start + stage.delay * schedule.interval for stage in schedule.stages)
        kinds = [token.kind for token in self.job.tokens]
        train = kinds.index(Kind.BUBBLE) if Kind.BUBBLE in kinds else len(kinds)
        first = settled // block + 1
        last = (schedule.intake_start + train * schedule.interval) // block - 1
        parts = max(1, schedule.interval // block)
        last -= (last - first) % parts  # whole slots
        if last > first:
            made = (products[last] - products[first]) % (1 << PRODUCTS_BITS)
            self.found.utilisation = made / (schedule.lane_multipliers * (last - first) * block)

    async def _read_back(self) -> None:
        """Everything remembered, read over the bus, equals golden's; so do the counters."""
        states = await self.host.read_back()
        for stage, found, expected in zip(
            self.plan.schedule.stages, states, self.golden.states, strict=True
        ):
            for name in stage.remembered:
                what = f"read back: {stage.name}.{name}"
                self.found.check(what, getattr(found, name), getattr(expected, name))
        counted = await counters.read(
            self.host,
            self.golden,
            self.job.tokens,
            self.at_work,
            near_carry=self.job.near_carry,
        )
        self.found.count(counted)

    def _progress(self) -> None:
        if self.job.progress is not None:
            told = f"{self.fed} {len(self.job.tokens)}"
            self.job.progress.write_text(told, encoding="utf-8")


async def compared(dut: Any, job: Job) -> Found:
    """What the bench found of the job."""
    sys.setrecursionlimit(10_000)
    bench = CycleBench(dut, job)
    await bench.run()
    bench.found.golden_losses = [p.loss * bench.one_loss for p in bench.predictions]
    if job.description.judged:
        bench.found.correct = [p.correct for p in bench.predictions]
    return bench.found
