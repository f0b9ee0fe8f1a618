"""Sums over a group in hardware hold what formats allow, as golden's integers do."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.sim import Simulator

from counterflow.design.units.group_times import GroupNormStage
from counterflow.hw.norms.group_sums import GroupSums
from counterflow.hw.norms.layouts import gradient_sums
from tests.group_norms import NETWORKS, design


def stages() -> list[GroupNormStage]:
    found = [norm for name in NETWORKS for norm in design(name).schedule.norms]
    return [norm for norm in found if isinstance(norm, GroupNormStage)]


def largest(stage: GroupNormStage) -> dict[str, int]:
    """What all elements of an image give at most, by the member of the sums that they go into."""
    numbers = stage.numbers
    dy, xhat = -numbers.dy.magnitude, numbers.y.max
    found = {"errors": dy, "correlations": dy * xhat, "given": -numbers.given.magnitude}
    return {**found, "products": -numbers.given.magnitude * xhat}


@pytest.mark.parametrize("stage", stages(), ids=lambda one: f"{one.numbers.group} of {one.name}")
def test_a_sum_over_a_group_holds_the_largest_gradients(stage: GroupNormStage) -> None:
    numbers, layout = stage.numbers, gradient_sums(stage)
    dut = GroupSums(numbers=numbers, layout=layout)
    terms = {name: value for name, value in largest(stage).items() if name in layout.members}
    needed = {"products", "given"} if "given" in terms else {"products", "errors"}
    sums: list[dict[str, int]] = []

    async def drive(ctx: Any) -> None:
        for name, value in terms.items():
            ctx.set(dut.term[name], value)
        for pixel in range(numbers.pixels):
            ctx.set(dut.first, pixel == 0)
            ctx.set(dut.last, pixel == numbers.pixels - 1)
            for _ in range(numbers.channels):
                ctx.set(dut.step, 1)
                await tick(ctx)
        ctx.set(dut.step, 0)
        for _ in range(12):
            await tick(ctx)

    async def tick(ctx: Any) -> None:
        await ctx.tick()
        if ctx.get(dut.write):
            sums.append({name: ctx.get(dut.sum[name]) for name in terms})

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert len(sums) == numbers.groups
    if numbers.dx is not None:
        expected = {name: numbers.count * value for name, value in terms.items() if name in needed}
        for found in sums:
            assert {name: found[name] for name in expected} == expected
