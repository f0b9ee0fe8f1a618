"""`counterflow plan`: lanes, cycles, multipliers and memory before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import horizons as several
from counterflow.commands import memory as where
from counterflow.commands import numerals, options, outcome
from counterflow.commands.display import Display, percent, table
from counterflow.commands.fit import fit_json, fit_table, folded, lanes_in_words

if TYPE_CHECKING:
    from rich.table import Table

    from counterflow.commands.outcome import Kept
    from counterflow.design.fit.fitting import UnfitError
    from counterflow.design.network.description import Description
    from counterflow.design.schedule.planner import Plan, UnitCost
    from counterflow.design.schedule.schedule import Waiting
    from counterflow.design.units.losses import LossStage
    from counterflow.design.units.normal_times import NormalStage
    from counterflow.design.units.passing import PassingStage

FREQUENCY = 100.0  # MHz, where neither user nor target say


@click.command()
@options.network
@options.target
@click.option("--targets", "every", is_flag=True, help="Say of every FPGA whether it holds NET.")
@options.interlocking
@options.stash
@options.fold
@click.option(
    "--freq",
    type=numerals.MEGAHERTZ,
    help="MHz to say samples a second for [default: what similar designs reached].",
)
@options.output(folder="Folder for plan.json, two figures and the description.")
def plan(
    net: str,
    target_name: str | None,
    every: bool,
    horizons: tuple[int, ...] | None,
    stash: str,
    limits: options.Limits,
    freq: float | None,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Fold NET onto multipliers and say what that costs and brings.

    With a target, its multipliers are the budget and its block RAMs the limit, both counted as
    Yosys makes them; LUTs are estimated, roughly. The fold is the one that idles least among those
    within a tenth of the fastest that fits. The exit status is 2 where none fits, with what is
    short, where the bits are, and a sentence about what would fit.

    Without a target, a budget or an interval, NET is folded as its description says.

    With --stash outside, inputs that wait for their gradient are in a memory beside the chip, as
    many as must; with --stash all, every one that frees memory. That can be planned and no more.

    With --interlocking, horizons of a network that is cut into components stand side by side: what
    each costs, who learns from which loss, and a figure of delays and stashes by unit.

    \b
    Examples:
        counterflow plan lenet5 --target ecp5-85f
        counterflow plan digits --multipliers 28 --memory 1000000
        counterflow plan mnist --interval 4096
        counterflow plan vgg-small --targets
        counterflow plan vgg-small --target ecp5-85f --stash outside
        counterflow plan deep-digits-local --interlocking 1,4 -o out
    """
    from counterflow.design.fit.advice import reckoned, samples_per_second, verdict
    from counterflow.design.fit.fitting import UnfitError
    from counterflow.design.network.files import load
    from counterflow.design.schedule.standstill import decay_stands

    display, description = Display(as_json=as_json, quiet=quiet), load(net)
    if every:
        alone: dict[str, object] = {"--target": target_name, "--freq": freq, "--out": out}
        alone |= {"--interlocking": horizons}
        alone |= {f"--{key.replace('_', '-')}": one for key, one in limits._asdict().items()}
        for name, value in alone.items():
            if value is not None:
                raise click.UsageError(f"--targets asks of every FPGA; leave out {name}.")
        on_targets(display, description, outside=stash != "inside")
        return
    if horizons is not None:
        if stash != "inside":
            raise click.UsageError("--interlocking plans stashes inside; leave out --stash.")
        if freq is not None:
            raise click.UsageError("--interlocking plans cycles, not times; leave out --freq.")
        plans = {
            sees: folded(changed, limits, target_name)[0]
            for sees, changed in several.under(description, horizons).items()
        }
        several.side_by_side(display, description, plans, out)
        return
    try:
        design, fitted = folded(description, limits, target_name, stash)
    except UnfitError as error:
        unfit(display, description, str(target_name), error, limits, out)
        raise
    facts = plan_json(design)
    if fitted is None:
        display.show(plan_table(design))
        if freq is not None:
            speed = samples_per_second(design, freq)
            facts |= {"frequency": freq, "samples_per_second": speed}
            display.show(f"At {freq:g} MHz it trains on {speed:,.0f} samples a second.")
    else:
        facts |= fit_json(fitted, freq)
        display.show(fit_table(fitted))
        for line in verdict(fitted, freq):
            display.show(line)
    components = several.components_of(design)
    if len(components) > 1:
        facts["components"] = several.components_json(components)
        display.show(several.components_table(components))
    met = meetings(design)
    if met is not None:
        display.show(met)
    parts = where.stages(design)
    if len(parts) > 1:
        display.show(where.stages_table(parts))
    stands = decay_stands(design.schedule)
    if stands is not None:
        display.show(stands)
    if stash != "inside":
        frequency = reckoned(fitted, freq).mhz if fitted else freq or FREQUENCY
        facts["outside"] = where.outside_json(design, frequency)
        for line in where.outside_lines(design, frequency):
            display.show(line)
    answer = outcome.stated(facts, design.description)
    if out is not None:
        kept = _keep(design, facts, out)
        display.files(kept.files)
        answer = kept.result
    display.result(answer)


