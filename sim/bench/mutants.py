"""Bench: mutants of one model, one after the other, each until something differs from golden."""

from __future__ import annotations

import os
from typing import Any

import cocotb

from counterflow.sim.bench.cycles import CycleBench
from counterflow.sim.bench.job import Job, job_of_environment, store
from counterflow.sim.bench.order import OrderBench

MUTANTS = "COUNTERFLOW_MUTANTS"
"""Which mutants, their numbers with commas between."""


class FoundError(Exception):
    """A difference is found: one is enough."""


class Cycles(CycleBench):
    """Ends with the first block that differs."""

    def _differ(self, *arguments: Any) -> None:
        super()._differ(*arguments)
        raise FoundError


async def difference(dut: Any, job: Job, number: int) -> str | None:
    """What tells mutant `number` from golden in this job; None where nothing does."""
    dut.mutsel.value = number
    bench = OrderBench(dut, job) if job.scenario != "cycles" else Cycles(dut, job)
    try:
        await bench.run()
    except FoundError:
        pass
    except Exception as error:  # whatever a broken chain does to its bench
        return f"{type(error).__name__}: {error}"
    return bench.found.first_divergence


@cocotb.test()
@cocotb.parametrize(number=[int(one) for one in os.environ.get(MUTANTS, "0").split(",")])
async def tried(dut: Any, number: int) -> None:
    """Leave what was found of this mutant beside the job; a model that dies leaves nothing."""
    job, path = job_of_environment()
    store(await difference(dut, job, number), path.with_suffix(f".{number}"))
