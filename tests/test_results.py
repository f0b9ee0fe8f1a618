"""The page of results: its numbers are those of the JSON, and what is missing or old is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from counterflow.design.network.description import Description
from counterflow.design.network.files import load, to_toml
from counterflow.design.network.provenance import provenance, write_json
from counterflow.results import accuracy, records
from counterflow.results.__main__ import main
from counterflow.results.accuracy import Run, summary
from counterflow.results.gathered import read
from counterflow.results.page import page
from counterflow.results.settings import NETWORKS, SETTINGS, WAYS, Setting, Way

DIGITS = next(one for one in SETTINGS if one.name == "digits")
PIPELINED = WAYS[-1]


def changed(description: Description, **fields: Any) -> Description:
    recipe = description.recipe.model_copy(update=fields)
    return description.model_copy(update={"recipe": recipe})


def run_of(
    setting: Setting = DIGITS,
    way: Way = PIPELINED,
    seed: int = 1,
    share: float = 0.9,
    description: Description | None = None,
    delays: tuple[int, ...] | None = None,
) -> Run:
    network = description or setting.description
    return Run(
        way=way.name,
        seed=seed,
        samples=100,
        delays=setting.delays if delays is None else delays,
        test_accuracy=(0.5,) * (setting.epochs - 1) + (share,),
        test_loss=(1.0,) * setting.epochs,
        curve=((50, 2.0, 0.4), (100, 1.0, 0.8)),
        provenance=provenance(network, seed=seed),
        description=to_toml(network),
    )


RESOURCES = {"multipliers": 64, "block_rams": 33, "lut_rams": 7, "luts": 30_000, "flip_flops": 900}
SYNTHESIS = {
    "network": "digits",
    "unit": None,
    "target": "ecp5-85f",
    "part": "LFE5U-85F-6BG381C",
    "units": {"dense0": RESOURCES},
    "total": RESOURCES,
    "available": {**RESOURCES, "luts": 83_640},
    "short": dict.fromkeys(RESOURCES, 0),
    "fmax": 50.0,
}
SIMULATION = {
    "compared": 31_503_127,
    "mismatches": 0,
    "utilisation": {"planned": 0.9921875, "measured": 0.9921},
    "interval": 129,
}
SPEED = {
    "golden": [70_000.0, 80_000.0, 75_000.0],
    "torch": {"PyTorch": [9_000.0, 9_500.0, 9_100.0], "PyTorch, fused": [9_999, 10_000, 11_000]},
    "fastest": "PyTorch, fused",
    "ratio": 7.5,
    "versions": "PyTorch 2",
    "load": 0.2,
}


def keep(
    folder: Path, kind: str, result: dict[str, Any], description: Description | None = None
) -> None:
    network = description or load("digits")
    command = ["counterflow", kind, network.name]
    about = provenance(network, seed=1, command=command)
    records.keep(folder, records.record(kind, network, about, result))


def rows_of(folder: Path) -> dict[str, list[str]]:
    """Cells of every table's row by its first cell, the first of equal ones."""
    found: dict[str, list[str]] = {}
    for line in page(read(folder), {}).splitlines():
        if line.startswith("| "):
            name, *cells = line.strip("| ").split(" | ")
            found.setdefault(name, cells)
    return found


