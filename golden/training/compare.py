"""What stale weights cost and what mitigation brings back, over several methods and seeds."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from counterflow.design.data.sets import Dataset
from counterflow.design.network.description import Description
from counterflow.design.parts.beside import Beside
from counterflow.design.parts.recipe import Mitigation, Scheme
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.apart import train_apart
from counterflow.golden.training.epochs import Callback, Epoch, train

Numbers = Literal["integer", "float"]
"""Those of the hardware, or float64 under the same schedule."""


@dataclass(frozen=True)
class Method:
    """A way to train: where the bubbles are, and what is done about the delay.

    ``sequential_after`` as in the recipe: with it, a pipelined training is a hybrid one.
    """

    scheme: Scheme
    mitigation: Mitigation
    sequential_after: int | None = None

    @property
    def way(self) -> str:
        """The scheme, or "hybrid"."""
        return self.scheme if self.sequential_after is None else "hybrid"

    def __str__(self) -> str:
        return f"{self.way}, {self.mitigation}"


METHODS = (
    Method("sequential", "none"),
    Method("pipelined", "none"),
    Method("pipelined", "lwpv"),
    Method("pipelined", "sc"),
    Method("pipelined", "lwpv+sc"),
)
"""Undelayed SGD with momentum; pipelined backpropagation; its mitigations."""


PLAIN_AND_MITIGATED = (METHODS[0], METHODS[1], METHODS[4])
"""Those that tell whether delay harms, and whether that can be mended."""


def methods_with_hybrid(sequential_after: int | None) -> tuple[Method, ...]:
    """`METHODS`, and unless None a plain pipelined training that ends after so many samples.

    With it these are the runs that Zhang & Abdelrahman, arXiv 1912.12675, compare.
    """
    if sequential_after is None:
        return METHODS
    return (*METHODS, Method("pipelined", "none", sequential_after))


@dataclass(frozen=True)
class Row:
    """Test accuracy of one method after the last epoch, a share for each seed.

    Of squared errors ``accuracies`` are shares of the targets' variance that are ``explained``
    (R2).  ``heads``: the same of the scores behind inner components, by their numbers.
    """

    method: Method
    accuracies: tuple[float, ...]
    heads: Mapping[int, Row] = field(default_factory=dict)
    explained: bool = False

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracies)

    @property
    def sd(self) -> float:
        """Standard deviation of the seeds (the sample's, so 0 for a single one)."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


def compare_mitigations(
    description: Description,
    dataset: Dataset,
    *,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    methods: Sequence[Method] = METHODS,
    epochs: int | None = None,
    limit: int | None = None,
    model: Numbers = "integer",
    threads: int | None = None,
    on_progress: Callback | None = None,
) -> list[Row]:
    """Train `description` by each of `methods` with each of `seeds`: a row for each method.

    Each seed gives every method the same initial weights and order of samples.  ``epochs``,
    ``limit`` and ``model`` are those of `golden.training.epochs.train`; ``threads`` (default: one a
    processor) trainings run at a time, which is no faster for methods that only the slow chain
    knows; several in floats run in processes of their own.  ``on_progress`` is called with the
    training samples done and to do, of all trainings together.
    """
    if not seeds or not methods:
        raise ValueError("a comparison needs at least one seed and one method")
    if not description.judged and description.loss != "mse":
        raise ValueError(
            f"{description.name} has the loss '{description.loss}' with targets "
            f"'{description.target_source}', of which there is no accuracy to compare; compare one "
            "with labels, or with the loss 'mse'"
        )
    jobs = [(method, seed) for method in methods for seed in seeds]
    beside = Beside(len(jobs), on_progress)
    threads = threads or os.cpu_count() or 1
    apart = model == "float" and threads > 1

    def job(index: int) -> Epoch:
        method, seed = jobs[index]
        changed = with_method(description, method)

        def report(count: int, total: int) -> None:
            beside.tell(index, count, total * len(jobs))

        options: dict[str, Any] = {
            "seed": seed,
            "epochs": epochs,
            "limit": limit,
            "model": model,
            "evaluate": "last",
            "on_progress": report,
        }
        if apart:
            result = train_apart(changed, dataset, **options)
        else:
            result = train(changed, plan(changed).schedule, dataset, **options)
        if result.epochs[-1].share is None:
            raise ValueError(f"{dataset.name} has no test samples to compare on")
        return result.epochs[-1]

    with ThreadPoolExecutor(threads) as pool:
        try:
            found = list(pool.map(job, range(len(jobs))))
        except BaseException:  # an interruption, too, ends what runs and what waits
            beside.end()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    count = len(seeds)
    return [
        _row(method, found[index * count : (index + 1) * count])
        for index, method in enumerate(methods)
    ]


def _row(method: Method, last: Sequence[Epoch]) -> Row:
    """The last epochs of the trainings with each seed."""
    heads = {
        one.component: Row(method, tuple(epoch.heads[place].accuracy for epoch in last))
        for place, one in enumerate(last[0].heads)
    }
    explained = last[0].test_accuracy is None
    return Row(method, tuple(epoch.share or 0.0 for epoch in last), heads, explained)


def with_method(description: Description, method: Method) -> Description:
    """`description` with what `method` says; its placement is for pipelined methods alone."""
    recipe = description.recipe
    changes = {
        "scheme": method.scheme,
        "mitigation": method.mitigation,
        "batch": 1,
        "sequential_after": method.sequential_after,
        "placement": recipe.placement if method.scheme == "pipelined" else None,
    }
    return description.model_copy(update={"recipe": recipe.model_copy(update=changes)})
