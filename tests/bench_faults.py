"""Benches of `tests.faulty_top.FaultyTop`: those of `sim`, with one of its faults switched on."""

from __future__ import annotations

import os
from typing import Any

import cocotb

from counterflow.sim.bench import cycles, order

FAULT, BENCH = "COUNTERFLOW_FAULT", "COUNTERFLOW_BENCH"


@cocotb.test()
async def compared_with_a_fault(dut: Any) -> None:
    dut.fault_memory[0].value = int(os.environ[FAULT])
    bench = order if os.environ[BENCH] == "order" else cycles
    await bench.compared(dut)
