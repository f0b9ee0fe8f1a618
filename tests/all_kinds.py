"""A chain that works on tokens of all kinds, as it is or with a first unit that does otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from counterflow.design.data.sets import synthetic
from counterflow.design.schedule.planner import Plan
from counterflow.hw.parts.modules import convert
from counterflow.hw.units.convolution import Convolution
from counterflow.sim.bench.job import Found
from counterflow.sim.bench.top import BenchTop
from counterflow.sim.simulate import TOP, record_depth
from tests import simulated
from tests.test_hardware import job_of, mixed_tokens

SAMPLES = 40


def run(design: Plan, **other: Any) -> Found:
    """What the bench finds; ``other``: numbers of the first unit that hardware has instead."""
    top = BenchTop(plan=design, depth=record_depth(design))
    if other:
        unit: Any = top.chain.units[0]
        assert isinstance(unit, Convolution)
        numbers = replace(unit.stage.arithmetic, **other)
        unit.stage = replace(unit.stage, arithmetic=numbers)
    description = design.description
    data = synthetic(description.elements, description.classes, SAMPLES, 2, shape=description.image)
    tokens = mixed_tokens(SAMPLES, design.schedule.delay)
    return simulated.run(convert(top, TOP, compact=design.compact), job_of(design, data, tokens))