def test_without_any_json_the_page_says_that_nothing_was_measured(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    assert set(rows["float64, sequential"]) == {"not measured"}
    assert set(rows["training samples a second at Fmax"]) == {"not measured"}
    assert set(rows["multipliers"]) == {"not measured"}


def test_accuracies_are_mean_and_deviation_of_the_seeds(tmp_path: Path) -> None:
    for seed, share in enumerate((0.97, 0.98, 0.99), start=1):
        accuracy.add(tmp_path, DIGITS, run_of(seed=seed, share=share))
    accuracy.add(tmp_path, DIGITS, run_of(way=WAYS[0], share=0.975))
    rows, column = rows_of(tmp_path), SETTINGS.index(DIGITS)
    assert rows[PIPELINED.title][column] == "**98.00 ± 1.00 (3)**"  # bold: the recipe's own way
    assert rows["float64, sequential"][column] == "97.50 (1)"
    assert rows["integer, pipelined"][column] == "not measured"
    assert rows["training samples x epochs"][column] == "1,437 x 20"


def test_speeds_follow_from_clock_and_interval(tmp_path: Path) -> None:
    records.keep(tmp_path, records.planned(load("digits")))
    for kind, result in (("synth", SYNTHESIS), ("simulate", SIMULATION), ("speed", SPEED)):
        keep(tmp_path, kind, result)
    rows, column = rows_of(tmp_path), list(NETWORKS).index("digits")
    found = {name: cells[column] for name, cells in rows.items() if len(cells) == len(NETWORKS)}
    assert found["cycles a training sample, planned"] == "128"
    assert found["the same, measured"] == "129"
    assert found["utilisation, planned"] == "99.22 %"
    assert found["Fmax after routing"] == "50.0 MHz"
    assert found["training samples a second at Fmax"] == "390,625"  # 50 MHz / 128
    assert found["PyTorch's, one core of the CPU"] == "10,000"
    assert found["hardware over PyTorch"] == "39.1"
    assert found["LUTs"] == "30,000 of 83,640 (36 %)"
    assert rows["golden model"] == ["75,000 (70,000 to 80,000)"]
    assert rows["dense0"] == ["64", "33", "7", "30,000", "900"]


def test_a_design_that_does_not_fit_has_no_speed_but_a_reason(tmp_path: Path) -> None:
    short = {**SYNTHESIS["short"], "luts": 1_236}  # type: ignore[dict-item]
    keep(tmp_path, "synth", {**SYNTHESIS, "fmax": None, "short": short})
    rows, column = rows_of(tmp_path), list(NETWORKS).index("digits")
    assert rows["Fmax after routing"][column] == "does not fit: 1,236 LUTs too many"
    assert rows["training samples a second at Fmax"][column] == "not measured"


def test_what_is_of_another_description_is_marked(tmp_path: Path) -> None:
    old = changed(load("digits"), momentum=0.875)
    accuracy.add(tmp_path, DIGITS, run_of(share=0.98, description=old))
    keep(tmp_path, "synth", SYNTHESIS, old)
    rows = rows_of(tmp_path)
    assert rows[PIPELINED.title][SETTINGS.index(DIGITS)] == "**98.00 (1)** †"
    assert rows["Fmax after routing"][list(NETWORKS).index("digits")] == "50.0 MHz †"


def test_current_trainings_hide_those_of_another_description(tmp_path: Path) -> None:
    old = changed(load("digits"), momentum=0.875)
    runs = [run_of(seed=1, share=0.5, description=old), run_of(seed=2, share=0.9)]
    found = summary(runs, DIGITS, PIPELINED)
    assert found is not None
    assert not found.outdated
    assert [one.seed for one in found.runs] == [2]


def test_another_fold_is_no_other_design(tmp_path: Path) -> None:
    fold = load("digits").fold.model_copy(update={"multipliers": 28})
    keep(tmp_path, "synth", SYNTHESIS, load("digits").model_copy(update={"fold": fold}))
    assert not read(tmp_path).records[0].outdated


def test_other_delays_make_pipelined_trainings_outdated_and_no_others() -> None:
    delays = (9, *DIGITS.delays[1:])
    for way in WAYS:
        done = accuracy.is_done([run_of(way=way, delays=delays)], DIGITS, way, 1)
        assert done == (way.scheme == "sequential")


def test_a_description_without_fields_of_today_is_current() -> None:
    run = run_of()
    lines = [line for line in run.description.splitlines() if not line.startswith("horizon")]
    assert len(lines) < len(run.description.splitlines())
    older = Run(**{**vars(run), "description": "\n".join(lines)})
    assert accuracy.is_done([older], DIGITS, PIPELINED, 1)


def test_what_is_kept_is_read(tmp_path: Path) -> None:
    runs = [run_of(seed=1), run_of(seed=2)]
    for run in reversed(runs):
        accuracy.add(tmp_path, DIGITS, run)
    accuracy.add(tmp_path, DIGITS, runs[0])
    assert accuracy.read(tmp_path, DIGITS) == runs


@pytest.mark.parametrize("name", ["accuracy-digits.json", "synth-digits-x.json"])
def test_a_file_that_cannot_be_understood_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text('{"runs": [{}]}')
    assert main(["--json", str(tmp_path), "--made", str(tmp_path / "made")]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / name}: is no JSON of a")


def made(folder: Path, kind: str, result: dict[str, Any]) -> None:
    about = provenance(load("digits"), seed=1, command=["counterflow", kind, "digits"])
    write_json(folder / f"{kind}.json", {**result, "provenance": about, "files": []})
    (folder / f"{kind}.toml").write_text(to_toml(load("digits")))


def test_the_command_collects_and_writes_the_same_bytes_again(tmp_path: Path) -> None:
    made(tmp_path / "made" / "one", "synth", SYNTHESIS)
    made(tmp_path / "made" / "one", "simulate", SIMULATION)
    made(tmp_path / "made" / "three", "synth", {**SYNTHESIS, "unit": "dense0", "fmax": 1.0})
    folder = tmp_path / "results"
    accuracy.add(folder, DIGITS, run_of(seed=1))
    accuracy.add(folder, DIGITS, run_of(seed=2))
    arguments = ["--json", str(folder), "--made", str(tmp_path / "made")]
    found = []
    for _ in range(2):
        assert main(arguments) == 0
        found.append({path.name: path.read_bytes() for path in tmp_path.glob("results*/*")})
        text = (tmp_path / "results.md").read_text()
    assert found[0] == found[1]
    assert {"synth-digits-ecp5-85f.json", "simulate-digits.json", "plan-mnist.json"} < set(found[0])
    assert json.loads(found[0]["synth-digits-ecp5-85f.json"])["result"]["fmax"] == 50.0
    for name in ("curves-digits", "plan-lenet5", "synth-digits-ecp5-85f"):
        assert f"![{name}](results/{name}.png)" in text
        assert f"{name}.png" in found[0]
