"""Stashes outside the chip: what passes, what is there, what stays inside; a plan and no more."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest

from counterflow.design.bus import buildable
from counterflow.design.bus.buildable import check_buildable
from counterflow.design.fit.beside import fit_beside
from counterflow.design.fit.fitting import Fitted, UnfitError, fit
from counterflow.design.fpga.estimate import memories
from counterflow.design.fpga.needs import needs
from counterflow.design.fpga.outside import (
    BANDWIDTH,
    BURST,
    EFFICIENCY,
    all_outside,
    stashed,
    traffic,
    worth_it,
)
from counterflow.design.fpga.targets import TARGETS
from counterflow.design.network.description import Description, Fold
from counterflow.design.network.files import load
from counterflow.design.parts.recipe import Recipe
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.convolution import Dense
from counterflow.design.units.tiling import Lanes
from counterflow.hw.tops.verilog import to_verilog
from tests.residual_networks import network, small_images

SMALL = small_images(1, (4, 8, 8), 16)


@cache
def design() -> Plan:
    return plan(network(SMALL))


def test_every_row_is_written_once_and_read_once_in_whole_bursts() -> None:
    for stage in design().schedule.stages:
        one, geometry, bits = stashed(stage), stage.tiling.geometry, stage.arithmetic.x.bits
        assert one.rows == geometry.image[0]
        assert one.row_bytes % BURST == 0
        assert 0 <= 8 * one.row_bytes - geometry.row_inputs * bits < 8 * BURST + 8
        assert one.traffic == 2 * one.rows * one.row_bytes
        # All that a stall-free run ever holds has room, and at most two images more.
        held = stage.depths.stash / stage.tiling.image_words
        assert held + 1 <= one.tokens < held + 2
        assert one.capacity == one.tokens * one.image_bytes


def test_what_is_freed_and_what_is_kept_make_up_the_stash() -> None:
    for stage in design().schedule.stages:
        one = stashed(stage)
        assert one.freed + one.kept == stage.held["stash"]
        rows = stage.tiling.sum_rows + stage.tiling.geometry.stride[0]
        assert one.kept >= (2 + min(rows, 2)) * stage.tiling.row_words * stage.arithmetic.x.bits
        inside = memories(stage)
        beside = memories(stage, outside=True)
        names = [memory.name for memory in beside]
        assert "stash" in [memory.name for memory in inside]
        assert "stash" not in names
        assert names.count("stash, sent") == names.count("stash, fetched") == stage.tiling.banks
        bits = [sum(m.words * m.bits for m in made) for made in (inside, beside)]
        if one.freed > 0:
            assert bits[0] - bits[1] == one.freed


def test_stashes_go_outside_that_free_most_for_the_bytes_that_pass() -> None:
    order = worth_it(design())
    assert [one.traffic / one.freed for one in order] == sorted(
        one.traffic / one.freed for one in order
    )
    assert all(one.freed > 0 for one in order)
    left = {stage.name for stage in design().schedule.stages} - {one.unit for one in order}
    assert all(stashed(design().schedule.by_name[name]).freed <= 0 for name in left)  # type: ignore[arg-type]
    assert all_outside(design()).outside == tuple(one.unit for one in order)


def test_channels_are_shared_by_the_bytes_of_a_sample() -> None:
    every = traffic(worth_it(design()))
    assert every.bandwidth(1000.0) == 1000.0 * every.sample_bytes
    for name, most in BANDWIDTH.items():
        assert every.share(name, every.most(name)) == pytest.approx(1.0)
        assert every.most(name) == EFFICIENCY * most / every.sample_bytes
    assert BANDWIDTH == {"DDR3-1600 x64": 1600e6 * 8, "DDR4-2400 x64": 2400e6 * 8}


@cache
def fitted(stash: str) -> Fitted:
    """On a device with 40 block RAMs, too few for the network with its stashes inside."""
    target = TARGETS["ecp5-85f"]
    small = replace(target, has=target.has._replace(block_rams=40))
    return fit_beside(network(SMALL), small, stash)


def test_what_does_not_fit_with_its_stashes_inside_fits_with_some_outside() -> None:
    with pytest.raises(UnfitError, match="block RAMs"):
        fitted("inside")
    some, every = fitted("outside"), fitted("all")
    assert 0 < len(some.plan.outside) < len(every.plan.outside)
    assert some.needs.interval <= every.needs.interval
    assert every.plan.outside == tuple(one.unit for one in worth_it(every.plan))


def test_no_stash_is_outside_for_which_there_is_room() -> None:
    found = fitted("outside")
    search, outside = found.search, found.plan.outside
    assert search.fits(found.needs)
    for name in outside:
        fewer = replace(found.plan, outside=tuple(one for one in outside if one != name))
        assert not search.fits(needs(fewer, search.family, search.has))


def test_a_network_that_fits_keeps_its_stashes_inside() -> None:
    target = TARGETS["xc7a100t"]
    inside = fit(load("tiny-conv"), target)
    found = fit_beside(load("tiny-conv"), target, "outside")
    assert found.plan.outside == ()
    assert found.needs.total == inside.needs.total


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_no_verilog_is_written_for_a_stash_outside() -> None:
    made = all_outside(design())
    with pytest.raises(ValueError, match=r"with the stash of .* outside the chip, for which no"):
        to_verilog(made)


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ("MOST_INPUTS", "a sample of {} elements can be planned, but hardware is made for at most"),
        ("MOST_ELEMENTS", "conv0 puts out images of {} elements, which can be planned, but"),
    ],
)
def test_what_can_be_planned_and_not_built_is_said(
    limit: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(load("tiny-conv"))
    graph = made.schedule.graph
    amount = (
        graph.source.elements if limit == "MOST_INPUTS" else max(e.elements for e in graph.edges)
    )
    monkeypatch.setattr(buildable, limit, amount)
    check_buildable(made)  # which raises nothing
    monkeypatch.setattr(buildable, limit, amount - 1)
    with pytest.raises(ValueError, match=why.format(amount)):
        check_buildable(made)


def test_every_unit_and_every_tile_has_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(load("deep-digits"))
    bits = math.ceil(math.log2(len(made.schedule.stages) + 1))
    monkeypatch.setattr(buildable, "NODE_BITS", bits)
    check_buildable(made)
    monkeypatch.setattr(buildable, "NODE_BITS", bits - 1)
    with pytest.raises(ValueError, match="has 17 units that learn, but the register bus has addr"):
        check_buildable(made)
    one = Lanes(outputs=1, inputs=1)
    last = Dense(outputs=4, activation="none")
    wide = Description(
        name="wide",
        inputs=4096,
        layers=(Dense(outputs=16), last),
        recipe=Recipe(mitigation="none", learning_rate=2.0**-6),
        fold=Fold(lanes=(one, one)),
    )
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match="dense0 is folded to 65,536 tiles, but its registers count"
    ):
        check_buildable(plan(wide))
    lanes = Fold(lanes=(Lanes(outputs=1, inputs=2), one))
    check_buildable(plan(wide.model_copy(update={"fold": lanes})))
