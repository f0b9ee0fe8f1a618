"""`counterflow export`: what a training has made, in formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from counterflow.commands import options, places
from counterflow.commands.display import Display
from counterflow.commands.verilog import default_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterflow.design.network.description import Description
    from counterflow.design.schedule.schedule import Schedule
    from counterflow.golden.units.state import State

ENDINGS = {
    "safetensors": ".safetensors",
    "npz": ".npz",
    "onnx": ".onnx",
    "onnx-float": "-float.onnx",
    "header": ".h",
}


@click.command()
@options.network
@click.argument("checkpoint", type=options.FILE)
@click.option("--to", type=click.Choice(list(ENDINGS)), required=True, help="What to write.")
@click.option(
    "-o",
    "--out",
    "file",
    type=options.NEW_FILE,
    help="File to write [default: in build/NET, by its kind].",
)
@options.display
def export(
    net: str, checkpoint: Path, to: str, file: Path | None, as_json: bool, quiet: bool
) -> None:
    """Write the weights in CHECKPOINT, which `train NET --checkpoint` left, for other programs.

    \b
        safetensors  real numbers in the layouts of a PyTorch state_dict, named by layers here
        npz          integers, and the scale of each array
        onnx         the network in integers: the golden model's scores, bit for bit
        onnx-float   the network in floats, without rounding, and the formats that it has here
        header       a C header with the integers of the forward pass

    \b
    Examples:
        counterflow export digits digits.npz --to safetensors
        counterflow export digits digits.npz --to onnx -o digits.onnx
        counterflow export build/digits/train.toml digits.npz --to npz -o weights.npz
    """
    from counterflow.design.network.files import load, write_atomically
    from counterflow.design.schedule.planner import plan

    display = Display(as_json=as_json, quiet=quiet)
    description = load(net)
    schedule = plan(description).schedule
    from counterflow.golden.training import checkpoint as checkpoints

    found = checkpoints.load(checkpoint, description, schedule)
    folder = places.default(default_folder(description.name)) if file is None else file.parent
    path = file or folder / f"{description.name}{ENDINGS[to]}"
    about = {
        "network": description.name,
        "description": description.hash(),
        "epoch": found.epoch,
        "seed": found.seed,
        "versions": found.versions,
    }
    options.check_apart(path)
    content = contents(to, description, schedule, found.states, about)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    display.files([path])
    display.result({"format": to, "file": str(path), **about})


def contents(
    to: str,
    description: Description,
    schedule: Schedule,
    states: Sequence[State],
    about: dict[str, Any],
) -> str | bytes:
    """The file of format `to`."""
    from counterflow.exchange import files
    from counterflow.exchange.tensors import Tensors

    tensors = Tensors(schedule)
    about = {**about, "epsilons": tensors.epsilons} if tensors.epsilons else about
    if to == "onnx":
        from counterflow.exchange.integer.network import integer_model

        return integer_model(description, schedule, states, about)
    if to == "onnx-float":
        from counterflow.exchange.floats.network import float_model

        return float_model(description, schedule, states, about)
    if to == "header":
        from counterflow.exchange.header import header

        return header(description, schedule, states, about)
    if to == "npz":
        return files.npz(tensors, states, about)
    return files.safetensors(tensors, states, about)
