"""Benches of `tests.faulty_top.FaultyTop`: those of `sim`, with one of its faults switched on."""

from __future__ import annotations

import os
from typing import Any

from counterflow.sim.bench import cycles, order
from counterflow.sim.bench.job import Found, Job

FAULT, BENCH = "COUNTERFLOW_FAULT", "COUNTERFLOW_BENCH"


async def compared(dut: Any, job: Job) -> Found:
    dut.fault_memory[0].value = int(os.environ[FAULT])
    bench = order if os.environ[BENCH] == "order" else cycles
    return await bench.compared(dut, job)
