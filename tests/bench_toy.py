"""The benches of `counterflow.sim` where the kind of `tests.toy` is known."""

from __future__ import annotations

import os
from typing import Any

from counterflow.sim.bench import cycles, order
from counterflow.sim.bench.job import Found, Job
from tests import toy

BENCH = "COUNTERFLOW_BENCH"

toy.register()


async def compared(dut: Any, job: Job) -> Found:
    bench = order if os.environ.get(BENCH) == "order" else cycles
    return await bench.compared(dut, job)
