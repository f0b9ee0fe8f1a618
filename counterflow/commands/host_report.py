"""What a training on a board came to: tables, JSON, files."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from counterflow.commands.display import Display, percent, table

if TYPE_CHECKING:
    from counterflow.commands.outcome import Outcome as Made
    from counterflow.host.device import Device
    from counterflow.host.outcome import Outcome
    from counterflow.host.tally import Tally
    from counterflow.host.training import Training


def summary(display: Display, outcome: Outcome, device: Device) -> None:
    """A line an epoch, and what the line and the comparisons came to."""
    heads = [f"head {number}" for number in device.plan.schedule.heads]
    title = f"{device.info.name} on a board"
    judged = {} if not outcome.tallies else _measures(outcome.tallies[0])
    rows = table("epoch", "samples", "loss", *judged, *heads, title=title)
    for one in outcome.tallies:
        name = f"{one.epoch + 1}" + (", test" if one.tests else "")
        said = [" ".join((_loss(head), *_measures(head).values())) for head in one.heads.values()]
        rows.add_row(name, f"{one.samples:,}", _loss(one), *_measures(one).values(), *said)
    display.show(rows)
    lost = sum(one.lost for one in outcome.tallies)
    if lost:
        display.show(f"Of {lost:,} samples nothing is known: another program was told of them.")
    share = outcome.share(device.info.frequency, device.info.baud)
    session = device.session
    display.show(
        f"Line: {percent(share)} of its bytes were samples and labels; {session.resent} packets "
        f"sent again, {session.repeats} requests for results, {session.frames.spoilt} bytes spoilt."
    )
    if outcome.verified:
        display.show(
            f"[bold green]Equal:[/] all weights compared with the golden model's "
            f"{outcome.verified} times, {outcome.compared:,} values, 0 mismatches."
        )


def _loss(tally: Tally) -> str:
    """The mean loss."""
    return f"{tally.loss / tally.samples:.4f}" if tally.samples else "–"


def _measures(tally: Tally) -> dict[str, str]:
    """What else there is to say, by the heads of columns: what is right, or how large errors are.

    Nothing where neither labels judge nor losses are squares.
    """
    if tally.judged:
        return {"right": percent(tally.accuracy, 2)}
    if tally.ruler is None:
        return {}
    errors = tally.errors
    return {
        "RMSE": "–" if errors is None else f"{errors.rmse:.4f}",
        "explained (R2)": percent(errors.explained if errors and tally.tests else None, 2),
    }


def said_of(tally: Tally) -> str:
    """What has come of its samples, in a few words; there must be some."""
    right = [] if tally.accuracy is None else [f"{percent(tally.accuracy, 2)} right"]
    said = [*right, f"loss {tally.loss / tally.samples:.4f}"]
    if tally.errors is not None:
        said.append(f"RMSE {tally.errors.rmse:.4f}")
    if tally.tests and tally.errors is not None:
        said.append(f"{percent(tally.errors.explained, 2)} of the variance explained")
    return ", ".join(said)


def to_json(outcome: Outcome, device: Device, training: Training) -> dict[str, object]:
    """What `counterflow host train --json` promises."""
    trained = [one for one in outcome.tallies if not one.tests]
    tested = [one for one in outcome.tallies if one.tests]
    last = tested[-1] if tested else None
    samples = sum(one.samples for one in trained)
    fresh = samples - outcome.recalled
    return {
        **(last.means if last else {"accuracy": None, "loss": None}),
        **(last.heads_json if last else {}),
        "samples": samples,
        "samples_per_second": fresh / outcome.seconds if outcome.seconds else 0.0,
        "seconds": outcome.seconds,
        "tokens": training.course.tokens,
        "resumed_at": outcome.resumed_at,
        "verified": outcome.verified,
        "compared": outcome.compared,
        "line_share": outcome.share(device.info.frequency, device.info.baud),
        "resent": device.session.resent,
        "repeats": device.session.repeats,
        "spoilt": device.session.frames.spoilt,
        "counters": asdict(outcome.counters) if outcome.counters else None,
        "epochs": [one.to_json() for one in outcome.tallies],
    }


def draw(made: Made, outcome: Outcome, name: str) -> None:
    """The picture of a training that has taught something."""
    from counterflow.host.figure import curves

    if outcome.losses:
        title, numbers = f"{name} on a board", outcome.numbers
        unit = "nats" if numbers is None else numbers.unit
        curves(made.path(".png"), outcome.losses, outcome.right, title=title, unit=unit)
