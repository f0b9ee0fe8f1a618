"""What the functions of the package are given, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterflow.design.data.own.read import Given
    from counterflow.design.data.sets import Dataset
    from counterflow.design.network.description import Description
    from counterflow.design.schedule.planner import Plan

    Network = Description | Plan | Mapping[str, Any] | str | Path


def numbers(**given: object) -> list[int | None]:
    """These numbers as integers, NumPy's too; None stays.

    ValueError where one is none that the command line would take.
    """
    from counterflow.commands import numerals

    kinds = dict.fromkeys(("multipliers", "memory", "interval"), numerals.COUNT)
    kinds |= {"samples": numerals.SAMPLES, "epochs": numerals.EPOCHS, "seed": numerals.SEED}
    found: list[int | None] = []
    for name, value in given.items():
        least, most = kinds[name].least, kinds[name].most
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        number = int(value) if whole else None  # type: ignore[call-overload]
        if value is not None and (number is None or not least <= number <= most):
            raise ValueError(f"{name} is {value!r}, expected an integer from {least} to {most}.")
        found.append(number)
    return found


def choice(name: str, value: object, possible: Sequence[str]) -> None:
    """ValueError where `value` is none of those that are possible."""
    if value not in possible:
        raise ValueError(f"{name} is {value!r}, expected {' or '.join(map(repr, possible))}.")


def place(path: Path | str | None, *, folder: bool = False) -> Path | None:
    """Where something is to be written, tried before the work; ValueError where nothing can be."""
    from counterflow.commands.places import tried

    return None if path is None else tried(Path(path), folder=folder)


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
