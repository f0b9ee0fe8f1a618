"""What `counterflow profile` says: tables, reasons, JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterflow.commands.display import percent, table
from counterflow.commands.measures import columns, measures_json

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from counterflow.design.choice.apply import Proposal
    from counterflow.design.choice.homes import Home
    from counterflow.design.network.description import Description
    from counterflow.golden.profiling.run import Profile
    from counterflow.golden.training.epochs import TrainingResult


def ranges_table(description: Description, found: Profile, proposal: Proposal) -> Table:
    """Ranges in float64, what becomes of values in integers, and formats, by layer and role."""
    from counterflow.design.choice.homes import in_order

    formats = {one.home: one for one in proposal.choices}
    made = table(
        *("layer", "role", "99.9 % within", "largest", "format", "saturated", "to zero"),
        "proposed",
        title=f"{description.name}: magnitudes in float64; shares in integers",
    )
    before = ""
    for home in in_order(description, found.integers):
        counted, exact, choice = found.integers[home], found.floats.get(home), formats.get(home)
        made.add_row(
            home.layer if home.layer != before else "",
            home.role,
            "–" if exact is None else f"{exact.percentile(0.999):.2g}",
            "–" if exact is None else f"{exact.largest:.2g}",
            "" if home.role == "update" else str(home.format),
            "" if home.role == "update" else _share(counted.clipped_share),
            _share(counted.lost_share),
            "" if choice is None or not choice.changes else str(choice.format),
        )
        before = home.layer
    return made


def _share(share: float) -> str:
    """A dash for nothing at all, and never 0.0 % for what is more."""
    if not share:
        return "–"
    return "<0.1 %" if share < 0.001 else percent(share)


def reasons(proposal: Proposal) -> Text:
    """Why each format is proposed, and why some could not be."""
    from rich.text import Text

    lines = [
        f"{one.home}: {one.home.format} -> {one.format}. {_begun(one.why)}"
        for one in proposal.choices
        if one.changes
    ]
    lines += [
        f"{one.home}: {one.home.format} stays, not {one.format}. {_begun(why)}"
        for one, why in proposal.left
        if one.changes
    ]
    return Text("\n".join(lines) if lines else "All formats are as they would be proposed.")


def _begun(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def learnt_table(
    description: Description, found: Profile, proposal: Proposal, again: TrainingResult
) -> Table:
    """What was learnt in float64, with the formats as they are and as proposed; their memory."""
    from counterflow.design.schedule.planner import plan

    more = columns([found.integer_result.epochs[-1]])
    made = table("numbers", "loss, train", *more, "memory, kbit")
    for name, result, design in (
        ("float64", found.float_result, None),
        ("integers, as they are", found.integer_result, description),
        ("integers, as proposed", again, proposal.description),
    ):
        last = result.epochs[-1]
        made.add_row(
            name,
            f"{last.loss:.4f}",
            *(cells[0] for cells in columns([last]).values()),
            "" if design is None else f"{plan(design).memory_bits / 1000:.1f}",
        )
    return made


def profile_json(
    description: Description, found: Profile, proposal: Proposal, again: TrainingResult
) -> dict[str, object]:
    """The keys that `counterflow profile --json` promises."""
    from counterflow.design.choice.homes import in_order
    from counterflow.golden.training.moved import standing

    def learnt(result: TrainingResult) -> dict[str, object]:
        last = result.epochs[-1]
        return {
            **measures_json(last),
            "loss": last.test_loss,
            "train_accuracy": last.accuracy,
            "train_loss": last.loss,
            "moved": dict(result.moved),
        }

    formats = {one.home: (one, "") for one in proposal.choices}
    formats |= {one.home: (one, why) for one, why in proposal.left}

    def told(home: Home) -> dict[str, object]:
        choice, refused = formats.get(home, (None, ""))
        exact = found.floats.get(home)
        return {
            "layer": home.layer,
            "where": home.where,
            "role": home.role,
            "format": str(home.format),
            "integers": found.integers[home].to_json(),
            "floats": None if exact is None else exact.to_json(),
            "proposed": None if choice is None else str(choice.format),
            "why": None if choice is None else choice.why,
            "refused": refused or None,
        }

    return {
        "numbers": [told(home) for home in in_order(description, found.integers)],
        "float64": learnt(found.float_result),
        "as_they_are": learnt(found.integer_result),
        "as_proposed": learnt(again),
        "warning": standing(found.integer_result.moved),
    }
