"""What the page of results is about: which networks, trained on what, in which ways, how often."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from counterflow.design.network.description import Description
from counterflow.design.network.files import DescriptionError, load, parse
from counterflow.design.parts.recipe import Mitigation, Scheme
from counterflow.design.schedule.planner import plan

FOLDER = Path("docs/results")
"""Where the JSON files and the plots lie."""


@dataclass(frozen=True)
class Way:
    """A way to train; ``name`` names it in JSON, ``title`` on the page."""

    name: str
    title: str
    model: Literal["integer", "float"]
    scheme: Scheme
    mitigation: Mitigation

    @property
    def options(self) -> list[str]:
        """What ``counterflow train`` has to be told."""
        found = ["--scheme", self.scheme, "--mitigation", self.mitigation]
        return found if self.model == "integer" else ["--model", "float", *found]


WAYS = (
    Way("float-sequential", "float64, sequential", "float", "sequential", "none"),
    Way("sequential", "integer, sequential", "integer", "sequential", "none"),
    Way("pipelined", "integer, pipelined", "integer", "pipelined", "none"),
    Way("pipelined-lwpv", "the same with lwpv", "integer", "pipelined", "lwpv"),
    Way("pipelined-lwpv+sc", "the same with lwpv+sc", "integer", "pipelined", "lwpv+sc"),
)
"""From what is aimed at to what the hardware does; the first is what all are held against."""


@dataclass(frozen=True)
class Setting:
    """A network of `design.network.files` trained on a data set for so many epochs.

    ``seeds`` are how often in integers and in float64, whose training takes many times as long.
    """

    network: str
    dataset: str
    epochs: int
    seeds: tuple[int, int]

    @property
    def name(self) -> str:
        """As in the names of files."""
        return self.network if self.network == self.dataset else f"{self.network}-{self.dataset}"

    @property
    def description(self) -> Description:
        """The network as it is described now, with that data set."""
        return load(self.network).model_copy(update={"dataset": self.dataset})

    @property
    def delays(self) -> tuple[int, ...]:
        """Of every stage, as the planner has them now."""
        return _delays(self.description)

    def count(self, way: Way) -> int:
        """Seeds, counted from 1, that `way` is to be tried with."""
        return self.seeds[way.model == "float"]

    def command(self, way: Way, seed: int) -> list[str]:
        """The command line that trains so."""
        found = ["counterflow", "train", self.network]
        if load(self.network).dataset != self.dataset:
            found += ["--dataset", self.dataset]
        return [*found, "--epochs", str(self.epochs), *way.options, "--seed", str(seed)]


@lru_cache
def described(text: str) -> Description | None:
    """The description in a TOML text; None where it is of a version too old to be understood.

    Fields that did not exist when the text was written get their defaults, which mean what was done
    then; so descriptions are compared as values, and their hashes only name them.
    """
    try:
        return parse(text)
    except DescriptionError:
        return None


@lru_cache
def _delays(description: Description) -> tuple[int, ...]:
    return tuple(stage.delay for stage in plan(description).schedule.stages)


NETWORKS = {
    "lenet5": "LeNet-5",
    "mnist": "MLP 784-64-32-10",
    "digits": "MLP 64-32-32-10",
    "digits-conv": "CNN of two convolutions",
}
"""Those on the page, and what it calls them."""

SETTINGS = (
    Setting("lenet5", "mnist", epochs=2, seeds=(5, 2)),
    Setting("lenet5", "fashion-mnist", epochs=3, seeds=(5, 2)),
    Setting("mnist", "mnist", epochs=2, seeds=(5, 3)),
    Setting("digits", "digits", epochs=20, seeds=(5, 5)),
    Setting("digits-conv", "digits", epochs=20, seeds=(5, 2)),
)
"""In the order of the page."""

DATASETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "digits": "digits"}
"""What the page calls them."""
