"""Pictures of a training run and of its pipeline, drawn to PNG files without a display."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.files import write_atomically
from counterflow.design.schedule.holdings import Holding, everything
from counterflow.design.schedule.planner import Plan
from counterflow.sim.bench.reports import SimulationReport, SlotTime

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GOLDEN, HARDWARE, TESTED = "#e8a317", "#1f4e79", "#8fb996"
FORWARD, BACKWARD, IDLE, INK = "#9cc4e4", "#f2b68c", "#eeeeee", "#333333"
PARTS = {  # of a unit's memory, as `design.schedule.planner.UnitCost` names them
    "weights": ("weights and velocities", "#1f4e79"),
    "stash": ("stash of inputs", "#e8a317"),
    "window": ("windows", "#9cc4e4"),
    "sums": ("sums", "#8fb996"),
    "queues": ("queues", "#b5b5b5"),
}
HELD = {  # as `design.schedule.holdings` names it
    "weights": "#1f4e79",
    "gradient sums": "#8fb996",
    "stash": "#e8a317",
    "windows": "#9cc4e4",
    "errors": "#f2b68c",
    "input gradients": "#5e8f66",
    "skip paths": "#b5524a",
    "queues": "#b5b5b5",
}
OTHERS = ("#6b5b95", "#333333", "#88b04b")
OF_THE_USER = ("backend", "interactive", "toolbar")  # settings of a session, of no figure
FEW = 20  # samples whose mean says nothing yet
ROOM = 1.08  # times the highest point, for its marker
MOST_SLOTS, STEADY_SLOTS = 44, 14  # in one row of the slot diagram: more are not readable


Arguments = ParamSpec("Arguments")


def plainly(draw: Callable[Arguments, Path]) -> Callable[Arguments, Path]:
    """Let a figure look as it does everywhere, whatever a matplotlibrc of the user's says."""

    @functools.wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Path:
        import matplotlib

        every = matplotlib.rcParamsDefault.items()
        settings: Any = {name: value for name, value in every if name not in OF_THE_USER}
        with matplotlib.rc_context(settings):
            return draw(*args, **kwargs)

    return drawn


