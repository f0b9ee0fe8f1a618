"""Every simulator runs the Verilog alike: with four states or two, whatever registers start as.

Icarus begins with X in all that has no value, and reads a file as Verilog 2005 or as SystemVerilog,
which differ in when initial values are there; Verilator can begin with noise.
"""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.hw.tops.axi import to_axi_verilog
from counterflow.sim.bench.compare import UNKNOWN, Layout, locate
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.simulate import bench_verilog, quantised, record_depth, run_job
from tests.images import NETWORKS, design

LANGUAGES = ("2005", "2012")  # Verilog, SystemVerilog
SLOW = pytest.mark.slow
icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")


def planned(name: str) -> Plan:
    return design(name) if name in NETWORKS else plan(load(name))


def small() -> Plan:
    layers = [{"outputs": 3, "activation": "none"}]
    return plan(Description.model_validate({"name": "small", "inputs": 4, "layers": layers}))


def job_of(design: Plan, tokens: int) -> Job:
    description = design.description
    data = synthetic(description.elements, description.classes, 16, 2)
    kinds = [Kind.INFER if index % 4 == 2 else Kind.TRAIN for index in range(tokens)]
    return Job(
        description=description,
        tokens=tuple(drained(map(Token, kinds, range(tokens)), design.schedule.delay)),
        samples=quantised(description, data),
        labels=data.train_y,
        seed=1,
        depth=record_depth(design),
    )


def in_icarus(
    verilog: str, design: Plan, language: str, bench: str = "cycles", tokens: int = 4
) -> Found:
    return run_job(
        verilog,
        job_of(design, tokens),
        f"counterflow.sim.bench.{bench}",
        simulator="icarus",
        building=[f"-g{language}"],
    )


def noise(seed: int) -> dict[str, list[str]]:
    """Options for Verilator: every bit without an initial value is noise."""
    return {
        "building": ["--x-initial", "unique", "--x-assign", "unique"],
        "running": ["+verilator+rand+reset+2", f"+verilator+seed+{seed}"],
    }


def assert_equal(found: Found, at_least: int) -> None:
    assert found.mismatches == 0, found.first_divergence
    assert found.compared >= at_least


@icarus
@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("tiny-conv", "2012"),
        *(
            pytest.param(name, language, marks=SLOW)
            for name in ("tiny", "tiny-conv", "tiny-res", *NETWORKS)
            for language in LANGUAGES
            if (name, language) != ("tiny-conv", "2012")
        ),
    ],
)
def test_every_cycle_equals_golden_in_icarus(name: str, language: str) -> None:
    found = planned(name)
    assert_equal(in_icarus(bench_verilog(found), found, language), 20_000)


@pytest.mark.parametrize(
    ("name", "seed"),
    [pytest.param("tiny", 1, marks=SLOW)]
    + [
        pytest.param(name, seed, marks=SLOW)
        for name in ("tiny", "tiny-conv", "tiny-res", *NETWORKS)
        for seed in (2, 3)
    ],
)
def test_what_registers_start_as_changes_nothing(name: str, seed: int) -> None:
    found = planned(name)
    verilog = bench_verilog(found)
    assert_equal(run_job(verilog, job_of(found, 4), quick=True, **noise(seed)), 20_000)


def test_no_block_waits_for_a_change_to_have_its_first_value() -> None:
    text = to_axi_verilog(plan(load("tiny-conv")))
    assert "assign" in text
    assert not re.findall(r"always\s*@\s*(\*|\((?!posedge|negedge).*)", text)


# An unknown value is a difference


def spoilt(verilog: str, module: str, assignment: str, unknown: str) -> str:
    """The design with an assignment in a module in which something is unknown."""
    start = verilog.index(f"module {module}(")
    end = verilog.index("endmodule", start)
    body = verilog[start:end]
    assert body.count(f"assign {assignment} = ") == 1
    body = re.sub(rf"(assign {re.escape(assignment)} = )[^;]*;", rf"\g<1>{unknown};", body)
    return verilog[:start] + body + verilog[end:]


UNKNOWN_OUTPUT = ("bench_top__chain__dense0__rows__outputs", "y__payload[11:0]", "12'hx")


@icarus
@pytest.mark.parametrize("bench", ["cycles", "order"])
def test_an_unknown_value_is_a_difference_that_names_the_field(bench: str) -> None:
    chain = small()
    verilog = spoilt(bench_verilog(chain), *UNKNOWN_OUTPUT)
    found = in_icarus(verilog, chain, "2012", bench)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    assert re.search(r"dense0\.y\.data.* is unknown \(X\)", found.first_divergence)


@icarus
@pytest.mark.parametrize("bench", ["cycles", pytest.param("order", marks=SLOW)])
def test_a_chain_that_answers_with_unknown_bits_is_different(bench: str) -> None:
    chain = small()
    verilog = spoilt(bench_verilog(chain), "bench_top__chain", "request__ready", "1'hx")
    found = in_icarus(verilog, chain, "2012", bench)
    assert found.mismatches > 0
    assert found.first_divergence == "ready is unknown (X)"


@SLOW
def test_noise_where_a_value_is_unknown_is_found() -> None:
    """That the runs above with noise have noise."""
    chain = small()
    verilog = spoilt(bench_verilog(chain), *UNKNOWN_OUTPUT)
    found = run_job(verilog, job_of(chain, 4), quick=True, **noise(1))
    assert found.mismatches > 0
    assert found.first_divergence is not None
    assert "dense0.y.data" in found.first_divergence


def test_an_unknown_bit_has_its_place_in_the_comparison() -> None:
    from counterflow.golden.cycle_trace import Trace

    chain = small()
    layout = Layout(Trace(chain).fields)
    expected = np.zeros((3, layout.bits), np.uint8)
    found = expected.copy()
    column = [str(field) for field in layout.fields].index("dense0.y.valid")
    found[2, layout.start[column]] = UNKNOWN
    assert layout.differences(expected, found) == [(2, column)]
    place = locate(chain.schedule, layout, 2, column, expected[2], found[2])
    assert place.found is None
    assert "dense0.y.valid is unknown (X), golden has 0" in str(place)
    assert layout.field_of(int(layout.start[column])) == layout.fields[column]
