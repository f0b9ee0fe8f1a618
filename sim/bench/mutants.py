"""Bench: a mutant of a model that has many, until something differs from golden."""

from __future__ import annotations

from typing import Any

from counterflow.sim.bench.cycles import CycleBench
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.bench.order import OrderBench


class FoundError(Exception):
    """A difference is found: one is enough."""


class Cycles(CycleBench):
    """Ends with the first block that differs."""

    def _differ(self, *arguments: Any) -> None:
        super()._differ(*arguments)
        raise FoundError


async def compared(dut: Any, job: Job, *, number: int) -> Found:
    """What tells mutant `number` from golden in this job: a first difference, or none."""
    dut.mutsel.value = number
    bench = OrderBench(dut, job) if job.scenario != "cycles" else Cycles(dut, job)
    try:
        await bench.run()
    except FoundError:
        pass
    except Exception as error:  # whatever a broken chain does to its bench
        return Found(first_divergence=f"{type(error).__name__}: {error}")
    return bench.found
