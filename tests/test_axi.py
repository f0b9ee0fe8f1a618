"""Behind AXI4-Stream and AXI4-Lite the chain trains as golden does, whatever masters do to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import pytest

from counterflow.design.data.sets import Dataset, synthetic
from counterflow.design.network.files import load
from counterflow.design.parts.tokens import BUBBLE, Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.hw.axi.lite import AxiLite
from counterflow.hw.axi.packets import Packets
from counterflow.hw.parts.merge import Merge
from counterflow.hw.tops.axi import axi_module_name, axi_ports, to_axi_verilog
from counterflow.sim.bench.axi_rules import CHANNELS, Rules
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.proofs.proof import Mutant
from counterflow.sim.simulate import quantised, run_job
from tests import simulated
from tests.headed import crowded, headed

pytestmark = pytest.mark.xdist_group("axi")  # most of it shares one build
LIMIT = 60_000  # cycles
RANDOM, NONE = ("random",) * 3, ("none",) * 3


@pytest.fixture(scope="module")
def tiny() -> Plan:
    return plan(load("tiny"))


@pytest.fixture(scope="module")
def heads() -> Plan:
    return headed()


@pytest.fixture(scope="module")
def data(tiny: Plan) -> Dataset:
    return synthetic(tiny.description.elements, tiny.description.classes, 60, 20)


AXI = "counterflow.sim.bench.axi"


@cache
def generated(design: Plan) -> str:
    """Its Verilog, which takes a third of the time of a test to write."""
    return to_axi_verilog(design)


def job_of(design: Plan, data: Dataset, **fields: Any) -> Job:
    tokens = drained([Token(Kind.TRAIN, i) for i in range(20)], design.schedule.delay)
    return Job(
        **{
            "description": design.description,
            "tokens": tuple(tokens),
            "samples": quantised(design.description, data),
            "labels": data.train_y,
            "seed": 3,
            "depth": LIMIT,
            **fields,
        }
    )


def run(design: Plan, data: Dataset, verilog: str = "", **fields: Any) -> Found:
    """What a scenario finds in the hardware of `design`, or in `verilog` instead."""
    job = job_of(design, data, **fields)
    text = verilog or generated(design)
    return simulated.run(text, job, AXI, top=axi_module_name(design))


def mixed(design: Plan, count: int) -> tuple[Token, ...]:
    """Train, infer and bubble tokens in no order, then an empty chain."""
    source = np.random.default_rng(5)
    kinds = [Kind(int(one)) for one in source.integers(Kind.BUBBLE, Kind.TRAIN + 1, count)]
    tokens = [Token(kind, i) if kind is not Kind.BUBBLE else BUBBLE for i, kind in enumerate(kinds)]
    return tuple(drained([*tokens, Token(Kind.TRAIN, count)], design.schedule.delay))


SLOW = pytest.param(("burst", "slow", "late"), marks=pytest.mark.slow)
SLOW_NONE = pytest.param(NONE, marks=pytest.mark.slow)


@pytest.mark.parametrize("stalls", [NONE, RANDOM, SLOW], ids="-".join)
def test_tokens_of_any_kind_train_as_golden_does_under_pauses(
    tiny: Plan, data: Dataset, stalls: tuple[str, str, str]
) -> None:
    found = run(tiny, data, scenario="stalls", tokens=mixed(tiny, 40), stalls=stalls)
    assert found.first_divergence is None
    assert found.compared > 200


@pytest.mark.slow
@pytest.mark.parametrize("stalls", [SLOW_NONE, RANDOM, SLOW], ids="-".join)
def test_every_head_says_what_golden_does_under_pauses(
    heads: Plan, data: Dataset, stalls: tuple[str, str, str]
) -> None:
    found = run(heads, data, scenario="stalls", tokens=mixed(heads, 40), stalls=stalls)
    assert found.first_divergence is None
    assert found.compared > 600


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
@pytest.mark.parametrize("language", ["2005", pytest.param("2012", marks=pytest.mark.slow)])
def test_a_simulator_with_four_states_finds_nothing_unknown(
    tiny: Plan, data: Dataset, language: str
) -> None:
    found = run_job(
        generated(tiny),
        job_of(tiny, data, scenario="stalls", tokens=mixed(tiny, 8), stalls=RANDOM),
        AXI,
        top=axi_module_name(tiny),
        simulator="icarus",
        building=[f"-g{language}"],
    )
    assert found.first_divergence is None
    assert found.compared > 100


FLOWING_OR_PAUSED = [
    pytest.param(NONE, id="flowing", marks=pytest.mark.slow),
    pytest.param(RANDOM, id="paused"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("idle | (moved & out.last)", "idle | moved", "scores of prediction 0 is ["),
        ("channel.eq(channel)", "channel.eq((2, 1, 0)[index])", "scores of head 1's prediction 0 "),
    ],
    ids=["torn", "mislabelled"],
)
def test_packets_torn_or_with_anothers_number_are_found(
    heads: Plan, data: Dataset, before: str, after: str, said: str
) -> None:
    with mock.patch("counterflow.hw.chain.Merge", Mutant(Merge, before, after).made()):
        verilog = to_axi_verilog(heads)
    found = run(heads, data, verilog, scenario="stalls")
    assert found.first_divergence is not None
    assert said in found.first_divergence


def test_only_a_network_with_heads_has_destinations(tiny: Plan, heads: Plan) -> None:
    assert axi_ports(heads).keys() - axi_ports(tiny).keys() == {"m_axis_tdest"}


@pytest.mark.slow
def test_a_network_of_images_trains_behind_axi() -> None:
    design = plan(load("tiny-conv"))
    images = synthetic(design.description.elements, design.description.classes, 60, 20)
    found = run(design, images, scenario="stalls", stalls=RANDOM)
    assert found.first_divergence is None


@pytest.mark.parametrize("stalls", FLOWING_OR_PAUSED)
def test_packets_of_wrong_length_are_dropped_with_their_label_and_the_rest_is_learnt(
    tiny: Plan, data: Dataset, stalls: tuple[str, str, str]
) -> None:
    inputs, classes = tiny.description.elements, tiny.description.classes
    tokens = tuple(drained([Token(Kind.TRAIN, i) for i in range(40)], tiny.schedule.delay))
    lengths = [inputs] * len(tokens)
    lengths[0], lengths[5], lengths[6], lengths[20] = 1, inputs - 1, inputs + 1, 3 * inputs
    labels = data.train_y.copy()
    labels[[3, 7, 30]] = classes, classes, 255
    spoilt = {"lengths": tuple(lengths), "labels": labels, "tokens": tokens}
    found = run(tiny, data, scenario="spoilt", stalls=stalls, **spoilt)
    assert found.first_divergence is None


def test_a_reset_in_mid_packet_leaves_nothing_behind(tiny: Plan, data: Dataset) -> None:
    found = run(tiny, data, scenario="reset", interrupt=107)
    assert found.first_divergence is None


@pytest.mark.parametrize(
    "name",
    [
        "tiny",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("headed", "crowded", "tiny-conv")),
    ],
)
def test_a_sample_is_taken_every_interval_without_a_bubble_between(name: str) -> None:
    own = {"headed": headed, "crowded": crowded}
    design = own[name]() if name in own else plan(load(name))
    data = synthetic(design.description.elements, design.description.classes, 60, 20)
    tokens = tuple(Token(Kind.TRAIN, i) for i in range(40))
    found = run(design, data, scenario="rate", tokens=tokens)
    assert found.first_divergence is None
    assert found.compared >= 19


@pytest.mark.parametrize("stalls", FLOWING_OR_PAUSED)
def test_every_address_is_answered_and_unmapped_ones_with_an_error(
    tiny: Plan, data: Dataset, stalls: tuple[str, str, str]
) -> None:
    found = run(tiny, data, scenario="registers", stalls=stalls)
    assert found.first_divergence is None
    assert found.compared > 120


@pytest.fixture(scope="module")
def faulty(tiny: Plan) -> Iterator[str]:
    """Labels come from the end of packets, and an answer to a write waits until it is wanted."""
    packets = Mutant(Packets, "taken & ~within", "taken & beat.last").made()
    lite = Mutant(
        AxiLite, "bus.bvalid.eq(access.write)", "bus.bvalid.eq(access.write & bus.bready)"
    )
    with (
        mock.patch("counterflow.hw.tops.axi.Packets", packets),
        mock.patch("counterflow.hw.tops.axi.AxiLite", lite.made()),
    ):
        yield to_axi_verilog(tiny)


@pytest.mark.slow
def test_a_fault_in_the_stream_is_found(tiny: Plan, data: Dataset, faulty: str) -> None:
    found = run(tiny, data, faulty, scenario="stalls")
    assert found.mismatches


def test_a_valid_that_waits_for_ready_is_found(tiny: Plan, data: Dataset, faulty: str) -> None:
    found = run(tiny, data, faulty, scenario="registers")
    assert found.first_divergence == "b or r is valid is 0, expected 1"


@pytest.mark.parametrize(
    ("cycles", "broken"),
    [
        ([(1, 0, 5), (1, 1, 5), (0, 1, 0)], ""),
        ([(1, 1, 5), (1, 1, 6)], ""),
        ([(1, 0, 5), (0, 1, 5)], "cycle 2: s_axil_b: valid was withdrawn"),
        ([(1, 0, 5), (1, 0, 6)], "cycle 2: s_axil_b: [6] after [5] was offered"),
        ([(0, 1, None)], ""),
        ([(None, 1, 5)], "cycle 1: s_axil_b: valid is unknown (X)"),
        ([(1, 1, None)], "cycle 1: s_axil_b: resp is unknown (X) while valid"),
    ],
    ids=["kept", "taken", "withdrawn", "changed", "nothing", "unknown valid", "unknown payload"],
)
def test_what_goes_against_the_rules_is_found(
    cycles: list[tuple[int | None, int, int | None]], broken: str
) -> None:
    rules = Rules()
    quiet = {name: (0, 0, *[0] * len(carried)) for name, carried in CHANNELS.items()}
    for levels in cycles:
        rules.look({**quiet, "s_axil_b": levels}, reset=False)
    assert "".join(rules.broken) == broken


def test_a_valid_in_reset_is_found() -> None:
    rules = Rules()
    for _ in range(2):
        rules.look({"s_axil_r": (1, 1, 0, 0)}, reset=True)
    assert rules.broken == ["cycle 2: s_axil_r: valid in reset"]