def unfit(
    display: Display,
    description: Description,
    name: str,
    error: UnfitError,
    limits: options.Limits,
    out: Path | None,
) -> None:
    """What is short of on target `name`, and where the bits are of the fold with fewest
    memories."""
    from counterflow.design.fit.shortage import short_of
    from counterflow.design.fpga.targets import target as named

    short = short_of(description, named(name), error, **limits.of_target)
    if short:
        display.note(where.shortage_table(name, short))
    facts = {
        **{"network": description.name, "target": name, "fits": False, "advice": [str(error)]},
        "short": where.shortage_json(short),
    }
    parts = None if error.search is None else where.stages(error.search.least(1).plan)
    if parts is not None:
        facts["stages"] = where.stages_json(parts)
        display.note(where.stages_table(parts))
    if out is None:
        display.result(outcome.stated(facts, description))
        return
    from counterflow import figures

    with outcome.into(out, "plan") as made:
        if parts is not None:
            title, shares = f"{description.name} does not fit {name}", where.needed_shares(short)
            figures.memory(made.path("-memory.png"), parts, shares, title=title)
        kept = made.keep(facts, description)
    display.result(kept.result)


def on_targets(display: Display, description: Description, *, outside: bool) -> None:
    """One line for each target: whether it holds a network, or what it is short of."""
    from counterflow.design.fit.shortage import outcomes

    found = []
    for one in outcomes(description, outside=outside):
        found.append(one)
        display.show(f"{one.target.name:10} {one.words}")
    facts = [where.outcome_json(one) for one in found]
    answer = {"network": description.name, "targets": facts}
    display.result(outcome.stated(answer, description))


def plan_json(design: Plan) -> dict[str, object]:
    """The keys that `counterflow plan --json` promises."""
    schedule = design.schedule
    return {
        "network": design.description.name,
        "interval": schedule.interval,
        "multipliers": schedule.multipliers,
        "memory_bits": design.memory_bits,
        "utilisation": schedule.utilisation,
        "units": [_unit_json(unit) for unit in design.units],
        "norms": [_norm_json(unit) for unit in schedule.norms],
        "passing": [_passing_json(unit) for unit in schedule.passing],
        "losses": [_passing_json(unit) for unit in schedule.losses if unit.listed],
        "edges": [_edge_json(edge) for edge in schedule.edges],
        "stages": where.stages_json(where.stages(design)),
    }


def _unit_json(unit: UnitCost) -> dict[str, object]:
    return {
        "name": unit.name,
        "lanes": unit.lanes.model_dump(),
        "cycles": unit.cycles,
        "delay": unit.delay,
        "multipliers": unit.multipliers,
        "memory_bits": unit.memory_bits,
    }


def _norm_json(unit: NormalStage) -> dict[str, object]:
    return {
        "name": unit.name,
        "delay": unit.delay,
        "multipliers": unit.unit.multipliers,
        "memory_bits": unit.memory_bits,
    }


def _passing_json(unit: PassingStage | LossStage) -> dict[str, object]:
    return {
        "name": unit.name,
        "multipliers": unit.unit.multipliers,
        "memory_bits": unit.memory_bits,
    }


def _edge_json(waiting: Waiting) -> dict[str, object]:
    return {
        "from": waiting.maker,
        "to": waiting.reader,
        "elements": waiting.edge.elements,
        "activations": waiting.activations,
        "gradients": waiting.gradients,
    }


def meetings(design: Plan) -> Table | None:
    """What waits for its fellows where branches meet; None where there are none."""
    schedule = design.schedule
    branching = {u.name for u in schedule.units if len(u.unit.inputs) + len(u.unit.outputs) > 2}
    title = "elements that wait where branches meet, at most"
    rows = table("from", "to", "of a token", "activations", "gradients", title=title)
    for one in schedule.edges:
        forward = one.activations if one.reader in branching else 0
        back = one.gradients if one.maker in branching else 0
        if forward or back:
            waiting = (f"{number:,}" if number else "" for number in (forward, back))
            rows.add_row(one.maker, one.reader, f"{one.edge.elements:,}", *waiting)
    return rows if rows.row_count else None


def plan_table(design: Plan) -> Table:
    """Costs by unit and in all."""
    schedule = design.schedule
    title = (
        f"{design.description.name}: a sample every {schedule.interval:,} cycles, multipliers "
        f"{percent(schedule.utilisation)} busy"
    )
    rows = table(
        "unit", "lanes", "cycles", "busy", "delay", "multipliers", "memory bits", title=title
    )
    rows.show_footer = True
    costs = {unit.name: unit for unit in design.units}
    delays = {norm.name: f"{norm.delay}" for norm in schedule.norms}
    useful = {stage.name: stage.tiling.useful for stage in schedule.weighted}
    quiet = [loss for loss in schedule.losses if not loss.listed]
    for one in (unit for unit in schedule.units if unit not in quiet):
        unit = costs.get(one.name)
        if unit is None:
            multipliers, bits = one.unit.multipliers, one.memory_bits
            delay = delays.get(one.name, "")
            rows.add_row(one.name, "", "", "", delay, f"{multipliers}", f"{bits:,}")
            continue
        rows.add_row(
            unit.name,
            lanes_in_words(unit.lanes),
            f"{unit.cycles:,}",
            percent(useful[unit.name] / (unit.multipliers * schedule.interval)),
            f"{unit.delay}",
            f"{unit.multipliers}",
            f"{unit.memory_bits:,}",
        )
    footers = {
        0: "all",
        2: f"{schedule.interval:,}",
        3: percent(schedule.utilisation),
        5: f"{schedule.multipliers}",
        6: f"{design.memory_bits:,}",
    }
    for index, text in footers.items():
        rows.columns[index].footer = text
    return rows


def _keep(design: Plan, facts: dict[str, object], out: Path) -> Kept:
    from counterflow import figures

    with outcome.into(out, "plan") as made:
        figures.delays(made.path("-stages.png"), design)
        title = design.description.name
        figures.memory(made.path("-memory.png"), where.stages(design), title=title)
        return made.keep(facts, design.description)
