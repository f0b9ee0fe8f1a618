"""Figures are drawn from whatever a run leaves, however short it was."""

from __future__ import annotations

import dataclasses
import inspect
import struct
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from counterflow import figures, horizon_figure, profile_figure
from counterflow.design.network.files import load
from counterflow.design.schedule.holdings import holdings
from counterflow.design.schedule.planner import Plan, plan
from counterflow.golden.training.epochs import Epoch, Head
from counterflow.results import plots
from counterflow.sim.bench.reports import SimulationReport, SlotTime
from tests import reported

EPOCHS = [
    Epoch(n, 10, 1.0, loss=1 / (n + 1), accuracy=0.9, test_loss=0.5, test_accuracy=0.8)
    for n in range(3)
]


def slots_of(design: Plan, samples: int) -> list[SlotTime]:
    """What a stall-free run of `samples` samples and enough bubbles shows."""
    found = []
    for stage in design.schedule.stages:
        for slot in range(samples + design.schedule.delay):
            start = stage.start + slot * design.schedule.interval
            back = slot - stage.delay
            found.append(
                SlotTime(
                    stage.name,
                    slot,
                    start,
                    start + stage.cycles,
                    slot if slot < samples else None,
                    back if 0 <= back < samples else -1,
                )
            )
    return found


def report_of(design: Plan, samples: int) -> SimulationReport:
    losses = np.linspace(3, 1, samples)
    return reported.report(
        samples=samples,
        losses=list(losses),
        golden_losses=list(losses),
        correct=[True] * samples,
        slots=slots_of(design, samples),
    )


def assert_picture(path: Path) -> None:
    """A PNG of some size that is not all of one colour."""
    from matplotlib.image import imread

    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert min(width, height) > 200
    assert np.ptp(imread(path)) > 0.5


@pytest.mark.parametrize(("name", "samples"), [("tiny", 1), ("digits", 60), ("deep-digits", 50)])
def test_pictures_of_a_simulation(name: str, samples: int, tmp_path: Path) -> None:
    design = plan(load(name))
    report = report_of(design, samples)
    assert report.interval == design.schedule.interval
    assert_picture(figures.training_curves(tmp_path / "a.png", report))
    assert_picture(figures.training_curves(tmp_path / "b.png", report, EPOCHS))
    assert_picture(figures.training_curves(tmp_path / "e.png", report, EPOCHS, [0.9, 0.9, 0.9]))
    assert_picture(figures.slot_diagram(tmp_path / "c.png", report.slots))
    assert_picture(figures.delays(tmp_path / "d.png", design))


def test_picture_of_what_memories_hold(tmp_path: Path) -> None:
    parts = holdings(plan(load("digits-conv")))
    plain = figures.memory(tmp_path / "a.png", parts, title="digits-conv")
    needed = {"block RAMs": 2.5, "LUTs": 1.1}
    short = figures.memory(tmp_path / "b.png", parts, needed, title="too large")
    assert_picture(plain)
    assert_picture(short)
    assert plain.read_bytes() != short.read_bytes()


def test_picture_of_a_training(tmp_path: Path) -> None:
    assert_picture(figures.learning_curve(tmp_path / "a.png", EPOCHS))
    assert_picture(figures.learning_curve(tmp_path / "b.png", EPOCHS[:1]))


def test_picture_of_a_training_with_heads_has_accuracy_by_depth_beside_it(tmp_path: Path) -> None:
    heads = (Head(1, 0.5, 0.6), Head(2, 0.4, 0.8))
    headed = [dataclasses.replace(one, heads=heads) for one in EPOCHS]
    plain = figures.learning_curve(tmp_path / "a.png", EPOCHS).read_bytes()
    picture = figures.learning_curve(tmp_path / "b.png", headed)
    assert_picture(picture)
    widths = [struct.unpack(">I", text[16:20])[0] for text in (plain, picture.read_bytes())]
    assert widths[1] * 2 == widths[0] * 3


def test_the_same_run_makes_the_same_picture(tmp_path: Path) -> None:
    one = figures.learning_curve(tmp_path / "a.png", EPOCHS)
    two = figures.learning_curve(tmp_path / "b.png", EPOCHS)
    assert one.read_bytes() == two.read_bytes()


def test_a_picture_is_the_same_whatever_a_user_has_set(tmp_path: Path) -> None:
    one = figures.learning_curve(tmp_path / "a.png", EPOCHS)
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "axes.grid": True}):
        two = figures.learning_curve(tmp_path / "b.png", EPOCHS)
        assert matplotlib.rcParams["text.usetex"]
    assert one.read_bytes() == two.read_bytes()


def test_every_picture_is_plain() -> None:
    drawn = [
        one
        for module in (figures, horizon_figure, profile_figure, plots)
        for name, one in inspect.getmembers(module, inspect.isfunction)
        if one.__module__ == module.__name__ and "return save(" in inspect.getsource(one)
    ]
    assert len(drawn) == 11
    assert all(hasattr(one, "__wrapped__") for one in drawn)


def test_smoothing_is_a_mean_of_the_latest() -> None:
    assert figures.smooth([1, 3, 5, 7], 2).tolist() == [1, 2, 4, 6]
    assert figures.smooth([4.0], 9).tolist() == [4.0]


def test_few_samples_have_whole_ticks_and_no_point_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses that hardly differ are far from zero, so that a share of their range is no room."""
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure) or path)
    report = dataclasses.replace(report_of(plan(load("tiny")), 3), losses=[1.40, 1.39, 1.38])
    figures.training_curves(
        tmp_path / "a.png", dataclasses.replace(report, golden_losses=[1.4] * 3)
    )
    figures.learning_curve(tmp_path / "b.png", EPOCHS)
    for figure in drawn:
        for axis in figure.axes:
            low, high = axis.get_xlim()
            ticks = [tick for tick in axis.get_xticks() if low <= tick <= high]
            assert all(float(tick).is_integer() for tick in ticks)
    for axis in (drawn[0].axes[0], drawn[1].axes[0]):
        assert axis.get_ylim()[0] == 0
        assert axis.get_ylim()[1] >= 1.05 * axis.dataLim.y1
