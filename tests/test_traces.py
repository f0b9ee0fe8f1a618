"""Slots as traces: what the viewers read is what the schedule says, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from counterflow import traces
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from tests.test_figures import slots_of

SAMPLES = 12


@pytest.fixture(scope="module", params=["tiny", "tiny-conv"])
def design(request: pytest.FixtureRequest) -> Plan:
    return plan(load(request.param))


def test_perfetto_gets_every_pass_and_arrows_as_long_as_the_delay(
    design: Plan, tmp_path: Path
) -> None:
    slots = slots_of(design, SAMPLES)
    path = traces.chrome(tmp_path / "trace.json", slots, title="a network")
    events = json.loads(path.read_text())["traceEvents"]
    rows = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    shown = [e for e in events if e["ph"] == "X"]
    assert {(rows[e["tid"]], e["args"]["sample"], e["ts"], e["ts"] + e["dur"]) for e in shown} == {
        (f"{one.stage} {direction}", sample, one.start, one.end)
        for one in slots
        for direction, sample in (("forward", one.forward), ("backward", one.backward))
        if sample is not None and sample >= 0
    }
    delays = {stage.name: stage.delay for stage in design.schedule.weighted}
    back = [e for e in shown if "slots since forward" in e["args"]]
    assert back
    for event in back:
        stage = rows[event["tid"]].removesuffix(" backward")
        assert event["args"]["slots since forward"] == delays[stage]
    assert len([e for e in events if e["ph"] == "s"]) == len(back)
    assert len([e for e in events if e["ph"] == "f"]) == len(back)


def test_konata_gets_a_row_for_each_sample_and_each_lane_one_stage_at_a_time(
    design: Plan, tmp_path: Path
) -> None:
    slots = slots_of(design, SAMPLES)
    path = traces.konata(tmp_path / "slots.kanata", slots)
    head, *lines = path.read_text().splitlines()
    assert head == "Kanata\t0004"
    open_stages: dict[tuple[str, str], str] = {}
    begun, retired, arrows, clock = [], [], [], 0
    for kind, *fields in (line.split("\t") for line in lines):
        if kind in ("C", "C="):
            clock = int(fields[0]) + (clock if kind == "C" else 0)
        elif kind == "S":
            assert (fields[0], fields[1]) not in open_stages
            open_stages[fields[0], fields[1]] = fields[2]
            begun.append((fields[2], int(fields[0]), clock))
        elif kind == "E":
            assert open_stages.pop((fields[0], fields[1])) == fields[2]
        elif kind == "R":
            retired.append(int(fields[1]))
        elif kind == "W":
            arrows.append((int(fields[0]), int(fields[1])))
    assert not open_stages
    assert sorted(begun) == sorted(
        (f"{one.stage}:{letter}", sample, one.start)
        for one in slots
        for letter, sample in (("F", one.forward), ("B", one.backward))
        if sample is not None and sample >= 0
    )
    assert retired == list(range(SAMPLES))
    delay = design.schedule.weighted[0].delay
    assert arrows
    assert {used - made for used, made in arrows} == {delay + 1}
