"""Checkpoints: the state of a training between two epochs, in one file of NumPy arrays.

The chain is empty there, so that parameters and generators are all that the rest
of the training depends on, besides the description and the seed.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from counterflow.design.data.scaling import Scaling
from counterflow.design.data.sets import Dataset
from counterflow.design.network.description import Description
from counterflow.design.network.files import check_source, write_atomically
from counterflow.design.network.provenance import version
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.units import state_of
from counterflow.golden.units.limits import check_state
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings

FORMAT = 1  # of the file; to be raised when older programs would misread it
MOST = 5  # names in an error
PACKAGES = ("counterflow", "numpy", "numba")


def versions() -> dict[str, str]:
    """The version of each package that the numbers come from."""
    return {name: version(name) for name in PACKAGES}


@dataclass(frozen=True)
class TrainedOn:
    """The data of a training, and how its elements became codes.

    ``design`` is the hash of the network's description without its data; ``targets``: the scaling
    of targets that are data.
    """

    name: str
    sha256: str
    scaling: Scaling
    design: str
    targets: Scaling | None = None

    @classmethod
    def of(cls, description: Description, dataset: Dataset) -> Self:
        design = description.hash_without_data()
        scaling = dataset.scaling
        return cls(dataset.name, dataset.sha256, scaling, design, dataset.target_scaling)

    @classmethod
    def from_json(cls, fields: dict[str, Any] | None) -> Self | None:
        """From `asdict` of one; older files have None."""
        if fields is None:
            return None
        scalings = {
            "scaling": _scaling(fields["scaling"]),
            "targets": _scaling(fields.get("targets")),
        }
        return cls(**{**fields, **scalings})

    def alike(self, dataset: Dataset) -> bool:
        """Whether these are the same numbers under the same scalings."""
        now = dataset.sha256, dataset.scaling, dataset.target_scaling
        return now == (self.sha256, self.scaling, self.targets)

    def scaled(self, dataset: Dataset) -> Dataset:
        """`dataset`, scaled as these data were; ValueError where that is for another width."""
        columns, width = self.scaling.columns, dataset.train_x.shape[1]
        if columns not in (None, width):
            raise ValueError(
                f"{self} has scalings for {columns} columns, but {dataset.name} has {width} columns"
            )
        return replace(dataset, scaling=self.scaling, target_scaling=self.targets)

    def __str__(self) -> str:
        return f"{self.name} (SHA-256 {self.sha256[:12]})"


def _scaling(fields: dict[str, Any] | None) -> Any:
    """A scaling from `asdict` of one, None from None."""
    if fields is None:
        return None
    return Scaling(**{name: tuple(map(float, one)) for name, one in fields.items()})


@dataclass(frozen=True)
class Checkpoint:
    """A training after `epoch` epochs of the description whose hash is `network`."""

    network: str
    epoch: int
    seed: int
    settings: Settings
    states: list[State]
    versions: dict[str, str] = field(default_factory=versions)
    data: TrainedOn | None = None
    """None where that is not known."""


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to the file `path`, which is replaced only when all is written."""
    about = {
        "format": FORMAT,
        "network": checkpoint.network,
        "epoch": checkpoint.epoch,
        "seed": checkpoint.seed,
        "settings": asdict(checkpoint.settings),
        "generators": [state.generator for state in checkpoint.states],
        "versions": checkpoint.versions,
        "data": None if checkpoint.data is None else asdict(checkpoint.data),
    }
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about))}
    for index, state in enumerate(checkpoint.states):
        arrays |= {f"{name}{index}": value for name, value in state.arrays.items()}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomically(path, content.getvalue())


def load(
    path: Path, description: Description, schedule: Schedule, *, other_data: bool = False
) -> Checkpoint:
    """The checkpoint in the file `path`, which must be one of `description`.

    With `other_data` it may be one of a description that differs in its data only.  Raises
    ValueError, one sentence long, if it is of another network, damaged or not there.
    """
    try:
        check_source(path)
        if path.exists() and not zipfile.is_zipfile(path):
            raise ValueError("it is damaged, or something else than a checkpoint")
        with np.load(path, allow_pickle=False) as arrays:
            if "about" not in arrays:
                raise _StrangeError(arrays.files)
            about = json.loads(str(arrays["about"]))
            found, network = about["format"], about["network"]
            data = TrainedOn.from_json(about.get("data")) if found == FORMAT else None
            alike = data is not None and data.design == description.hash_without_data()
            if found == FORMAT and (network == description.hash() or (alike and other_data)):
                return replace(_read(about, arrays, schedule), network=description.hash())
    except FileNotFoundError as error:
        raise ValueError(f"{path}: there is no such checkpoint.") from error
    except _StrangeError as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:  # a damaged archive fails in more ways than can be named
        said = (error.strerror or "") if isinstance(error, OSError) else str(error)
        reason = said.strip(".") or type(error).__name__
        raise ValueError(f"{path}: cannot be read as a checkpoint ({reason}).") from error
    if found != FORMAT:
        raise ValueError(f"{path}: has format {found} of checkpoints, but {FORMAT} is known.")
    if alike:
        raise ValueError(
            f"{path}: was trained on {data}, and {description.name} names other data; name those, "
            "or give --other-data to go on with others all the same."
        )
    raise ValueError(
        f"{path}: is a checkpoint of the network {network}, not of {description.name}, which is "
        f"{description.hash()}; give it the description and the options that it was made with."
    )


class _StrangeError(ValueError):
    """An archive of other arrays, of which nothing need be damaged."""

    def __init__(self, names: list[str]) -> None:
        few = names if len(names) < MOST else [*names[: MOST - 1], "more"]
        there = " and ".join((", ".join(few[:-1]), few[-1]) if len(few) > 1 else few or ["nothing"])
        super().__init__(
            f"is no checkpoint of Counterflow, but has {there} in it; "
            "`counterflow train --checkpoint` writes one."
        )


def _read(about: dict[str, Any], arrays: Any, schedule: Schedule) -> Checkpoint:
    generators = about["generators"]
    if len(generators) != len(schedule.stages):
        raise ValueError(f"it has {len(generators)} units, not {len(schedule.stages)}")
    states = []
    for index, (stage, generator) in enumerate(zip(schedule.stages, generators, strict=True)):
        parts = {one.name: arrays[f"{one.name}{index}"] for one in stage.parameters}
        for name, part in parts.items():
            if part.dtype != np.int64:
                raise ValueError(f"{name}{index} has the type {part.dtype}, not int64")
        state = state_of(stage, parts, int(generator))
        check_state(stage, state)
        states.append(state)
    return Checkpoint(
        about["network"],
        int(about["epoch"]),
        int(about["seed"]),
        Settings(**about["settings"]),
        states,
        dict(about["versions"]),
        TrainedOn.from_json(about.get("data")),
    )


def going_on(checkpoint: Checkpoint, dataset: Dataset, *, other_data: bool = False) -> Dataset:
    """`dataset`, scaled as the data of the checkpoint were, for a training that goes on from it.

    Raises ValueError for other data than those unless `other_data` allows them.
    """
    before = checkpoint.data
    if before is None or before.alike(dataset):
        return dataset
    if not other_data:
        now = f"{dataset.name} (SHA-256 {dataset.sha256[:12]})"
        raise ValueError(
            f"the checkpoint was trained on {before}, not on {now}; name the data that it was "
            "trained on, or give --other-data to go on with others all the same"
        )
    return before.scaled(dataset)
