"""A kind of unit joins from a folder of its own: a line in each column's registry, nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterflow.design.graph import Kind
from counterflow.design.network.description import Description
from counterflow.design.network.files import parse, to_toml
from counterflow.design.parts.tokens import Kind as TokenKind
from counterflow.design.parts.tokens import Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units import KINDS
from counterflow.golden.fast.chain import FastChain, offered
from counterflow.golden.fast.units import UNITS as FAST
from counterflow.golden.reference.chain import reference_chain
from counterflow.golden.reference.units import UNITS as REFERENCE
from counterflow.golden.training.start import initial_chain, initial_states
from counterflow.golden.units import UNITS as GOLDEN
from counterflow.hw.tops.verilog import to_verilog
from counterflow.hw.units import UNITS as HARDWARE
from counterflow.sim.bench.job import Job
from counterflow.sim.shapes import network
from counterflow.sim.simulate import bench_verilog, record_depth
from tests import simulated, toy

pytestmark = pytest.mark.xdist_group("toy kind")  # its benches share a build

ROOT = Path(__file__).parents[1]
LAYERS: list[dict[str, Any]] = [
    {"kind": "convolution", "outputs": 3, "kernel": 2},
    {"kind": "halve"},
    {
        "kind": "residual",
        "body": [{"kind": "convolution", "outputs": 3, "kernel": 1}, {"kind": "halve", "bits": 2}],
        "shortcut": [{"kind": "halve"}],
    },
]
SAMPLES = 12


def test_every_column_knows_the_same_kinds() -> None:
    kinds = list(KINDS)
    assert [list(one) for one in (GOLDEN, REFERENCE, FAST, HARDWARE)] == [kinds] * 4


def test_every_kind_stands_in_the_documents_and_its_modules_bear_its_name() -> None:
    page = (ROOT / "docs" / "unit-contract.md").read_text(encoding="utf-8")
    for kind, found in KINDS.items():
        assert f"`{kind}`" in page, kind
        assert isinstance(found, Kind)
        for folder in ("design", "golden", "golden/reference", "golden/fast", "hw"):
            assert (ROOT / folder / "units" / f"{kind}.py").is_file(), (folder, kind)


def test_a_kind_that_is_not_registered_is_unknown() -> None:
    with pytest.raises(ValueError, match="halve"):
        network((4, 4, 2), LAYERS)


@pytest.fixture
def known() -> Iterator[None]:
    toy.register()
    yield
    toy.forget()


@pytest.fixture
def planned(known: None) -> Plan:
    return plan(network((4, 4, 2), LAYERS, recipe={"mitigation": "lwpv+sc"}))


def data(description: Description) -> tuple[Any, Any, list[Token]]:
    random = np.random.default_rng(5)
    samples = random.integers(0, 256, (SAMPLES, description.elements))
    tokens = [Token(TokenKind.TRAIN if at % 4 else TokenKind.INFER, at) for at in range(SAMPLES)]
    tokens[0] = Token(TokenKind.TRAIN, 0)
    delay = plan(description).schedule.delay
    return samples, random.integers(0, 3, SAMPLES), list(drained(tokens, delay))


def test_its_layer_is_read_and_written_like_the_others(planned: Plan) -> None:
    description = planned.description
    text = to_toml(description)
    assert 'kind = "halve"' in text
    assert parse(text, "net.toml") == description
    with pytest.raises(
        ValueError, match=r"layers\[1\]\.bits is 9, expected an integer from 1 to 8"
    ):
        parse(text.replace('kind = "halve"\nbits = 1', 'kind = "halve"\nbits = 9', 1), "net.toml")


def test_its_units_are_planned_and_become_verilog(planned: Plan) -> None:
    names = [unit.name for unit in planned.schedule.units]
    assert names == [
        "conv0",
        "halve1",
        "fork2",
        "conv2b0",
        "halve2b1",
        "halve2s0",
        "sum2",
        "dense3",
        "loss",
    ]
    text = to_verilog(planned)
    assert all(f"__{name}(" in text for name in names)


def test_the_float_reference_has_it_and_the_integers_follow(planned: Plan) -> None:
    description, schedule = planned.description, planned.schedule
    samples, labels, tokens = data(description)
    golden = initial_chain(description, schedule, 1).run(tokens[:1], samples, labels)
    number = description.formats.input
    real = samples * 2.0**-number.frac
    exact = reference_chain(description, schedule, 1).run(tokens[:1], real, labels)
    scores = golden[0].scores * 2.0**-description.formats.logit.frac
    assert np.abs(scores - exact[0].scores).max() < 0.25  # operands have 7 bits below the point


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["cycles", pytest.param("order", marks=pytest.mark.slow)])
def test_its_hardware_is_equal_in_every_cycle_and_under_stalls(planned: Plan, bench: str) -> None:
    samples, labels, tokens = data(planned.description)
    job = Job(
        description=planned.description,
        tokens=tuple(tokens),
        samples=samples,
        labels=labels.astype(np.uint8),
        seed=1,
        depth=record_depth(planned),
        stalls=("random", "burst", "random") if bench == "order" else ("none",) * 3,
    )
    ordered = bench == "order"
    found = simulated.run(bench_verilog(planned), job, "tests.bench_toy", ordered=ordered)
    assert found.first_divergence is None
    assert found.mismatches == 0
    assert found.compared > 10_000


def test_loops_that_were_compiled_without_it_are_not_offered(planned: Plan) -> None:
    assert not offered(planned.description)


FAST_PAIR = """
from tests import toy
toy.register()
from tests.test_toy_kind import pair
pair()
"""


def pair() -> None:
    """The golden chain and its compiled twin on the same tokens, in a process of their own."""
    description = network((4, 4, 2), LAYERS, recipe={"mitigation": "lwpv+sc"})
    schedule = plan(description).schedule
    samples, labels, tokens = data(description)
    golden = initial_chain(description, schedule, 1)
    expected = golden.run(tokens, samples, labels)
    assert offered(description)
    fast = FastChain(description, schedule, initial_states(description, schedule, 1))
    kinds = np.array([token.kind for token in tokens], np.uint8)
    indices = np.array([token.sample if token.kind else -1 for token in tokens], np.int64)
    scores, losses = fast.run(kinds, indices, samples, labels)
    assert scores.tolist() == [one.scores.tolist() for one in expected]
    assert losses.tolist() == [one.loss for one in expected]
    for one, other in zip(fast.states, golden.states, strict=True):
        assert (one.weight == other.weight).all()
        assert (one.bias == other.bias).all()
    assert fast.saturations == [unit.saturations for unit in golden.units]


@pytest.mark.slow  # the loops are compiled anew
def test_compiled_with_it_the_fast_twin_is_equal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAST_PAIR], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
