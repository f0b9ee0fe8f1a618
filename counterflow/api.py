"""Counterflow from Python: what the commands do, as functions of values.

Each is thin over what the command line uses, and takes a network as a description, as a plan of it,
as the name of a shipped network, as the path of a TOML file, or as the mapping of its keys.  All
raise ValueError, one or two sentences, for what cannot be.  ``docs/python.md`` shows them at work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from counterflow import given

if TYPE_CHECKING:
    from counterflow.commands.profile_formats import Profiled
    from counterflow.design.data.own.read import Given
    from counterflow.design.network.description import Description
    from counterflow.design.schedule.planner import Plan
    from counterflow.given import Network
    from counterflow.golden.training.epochs import TrainingResult
    from counterflow.sim.bench.reports import SimulationReport

SAMPLES = 200  # of a simulation
PROFILED = 1000  # of an epoch that is watched


def load(network: Network) -> Description:
    """The description of a network.

    >>> import counterflow
    >>> tiny = counterflow.load("tiny")
    >>> tiny.inputs, tiny.classes, tiny.parameters
    (6, 4, 59)
    >>> layers = [{"outputs": 5}, {"outputs": 3, "activation": "none"}]
    >>> counterflow.load({"name": "mine", "inputs": 4, "layers": layers}).parameters
    43
    >>> counterflow.load({"name": "mine", "inputs": 0, "layers": layers})
    Traceback (most recent call last):
    ...
    ValueError: inputs is 0, expected an integer from 1 to 4096 or [height, ...
    """
    from counterflow.commands.options import checked
    from counterflow.design.network import files
    from counterflow.design.network.description import Description
    from counterflow.design.schedule.planner import Plan

    if isinstance(network, Plan):
        return network.description
    if isinstance(network, Description):
        return network
    if isinstance(network, Mapping):
        return checked(Description, dict(network))
    if not isinstance(network, Path | str):
        raise ValueError(
            f"the network is {given.shown(network)}, expected a name, a path, a mapping, a "
            "description or a plan."
        )
    return files.load_file(network) if isinstance(network, Path) else files.load(network)


def plan(
    network: Network,
    *,
    target: str | None = None,
    multipliers: int | None = None,
    memory: int | None = None,
    interval: int | None = None,
    lut_multipliers: int | None = None,
) -> Plan:
    """Fold a network for an FPGA, such as "ecp5-25f", or onto a budget.

    ``multipliers`` and ``memory`` (bits) are the most that it may have, ``interval`` the most clock
    cycles from one training sample to the next, ``lut_multipliers`` further multipliers that may be
    made of LUTs.  Without any of these the description says.

    >>> import counterflow
    >>> small = counterflow.plan("tiny", multipliers=2)
    >>> small.schedule.multipliers, small.schedule.interval
    (2, 60)
    >>> [(unit.name, unit.delay) for unit in small.units]
    [('dense0', 5), ('dense1', 2)]
    >>> large = counterflow.plan(small, multipliers=20)
    >>> large.schedule.interval < small.schedule.interval
    True
    """
    from counterflow.commands.fit import folded
    from counterflow.commands.options import Limits
    from counterflow.design.schedule.planner import Plan

    limits = Limits(
        *given.numbers(
            multipliers=multipliers,
            memory=memory,
            interval=interval,
            lut_multipliers=lut_multipliers,
        )
    )
    if isinstance(network, Plan) and target is None and limits == Limits():
        return network
    found = folded(load(network), limits, target)[0]
    return replace(found, beside=given.beside(network))


def train(
    network: Network,
    data: Given | None = None,
    *,
    epochs: int | None = None,
    samples: int | None = None,
    seed: int | None = None,
    model: Literal["integer", "float"] = "integer",
    weights: Path | str | None = None,
    checkpoint: Path | str | None = None,
    resume: Path | str | None = None,
    other_data: bool = False,
    progress: bool = False,
) -> TrainingResult:
    """Train the golden model, which predicts the hardware bit for bit.

    ``data``: a path, arrays (x, y) or (x, y, x_test, y_test), a mapping with arrays of such names,
    or a function that returns one of these; by default what the description names.  Training goes
    on until ``epochs`` are done (default: the recipe's), of ``samples`` samples at most; ``seed``
    decides on initial weights, order and random bits, and ``weights`` is a safetensors or NPZ file
    to begin with.  ``model``: the hardware's integers, or float64.  After each epoch the state is
    written to the file ``checkpoint``; ``resume`` goes on from one, with ``other_data`` also on
    data that are not those that it was trained on.  ``progress`` shows a bar on standard error.

    Losses are means in nats, accuracies shares of 1.

    >>> import counterflow
    >>> result = counterflow.train("tiny", epochs=2)
    >>> [epoch.samples for epoch in result.epochs]
    [200, 200]
    >>> result.epochs[-1].test_accuracy > 0.5
    True
    >>> result.checkpoint.states[0].weight.shape  # [outputs, inputs], integers in formats.weight
    (5, 6)
    """
    from counterflow.commands.display import Display
    from counterflow.commands.pretrained import read
    from counterflow.commands.train import golden_training

    epochs, samples, seed = given.numbers(epochs=epochs, samples=samples, seed=seed)
    given.choice("model", model, ("integer", "float"))
    begun, before = given.path("weights", weights), given.path("resume", resume)
    if model == "float" and (checkpoint or before or begun):
        raise ValueError("files hold weights of the integer model; leave them out, or the float.")
    if begun and before:
        raise ValueError("resume has weights already; leave it out, or weights.")
    if other_data and before is None:
        raise ValueError("other_data is about a training that goes on; give resume, or leave it.")
    description = load(network)
    written = given.place("checkpoint", checkpoint)
    dataset = given.data(network, description, data)
    return golden_training(
        Display(quiet=not progress),
        description,
        dataset,
        seed,
        epochs,
        samples,
        model=model,
        checkpoint=written,
        resume=before,
        other_data=other_data,
        states=None if begun is None else read(description, begun, seed).states,
    )


def profile(
    network: Network,
    data: Given | None = None,
    *,
    epochs: int | None = None,
    samples: int = PROFILED,
    seed: int | None = None,
    progress: bool = False,
) -> Profiled:
    """Measure what a network's numbers need, and propose formats.

    It is trained in float64 and in integers as `train` does, of which the beginning of every epoch
    is watched.  The result has ``integers`` and ``floats``, a `Tally` by layer and role each;
    ``choices``, a format with its reason each; and ``description``, the network with them.

    >>> import counterflow
    >>> found = counterflow.profile("tiny", epochs=2)
    >>> str(found.description.formats.logit), [str(one.home) for one in found.choices[:2]]
    ('s10.7', ['input of network', 'logit of network'])
    >>> weights = [tally for home, tally in found.floats.items() if home.role == "weight"]
    >>> max(tally.largest for tally in weights) < 2
    True
    """
    from counterflow.commands.display import Display
    from counterflow.commands.profile_formats import measured

    epochs, watched, seed = given.numbers(epochs=epochs, samples=samples, seed=seed)
    description = load(network)
    dataset = given.data(network, description, data)
    display = Display(quiet=not progress)
    number = watched or PROFILED
    return measured(display, description, dataset, seed=seed, epochs=epochs, samples=number)


def simulate(
    network: Network,
    data: Given | None = None,
    *,
    samples: int = SAMPLES,
    seed: int | None = None,
    simulator: Literal["verilator", "icarus"] = "verilator",
    harsh: bool = False,
    waves: Path | str | None = None,
    every_slot: bool = False,
    weights: Path | str | None = None,
    progress: bool = False,
) -> SimulationReport:
    """Train the generated hardware in a simulator, every cycle compared with the golden model.

    ``data`` is that of `train`.  The report's ``equal`` says whether something was compared and all
    of it was equal, and ``first_divergence`` where it was not.  It shows the slots of the
    beginning, of the whole run with ``every_slot``.  ``harsh`` is that of --harsh; waveforms go
    into the folder ``waves``, with what GTKWave and Surfer should show of them; ``weights`` is a
    safetensors or NPZ file to begin with.

    >>> import counterflow
    >>> report = counterflow.simulate("tiny", samples=8)  # builds a simulator, if there is none
    >>> report.equal, report.samples, report.mismatches
    (True, 8, 0)
    """
    from counterflow.commands import places
    from counterflow.commands.display import Display
    from counterflow.commands.pretrained import read
    from counterflow.commands.simulate import cycle_by_cycle, write_view
    from counterflow.design.tools import programs

    number, seed = given.numbers(samples=samples, seed=seed)
    given.choice("simulator", simulator, ("verilator", "icarus"))
    folder, begun = given.place("waves", waves, folder=True), given.path("weights", weights)
    design = plan(network)
    dataset = given.data(network, design.description, data)
    programs.require(simulator)
    places.cache()
    report = cycle_by_cycle(
        Display(quiet=not progress),
        design,
        dataset,
        design.description.recipe.seed if seed is None else seed,
        number or SAMPLES,
        simulator,
        waves=folder,
        harsh=harsh,
        all_slots=every_slot,
        states=() if begun is None else read(design.description, begun, seed).states,
    )
    if folder is not None:
        write_view(folder, design, kept=folder)
    return report


def verilog(
    network: Network,
    folder: Path | str | None = None,
    *,
    bus: Literal["streams", "axi"] = "streams",
    module: str | None = None,
) -> dict[str, str]:
    """The hardware as files, text by name, written to ``folder`` if there is one.

    ``bus``: the ports are plain streams, or AXI4-Stream and AXI4-Lite, with a C header, a page of
    registers and a core file beside.  ``module`` names all of it in place of the network.

    >>> import counterflow
    >>> files = counterflow.verilog("tiny", module="mine")
    >>> list(files)
    ['mine.v']
    >>> "module mine(" in files["mine.v"]
    True
    """
    from counterflow.commands.verilog import axi_files, stream_files
    from counterflow.design.network.files import write_atomically
    from counterflow.design.parts.names import check_module_name

    given.choice("bus", bus, ("streams", "axi"))
    if module is not None:
        check_module_name(module)
    place = given.place("folder", folder, folder=True)
    design = plan(network)
    made = axi_files(design, None, module) if bus == "axi" else stream_files(design, module)
    if place is not None:
        for name, text in made.items():
            write_atomically(place / name, text)
    return made
