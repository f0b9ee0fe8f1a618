"""Arguments that several commands share, and what they mean for a description."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from counterflow.commands import numerals
from counterflow.commands.places import Writable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from counterflow.design.network.description import Description


class Limits(NamedTuple):
    """What a design may have at most; None where nothing is said."""

    multipliers: int | None = None
    memory: int | None = None
    interval: int | None = None
    lut_multipliers: int | None = None

    @property
    def of_target(self) -> dict[str, int | None]:
        """Those within what a target has."""
        return {"multipliers": self.multipliers, "interval": self.interval}


Command = TypeVar("Command", bound=Callable[..., Any])


def numbers(of: str) -> Callable[..., tuple[int, ...] | None]:
    """A callback of click that reads the numbers `of` something, with commas between them."""

    def read(
        context: click.Context, parameter: click.Parameter, value: str | None
    ) -> tuple[int, ...] | None:
        if value is None:
            return None
        found = [numerals.whole(part) for part in value.split(",")]
        if None in found:
            message = f"{value!r} is no list of {of} such as 2,4."
            raise click.BadParameter(message, context, parameter)
        return tuple(one for one in found if one is not None)

    return read


FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
NEW_FOLDER = Writable(file_okay=False, path_type=Path)
NEW_FILE = Writable(dir_okay=False, path_type=Path)
STASHES = ("inside", "outside", "all")
ARGUMENTS = "counterflow.arguments"  # where the group leaves the command line for provenance

network = click.argument("net")
dataset = click.option("--dataset", "dataset_name", help="Another data set than NET's own.")
seed = click.option(
    "--seed",
    type=numerals.SEED,
    help="Seed of initial weights, order and rounding [default: the recipe's].",
)

weights = click.option(
    "--weights", type=FILE, help="Begin with the weights in this safetensors or NPZ file."
)

placement_seed = click.option(
    "--seed",
    type=numerals.SEED,
    default=1,
    show_default=True,
    help="Seed of placement: another one, another frequency.",
)
placement_seeds = click.option(
    "--seeds",
    type=numerals.Whole(1, 100),
    default=1,
    show_default=True,
    help="How many placements to try from --seed on, beside each other; the fastest is kept.",
)


def output(*, folder: str) -> Callable[[Command], Command]:
    """--json, --quiet and --out, whose help says what the folder receives."""

    def add(command: Command) -> Command:
        command = click.option("-o", "--out", type=NEW_FOLDER, help=folder)(command)
        return display(command)

    return add


def display(command: Command) -> Command:
    """--json and --quiet."""
    command = click.option("--quiet", is_flag=True, help="No progress, no tables.")(command)
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="JSON on standard output, the rest on standard error.",
    )(command)


def fold(command: Callable[..., Any]) -> Callable[..., Any]:
    """--multipliers, --lut-multipliers, --memory and --interval, as `limits`."""

    @wraps(command)
    def limited(**given: Any) -> Any:
        limits = Limits(*(given.pop(name) for name in Limits._fields))
        return command(limits=limits, **given)

    for name, text in (
        ("interval", "Cycles that a slot may take."),
        ("memory", "Memory bits that the design may use."),
        ("lut-multipliers", "Further multipliers that may be made of LUTs."),
        ("multipliers", "Multipliers that the design may use."),
    ):
        limited = click.option(f"--{name}", type=numerals.COUNT, help=text)(limited)
    return limited


def target(command: Command) -> Command:
    """--target, as `target_name`."""
    text = "Fold for this FPGA, for example ecp5-85f: its multipliers, block RAMs and LUTs."
    return click.option("--target", "target_name", help=text)(command)


def interlocking(command: Command) -> Command:
    """--interlocking, as `horizons`."""
    return click.option(
        "--interlocking",
        "horizons",
        callback=numbers("losses that a component sees"),
        metavar="NUMBERS",
        help="Side by side, each component learning from so many losses on, as in 1,4: local and, "
        "of four components, end to end.",
    )(command)


def stash(command: Command) -> Command:
    """--stash."""
    return click.option(
        "--stash",
        type=click.Choice(STASHES),
        default="inside",
        show_default=True,
        help="Where inputs wait for their gradient: inside, outside where they must, all outside.",
    )(command)


def given(parameter: str) -> bool:
    """Whether the user gave it, even if with the value that it has by default."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is click.core.ParameterSource.COMMANDLINE


