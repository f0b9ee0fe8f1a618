"""The benches of `counterflow.sim` where the kind of `tests.toy` is known."""

from __future__ import annotations

from typing import Any

from counterflow.sim.bench import cycles, order
from counterflow.sim.bench.job import Found, Job
from tests import toy

toy.register()


async def compared(dut: Any, job: Job, *, ordered: bool) -> Found:
    return await (order if ordered else cycles).compared(dut, job)
