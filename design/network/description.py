"""The description: network, number formats, recipe and fold as frozen, validated values.

Everything that the golden model, the hardware and the command line know of a design they read
from here, and a TOML file holds the same fields under the same names (`design.network.files`).
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from counterflow.design.graph import Graph, Growth
from counterflow.design.network.components import Components, cut, horizon_of
from counterflow.design.network.copies import copied
from counterflow.design.network.ends import LOSSES, USUAL, Loss, Targets, check_ends, sources
from counterflow.design.network.layers import AnyLayer
from counterflow.design.network.reading import Reading
from counterflow.design.parts.fields import MAX_ELEMENTS, MAX_WIDTH, Expected, Frozen, integers
from counterflow.design.parts.geometry import Shape
from counterflow.design.parts.limits import MAX_BUDGET
from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.roles import Formats, Roundings
from counterflow.design.units.convolution import ConvolutionUnit, Dense
from counterflow.design.units.head import Head
from counterflow.design.units.normal_unit import NormalUnit
from counterflow.design.units.tiling import Lanes

DATASET = "digits"


class Fold(Frozen):
    """What the planner is asked for: a budget, a target interval, or lanes given by hand."""

    multipliers: int | None = Field(
        default=None,
        ge=1,
        le=MAX_BUDGET,
        description="Multipliers that the design may have. Not together with `lanes`.",
    )
    memory: int | None = Field(
        default=None,
        ge=1,
        le=MAX_BUDGET,
        description="Bits of memory that the design may have. A plan with more is refused.",
    )
    interval: int | None = Field(
        default=None,
        ge=1,
        le=MAX_BUDGET,
        description="Clock cycles that may pass from one training sample to the next.",
    )
    lut_multipliers: int = Field(
        default=0,
        ge=0,
        le=MAX_BUDGET,
        description="Further multipliers, beside those of `multipliers`, that may be made of LUTs.",
        exclude_if=lambda value: not value,
    )
    lanes: tuple[Lanes, ...] | None = Field(
        default=None,
        strict=False,
        description="The fold by hand: an entry for each layer with weights, heads included, in "
        "the order of the dataflow.",
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if self.lanes is not None and self.multipliers is not None:
            raise ValueError("give either fold.lanes or fold.multipliers, not both")
        if self.lut_multipliers and self.multipliers is None:
            raise ValueError(
                f"fold.lut_multipliers is {self.lut_multipliers}, but there is no "
                "fold.multipliers, the number of blocks beside which these are"
            )
        return self


@dataclass(frozen=True)
class Origin:
    """Where a description comes from, which is no part of its value: all origins are equal."""

    folder: Path | None = field(default=None, compare=False)


def _is_none(value: object) -> bool:
    return value is None


def _is_empty(value: object) -> bool:
    return not value


INPUTS = Expected(
    f"an integer from 1 to {MAX_WIDTH} or [height, width, channels], of height 1 for a signal"
)


def _inputs(value: object) -> int | tuple[int, ...]:
    if type(value) is int and 1 <= value <= MAX_WIDTH:
        return value
    found = integers(value, 3, 1, MAX_WIDTH)
    if found is None:
        raise INPUTS.error()
    return found


class Description(Frozen):
    """A whole design: a chain of layers, its numbers, its recipe, its data set and its fold."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]*$",
        max_length=40,
        description="Name of the network, of its files and of its Verilog modules.",
    )
    dataset: str = Field(
        default=DATASET,
        min_length=1,
        description="What it is trained on: the name of a data set, or the path of a file or "
        "folder.",
    )
    data: Reading | None = Field(
        default=None,
        exclude_if=_is_none,
        description="How a file or folder of `dataset` is read.",
    )
    inputs: Annotated[int | tuple[int, int, int], BeforeValidator(_inputs), INPUTS] = Field(
        description="Shape of a sample: the elements of a vector, or an image, which has at most "
        f"{MAX_ELEMENTS:,} elements. A signal is an image of height one: [1, length, channels]."
    )
    layers: tuple[AnyLayer, ...] = Field(
        min_length=1,
        strict=False,
        description="The layers from input to output. The last one is dense, with "
        '`activation = "none"` and a score for each of 2 to 256 classes, or for each target.',
    )
    loss: Loss = Field(
        default="softmax",
        exclude_if=lambda value: value == "softmax",
        description="What is learnt to be small: cross-entropy of a softmax over all outputs; mean "
        "squared error, of regression and autoencoders; or binary cross-entropy of each output.",
    )
    targets: Targets | None = Field(
        default=None,
        exclude_if=_is_none,
        description="What outputs shall be: 1 for the label and 0 for all others, the input "
        "itself, as of autoencoders, or targets in the data. By default those of `mse` are in the "
        "data, and others follow from labels.",
    )
    held_out: int | None = Field(
        default=None,
        ge=0,
        lt=256,
        exclude_if=_is_none,
        description="A class that is kept out of training, so that an autoencoder shall find it "
        "strange.",
    )
    interlocking: int | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Losses that a component sees: from 1, its own, to all, which is the default "
        "and end to end.",
    )
    components: Components | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Where the network is cut into components: their sizes in layers, or one for "
        "each residual layer.",
    )
    head: tuple[AnyLayer, ...] = Field(
        default=(),
        strict=False,
        exclude_if=_is_empty,
        description="Layers of the head behind each component, the last of them dense like that "
        "of the network. Without it, heads are chosen.",
    )
    exits: bool = Field(
        default=False,
        exclude_if=_is_empty,
        description="Whether heads from which nothing learns are built, too, as early exits.",
    )
    formats: Formats = Field(
        default=Formats(), description="Number formats by what they hold, for every layer."
    )
    rounding: Roundings = Field(
        default=Roundings(), description="How numbers are rounded to their formats."
    )
    recipe: Recipe = Field(default=Recipe(), description="How the network is trained.")
    fold: Fold = Field(
        default=Fold(), description="How much hardware there is, or how fast it has to be."
    )
    _origin: Origin = PrivateAttr(default=Origin())

    @property
    def beside(self) -> Path | None:
        """The folder of its TOML file, if it comes from one: there paths of data begin."""
        return self._origin.folder

    def found_in(self, folder: Path | None) -> Self:
        """An equal one that comes from a file in `folder`."""
        made = self.model_copy()
        made._origin = Origin(folder)
        return made

    @model_validator(mode="after")
    def _whole(self) -> Self:
        last = self.layers[-1]
        if not isinstance(last, Dense):
            raise ValueError(
                f"the last layer is {last.named}, but the {self.loss} behind it needs the scores "
                "of a dense layer"
            )
        if self.elements > MAX_ELEMENTS:
            raise ValueError(
                f"inputs name {self.elements:,} elements a sample; at most {MAX_ELEMENTS:,} are "
                "possible"
            )
        self._end(last)
        weighted = len(self.weighted)
        self._frozen()
        placement = self.recipe.placement
        if placement and not (placement[0] >= 1 and placement[-1] < weighted):
            raise ValueError(
                f"recipe.placement {list(placement)} names a layer behind which no registers can "
                f"be; they are between the {weighted} layers with weights, so that all numbers are "
                f"at least 1 and less than {weighted}"
            )
        if self.fold.lanes is not None and len(self.fold.lanes) != weighted:
            raise ValueError(
                f"fold.lanes has {len(self.fold.lanes)} entries for {weighted} layers with weights"
            )
        return self

    def _frozen(self) -> None:
        """Something must learn, and what is frozen is of one component."""
        kinds = ConvolutionUnit, NormalUnit
        units = [unit for unit in self.graph.units if isinstance(unit, kinds)]
        frozen = [unit.where for unit in units if unit.frozen]
        if not self.graph.units[-1].inputs[0].wanted:
            raise ValueError(
                "all layers with weights are frozen, so that nothing would learn; leave frozen out "
                "of one of them, such as the last"
            )
        if frozen and self._several:
            remedy = "the heads" if self.components is None else "components"
            raise ValueError(
                f"{frozen[0]} is frozen, but the network is cut into components, whose layers all "
                f"learn; leave out frozen, or {remedy}"
            )

    def _end(self, last: Dense) -> None:
        """The last layer must give what the loss can take."""
        source, features = self.target_source, self.features
        check_ends(self.loss, source, last, self.formats, features, self._several)
        if self.held_out is not None and source != "input":
            raise ValueError(
                f"held_out is {self.held_out}, but a network that learns from {source}s tells "
                "nothing of a class that it has never seen; leave it out, or let targets be 'input'"
            )

    @property
    def _several(self) -> bool:
        """Whether there are components with losses of their own."""
        return self.components is not None or any(isinstance(one, Head) for one in self.layers)

    @property
    def image(self) -> Shape:
        """Shape of a sample: height, width, channels."""
        return (1, 1, self.inputs) if isinstance(self.inputs, int) else self.inputs

    @property
    def features(self) -> int:
        """Elements of a sample that the first layer gets."""
        return math.prod(self.image)

    @property
    def elements(self) -> int:
        """Elements of a sample as it is sent, with its targets behind it if they are data."""
        return self.features + (self.outputs if self.target_source == "data" else 0)

    @property
    def target_source(self) -> Targets:
        """Where targets come from."""
        return self.targets or USUAL[self.loss]

    @property
    def judged(self) -> bool:
        """Whether labels say which answers are right, so that there is an accuracy."""
        return self.target_source == "label"

    @cached_property
    def graph(self) -> Graph:
        """What the layers become.

        Raises ValueError, one sentence that names the layer, where they do not fit each other.
        """
        placed = cut(self.layers, self.components, self.head)
        horizon = horizon_of(placed, self.interlocking, self.exits)
        growth = Growth(self.formats, self.rounding, horizon, self.layers[-1])
        source, edge, targets = sources(growth, self.image, self.outputs, self.target_source)
        layers, places = zip(*placed, strict=True)
        last = replace(places[-1], scores=self.formats.logit)
        scores = growth.chain(layers, edge, [*places[:-1], last])
        rounding = self.rounding.error
        growth.add(
            LOSSES[self.loss](
                name="loss",
                where="the loss",
                inputs=(scores, *targets),
                outputs=(),
                round_error=rounding,
                together=1 + len(horizon.built),
            )
        )
        return copied(growth.graph(source), rounding)

    @cached_property
    def weighted(self) -> tuple[ConvolutionUnit, ...]:
        """Those of the units that have weights, in the order of the dataflow."""
        return tuple(unit for unit in self.graph.units if isinstance(unit, ConvolutionUnit))

    @property
    def widths(self) -> tuple[int, ...]:
        """Elements of a sample, then of the output of each layer with weights."""
        return (self.features, *(unit.geometry.elements for unit in self.weighted))

    @property
    def other_multipliers(self) -> int:
        """Those of units without lanes, whatever the fold."""
        return sum(unit.multipliers for unit in self.graph.units)

    @property
    def least_multipliers(self) -> int:
        """Of any fold: one for each unit with weights, and those of others."""
        return len(self.weighted) + self.other_multipliers

    @property
    def outputs(self) -> int:
        """Scores of a sample."""
        last = self.layers[-1]
        assert isinstance(last, Dense)
        return last.outputs

    @property
    def classes(self) -> int:
        """Labels that there are; without labels a sample's is 0."""
        if not self.judged:
            return 1
        return self.outputs if self.loss == "softmax" else max(2, self.outputs)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(unit.parameters for unit in self.graph.units)

    def hash(self) -> str:
        """Twelve hex digits that name this description; equal values have equal hashes."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def identity(self) -> int:
        """The word by which hardware says whose it is: the first of `hash`."""
        return int(self.hash()[:8], 16)

    def hash_without_data(self) -> str:
        """As `hash`, of all but the data set: what a training on other data has in common."""
        return self.model_copy(update={"dataset": DATASET, "data": None}).hash()
