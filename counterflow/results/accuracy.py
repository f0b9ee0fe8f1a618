"""The JSON of accuracies: one file a setting, in it one line a training."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from counterflow.design.network.files import write_atomically
from counterflow.results.settings import Setting, Way, described

Point = tuple[int, float, float]
"""Samples learnt from, then mean loss in nats and share of right answers since the point before."""


@dataclass(frozen=True)
class Run:
    """One training: where it came from, its curve, and the test after each epoch.

    ``samples`` are those of an epoch, ``delays`` those of the stages where it is pipelined; test
    accuracies are shares, test losses means in nats; ``description`` is TOML.
    """

    way: str
    seed: int
    samples: int
    delays: tuple[int, ...]
    test_accuracy: tuple[float, ...]
    test_loss: tuple[float, ...]
    curve: tuple[Point, ...]
    provenance: dict[str, Any]
    description: str

    @property
    def hash(self) -> str:
        """The name of the description that was trained."""
        return str(self.provenance["description_hash"])

    @property
    def accuracy(self) -> float:
        """On the test samples, after the last epoch."""
        return self.test_accuracy[-1]


def path_of(folder: Path, setting: Setting) -> Path:
    """Where the trainings of `setting` are kept."""
    return folder / f"accuracy-{setting.name}.json"


def read(folder: Path, setting: Setting) -> list[Run]:
    """The trainings of `setting` that are done; ValueError if the file cannot be understood."""
    path = path_of(folder, setting)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [_run(one, found["descriptions"]) for one in found["runs"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is no JSON of accuracies ({error!r}).") from error


def _run(fields: dict[str, Any], descriptions: dict[str, str]) -> Run:
    tuples = {name: tuple(fields[name]) for name in ("delays", "test_accuracy", "test_loss")}
    curve = tuple((int(at), float(loss), float(share)) for at, loss, share in fields["curve"])
    text = descriptions[fields["provenance"]["description_hash"]]
    return Run(**{**fields, **tuples, "curve": curve, "description": text})


def add(folder: Path, setting: Setting, run: Run) -> Path:
    """Keep `run` beside the others, in the place of one with the same way and seed."""
    others = [one for one in read(folder, setting) if (one.way, one.seed) != (run.way, run.seed)]
    runs = sorted([*others, run], key=lambda one: (one.way, one.seed))
    about = {
        "network": setting.network,
        "dataset": setting.dataset,
        "descriptions": {one.hash: one.description for one in runs},
    }
    head = json.dumps(about, indent=2).removesuffix("\n}")
    lines = ",\n".join(json.dumps(_fields(one)) for one in runs)
    return write_atomically(path_of(folder, setting), f'{head},\n  "runs": [\n{lines}\n]}}\n')


def _fields(run: Run) -> dict[str, Any]:
    """Those of `run` but the description, which many have in common."""
    return {name: value for name, value in asdict(run).items() if name != "description"}


def is_done(runs: Sequence[Run], setting: Setting, way: Way, seed: int) -> bool:
    """Whether `runs` have that training, of the network as it is described and planned now."""
    wanted = (way.name, seed, setting.epochs)
    return any(
        (one.way, one.seed, len(one.test_accuracy)) == wanted
        and described(one.description) == setting.description
        and (way.scheme != "pipelined" or one.delays == setting.delays)
        for one in runs
    )


@dataclass(frozen=True)
class Summary:
    """Test accuracies of one way: those of the network as it is now, or all where there are none.

    ``outdated``: they are of another description.
    """

    runs: tuple[Run, ...]
    outdated: bool

    @property
    def mean(self) -> float:
        return statistics.fmean(one.accuracy for one in self.runs)

    @property
    def sd(self) -> float | None:
        """Standard deviation of the seeds (the sample's), None for a single one."""
        if len(self.runs) < 2:
            return None
        return statistics.stdev(one.accuracy for one in self.runs)


def summary(runs: Sequence[Run], setting: Setting, way: Way) -> Summary | None:
    """What `runs` say of `way`; None where that was not measured."""
    own = [one for one in runs if one.way == way.name]
    current = [one for one in own if is_done([one], setting, way, one.seed)]
    chosen = tuple(current or own)
    return Summary(chosen, outdated=not current) if chosen else None
