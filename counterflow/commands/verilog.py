"""`counterflow verilog`: the hardware of a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import options, outcome, places
from counterflow.commands.display import Display
from counterflow.commands.fit import folded
from counterflow.commands.plan import plan_json, plan_table

if TYPE_CHECKING:
    from counterflow.design.schedule.planner import Plan

BUSES = ("streams", "axi")


@click.command()
@options.network
@click.option(
    "--bus",
    type=click.Choice(BUSES),
    default="streams",
    show_default=True,
    help="What the ports are: plain streams, or AXI4-Stream and AXI4-Lite.",
)
@click.option(
    "--module", help="Name of the Verilog module and of the files [default: the network's]."
)
@click.option("--vlnv", help="Name of the FuseSoC core, vendor:library:name:version.")
@options.target
@options.stash
@options.fold
@options.output(folder="Folder for the files [default: build/NET].")
def verilog(
    net: str,
    bus: str,
    module: str | None,
    vlnv: str | None,
    target_name: str | None,
    stash: str,
    limits: options.Limits,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Generate Verilog that trains NET.

    Leaves NET.v, the whole description (NET-verilog.toml) and what made it (NET-verilog.json) in
    the output folder. With --bus axi it is NET_axi.v, with the registers as a C header (NET_axi.h)
    and as a page (NET_axi.md), and a core file for FuseSoC (NET_axi.core).

    The names of all modules in it begin with that of the network. Two designs of one network, as
    with different folds, need a name of their own to stand in one project: --module, by which all
    files are called then.

    \b
    Examples:
        counterflow verilog digits -o out
        counterflow verilog digits --target ecp5-25f
        counterflow verilog digits --bus axi -o out
        counterflow verilog digits --multipliers 20 --module digits_small -o out
    """
    from counterflow.design.network.files import load, write_atomically
    from counterflow.design.parts.names import check_module_name

    if module is not None:
        check_module_name(module)
    if vlnv is not None and bus != "axi":
        raise click.UsageError("--vlnv needs --bus axi: only there a core file is written.")
    if stash != "inside":
        raise ValueError(
            f"--stash {stash} can be planned, but no hardware is made for it yet; leave it out"
        )
    display = Display(as_json=as_json, quiet=quiet)
    # Planned before what takes long to import.
    design, _ = folded(load(net), limits, target_name)
    description = design.description
    folder = out or places.default(default_folder(description.name))
    stem = module or (description.name if bus == "streams" else f"{description.name}_{bus}")
    with outcome.into(folder, f"{stem}-verilog") as made:
        contents = axi_files(design, vlnv, module) if bus == "axi" else stream_files(design, module)
        for name, text in contents.items():
            write_atomically(made.scratch / name, text)
        kept = made.keep(plan_json(design), description)
    display.show(plan_table(design))
    display.files(kept.files)
    display.result(kept.result)


def stream_files(design: Plan, module: str | None = None) -> dict[str, str]:
    """The Verilog, by file name."""
    from counterflow.hw.tops.verilog import to_verilog

    return {f"{module or design.description.name}.v": to_verilog(design, module)}


def axi_files(design: Plan, vlnv: str | None = None, module: str | None = None) -> dict[str, str]:
    """Verilog with standard buses and what goes with it, by file name."""
    from counterflow.design.bus.c_header import c_header
    from counterflow.design.bus.register_page import page
    from counterflow.fusesoc import core_file, default_vlnv
    from counterflow.hw.tops.axi import axi_module_name, to_axi_verilog

    name, top = design.description.name, axi_module_name(design, module)
    stem = module or f"{name}_axi"
    core = core_file(
        vlnv=default_vlnv(top) if vlnv is None else vlnv,
        module=top,
        stem=stem,
        about=f"Trains {name}; made by Counterflow",
    )
    core_name = f"{vlnv.split(':')[2] if vlnv else stem}.core"  # where FuseSoC's generators look
    return {
        core_name: core,
        f"{stem}.v": to_axi_verilog(design, module),
        f"{stem}.h": c_header(design, module),
        f"{stem}.md": page(design),
    }


def default_folder(name: str) -> Path:
    """Where a network's files go unless the user says."""
    return Path("build") / name
