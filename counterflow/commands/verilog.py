"""`counterflow verilog`: the hardware of a network."""

from __future__ import annotations

from pathlib import Path

import click

from counterflow.commands import options
from counterflow.commands.display import Display
from counterflow.commands.plan import plan_json, plan_table


@click.command()
@options.network
@options.fold
@options.output(folder="Folder for the files [default: build/NET].")
def verilog(
    net: str,
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
    Example:
        counterflow verilog digits -o out
    """
    from counterflow import provenance
    from counterflow.files import load, write_atomically
    from counterflow.planner import plan as planned

    display = Display(as_json=as_json, quiet=quiet)
    description = options.with_fold(load(net), multipliers, memory, interval)
    design = planned(description)  # before what takes long to import
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
