"""What a wave viewer should show of a simulation, by the signals that its waveforms have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.scheduled import Scheduled
from counterflow.sim.session import WAVES

CHAIN = "bench_top.chain"
RECORDING = "bench_top.recording"
STREAMS = {
    "x": "activations in",
    "y": "activations out",
    "dy": "gradients in",
    "dx": "gradients out",
}


class Names(NamedTuple):
    """Words for the values of a signal of so many ``bits``; ``title`` is that of the format."""

    title: str
    bits: int
    words: dict[int, str]


KINDS = Names("counterflow_kind", KIND_BITS, {kind.value: kind.name.lower() for kind in Kind})
WORK = Names("counterflow_work", 1, {0: "waits", 1: "works"})
SLOT = Names("counterflow_slot", 1, {0: "goes on", 1: "begins"})
NOW = {
    "now__issue": WORK,
    "now__starts_slot": SLOT,
    "now__slot__kind": KINDS,
    "now__tile": None,
    "now__row": None,
}


class Signal(NamedTuple):
    """Its ``name`` in the waveforms, behind those of its scopes, and its ``bits``."""

    scope: str
    name: str
    bits: int


class Waves(NamedTuple):
    """The waveforms at ``path``; ``begin`` in picoseconds is when the run proper begins.

    ``signals`` by scopes and name, without the escapes that some simulators leave in names.
    """

    path: Path
    signals: dict[str, Signal]
    begin: int


class Shown(NamedTuple):
    """A signal in a viewer; ``names`` where its values have some, else it is a number."""

    path: str
    label: str
    signed: bool
    names: Names | None


def waves_in(folder: Path) -> Waves | None:
    """What a simulator left in `folder` last, if anything."""
    found = [one for one in sorted(folder.iterdir()) if one.suffix in WAVES]
    return read(max(found, key=lambda one: one.stat().st_mtime_ns)) if found else None


def read(path: Path) -> Waves:
    """The signals of an FST or VCD file and the first rise of the bench's ``recording``."""
    from pywellen import Waveform

    signals = {}
    for one in Waveform(str(path)).all_vars():
        scope = one.full_name.removesuffix(f".{one.name}")
        signals[one.full_name.replace("\\", "")] = Signal(scope, one.name, one.length or 0)
    return Waves(path, signals, _rise(path) if RECORDING in signals else 0)


def _rise(path: Path) -> int:
    """When `RECORDING` rises first, read no further than that: waveforms are large."""
    from pywellen import WaveformStream

    rises: list[int] = []

    def see(time: int, _signal: object, value: object) -> None:
        if value == 1:
            rises.append(time)
            raise StopIteration

    try:
        WaveformStream(str(path)).stream_changes(see, [RECORDING])
    except StopIteration:
        return rises[0]
    return 0


def by_unit(design: Plan, waves: Waves) -> Iterator[tuple[str, list[Shown | str]]]:
    """Each unit's name and what is there to be seen of it, with a heading before each stream."""
    for stage in design.schedule.units:
        scope = f"{CHAIN}.{stage.name}"
        rows: list[Shown | str] = [
            Shown(f"{scope}.{name}", _label(name), False, names)
            for name, names in NOW.items()
            if f"{scope}.{name}" in waves.signals
        ]
        for stream, heading in STREAMS.items():
            if f"{scope}.{stream}__valid" in waves.signals:
                rows += [heading, *_stream(stage, scope, stream, waves)]
        yield stage.name, rows


def _stream(stage: Scheduled, scope: str, stream: str, waves: Waves) -> Iterator[Shown]:
    """The handshake of a stream and its payload, in parts where it has some."""
    edges = stage.unit.outputs if stream == "y" else stage.unit.inputs
    signed = stream.startswith("d") or not edges or edges[0].x.signed
    for part in ("valid", "ready", "payload.kind", "payload.data", "payload"):
        path = f"{scope}.{stream}__{part}"
        if path in waves.signals and not (part == "payload" and f"{path}.data" in waves.signals):
            kind = part == "payload.kind"
            number = signed and part in ("payload.data", "payload")
            yield Shown(path, _label(f"{stream}__{part}"), number, KINDS if kind else None)


def _label(name: str) -> str:
    """A name without what is the same for all."""
    return " ".join(name.removeprefix("now").replace("payload.", "").split("__")).strip()