def command_line() -> list[str]:
    """The command that runs now, as it was typed."""
    context = click.get_current_context()
    return ["counterflow", *context.find_root().meta.get(ARGUMENTS, ())]


def check_apart(path: Path | None, *, but: str = "") -> None:
    """ValueError if a file to be written is one that the command line names to be read.

    ``but`` is the parameter whose file may be replaced.
    """
    if path is not None and os.path.realpath(path) in read_files(but=but):
        raise ValueError(f"{path} is what this begins with, expected another name to write to")


def read_files(*, but: str = "") -> set[str]:
    """Real paths of what the command line names to be read, without that of the parameter `but`."""
    context = click.get_current_context()
    found = (
        context.params.get(str(one.name))
        for one in context.command.params
        if one.name != but and not isinstance(one.type, Writable)
    )
    return {os.path.realpath(one) for one in found if isinstance(one, str | Path) and one}


def with_fold(description: Description, limits: Limits) -> Description:
    """`description` folded as asked; a budget or an interval replaces the target it had."""
    from counterflow.design.network.description import Fold

    old = description.fold
    target = limits.multipliers is not None or limits.interval is not None
    more = limits.lut_multipliers or (0 if target else old.lut_multipliers)
    fields = {
        "multipliers": limits.multipliers if target else old.multipliers,
        "interval": limits.interval if target else old.interval,
        "memory": old.memory if limits.memory is None else limits.memory,
        "lanes": None if target else old.lanes,
        "lut_multipliers": more,
    }
    return description.model_copy(update={"fold": checked(Fold, fields)})


def with_dataset(description: Description, name: str | None) -> Description:
    """`description` with the data set `name`, its own where that is None."""
    if name is None:
        return description
    return description.model_copy(update={"dataset": name}).found_in(None)


def with_recipe(description: Description, **changes: object) -> Description:
    """`description` with those fields of its recipe changed that are not None."""
    from counterflow.design.network.description import Description
    from counterflow.design.parts.recipe import Recipe

    wanted = {key: value for key, value in changes.items() if value is not None}
    if wanted.get("scheme", "fill-and-drain") != "fill-and-drain":
        wanted.setdefault("batch", 1)
    recipe = description.recipe
    derived = {"learning_rate", "momentum"} if recipe.scale_from is not None else set()
    fields = {**recipe.model_dump(exclude=derived), **wanted}
    found = {name: getattr(description, name) for name in Description.model_fields}
    made = checked(Description, {**found, "recipe": checked(Recipe, fields)})
    return made.found_in(description.beside)


def with_interlocking(description: Description, sees: int) -> Description:
    """`description`, each component of which learns from so many losses on."""
    from counterflow.design.network.description import Description

    found = {name: getattr(description, name) for name in Description.model_fields}
    return checked(Description, {**found, "interlocking": sees})


Model = TypeVar("Model", bound="BaseModel")


def checked(model: type[Model], fields: dict[str, Any]) -> Model:
    """A value of `model`; ValueError in one sentence where the fields are not."""
    from pydantic import ValidationError

    from counterflow.design.network.complaints import complaint
    from counterflow.design.network.files import TOO_DEEP

    try:
        return model.model_validate(fields)
    except RecursionError as error:  # of a mapping that holds itself, too
        raise ValueError(f"{TOO_DEEP}.") from error
    except ValidationError as error:
        raise ValueError(complaint(error, model)) from error
