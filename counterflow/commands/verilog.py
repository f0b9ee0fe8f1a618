"""`counterflow verilog`: the hardware of a network."""

from __future__ import annotations

from pathlib import Path

import click

from counterflow.commands import options
from counterflow.commands.display import Display
from counterflow.commands.fit import folded
from counterflow.commands.plan import plan_json, plan_table


@click.command()
@options.network
@options.target
@options.fold
@options.output(folder="Folder for the files [default: build/NET].")
def verilog(
    net: str,
    target_name: str | None,
    multipliers: int | None,
    memory: int | None,
    interval: int | None,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Generate Verilog that trains NET.

    Leaves NET.v, the whole description and the versions that made it in the output folder.

    \b
    Examples:
        counterflow verilog digits -o out
        counterflow verilog digits --target ecp5-25f
    """
    from counterflow import provenance
    from counterflow.files import load, write_atomically

    display = Display(as_json=as_json, quiet=quiet)
    # Planned before what takes long to import.
    design, _ = folded(load(net), multipliers, memory, interval, target_name)
    description = design.description
    from hw.verilog import to_verilog

    folder = out or default_folder(description.name)
    text = to_verilog(design)
    files = [
        write_atomically(folder / f"{description.name}.v", text),
        *provenance.record(
            folder, description, seed=description.recipe.seed, command=options.command_line()
        ),
    ]
    display.show(plan_table(design))
    display.files(files)
    display.result({**plan_json(design), "files": [str(file) for file in files]})


def default_folder(name: str) -> Path:
    """Where a network's files go unless the user says."""
    return Path("build") / name
