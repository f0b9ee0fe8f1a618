"""Whole epochs in hardware without Python in the cycle, held to the golden model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from counterflow.commands.simulate import by_head
from counterflow.design.data.sets import Dataset, load, synthetic
from counterflow.design.data.sources import DataError
from counterflow.design.network.description import Description, Fold
from counterflow.design.network.files import load as load_description
from counterflow.design.parts.beside import StoppedError
from counterflow.design.parts.formats import Rounding
from counterflow.design.parts.recipe import RateDrop, Recipe
from counterflow.design.parts.tokens import BUBBLE, Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.convolution import Dense
from counterflow.design.units.tiling import Lanes
from counterflow.golden.chain import Chain
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.training.epochs import train
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.convolution import UnitState
from counterflow.golden.units.update import Settings
from counterflow.hw.tops.verilog import to_verilog
from counterflow.sim.compiled import long_run as long
from counterflow.sim.compiled.hardware import Hardware, Stalls
from counterflow.sim.compiled.long_run import long_run
from counterflow.sim.compiled.predictions import field
from counterflow.sim.compiled.stretch import Course, Stretch
from counterflow.sim.simulator import SimulationError
from tests.headed import headed

pytestmark = pytest.mark.xdist_group("long_run")  # most of it shares one build

SAMPLES = 60


@pytest.fixture(scope="module")
def design() -> Plan:
    """Padding lanes, a unit with and one without a gradient, a shared multiplier, a rate drop."""
    return plan(
        Description(
            name="long",
            dataset="synthetic",
            inputs=7,
            layers=[Dense(outputs=5), Dense(outputs=4), Dense(outputs=3, activation="none")],
            recipe=Recipe(
                learning_rate=2.0**-5,
                momentum=0.75,
                epochs=3,
                mitigation="lwpv+sc",
                rate_drops=[RateDrop(epoch=1, shift=2)],
            ),
            fold=Fold(
                lanes=[
                    Lanes(outputs=2, inputs=3),
                    Lanes(outputs=1, inputs=2),
                    Lanes(outputs=1, inputs=1, shared=True),
                ]
            ),
        )
    )


@pytest.fixture(scope="module")
def verilog(design: Plan) -> str:
    return to_verilog(design)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic(7, 3, SAMPLES, 2)


@pytest.fixture
def hardware(design: Plan, verilog: str) -> Iterator[Hardware]:
    with Hardware(design, verilog) as result:
        yield result


def same(found: Sequence[UnitState], expected: Sequence[UnitState]) -> bool:
    names = ("weight", "velocity", "bias", "bias_velocity", "generator")
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for one, other in zip(found, expected, strict=True)
        for name in names
    )


def mixed_tokens(count: int, delay: int) -> list[Token]:
    """Train, infer and bubble tokens in random order, drained."""
    kinds = np.random.default_rng(4).integers(0, 3, count)
    tokens = [BUBBLE if k == 0 else Token(Kind(int(k)), i) for i, k in enumerate(kinds)]
    return list(drained(tokens, delay))


def arrays(tokens: Sequence[Token]) -> tuple[Any, Any]:
    kinds = np.array([token.kind for token in tokens], np.uint8)
    return kinds, np.array([token.sample for token in tokens], np.int64)


def test_epochs_equal_golden(design: Plan, verilog: str, data: Dataset) -> None:
    seen: list[tuple[int, int]] = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    report = long_run(design, data, seed=3, verilog=verilog, on_progress=progress)
    assert report.first_divergence is None
    assert report.equal
    assert (report.epochs, report.samples) == (3, 3 * SAMPLES)
    # Each epoch: three scores and a loss of each sample, tests too; four states of all parameters,
    # and before training once more.
    words = 2 * (7 * 5 + 5 * 4 + 4 * 3) + 2 * (5 + 4 + 3) + 2 * 3
    assert report.compared == 3 * 2 * SAMPLES * 4 + 4 * words
    assert report.utilisation_measured == design.schedule.utilisation
    assert len(report.accuracy) == len(report.losses) == 3
    assert report.losses[-1] < report.losses[0]
    assert seen[-1][0] == seen[-1][1] == 3 * (2 * SAMPLES + design.schedule.delay)
    assert seen == sorted(seen)


@pytest.mark.parametrize("jobs", [2, 3, 7])
def test_epochs_beside_each_other_bring_the_same(
    design: Plan, verilog: str, data: Dataset, jobs: int
) -> None:
    seen: list[tuple[int, int]] = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    options: dict[str, Any] = {"seed": 3, "verilog": verilog}
    alone = long_run(design, data, **options)
    beside = long_run(design, data, jobs=jobs, on_progress=progress, **options)
    assert beside.equal, beside.first_divergence
    stretches = min(jobs, 3)
    assert (alone.stretches, beside.stretches) == (1, stretches)
    for what in ("epochs", "samples", "losses", "test_losses", "accuracy", "utilisation_measured"):
        assert getattr(beside, what) == getattr(alone, what), what
    # The states that each further stretch begins with: those loaded, and those joined.
    words = 2 * (7 * 5 + 5 * 4 + 4 * 3) + 2 * (5 + 4 + 3) + 3
    assert beside.compared == alone.compared + (stretches - 1) * (2 * words + 3)
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_stretches_that_do_not_join_are_a_divergence(
    design: Plan, verilog: str, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = Course.states

    def states(*given: Any) -> Iterator[list[UnitState]]:
        for place, found in enumerate(genuine(*given)):
            found[1].weight[3, 2] += place
            yield found

    monkeypatch.setattr(Course, "states", states)
    report = long_run(design, data, seed=3, verilog=verilog, jobs=2)
    assert report.mismatches == 1
    assert report.first_divergence is not None
    assert report.first_divergence.startswith("epoch 2, begun after epoch 1: dense1.weight[3, 2]")


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_nothing_counts_behind_the_first_epoch_that_differs(
    design: Plan, verilog: str, data: Dataset, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    genuine = Stretch._train

    def train(stretch: Stretch, number: int, order: Integers) -> None:
        genuine(stretch, number, order)
        if number >= epoch:
            stretch.comparison.differ(f"planted in epoch {number}")

    monkeypatch.setattr(Stretch, "_train", train)
    for jobs in (1, 3):
        report = long_run(design, data, seed=3, verilog=verilog, jobs=jobs)
        assert (report.epochs, report.mismatches) == (epoch + 1, 1)
        assert report.first_divergence == f"planted in epoch {epoch}"


def test_an_interruption_ends_all_stretches(
    design: Plan, verilog: str, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[type[BaseException]] = []
    genuine = Stretch.run

    def run(stretch: Stretch, begun: Sequence[UnitState]) -> Stretch:
        try:
            return genuine(stretch, begun)
        except BaseException as error:
            ended.append(type(error))
            raise

    def interrupted(_: object) -> list[Stretch]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stretch, "run", run)
    monkeypatch.setattr(long, "_until_one_differs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        long_run(design, data, seed=3, epochs=200, verilog=verilog, jobs=2)
    assert ended == [StoppedError] * 2


@pytest.mark.slow
@pytest.mark.parametrize("stalls", [Stalls(), Stalls(0.3, 0.5, 0.9)], ids=["flowing", "stalled"])
def test_every_head_is_compared(stalls: Stalls) -> None:
    heads, data = headed(), synthetic(6, 4, SAMPLES, 2)
    report = long_run(heads, data, seed=3, epochs=2, stalls=stalls)
    assert report.equal, report.first_divergence
    # As above, of three losses and of five units, two of them heads.
    words = 2 * (6 * 5 + 5 * 5 + 3 * 5 * 4) + 2 * (5 + 5 + 3 * 4) + 2 * 5
    assert report.compared == 2 * 3 * 2 * SAMPLES * 5 + 3 * words
    expected = train(heads.description, heads.schedule, data, seed=3, epochs=2).epochs
    assert list(report.accuracy) == [one.test_accuracy for one in expected]
    assert report.test_losses == pytest.approx([one.test_loss for one in expected])
    for found, one in zip(report.heads, expected, strict=True):
        assert [head.component for head in found] == [1, 2]
        assert [head.accuracy for head in found] == [head.accuracy for head in one.heads]
        losses = [head.loss for head in one.heads]
        assert [head.loss for head in found] == pytest.approx(losses)
    assert by_head(replace(report, heads=[()] * 2)) is None
    table = by_head(report)
    assert table is not None
    assert list(table.columns[0].cells) == ["1", "2", "the last"]
    said: Any = report.to_json()["heads"]
    assert [[head["component"] for head in epoch] for epoch in said] == [[1, 2]] * 2


def test_a_limit_holds_for_training_and_test(design: Plan, verilog: str, data: Dataset) -> None:
    seen: list[tuple[int, int]] = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    report = long_run(
        design, data, seed=3, epochs=1, limit=5, verilog=verilog, on_progress=progress
    )
    assert report.equal
    assert report.samples == 5
    assert seen[-1][0] == seen[-1][1] == 5 + design.schedule.delay + 5


@pytest.mark.parametrize(
    "stalls",
    [
        Stalls(samples=0.5, labels=0.5, predictions=0.5, seed=1),
        Stalls(samples=0.9, seed=2),
        Stalls(labels=0.99, seed=3),
        Stalls(predictions=0.95, seed=4),
    ],
    ids=["all", "samples", "labels", "predictions"],
)
def test_stalls_change_no_bit(design: Plan, verilog: str, data: Dataset, stalls: Stalls) -> None:
    smooth = long_run(design, data, seed=3, epochs=2, verilog=verilog)
    stalled = long_run(design, data, seed=3, epochs=2, verilog=verilog, stalls=stalls)
    assert stalled.equal, stalled.first_divergence
    assert (stalled.losses, stalled.accuracy) == (smooth.losses, smooth.accuracy)
    assert stalled.cycles > smooth.cycles


@pytest.mark.slow
def test_fill_and_drain(design: Plan, data: Dataset) -> None:
    update = {"scheme": "fill-and-drain", "batch": 4}
    recipe = design.description.recipe.model_copy(update=update)
    other = plan(design.description.model_copy(update={"recipe": recipe}))
    report = long_run(other, data, seed=3, epochs=1)
    assert report.equal, report.first_divergence
    assert report.utilisation_measured is not None
    assert report.utilisation_measured < 0.7 * design.schedule.utilisation


def test_mixed_tokens_equal_the_authority(design: Plan, data: Dataset, hardware: Hardware) -> None:
    states = initial_states(design.description, design.schedule, 5)
    chain = Chain(design.description, design.schedule, [state.copy() for state in states])
    settings = Settings(predict=False, compensate=True, extra_shift=1)
    hardware.load(states)
    hardware.set(settings)
    chain.set(settings)
    samples = data.scaling.codes(data.train_x, design.description.formats.input)
    tokens = mixed_tokens(SAMPLES, design.schedule.delay)
    expected = chain.run(tokens, samples, data.train_y)
    for used in (samples, samples.astype(np.int64)):  # as bytes and as words
        (scores,), (losses,) = hardware.run_all(*arrays(tokens), used, data.train_y)
        assert scores.tolist() == [p.scores.tolist() for p in expected]
        assert losses.tolist() == [p.loss for p in expected]
        assert same(hardware.read_back(), chain.states)
        hardware.reset()
        hardware.load(states)
        hardware.set(settings)


def test_reads_back_what_was_loaded(design: Plan, hardware: Hardware) -> None:
    random = np.random.default_rng(6)
    states = []
    for stage in design.schedule.stages:
        weight, velocity, tiling = stage.arithmetic.weight, stage.arithmetic.velocity, stage.tiling
        shape = (tiling.outputs, tiling.geometry.taps)
        states.append(
            UnitState(
                weight=random.integers(weight.min, weight.max + 1, shape),
                velocity=random.integers(velocity.min, velocity.max + 1, shape),
                bias=random.integers(weight.min, weight.max + 1, shape[0]),
                bias_velocity=random.integers(velocity.min, velocity.max + 1, shape[0]),
                generator=int(random.integers(1, 1 << 32)),
            )
        )
    hardware.load(states)
    assert same(hardware.read_back(), states)


def test_a_wrongly_loaded_weight_is_found(
    design: Plan, verilog: str, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = Hardware.load

    def load(hardware: Hardware, states: Sequence[UnitState]) -> None:
        wrong = [state.copy() for state in states]
        wrong[1].weight[3, 2] += 1
        genuine(hardware, wrong)

    monkeypatch.setattr(Hardware, "load", load)
    report = long_run(design, data, seed=3, verilog=verilog)
    weight = initial_states(design.description, design.schedule, 3)[1].weight[3, 2]
    assert not report.equal
    assert report.mismatches == 1
    assert report.epochs == 0
    assert report.first_divergence == (
        f"before training: dense1.weight[3, 2] is {weight + 1}, golden has {weight}"
    )


def faulty(design: Plan, unit: int, **changes: object) -> str:
    """Verilog in which one unit's arithmetic is another."""
    stage = design.schedule.stages[unit]
    numbers = replace(stage.arithmetic, **changes)  # type: ignore[arg-type]
    other = replace(stage, arithmetic=numbers)
    units = tuple(other if one is stage else one for one in design.schedule.units)
    return to_verilog(replace(design, schedule=replace(design.schedule, units=units)))


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_wrong_update_is_found_in_its_unit(design: Plan, data: Dataset, jobs: int) -> None:
    coefficient = design.schedule.stages[1].arithmetic.compensation
    wrong = faulty(design, 1, compensation=coefficient + 3)
    report = long_run(design, data, seed=3, verilog=wrong, jobs=jobs)
    assert not report.equal
    assert report.epochs == 1
    assert report.first_divergence is not None
    assert report.first_divergence.startswith("epoch 0, after ")
    assert ": dense1." in report.first_divergence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "unit", "loss"),
    [("design", 2, "loss"), ("heads", 3, "loss2")],
    ids=["of the network", "of a head"],
)
def test_a_wrong_activation_shows_in_a_prediction(
    network: str, unit: int, loss: str, design: Plan
) -> None:
    chosen = headed() if network == "heads" else design
    description = chosen.description
    wrong = faulty(chosen, unit, round_activation=Rounding.TRUNCATE)
    data = synthetic(description.elements, description.classes, SAMPLES, 2)
    report = long_run(chosen, data, seed=3, verilog=wrong)
    assert not report.equal
    assert report.first_divergence is not None
    assert f"of its samples: {loss}.score[" in report.first_divergence


