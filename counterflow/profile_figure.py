"""A picture of ranges against formats, by layer and role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from counterflow.design.choice.homes import Home, in_order
from counterflow.design.choice.propose import SHARE
from counterflow.design.choice.tally import Tally
from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.figures import FORWARD, GOLDEN, HARDWARE, INK, grid, plainly, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {
    "Values forward": ("input", "activation", "preactivation", "logit"),
    "Errors, back": ("error",),
    "Operands": ("operand",),
    "Weights": ("weight",),
    "Velocities": ("velocity",),
    "Updates, last place of the weight": ("update",),
}
RED = "#b5524a"
LITTLE = 0.01  # what small values begin at: that share is smaller
NOTED = 0.005  # shares from which on they are written down


@plainly
def ranges(
    path: Path,
    description: Description,
    integers: Mapping[Home, Tally],
    floats: Mapping[Home, Tally],
    proposed: Mapping[Home, Format],
) -> Path:
    """Where the values of each layer are, and what its format and the proposed one can hold.

    Bars are of the float model; the shares that saturate or become zero are of the integers.
    """
    order = in_order(description, integers)
    shown = {name: [one for one in order if one.role in of] for name, of in PANELS.items()}
    rows = max(len(one) for one in shown.values())
    figure, axes = grid(2, 3, (15.0, 2 * (0.9 + 0.36 * rows) + 0.8))
    weights = {one.where: number for one, number in proposed.items() if one.role == "weight"}
    for axis, (name, homes) in zip(axes, shown.items(), strict=True):
        formats = []
        for row, home in enumerate(homes):
            other = weights.get(home.where) if home.role == "update" else proposed.get(home)
            _bar(axis, row, floats.get(home, Tally()))
            _frame(axis, row, home.format, 0.36, color=INK, lw=1.4)
            if other is not None:
                _frame(axis, row, other, 0.28, color=GOLDEN, lw=1.8, ls=(0, (3, 1.5)))
            _shares(axis, row, integers[home])
            formats += [home.format] if other is None else [home.format, other]
        _finish(axis, name, homes)
        _limit(axis, formats, [floats[one].largest for one in homes if one in floats])
    _legend(figure)
    title = f"{description.name}: ranges of values and of their formats"
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path)


def _bar(axis: Axes, row: int, tally: Tally) -> None:
    """From the smallest percent to the largest, the part up to 99.9 % darker; the median white."""
    if not tally.others:
        return
    low, high = tally.percentile(LITTLE), tally.percentile(SHARE)
    axis.barh(row, tally.largest - low, left=low, height=0.3, color=FORWARD)
    axis.barh(row, high - low, left=low, height=0.3, color=HARDWARE)
    axis.plot([tally.percentile(0.5)] * 2, [row - 0.15, row + 0.15], color="white", lw=1.6)


def _frame(axis: Axes, row: int, number: Format, half: float, **style: object) -> None:
    """From a format's last place to its largest value."""
    low, high = 2.0**-number.frac, number.value(number.max)
    edges = ([low, high, high, low, low], [row - half, row - half, row + half, row + half])
    axis.plot(edges[0], [*edges[1], row - half], **style)  # type: ignore[arg-type]


def _shares(axis: Axes, row: int, tally: Tally) -> None:
    """What becomes zero inside the left edge, what saturates outside the right one."""
    where = axis.get_yaxis_transform()
    for share, place, side, word in (
        (tally.lost_share, 0.01, "left", "→ 0"),
        (tally.clipped_share, 1.01, "left", "saturated"),
    ):
        if share >= NOTED:
            axis.text(
                *(place, row, f"{100 * share:.0f} % {word}" if share >= 0.01 else f"<1 % {word}"),
                transform=where,
                ha=side,
                va="center",
                fontsize=7.5,
                color=RED,
                weight="bold",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )


def _finish(axis: Axes, name: str, homes: Sequence[Home]) -> None:
    axis.set_title(name, loc="left", fontsize=10)
    axis.set_xscale("log", base=2)
    several = len({home.role for home in homes}) > 1
    axis.set_yticks(
        range(len(homes)),
        [
            f"{home.role if home.layer == 'network' else home.layer}"
            f"{' pre' if several and home.role == 'preactivation' else ''}  {home.format}"
            for home in homes
        ],
        fontsize=8,
    )
    axis.set_xlabel("magnitude", fontsize=8)
    axis.set_ylim(max(len(homes), 1) - 0.4, -0.6)
    axis.grid(axis="x", color="#e5e5e5", lw=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(left=False)
    axis.spines["left"].set_visible(False)


def _limit(axis: Axes, formats: Sequence[Format], largest: Sequence[float]) -> None:
    """Show all formats and the largest values; small values go on at the left."""
    if formats:
        low = min(2.0**-one.frac for one in formats)
        high = max([*(one.value(one.max) for one in formats), *largest])
        axis.set_xlim(low / 2**9, high * 2**3)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    figure.legend(
        handles=[
            Patch(color=HARDWARE, label="magnitudes in float64, 1 % to 99.9 %, median"),
            Patch(color=FORWARD, label="... to the largest"),
            Line2D([], [], color=INK, lw=1.4, label="format: last place to largest value"),
            Line2D([], [], color=GOLDEN, lw=1.8, ls=(0, (3, 1.5)), label="format proposed"),
            Line2D(
                [],
                [],
                color=RED,
                marker="$0$",
                lw=0,
                label="share of the integers that saturate or → 0",
            ),
        ],
        loc="outside lower left",
        ncols=5,
        frameon=False,
        fontsize=8,
    )
