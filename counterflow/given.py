"""What the functions of the package are given, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterflow.design.data.own.read import Given
    from counterflow.design.data.sets import Dataset
    from counterflow.design.network.description import Description
    from counterflow.design.schedule.planner import Plan

    Network = Description | Plan | Mapping[str, Any] | str | Path


LONGEST = 80  # characters of a value that an error repeats


def numbers(**given: object) -> list[int | None]:
    """These numbers as integers, NumPy's too; None stays.

    ValueError where one is none that the command line would take.
    """
    from counterflow.commands import numerals

    kinds = dict.fromkeys(("multipliers", "memory", "interval", "lut_multipliers"), numerals.COUNT)
    kinds |= {"samples": numerals.SAMPLES, "epochs": numerals.EPOCHS, "seed": numerals.SEED}
    found: list[int | None] = []
    for name, value in given.items():
        least, most = kinds[name].least, kinds[name].most
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        number = int(value) if whole else None  # type: ignore[call-overload]
        if value is not None and (number is None or not least <= number <= most):
            raise ValueError(
                f"{name} is {shown(value)}, expected an integer from {least} to {most}."
            )
        found.append(number)
    return found


def shown(value: object) -> str:
    """A value where that is short, else its type, in words: arrays would fill the screen."""
    short = value is None or isinstance(value, Number | str | bytes)
    return f"{value!r}"[:LONGEST] if short else f"of the type {type(value).__name__}"


def choice(name: str, value: object, possible: Sequence[str]) -> None:
    """ValueError where `value` is none of those that are possible."""
    if value not in possible:
        raise ValueError(f"{name} is {shown(value)}, expected {' or '.join(map(repr, possible))}.")


def path(name: str, value: object, *, folder: bool = False) -> Path | None:
    """That of a file or folder; None stays, and ValueError is for what is no path."""
    if value is None or isinstance(value, Path | str):
        return None if value is None else Path(value)
    what = "folder" if folder else "file"
    raise ValueError(f"{name} is {shown(value)}, expected the path of a {what}.")


def place(name: str, value: object, *, folder: bool = False) -> Path | None:
    """Where something is to be written, tried before the work; ValueError where nothing can be."""
    from counterflow.commands.places import tried

    found = path(name, value, folder=folder)
    return None if found is None else tried(found, folder=folder)


def beside(network: Network) -> Path | None:
    """The folder of the TOML file that a network comes from, if it is known."""
    from counterflow.design.network.description import Description
    from counterflow.design.network.files import folder_of
    from counterflow.design.schedule.planner import Plan

    if isinstance(network, Plan):
        return network.beside or network.description.beside
    if isinstance(network, Description):
        return network.beside
    return folder_of(network) if isinstance(network, Path | str) else None


def data(network: Network, description: Description, brought: Given | None) -> Dataset:
    """As the command line finds them: what a TOML file names stands beside it."""
    from counterflow.design.data.training import training_data

    return training_data(description, brought, beside=beside(network))
