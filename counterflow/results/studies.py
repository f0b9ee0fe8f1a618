"""Trainings one after the other, such as fine-tuning, under several seeds: tables in the documents.

    python -m counterflow.results.studies            renews the tables
    python -m counterflow.results.studies KEY ...    makes these of `STUDIES` first (minutes)

What a study found is ``study-KEY.json`` among the results; its table stands in a document between
``<!-- study KEY -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from counterflow import api
from counterflow.commands.frozen import with_frozen
from counterflow.design.data.sets import Dataset, load
from counterflow.design.data.training import check_fits
from counterflow.design.network.description import Description
from counterflow.design.network.provenance import provenance, write_json
from counterflow.exchange.files import safetensors
from counterflow.exchange.tensors import Tensors
from counterflow.exchange.weights import load as weights_of
from counterflow.golden.training.epochs import Epoch, test, train
from counterflow.golden.training.paired import student
from counterflow.results import marks
from counterflow.results.markdown import grid
from counterflow.results.settings import FOLDER

PAGES = [Path("docs/fine-tuning.md"), Path("docs/normalisation.md")]
KIND = "study"


class Step(NamedTuple):
    """One training: a network, with gammas in its norms if wanted, on a data set, perhaps `turned`
    by a quarter, with so many layers frozen; without `trained` it is only tested.
    """

    network: str
    data: str
    frozen: str | None = None
    turned: bool = False
    gamma: bool = False
    trained: bool = True

    @property
    def description(self) -> Description:
        found = api.load(self.network)
        if self.gamma:
            found = _with_gammas(found)
        return with_frozen(found, self.frozen)

    @property
    def dataset(self) -> Dataset:
        found = load(self.data)
        check_fits(self.description, found)
        return _turned(found) if self.turned else found


class Study(NamedTuple):
    """Rows of steps, each step with the weights of the one before, under seeds 1 to `seeds`."""

    seeds: int
    rows: Mapping[str, Sequence[Step]]


MNIST = Step("lenet5", "mnist")
ON_CLOTHES = Step("lenet5-finetune", "fashion-mnist")
ON_TURNED = Step("lenet5-finetune", "mnist", turned=True)
DIGITS = Step("digits-resnet", "digits")
TURNED = DIGITS._replace(turned=True)

STUDIES = {
    "lenet5-finetune": Study(
        5,
        {
            "lenet5 on MNIST": [MNIST],
            "turned by a quarter: before": [MNIST, ON_TURNED._replace(trained=False)],
            "turned by a quarter: after": [MNIST, ON_TURNED],
            "turned by a quarter: frozen by chance": [ON_TURNED],
            "Fashion-MNIST: before": [MNIST, ON_CLOTHES._replace(trained=False)],
            "Fashion-MNIST: after": [MNIST, ON_CLOTHES],
            "Fashion-MNIST: frozen by chance": [ON_CLOTHES],
            "Fashion-MNIST: all of lenet5, from the start": [Step("lenet5", "fashion-mnist")],
        },
    ),
    "digits-resnet-frozen": Study(
        5,
        {
            "on the digits": [DIGITS],
            "turned: trunk frozen, the last layer learns": [DIGITS, TURNED._replace(frozen="5")],
            "turned: the same, frozen by chance": [TURNED._replace(frozen="5")],
            "turned: the last residual layer learns, too": [DIGITS, TURNED._replace(frozen="3")],
            "turned: the same, the rest frozen by chance": [TURNED._replace(frozen="3")],
            "turned: all of it, from the start": [TURNED],
        },
    ),
    "digits-resnet-gamma": Study(20, {"without": [DIGITS], "with": [DIGITS._replace(gamma=True)]}),
}


def _with_gammas(network: Description) -> Description:
    """With a gamma in every norm, those in residual layers, too."""

    def changed(layer: Any) -> Any:
        if isinstance(layer, list):
            return [changed(one) for one in layer]
        if not isinstance(layer, dict):
            return layer
        more = {"gamma": True} if str(layer.get("kind", "")).endswith("norm") else {}
        return {**{key: changed(value) for key, value in layer.items()}, **more}

    return Description.model_validate(changed(network.model_dump(mode="json", exclude_none=True)))


def _turned(dataset: Dataset) -> Dataset:
    """With every image turned by a quarter."""
    height, width, channels = dataset.shape

    def turn(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        images = x.reshape(len(x), height, width, channels)
        return np.ascontiguousarray(np.rot90(images, axes=(1, 2))).reshape(x.shape)

    return replace(dataset, train_x=turn(dataset.train_x), test_x=turn(dataset.test_x))


def scores(steps: Sequence[Step], seed: int) -> tuple[float, float]:
    """(share of the test samples that are right, their mean loss in nats) after the last step."""
    *before, last = steps
    return _done(tuple(before), last, seed)[0]


@cache
def _done(before: tuple[Step, ...], step: Step, seed: int) -> tuple[tuple[float, float], bytes]:
    """What `scores` says of a step, and a file of the weights that it leaves behind."""
    description = step.description
    schedule, dataset = api.plan(description).schedule, step.dataset
    states, content = None, b""
    last: Epoch | None
    if before:
        *earlier, previous = before
        _, content = _done(tuple(earlier), previous, seed)
        with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
            path = Path(scratch) / "weights.safetensors"
            path.write_bytes(content)
            states = weights_of(path, description, schedule, seed).states
    if step.trained or states is None:
        found = train(description, schedule, dataset, seed=seed, states=states)
        last, kept = found.epochs[-1], found.checkpoint
        assert kept is not None
        content = safetensors(Tensors(schedule), kept.states, {})
    else:
        last = test(description, schedule, dataset, states)
    assert last is not None
    assert last.test_accuracy is not None
    assert last.test_loss is not None
    return (last.test_accuracy, last.test_loss), content


def made(key: str) -> dict[str, Any]:
    """Train all of a study; what is to be kept of it."""
    study = STUDIES[key]
    rows: dict[str, Any] = {}
    for name, steps in study.rows.items():
        several = [scores(steps, seed) for seed in range(1, study.seeds + 1)]
        rows[name] = {
            "networks": [step.description.hash() for step in steps],
            "accuracies": [accuracy for accuracy, _ in several],
            "losses": [loss for _, loss in several],
        }
        print(f"{key}, {name}: {_accuracy(rows[name]['accuracies'])}", flush=True)
    command = ["python", "-m", "counterflow.results.studies", key]
    first = next(iter(study.rows.values()))[0].description
    about = provenance(first, seed=1, command=command)
    return {"study": key, "seeds": study.seeds, "rows": rows, "provenance": about}


def table(found: marks.Facts, path: Path) -> str:
    """A row of the table for each of the study."""
    rows = [["", "test samples right: mean ± sd, %", "95 % interval", "test loss ± sd, nats"]]
    for name, one in found["rows"].items():
        accuracies, losses = one["accuracies"], one["losses"]
        mean, half = statistics.fmean(accuracies), _half(accuracies)
        between = f"{100 * (mean - half):.2f} to {100 * min(1.0, mean + half):.2f}"
        loss = f"{statistics.fmean(losses):.3f} ± {statistics.stdev(losses):.3f}"
        rows.append([name, _accuracy(accuracies), between, loss])
    text = f"`{found['provenance']['command']}`, n = {found['seeds']} seeds; "
    text += f"[JSON](results/{path.name})"
    if not is_fresh(found):
        text += ". Networks have been changed since"
    return f"{grid(rows)}\n\n{text}."


def is_fresh(found: marks.Facts) -> bool:
    """Whether what was trained is what the study would train today."""
    study = STUDIES[found["study"]]
    now = {name: [step.description.hash() for step in steps] for name, steps in study.rows.items()}
    return now == {name: one["networks"] for name, one in found["rows"].items()}


def _accuracy(several: Sequence[float]) -> str:
    return f"{100 * statistics.fmean(several):.2f} ± {100 * statistics.stdev(several):.2f}"


def _half(several: Sequence[float]) -> float:
    """Half of the interval of Student's t."""
    return student(len(several) - 1) * statistics.stdev(several) / math.sqrt(len(several))


def renewed(text: str, folder: Path = FOLDER) -> str:
    """`text` with the table of each of its marks; ValueError names a mark without a result."""
    return marks.renewed(text, KIND, lambda found, path, _claim: table(found, path), folder)


def main(keys: Sequence[str]) -> int:
    """Run ``python -m counterflow.results.studies``; return the exit status."""
    unknown = [key for key in keys if key not in STUDIES]
    if unknown:
        print(f"error: no study {unknown[0]!r}; there are {', '.join(STUDIES)}.", file=sys.stderr)
        return 2
    for key in keys:
        write_json(marks.path_of(KIND, key), made(key))
    marks.renew(PAGES, renewed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