def test_a_run_that_does_not_finish_says_so(
    design: Plan, data: Dataset, hardware: Hardware
) -> None:
    samples = data.scaling.codes(data.train_x, design.description.formats.input)
    tokens = arrays([Token(Kind.TRAIN, index) for index in range(SAMPLES)])
    with pytest.raises(SimulationError, match=r"not finished after 100 cycles.* 5 of 60 tokens"):
        hardware.run_all(*tokens, samples, data.train_y, limit=100)
    hardware.reset()
    labels = data.train_y.copy()
    labels[7] = 200  # the hardware drops this sample, so that a prediction is missing
    hardware.load(initial_states(design.description, design.schedule, 3))
    with pytest.raises(SimulationError, match="60 of 60 tokens and sent 177 of 180 scores"):
        hardware.run_all(*tokens, samples, labels)


def test_hardware_that_hangs_is_a_divergence(
    design: Plan, verilog: str, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hardware, "_limit", lambda self, tokens: 1_000)
    report = long_run(design, data, seed=3, verilog=verilog)
    assert not report.equal
    assert report.first_divergence is not None
    assert "not finished after 1000 cycles" in report.first_divergence


def test_bad_arguments(design: Plan, data: Dataset, hardware: Hardware) -> None:
    samples = data.scaling.codes(data.train_x, design.description.formats.input)
    token = arrays([Token(Kind.TRAIN, SAMPLES)])
    with pytest.raises(ValueError, match=r"outside 0\.\.59"):
        hardware.run_all(*token, samples, data.train_y)
    with pytest.raises(ValueError, match=r"shape \(60, 6\)"):
        hardware.run_all(token[0], token[1] - 1, samples[:, 1:], data.train_y)
    with pytest.raises(ValueError, match=r"chance of a stall is 1\.0"):
        Stalls(labels=1.0)
    with pytest.raises(ValueError, match="0 jobs cannot share"):
        long_run(design, data, seed=3, jobs=0)
    with pytest.raises(SimulationError, match="no module long"):
        Hardware(design, verilog="module other(); endmodule")


def test_fields_of_wide_transfers() -> None:
    words = np.array([[0xFEDC_BA98_7654_3210, 0x0123_4567]], np.uint64)
    assert field(words, 60, 12).tolist() == [0x67F]
    assert field(words, 64, 8).tolist() == [0x67]
    assert field(words, 4, 12).tolist() == [0x321]


@pytest.mark.slow
def test_digits_all_epochs() -> None:
    design = plan(load_description("digits"))
    report = long_run(design, load("digits"), seed=1)
    assert report.equal, report.first_divergence
    assert report.epochs == 20
    assert report.accuracy[-1] > 0.96


@pytest.mark.slow
def test_mnist_one_epoch() -> None:
    try:
        data = load("mnist")
    except DataError as error:
        pytest.skip(str(error))
    report = long_run(plan(load_description("mnist")), data, seed=1, epochs=1)
    assert report.equal, report.first_divergence
    assert report.accuracy[-1] > 0.94
