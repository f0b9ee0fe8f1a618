"""The clocks that plans reckon with are those that designs were routed at."""

from __future__ import annotations

import json
from pathlib import Path

from counterflow.design.fpga.reached import REACHED, Reached, clock
from counterflow.design.fpga.targets import target

RESULTS = Path(__file__).parents[1] / "docs" / "results"


def test_every_routed_design_of_the_results_is_known_as_it_was() -> None:
    found = set()
    for path in RESULTS.glob("synth-*.json"):
        kept = json.loads(path.read_text(encoding="utf-8"))
        result = kept["result"]
        name, luts, mhz = kept["network"], result["total"]["luts"], round(result["fmax"], 1)
        found.add(Reached(name, result["target"], luts, mhz))
    assert found == set(REACHED)


def test_a_plan_reckons_with_the_routed_design_that_is_most_alike() -> None:
    device = target("ecp5-85f")
    for one in REACHED:
        mhz, source = clock(device, one.luts + 10)
        assert mhz == one.mhz
        assert one.network in source
        assert f"{one.luts:,} LUTs" in source


def test_what_is_asked_for_is_not_argued_with() -> None:
    assert clock(target("ecp5-85f"), 50_000, 12.5) == (12.5, "")


def test_where_nothing_was_routed_that_is_said() -> None:
    mhz, source = clock(target("xc7a100t"), 50_000)
    assert mhz == target("xc7a100t").frequency
    assert "no design" in source
