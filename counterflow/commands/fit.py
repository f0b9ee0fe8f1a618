"""What commands share that fold a network for an FPGA: the fold itself, its table and its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterflow.commands import options
from counterflow.commands.display import percent, table

if TYPE_CHECKING:
    from rich.table import Table

    from counterflow.design.fit.fitting import Fitted
    from counterflow.design.fpga.targets import Resources, Target
    from counterflow.design.network.description import Description
    from counterflow.design.schedule.planner import Plan
    from counterflow.design.units.tiling import Lanes

COLUMNS = {"multipliers": "mult.", "block_rams": "RAMs", "luts": "~LUTs"}  # in 80 characters
ULTRA = {"ultra_rams": "URAMs"}


def folded(
    description: Description,
    limits: options.Limits,
    target_name: str | None,
    stash: str = "inside",
) -> tuple[Plan, Fitted | None]:
    """`description` planned as asked, for a target if there is one.

    `stash` is one of `options.STASHES`.  ValueError, one or two sentences, where no fold fits; the
    second says what would.
    """
    from counterflow.design.fpga.outside import all_outside
    from counterflow.design.schedule.planner import plan

    if target_name is None:
        design = plan(options.with_fold(description, limits))
        return (design if stash == "inside" else all_outside(design)), None
    from counterflow.design.fit.advice import remedy
    from counterflow.design.fit.beside import fit_beside
    from counterflow.design.fit.fitting import UnfitError
    from counterflow.design.fpga.targets import target as named

    target = named(target_name)
    if limits.memory is not None:
        description = options.with_fold(description, options.Limits(memory=limits.memory))
    more, asked = limits.lut_multipliers or 0, limits.of_target
    try:
        fitted = fit_beside(description, target, stash, **asked, lut_multipliers=more)
    except UnfitError as error:
        way = remedy(description, target, **asked)
        raise UnfitError(f"{error}. {way}", error.search) from None
    return fitted.plan, fitted


def refuse_unfit(design: Plan, target: Target) -> None:
    """ValueError where already the blocks that `design` is planned with are more than there are."""
    from counterflow.design.fit.advice import of_synthesis
    from counterflow.design.fpga.needs import needs
    from counterflow.design.tools.synthesis_report import SynthesisReport

    found = needs(design, target.family, target.has).units
    sure = {name: one._replace(luts=0) for name, one in found.items()}  # LUTs are a guess
    report = SynthesisReport(design.description.name, None, target, sure, {}, 0, target.frequency)
    unfit = report.unfit()
    if unfit:
        raise ValueError(f"{unfit}. {of_synthesis(design, target, report.short)}")


def fit_table(fitted: Fitted) -> Table:
    """Costs by unit and in all, and what part of the target that is."""
    schedule, needs, has = fitted.plan.schedule, fitted.needs, fitted.target.has
    columns = _columns(has)
    rows = table(
        "unit",
        "lanes",
        "of",
        "cycles",
        "busy",
        "delay",
        *columns.values(),
        title=(
            f"{fitted.plan.description.name} on {fitted.target.name}: a sample every "
            f"{schedule.interval:,} cycles, {fitted.plan.memory_bits / 1000:,.0f} kbit in memories"
        ),
    )
    rows.show_footer = True
    stages = {stage.name: stage for stage in schedule.weighted}
    delays = {norm.name: f"{norm.delay}" for norm in schedule.norms}
    for name, taken in needs.units.items():
        if name not in stages:
            rows.add_row(name, "", "", "", "", delays.get(name, ""), *_cells(taken, columns))
            continue
        stage = stages[name]
        tiling = stage.tiling
        rows.add_row(
            name,
            lanes_in_words(tiling.lanes),
            f"{tiling.outputs}x{tiling.geometry.row_taps}",
            f"{tiling.cycles:,}",
            percent(tiling.useful / (tiling.multipliers * schedule.interval), 0),
            f"{stage.delay}",
            *_cells(taken, columns),
        )
    rows.add_section()
    total = (f"{schedule.interval:,}", percent(schedule.utilisation, 0), "")
    rows.add_row("all", "", "", *total, *_cells(needs.total, columns))
    rows.columns[0].footer = "of it"
    for column, field in enumerate(columns, start=6):
        there = getattr(has, field)
        rows.columns[column].footer = percent(getattr(needs.total, field) / there, 0)
    return rows


def lanes_in_words(lanes: Lanes) -> str:
    """Outputs x inputs, and what is special about them."""
    shared, in_luts = " shared" * lanes.shared, f", {lanes.in_luts} of LUTs" * (lanes.in_luts > 0)
    return f"{lanes.outputs}x{lanes.inputs}{shared}{in_luts}"


def _columns(has: Resources) -> dict[str, str]:
    return {**COLUMNS, **ULTRA} if has.ultra_rams else COLUMNS


def _cells(taken: Resources, columns: dict[str, str]) -> list[str]:
    return [f"{getattr(taken, field):,}" for field in columns]


def fit_json(fitted: Fitted, frequency: float | None) -> dict[str, object]:
    """What `counterflow plan --target --json` says of the target."""
    from counterflow.design.fit.advice import reckoned, samples_per_second, verdict

    step = fitted.next_step
    mhz = reckoned(fitted, frequency).mhz
    return {
        "target": fitted.target.name,
        "fits": True,
        "needs": {unit: _json(taken) for unit, taken in fitted.needs.units.items()},
        "total": _json(fitted.needs.total),
        "available": _json(fitted.target.has),
        "bottleneck": list(fitted.bottleneck),
        "least_interval": fitted.search.intervals[0],
        "next": None if step is None else {"interval": step.interval, **_json(step.total)},
        "lacking": list(fitted.lacking),
        "frequency": mhz,
        "samples_per_second": samples_per_second(fitted.plan, mhz),
        "advice": verdict(fitted, frequency),
    }


def _json(taken: Resources) -> dict[str, int]:
    return {field: n for field, n in taken.amounts.items() if field in COLUMNS or field in ULTRA}