def window_of(samples: int, most: int = 100) -> int:
    """Over how many samples to smooth a curve: one, that is not at all, where all are few."""
    return 1 if samples < 8 * FEW else min(most, samples // 8)


def of_each(window: int) -> str:
    """What a curve shows that is smoothed so."""
    return "of each sample" if window == 1 else f"as a mean of {window} samples"


def smooth(values: Sequence[float], window: int) -> NDArray[np.float64]:
    """Mean of each value and the `window` - 1 before it (fewer at the start)."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64))])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


@plainly
def training_curves(
    path: Path,
    report: SimulationReport,
    epochs: Sequence[Any] = (),
    hardware: Sequence[float] = (),
    *,
    title: str = "Training in hardware",
) -> Path:
    """Loss and accuracy of a simulated run, sample by sample, with golden's loss underneath.

    `epochs`, records of a whole golden training, add a panel of their own, with the accuracies of
    `hardware` in a long run over them.
    """
    samples = len(report.losses)
    window = window_of(samples)
    judged = bool(report.correct)
    more = bool(epochs) and (judged or epochs[-1].rmse is not None)
    figure, axes = panels(1 + judged + more)
    losses = axes[0]
    shown = slice(window // 4, None)  # before, the mean is of too few
    steps = np.arange(1, samples + 1)[shown]
    style = "." if window == 1 else "-"
    for label, values, colour, width in (
        ("golden", report.golden_losses, GOLDEN, 6.0),
        ("hardware", report.losses, HARDWARE, 1.4),
    ):
        means = smooth(values, window)[shown]
        losses.plot(steps, means, style, color=colour, lw=width, ms=1.5 * width + 3, label=label)
    losses.set(xlabel="sample", ylabel=f"loss, {report.unit}")
    from_zero(losses)
    whole_numbers(losses)
    losses.set_title(f"Loss {of_each(window)}", loc="left", fontsize=10)
    losses.legend(frameon=False)
    if judged:
        share = smooth(report.correct, samples if window == 1 else window)
        axes[1].plot(steps, 100 * share[shown], color=HARDWARE, lw=1.4)
        axes[1].set(xlabel="sample", ylabel="right before learning, %", ylim=(0, 102))
        whole_numbers(axes[1])
        shares = "all so far" if window == 1 else f"{window} samples"
        axes[1].set_title(f"Accuracy, share of {shares}", loc="left", fontsize=10)
    if epochs and judged:
        whole = "Whole training" if hardware else "Golden model, whole training"
        _epochs(axes[2], epochs, whole, hardware)
    elif epochs and epochs[-1].rmse is not None:
        _errors(axes[1], epochs)
    equal = "equal in every cycle" if report.equal else f"{report.mismatches} mismatches"
    figure.suptitle(f"{title}: hardware and golden model {equal}", x=0.01, ha="left", weight="bold")
    return save(figure, path)


@plainly
def learning_curve(
    path: Path, epochs: Sequence[Any], *, title: str = "Training", unit: str = "nats"
) -> Path:
    """Loss and accuracy, or error, of a golden training by epoch; by depth where there are heads.

    ``unit`` is that of losses.
    """
    headed = _tested(epochs) and bool(epochs[-1].heads)
    measured = epochs[-1].accuracy is not None or epochs[-1].rmse is not None
    figure, axes = panels(1 + measured + headed)
    numbers = [one.epoch + 1 for one in epochs]
    axes[0].plot(
        numbers, [one.loss for one in epochs], "o-", ms=4, color=HARDWARE, label="training"
    )
    if _tested(epochs):
        axes[0].plot(
            numbers, [one.test_loss for one in epochs], "o-", ms=4, color=GOLDEN, label="test"
        )
    axes[0].set(xlabel="epoch", ylabel=f"loss, {unit}")
    from_zero(axes[0])
    axes[0].set_title("Loss", loc="left", fontsize=10)
    axes[0].legend(frameon=False)
    whole_numbers(axes[0])
    if epochs[-1].accuracy is not None:
        _epochs(axes[1], epochs, "Accuracy")
    elif epochs[-1].rmse is not None:
        _errors(axes[1], epochs)
    if headed:
        _by_depth(axes[2], epochs[-1])
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path)


@plainly
def roc_curve(path: Path, roc: Any, *, title: str) -> Path:
    """How well losses tell a class that was held out: see `golden.training.measures`."""
    figure, axes = panels(1, width=4.4)
    axes[0].plot([0, 100], [0, 100], color=IDLE, lw=1.4)
    false, true = (100 * np.array(one) for one in (roc.false, roc.true))
    label = f"AUC {roc.auc:.3f}\n{roc.strange:,} held out\n{roc.usual:,} others"
    axes[0].plot(false, true, color=HARDWARE, lw=1.6, label=label)
    axes[0].set(xlabel="others with a larger loss than the threshold, %")
    axes[0].set(ylabel="of the class held out, %", xlim=(0, 100), ylim=(0, 102))
    axes[0].set_title("Class held out, told by its loss (ROC)", loc="left", fontsize=10)
    axes[0].legend(frameon=False, loc="lower right")
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path)


@plainly
def slot_diagram(path: Path, slots: Sequence[SlotTime], *, title: str = "Slots") -> Path:
    """Which token each stage works on and when: the pipeline's first fill, and steady state.

    In a slot the upper half is the forward pass, the lower half the backward pass and update.
    """
    every = [SlotTime(*one) for one in slots]
    stages = list(dict.fromkeys(one.stage for one in every))
    first = [one for one in every if one.stage == stages[0]]
    fill = next((at for at, one in enumerate(first) if _is_token(one.backward)), len(first) - 1)
    full = [one for one in first if _is_token(one.forward) and _is_token(one.backward)]
    panels = [("The first fill", first[: min(fill + 3, MOST_SLOTS)])]
    if len(full) > 3:
        middle = max(0, len(full) // 2 - STEADY_SLOTS // 2)
        chosen = full[middle : middle + min(STEADY_SLOTS, len(panels[0][1]))]
        panels.append(("Steady state: every stage learns in every slot", chosen))
    figure, axes = _stacked(
        len(panels),
        width=max(8.0, min(20.0, 2.2 + 0.62 * (len(panels[0][1]) + 1))),
        height=0.34 * len(stages) + 0.75,
    )
    lead = max(one.start for one in every if one.slot == first[0].slot)
    for axis, (name, chosen) in zip(axes, panels, strict=True):
        low, high = chosen[0].start, chosen[-1].end
        if chosen[0] is first[0]:
            low, high = 0, high + lead
        for one in every:
            if one.end > low and one.start < high:
                _slot(axis, one, stages.index(one.stage), low, high)
        axis.set(xlim=(low, high), ylim=(len(stages) - 0.5, -0.5))
        axis.set_yticks(range(len(stages)), stages)
        axis.set_xlabel("cycle")
        axis.set_title(name, loc="left", fontsize=10)
        axis.tick_params(left=False)
        axis.spines["left"].set_visible(False)
    _slot_legend(figure)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path)


@plainly
def delays(path: Path, plan: Plan) -> Path:
    """Delay of every stage, and what its memory holds."""
    names = [unit.name for unit in plan.units]
    figure, axes = panels(2, height=1.3 + 0.3 * len(names))
    bars = axes[0].barh(names, [unit.delay for unit in plan.units], color=HARDWARE)
    axes[0].bar_label(bars, padding=3, fontsize=9)
    axes[0].set(xlabel="slots from a sample's forward to its backward pass")
    axes[0].set_title("Delay", loc="left", fontsize=10)
    left = np.zeros(len(names))
    for part, (label, colour) in PARTS.items():
        bits = np.array([getattr(unit, part) for unit in plan.units]) / 1000
        axes[1].barh(names, bits, left=left, color=colour, label=label)
        left += bits
    axes[1].set(xlabel="kbit")
    axes[1].set_title("Memory", loc="left", fontsize=10)
    axes[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for axis in axes:
        axis.invert_yaxis()
        axis.margins(x=0.08)
    title = f"{plan.description.name}: delay and memory by stage"
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path)


@plainly
def memory(
    path: Path, parts: Sequence[Holding], needed: Mapping[str, float] = {}, *, title: str
) -> Path:
    """What memories hold by the size of images; with what is `needed` over what a target has."""
    whole = everything(tuple(parts))
    height = 1.6 + 0.3 * max(len(parts), len(whole) // 2)
    figure, axes = panels(2 if needed else 1, height=height, width=6.2)
    names, left = [one.name for one in parts], np.zeros(len(parts))
    for index, what in enumerate(whole):
        bits = np.array([one.held.get(what, 0) for one in parts]) / 1e6
        colour = HELD.get(what, OTHERS[index % len(OTHERS)])
        axes[0].barh(names, bits, left=left, color=colour, label=what)
        left += bits
    axes[0].set(xlabel="Mbit", ylabel="images")
    axes[0].set_title(f"Memory, {sum(whole.values()) / 1e6:,.1f} Mbit", loc="left", fontsize=10)
    axes[0].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    if needed:
        bars = axes[1].barh(list(needed), list(needed.values()), color=HARDWARE, height=0.5)
        axes[1].bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
        axes[1].axvline(1.0, color=GOLDEN, lw=2)
        axes[1].set(xlabel="needed, times what there is")
        axes[1].set_title("Short of", loc="left", fontsize=10)
    for axis in axes:
        axis.invert_yaxis()
        axis.margins(x=0.12)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path)


def _epochs(axis: Axes, epochs: Sequence[Any], title: str, hardware: Sequence[float] = ()) -> None:
    """Accuracy by epoch; hardware's, where it is given, over golden's."""
    numbers = [one.epoch + 1 for one in epochs]
    golden = [100 * one.accuracy for one in epochs]
    if hardware:
        axis.plot(numbers, golden, color=GOLDEN, lw=6, alpha=0.75, label="golden, training")
        steps = numbers[: len(hardware)]
        trained = [100 * share for share in hardware[: len(numbers)]]
        axis.plot(steps, trained, color=HARDWARE, lw=1.4, label="hardware, training")
    else:
        axis.plot(numbers, golden, "o-", ms=4, color=HARDWARE, label="training")
    if _tested(epochs):
        tested = [100 * one.test_accuracy for one in epochs]
        label, colour = f"test, at last {tested[-1]:.1f}", TESTED if hardware else GOLDEN
        axis.plot(numbers, tested, "o-", ms=4, color=colour, label=label)
    axis.set(xlabel="epoch", ylabel="accuracy, %")
    axis.set_title(title, loc="left", fontsize=10)
    axis.legend(frameon=False, loc="lower right")
    whole_numbers(axis)


def _by_depth(axis: Axes, epoch: Any) -> None:
    """Test accuracy behind each component that has a head, and behind the last, after `epoch`."""
    components = [f"{head.component}" for head in epoch.heads]
    shares = [*(head.accuracy for head in epoch.heads), epoch.test_accuracy]
    axis.plot([*components, "the last"], [100 * one for one in shares], "o-", ms=4, color=GOLDEN)
    axis.set(xlabel="scores behind component", ylabel="accuracy, %")
    axis.set_title("Test accuracy by depth, last epoch", loc="left", fontsize=10)


def _tested(epochs: Sequence[Any]) -> bool:
    return all(one.test_loss is not None for one in epochs)


def _errors(axis: Axes, epochs: Sequence[Any]) -> None:
    """The root of the mean squared error by epoch."""
    numbers = [one.epoch + 1 for one in epochs]
    axis.plot(numbers, [one.rmse for one in epochs], "o-", ms=4, color=HARDWARE, label="training")
    if _tested(epochs):
        tested = [one.test_rmse for one in epochs]
        label = f"test, at last {tested[-1]:.3g}"
        axis.plot(numbers, tested, "o-", ms=4, color=GOLDEN, label=label)
    axis.set(xlabel="epoch", ylabel="RMSE")
    from_zero(axis)
    axis.set_title("Error, root of the mean square", loc="left", fontsize=10)
    axis.legend(frameon=False)
    whole_numbers(axis)


def _slot(axis: Axes, one: SlotTime, row: int, low: int, high: int) -> None:
    """One slot as a box of two halves, each with the number of its token."""
    from matplotlib.patches import Rectangle

    left, right = max(one.start, low), min(one.end, high)
    halves = ((one.forward, FORWARD, -0.4, "→"), (one.backward, BACKWARD, 0.0, "←"))
    for token, colour, top, arrow in halves:
        box = Rectangle((left, row + top), right - left, 0.4, edgecolor="white", lw=0.8)
        box.set_facecolor(colour if _is_token(token) else IDLE)
        axis.add_patch(box)
        if _is_token(token) and 2 * (right - left) > one.end - one.start:
            axis.text(
                (left + right) / 2,
                row + top + 0.21,
                f"{arrow}{token}",
                ha="center",
                va="center",
                fontsize=7.5,
                color=INK,
            )


def _slot_legend(figure: Figure) -> None:
    from matplotlib.patches import Patch

    figure.legend(
        handles=[
            Patch(color=FORWARD, label="→ forward pass of this sample"),
            Patch(color=BACKWARD, label="← backward pass and update of this sample"),
            Patch(color=IDLE, label="nothing"),
        ],
        loc="outside lower left",
        ncols=3,
        frameon=False,
        fontsize=8,
    )


def _is_token(token: int | None) -> bool:
    return token is not None and token >= 0


def from_zero(axis: Axes) -> None:
    """Begin at zero, with room for the marker of the highest point, however close the others."""
    highest = float(axis.dataLim.y1)
    axis.set_ylim(0, ROOM * highest if 0 < highest < math.inf else 1)


def whole_numbers(axis: Axes) -> None:
    """Mark no fractions on the axis from left to right."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def panels(count: int, height: float = 3.6, width: float = 4.6) -> tuple[Figure, list[Axes]]:
    """A figure of so many axes side by side."""
    return grid(1, count, (width * count, height))


def _stacked(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    return grid(count, 1, (width, height * count + 0.4))


def grid(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(rows * columns)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path, *, dpi: int = 130) -> Path:
    """Write a figure as PNG, the same bytes for the same figure."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=dpi, format="png", metadata={"Software": None})
    return write_atomically(path, picture.getvalue())
