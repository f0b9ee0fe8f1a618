"""Benches for the tests of sessions."""

from __future__ import annotations

import os
from typing import Any

import cocotb
from cocotb.triggers import Timer

from counterflow.sim.bench.job import Found, Job


async def _raises() -> None:
    await Timer(1, "ns")
    raise RuntimeError("this bench never works")


async def compared(dut: Any, job: Job, *, told: str = "") -> Found:
    if job.scenario == "raises":
        raise RuntimeError("this bench never works")
    if job.scenario == "fails beside":
        cocotb.start_soon(_raises())
        await Timer(1, "ms")
    if job.scenario == "dies":
        os._exit(3)
    return Found(cycles=os.getpid(), first_divergence=told)
