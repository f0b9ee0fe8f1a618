"""The slots of a simulation as files for trace viewers: for Perfetto and Chrome, and for Konata.

Perfetto (and ``chrome://tracing``) shows a row for each stage and direction, and a cycle as a
microsecond.  Konata, a viewer of processor pipelines, shows a row for each sample.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from counterflow.design.network.files import write_atomically
from counterflow.sim.bench.reports import SlotTime

DIRECTIONS = ("forward", "backward")


class Pass(NamedTuple):
    """A sample's way through a stage in one ``direction`` (an index of `DIRECTIONS`)."""

    stage: str
    direction: int
    sample: int
    slot: int
    start: int
    end: int


def passes(slots: Sequence[SlotTime]) -> list[Pass]:
    """What each slot is spent on, in the order of time; bubbles are nothing."""
    found = [
        Pass(one.stage, direction, sample, one.slot, one.start, one.end)
        for one in (SlotTime(*each) for each in slots)
        for direction, sample in enumerate((one.forward, one.backward))
        if sample is not None and sample >= 0
    ]
    return sorted(found, key=lambda one: (one.start, one.direction))


def chrome(path: Path, slots: Sequence[SlotTime], *, title: str) -> Path:
    """Write Chrome's trace events, a JSON that Perfetto reads.

    An arrow leads from each sample's forward pass in a stage to its backward pass there: its length
    is how stale the weights are that the gradient was made with.
    """
    every = passes(slots)
    stages = list(dict.fromkeys(one[0] for one in slots))
    rows = {(s, d): 2 * at + d for at, s in enumerate(stages) for d in range(len(DIRECTIONS))}
    events: list[dict[str, Any]] = [_named("process_name", 0, title)]
    for (stage, direction), row in rows.items():
        events.append(_named("thread_name", row, f"{stage} {DIRECTIONS[direction]}"))
    sent: dict[tuple[str, int], Pass] = {}
    for one in every:
        here = {"pid": 0, "tid": rows[one.stage, one.direction], "ts": one.start}
        facts = {"sample": one.sample, "slot": one.slot}
        back = sent.get((one.stage, one.sample)) if one.direction else None
        if back is not None:
            facts["slots since forward"] = one.slot - back.slot
            arrow = {"name": "staleness", "cat": "staleness", "id": f"{one.stage} {one.sample}"}
            there = {"pid": 0, "tid": rows[back.stage, 0], "ts": back.start}
            events += [{**arrow, "ph": "s", **there}, {**arrow, "ph": "f", "bp": "e", **here}]
        elif not one.direction:
            sent[one.stage, one.sample] = one
        shown = {"name": f"sample {one.sample}", "cat": DIRECTIONS[one.direction], "ph": "X"}
        events.append({**shown, **here, "dur": one.end - one.start, "args": facts})
    text = json.dumps({"traceEvents": events}, separators=(",", ":"))
    write_atomically(path, text)
    return path


def konata(path: Path, slots: Sequence[SlotTime]) -> Path:
    """Write a log of Konata: a row for each sample, forward in its lane 0 and backward in lane 1.

    An arrow leads from the sample whose update is the first stage's last to the sample whose
    forward pass begins with it.
    """
    every = passes(slots)
    numbers = {sample: at for at, sample in enumerate(dict.fromkeys(one.sample for one in every))}
    starts: dict[tuple[int, int], list[int]] = defaultdict(list)
    for one in reversed(every):
        starts[one.sample, one.direction].append(one.start)
    lines: dict[int, list[str]] = defaultdict(list)
    last: dict[int, int] = {}
    for one in every:
        number = numbers[one.sample]
        if one.sample not in last:
            lines[one.start] += [f"I\t{number}\t{one.sample}\t0", f"L\t{number}\t0\t{one.sample}"]
        where = f"{number}\t{one.direction}\t{one.stage}:{'FB'[one.direction]}"
        lines[one.start].append(f"S\t{where}")
        following = starts[one.sample, one.direction]
        following.pop()  # its own; a lane shows one stage at a time, but they overlap a little
        lines[min([one.end, *following[-1:]])].insert(0, f"E\t{where}")
        last[one.sample] = max(one.end, last.get(one.sample, 0))
    first = {(one.slot, one.direction): one for one in every if one.stage == every[0].stage}
    for (slot, direction), made in first.items():
        used = first.get((slot + 1, 0)) if direction else None
        if used is not None:
            lines[used.start].append(f"W\t{numbers[used.sample]}\t{numbers[made.sample]}\t0")
    for at, sample in enumerate(sorted(last, key=last.__getitem__)):
        lines[last[sample]].append(f"R\t{numbers[sample]}\t{at}\t0")
    write_atomically(path, "\n".join(["Kanata\t0004", *_clocked(lines)]) + "\n")
    return path


def _clocked(lines: Mapping[int, list[str]]) -> Iterator[str]:
    """Lines by the cycle, with steps of the clock between."""
    now: int | None = None
    for cycle in sorted(lines):
        yield f"C=\t{cycle}" if now is None else f"C\t{cycle - now}"
        now = cycle
        yield from lines[cycle]


def _named(what: str, row: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": 0, "tid": row, "args": {"name": name}}
