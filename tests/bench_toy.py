"""The benches of `counterflow.sim` where the kind of `tests.toy` is known."""

from __future__ import annotations

import os
from typing import Any

import cocotb

from counterflow.sim.bench import cycles, order
from tests import toy

BENCH = "COUNTERFLOW_BENCH"

toy.register()


@cocotb.test()
async def compared_with_a_kind_of_the_tests(dut: Any) -> None:
    bench = order if os.environ.get(BENCH) == "order" else cycles
    await bench.compared(dut)
