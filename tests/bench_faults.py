"""Benches of `tests.faulty_top.FaultyTop`: those of `sim`, with one of its faults switched on."""

from __future__ import annotations

from typing import Any

from counterflow.sim.bench import cycles, order
from counterflow.sim.bench.job import Found, Job


async def compared(dut: Any, job: Job, *, fault: int, ordered: bool) -> Found:
    dut.fault_memory[0].value = fault
    return await (order if ordered else cycles).compared(dut, job)
