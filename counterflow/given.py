"""What the functions of the package are given, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterflow.design.data.own.read import Given
    from counterflow.design.data.sets import Dataset
    from counterflow.design.network.description import Description
    from counterflow.design.schedule.planner import Plan

    Network = Description | Plan | Mapping[str, Any] | str | Path


def check(**numbers: object) -> None:
    """ValueError where one of these numbers is none that the command line would take."""
    from counterflow.commands import numerals

    kinds = {"samples": numerals.SAMPLES, "epochs": numerals.EPOCHS, "seed": numerals.SEED}
    for name, value in numbers.items():
        least, most = kinds[name].least, kinds[name].most
        if value is not None and not (isinstance(value, int) and least <= value <= most):
            raise ValueError(f"{name} is {value!r}, expected an integer from {least} to {most}.")


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
