"""Chains over images of every shape, held to the golden model in every cycle and under stalls.

Their memories give noise wherever a word is read in the cycle in which it is written.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from amaranth.hdl import C

from counterflow.design.parts.geometry import Geometry
from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import plan
from counterflow.design.units.pool import PoolUnit
from counterflow.design.units.timing import unawaited_words
from counterflow.hw.weighted import arrivals, bundles, departure
from counterflow.sim.bench.job import Found
from counterflow.sim.exercise import mixed_tokens
from counterflow.sim.harsh import harsh
from counterflow.sim.shapes import random_network
from counterflow.sim.simulate import bench_verilog
from tests.images import CLASSES, NETWORKS, RECIPE, SAMPLES, data_of, design, run
from tests.thinned import builds

STALLS = (
    ("random", "random", "long"),
    ("burst", "random", "random"),
    ("none", "none", "long"),
    ("long", "burst", "random"),
    ("burst", "long", "long"),
    ("random", "burst", "long"),
    ("slow", "random", "none"),
    ("random", "none", "random"),
    ("late", "random", "long"),
    ("slow", "late", "long"),
)


LEFT_OUT = "pixels left out between windows, on both axes"
EARLY = "images that are done with before they have come, lanes beside the kernel"


def assert_equal(found: Found, at_least: int) -> None:
    assert found.mismatches == 0, found.first_divergence
    assert found.first_divergence is None
    assert found.compared >= at_least


def test_the_networks_have_all_odd_shapes() -> None:
    stages = [stage for name in NETWORKS for stage in design(name).schedule.stages]
    graphs = [design(name).description.graph for name in NETWORKS]
    units = [(graph, unit) for graph in graphs for unit in graph.units]
    pools = [(graph, unit) for graph, unit in units if isinstance(unit, PoolUnit)]
    recipes = [design(name).description.recipe for name in NETWORKS]

    def covered(shape: Geometry, axis: int) -> int:
        reach = (shape.places[axis] - 1) * shape.stride[axis] + shape.kernel[axis]
        return reach - shape.padding[axis]

    for first in (False, True):
        tilings = [stage.tiling for stage in stages if stage.tiling.first is first]
        shapes = [tiling.geometry for tiling in tilings]
        assert any(tiling.banks > 2 for tiling in tilings)
        assert any(tiling.lanes.shared for tiling in tilings)
        assert any(
            shape.channels % t.lanes.inputs for shape, t in zip(shapes, tilings, strict=True)
        )
        assert any(
            shape.outputs % t.lanes.outputs for shape, t in zip(shapes, tilings, strict=True)
        )
        assert any(shape.image[0] != shape.image[1] for shape in shapes)
        assert any(shape.stride[0] != shape.stride[1] for shape in shapes)
        assert any(max(shape.padding) > 0 for shape in shapes)
    later = [stage.tiling.geometry for stage in stages if not stage.tiling.first]
    assert any(shape.kernel == (1, 1) and shape.positions > 1 for shape in later)
    assert any(shape.places == (1, 1) and shape.kernel[0] > 1 for shape in shapes)
    assert any(covered(shape, 0) < shape.image[0] for shape in later)
    assert any(covered(shape, 1) < shape.image[1] for shape in later)
    assert any(not all(shape.reached(0)[: covered(shape, 0)]) for shape in later)
    assert any(not all(shape.reached(1)[: covered(shape, 1)]) for shape in later)
    assert any(unawaited_words(one.tiling, one.threshold)[1] > 0 for one in stages)
    assert {pool.average for _, pool in pools} == {False, True}
    above = [unit for graph, pool in pools for unit in graph.above(pool)]
    assert any(isinstance(unit, PoolUnit) for unit in above)  # one behind another
    assert {recipe.accumulate for recipe in recipes} == {1, 3}
    assert {recipe.mitigation for recipe in recipes} == {"none", "sc", "lwpv+sc"}


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_every_cycle_equals_golden(name: str) -> None:
    planned = design(name)
    kinds = {token.kind for token in mixed_tokens(planned, SAMPLES)}
    several = planned.description.recipe.accumulate > 1
    assert kinds == (set(Kind) if several else set(Kind) - {Kind.ACCUMULATE})
    found = run(planned)
    assert_equal(found, 100_000)
    assert found.losses == found.golden_losses


@pytest.mark.parametrize(
    ("name", "stalls"),
    builds(NETWORKS, STALLS),
)
def test_stalls_change_no_value_and_no_order(name: str, stalls: tuple[str, str, str]) -> None:
    assert_equal(run(design(name), "counterflow.sim.bench.order", stalls=stalls), 10_000)


@pytest.mark.parametrize(
    "name",
    builds(["padded, pooled, several banks", "pool after pool, averages, three samples an update"]),
)
def test_a_reset_in_mid_training_and_a_power_cycle_leave_nothing_behind(name: str) -> None:
    planned = design(name)
    for place in (0.1, 4.7):
        cycle = int(place * planned.schedule.interval)
        found = run(planned, "counterflow.sim.bench.order", scenario="reset", interrupt=cycle)
        assert_equal(found, 10_000)
    half = mixed_tokens(planned, 14)
    found = run(planned, "counterflow.sim.bench.order", scenario="power_cycle", tokens=half + half)
    assert_equal(found, 10_000)


@pytest.mark.parametrize("name", builds(["strided, edges uncovered, shared lanes"]))
def test_spoilt_images_are_counted_and_dropped_whole(name: str) -> None:
    planned = design(name)
    inputs = planned.description.elements
    tokens = tuple(drained([Token(Kind.TRAIN, i) for i in range(24)], planned.schedule.delay))
    lengths = [inputs] * len(tokens)
    lengths[0], lengths[5], lengths[6], lengths[20] = 1, inputs - 1, inputs + 1, 3 * inputs
    labels = data_of(planned).train_y.copy()
    labels[[3, 5, 16]] = CLASSES, CLASSES, 255
    changes = {"scenario": "spoilt", "lengths": tuple(lengths), "labels": labels}
    stalls = ("random", "random", "random")
    assert SAMPLES >= 24
    assert_equal(
        run(planned, "counterflow.sim.bench.order", tokens=tokens, stalls=stalls, **changes), 10_000
    )


def _unmasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departure, "_one_of", lambda flags, number: C(1))


def _too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (arrivals, bundles):
        monkeypatch.setattr(module, "unawaited_words", lambda tiling, threshold: (0, 0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "planted", "place"),
    [
        (LEFT_OUT, _unmasked, "conv1.dx.data"),
        (EARLY, _too_small, "conv0.y.blocked"),
    ],
)
def test_pixels_that_no_window_covers_are_seen_to(
    name: str,
    planted: Callable[[pytest.MonkeyPatch], None],
    place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were old gradients sent for them, or were they waited for, a bench would say so."""
    planted(monkeypatch)
    found = run(design(name), verilog=harsh(bench_verilog(design(name))))
    assert found.mismatches > 0
    assert found.first_divergence is not None
    assert place in found.first_divergence


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(24), *range(100, 124)])  # from 100 on windows lie anyhow
def test_random_chains_equal_golden_in_every_cycle_and_under_stalls(seed: int) -> None:
    recipe = {**RECIPE, "mitigation": ("none", "lwpv", "lwpv+sc")[seed % 3]}
    fields = {**recipe, "accumulate": 1 + 2 * (seed % 2)}
    planned = plan(random_network(seed, sliding=seed >= 100, recipe=fields))
    assert_equal(run(planned), 10_000)
    assert_equal(
        run(planned, "counterflow.sim.bench.order", stalls=STALLS[seed % len(STALLS)]), 1_000
    )
