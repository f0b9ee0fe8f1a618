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
@click.option("--vlnv", help="Name of the FuseSoC core, vendor:library:name:version.")
@options.target
@options.stash
@options.fold
@options.output(folder="Folder for the files [default: build/NET].")
def verilog(
    net: str,
    bus: str,
    vlnv: str | None,
    target_name: str | None,
    stash: str,
    multipliers: int | None,
    memory: int | None,
    interval: int | None,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Generate Verilog that trains NET.

    Leaves NET.v, the whole description (NET-verilog.toml) and what made it (NET-verilog.json) in
    the output folder. With --bus axi it is NET_axi.v, with the registers as a C header (NET_axi.h)
    and as a page (NET_axi.md), and a core file for FuseSoC (NET_axi.core).

    \b
    Examples:
        counterflow verilog digits -o out
        counterflow verilog digits --target ecp5-25f
        counterflow verilog digits --bus axi -o out
    """
    from counterflow.design.network.files import load, write_atomically

    if vlnv is not None and bus != "axi":
        raise click.UsageError("--vlnv needs --bus axi: only there a core file is written.")
    if stash != "inside":
        raise ValueError(
            f"--stash {stash} can be planned, but no hardware is made for it yet; leave it out"
        )
    display = Display(as_json=as_json, quiet=quiet)
    # Planned before what takes long to import.
    design, _ = folded(load(net), multipliers, memory, interval, target_name)
    description = design.description
    folder = out or places.default(default_folder(description.name))
    stem = description.name if bus == "streams" else f"{description.name}_{bus}"
    with outcome.into(folder, f"{stem}-verilog") as made:
        contents = axi_files(design, vlnv) if bus == "axi" else stream_files(design)
        for name, text in contents.items():
            write_atomically(made.scratch / name, text)
        kept = made.keep(plan_json(design), description)
    display.show(plan_table(design))
    display.files(kept.files)
    display.result(kept.result)


def stream_files(design: Plan) -> dict[str, str]:
    """The Verilog, by file name."""
    from counterflow.hw.tops.verilog import to_verilog

    return {f"{design.description.name}.v": to_verilog(design)}


def axi_files(design: Plan, vlnv: str | None = None) -> dict[str, str]:
    """Verilog with standard buses and what goes with it, by file name."""
    from counterflow.design.bus.c_header import c_header
    from counterflow.design.bus.register_page import page
    from counterflow.fusesoc import core_file, default_vlnv
    from counterflow.hw.tops.axi import axi_module_name, to_axi_verilog

    name, module = design.description.name, axi_module_name(design)
    stem = f"{name}_axi"
    core = core_file(
        vlnv=default_vlnv(module) if vlnv is None else vlnv,
        module=module,
        stem=stem,
        about=f"Trains {name}; made by Counterflow",
    )
    core_name = f"{vlnv.split(':')[2] if vlnv else stem}.core"  # where FuseSoC's generators look
    return {
        core_name: core,
        f"{stem}.v": to_axi_verilog(design),
        f"{stem}.h": c_header(design),
        f"{stem}.md": page(design),
    }


def default_folder(name: str) -> Path:
    """Where a network's files go unless the user says."""
    return Path("build") / name
