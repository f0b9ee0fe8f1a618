"""A chain's memory as the compiled loops want it: `golden.fast.records` filled in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.loss import EXP2, LOG2
from counterflow.design.units.normal import ROOTS
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.passing import PassingStage
from counterflow.design.units.slots import Stage
from counterflow.golden.fast.lanes import LANES
from counterflow.golden.fast.learners import fill, norms_of, units_of
from counterflow.golden.fast.narrowings import fits
from counterflow.golden.fast.normalise import BACKWARD_SUMS
from counterflow.golden.fast.places import Places, places
from counterflow.golden.fast.records import (
    LOSS,
    LOSSES,
    NORM,
    PLACES,
    SLOT,
    STEP,
    Memory,
)
from counterflow.golden.fast.states import arrays_of
from counterflow.golden.fast.units import UNITS, convolution, norm, passing_kinds
from counterflow.golden.fast.words import FILL

LINE = 64  # bytes of a cache line


def _records(schedule: Schedule, where: Places) -> tuple[list[list[Any]], dict[str, list[int]]]:
    """The fields of the records of all other units by kind, and their numbers by unit."""
    kinds = passing_kinds()
    found: list[list[Any]] = [[] for _ in kinds]
    numbers: dict[str, list[int]] = {}
    entries = tables = 0
    for stage in schedule.passing:
        kind = kinds.index(stage.unit.kind)
        records = UNITS[stage.unit.kind].records(stage, where)
        first = len(found[kind])
        numbers[stage.name] = list(range(first, first + len(records)))
        for record in records:
            found[kind].append(record | {"entries": entries, "tables": tables})
            entries += record["size"] * record["depth"]
        tables += sum(len(table) for table in _tables_of(stage))
    return found, numbers


def _filled_in(kind: str, records: list[Any]) -> NDArray[np.void]:
    """Records of a kind; at least one, so that its type is known."""
    made = np.zeros(max(1, len(records)), UNITS[kind].RECORD)
    for one, fields in zip(made, records, strict=False):
        fill(one, fields)
    return made


def _steps(
    schedule: Schedule,
    fields: list[list[Any]],
    numbers: dict[str, list[int]],
    where: Places,
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """What is done in a slot: forward by every record, back by those that get gradients."""
    kinds, norms, weighted = passing_kinds(), norm.stages(schedule), schedule.weighted
    forward: list[tuple[int, int, int]] = []
    back: list[tuple[int, int, int]] = []
    for unit in schedule.units:
        if isinstance(unit, Stage):
            forward.append((SLOT, weighted.index(unit), unit.delay))
        elif isinstance(unit, NormalStage):
            paths = unit.unit.outputs[0].paths
            passed = where.passed[unit.name, paths[-1]] if paths else 0
            forward.append((NORM, norms.index(unit), passed))
            back[:0] = forward[-1:] if paths else []
        elif isinstance(unit, PassingStage):
            kind = kinds.index(unit.unit.kind)
            steps = {
                record: (kind, record, fields[kind][record]["depth"] - 1)
                for record in numbers[unit.name]
            }
            forward += steps.values()
            if unit.gradients:
                back[:0] = [step for at, step in steps.items() if "dy" in fields[kind][at]]
    return np.array(forward, STEP), np.array(back, STEP)


def _tables_of(stage: PassingStage) -> list[NDArray[np.int64]]:
    """What a unit looks up."""
    module = UNITS[stage.unit.kind]
    return list(module.tables(stage.numbers)) if hasattr(module, "tables") else []


def aligned(count: int, word: Any) -> Any:
    """Zeros that start at a cache line, so that no vector of them straddles two."""
    size = np.dtype(word).itemsize
    whole = np.zeros(count + LINE // size, word)
    start = -whole.ctypes.data % LINE // size
    return whole[start : start + count]


def _joined(parts: list[NDArray[np.int64]], word: Any) -> Any:
    """Matrices one after the other, aligned, with LANES words to spare."""
    count = sum(part.size for part in parts)
    joined = aligned(count + LANES, word)
    np.concatenate([part.ravel() for part in parts], out=joined[:count], casting="unsafe")
    return joined


def build_memory(schedule: Schedule, states: Iterable[Any]) -> Memory:
    """An empty chain with `states`.  Settings are still to be set."""
    loss, held, stages = schedule.loss.arithmetic, list(states), schedule.weighted
    word: Any = np.int32 if _all_fit(schedule, 32) else np.int64
    where, arrays = places(schedule), arrays_of(held)
    units, asides, gradient = units_of(schedule, where)
    fields, numbers = _records(schedule, where)
    norms, rooms = norms_of(
        schedule, where, sum(one["size"] * one["depth"] for kind in fields for one in kind)
    )
    steps, back = _steps(schedule, fields, numbers, where)

    def most(name: str) -> int:
        return int(units[name].max())

    def room(count: Any) -> Any:
        return aligned(int(count) + 2 * LANES, word)

    channels = int(norms["channels"].max())
    widest = max(most("taps"), channels) + most("wide") + 2 * FILL
    forward = (units["taps"] + 1) * units["block"]  # weights and a bias
    backward = units["outputs"] * units["kernel_rows"] * units["width"]
    operands = np.where(units["direct"] == 1, 0, np.maximum(forward, backward))
    tiles = max(channels, *(stage.tiling.tiles for stage in stages))
    elements = max(edge.elements for edge in schedule.graph.edges)
    words = max(stage.tiling.geometry.positions * stage.tiling.columns for stage in stages)
    tables = [np.zeros(0, np.int64)]
    tables += [table for unit in schedule.passing for table in _tables_of(unit)]
    return Memory(
        units=units,
        asides=asides,
        norms=norms,
        records=tuple(
            _filled_in(kind, one) for kind, one in zip(passing_kinds(), fields, strict=True)
        ),
        steps=steps,
        back=back,
        source=_source(schedule, where),
        losses=_losses(schedule, where),
        exp2=np.array(EXP2, np.int64),
        log2=np.array(LOG2, np.int64),
        roots=np.array(ROOTS, np.int64),
        weight=_joined([arrays["weight"]], word),
        velocity=_joined([arrays["velocity"]], word),
        bias=arrays["bias"],
        bias_velocity=arrays["bias_velocity"],
        statistics=arrays["statistics"],
        generator=np.array([state.generator for state in held], np.uint32),
        saturations=np.zeros(len(held), np.int64),
        kinds=np.zeros(schedule.delay + 1, np.uint8),
        stash=room(where.activations),
        errors=room(where.gradients),
        entries=room(rooms.entries),
        tables=_joined(tables, word),
        views=room(rooms.views),
        norm_sums=np.zeros(rooms.sums, np.int64),
        gradient=room(gradient),
        bias_gradient=np.zeros_like(arrays["bias"]),
        covers=np.concatenate([convolution.covers(stage) for stage in stages]).astype(np.int32),
        draws=aligned(tiles + 2 * LANES, np.uint32),
        velocity_random=room(widest),
        step_random=room(widest),
        decay_random=room(widest),
        hits=room(widest),
        sums=room(most("size")),
        totals=room(PLACES * most("block")),
        flags=room(most("block")),
        operands=room(operands.max()),
        row=room(most("taps")),
        wide_row=np.zeros(most("taps"), np.int64),
        found_error=room(elements + 1),
        found_window=np.zeros(elements + 1, np.int64),
        found_output=np.zeros(elements + 1, np.int64),
        marks=np.zeros(words, np.int64),
        exponents=np.zeros(loss.classes, np.int64),
        meeting=room(elements),
        lane_sums=np.zeros(BACKWARD_SUMS * LANES, np.int64),
    )


def _all_fit(schedule: Schedule, bits: int) -> bool:
    """Whether words of `bits` bits are enough for all units."""
    losses = [loss.arithmetic for loss in schedule.losses]
    weighted = [one for stage in schedule.weighted for one in (stage, *stage.asides)]
    others: list[Any] = [*norm.stages(schedule), *schedule.passing]
    return all(fits(stage, loss, bits) for stage in weighted for loss in losses) and all(
        UNITS[unit.unit.kind].fits(unit.numbers, bits) for unit in others
    )


def _source(schedule: Schedule, where: Places) -> NDArray[np.int64]:
    """Where samples go: start, tokens, words of one; rows, elements of one, words between them."""
    edge = schedule.graph.source
    place = where.forward[edge.number]
    height, width, channels = edge.shape
    row = width * channels
    numbers = (place.start + place.origin, place.depth, place.size, height, row, place.pitch)
    return np.array(numbers, np.int64)


def _losses(schedule: Schedule, where: Places) -> NDArray[np.void]:
    """The records of the losses, that of the network first."""
    found = np.zeros(len(schedule.losses), LOSS)
    for index, loss in enumerate((schedule.loss, *schedule.losses[:-1])):
        kind, (edge, *targets) = loss.unit.kind, loss.unit.inputs
        back = where.back[edge.number, edge.paths[-1]]
        places = {
            "kind": LOSSES.index(kind),
            "classes": loss.arithmetic.classes,
            "x": where.forward[edge.number].start,
            "targets": where.forward[targets[0].number].start if targets else -1,
            "errors": back.start,
            "errors_depth": back.depth,
        }
        fill(found[index], places | UNITS[kind].record(loss.arithmetic))
    return found
