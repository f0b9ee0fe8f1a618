"""`counterflow profile`: what it says, draws and writes; its page, followed as a reader would."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from matplotlib.colors import to_rgb

from counterflow.design.choice.homes import Home, Homes
from counterflow.design.choice.propose import NOISE, ROOM, SHARE, choices
from counterflow.design.choice.tally import Tally
from counterflow.design.data.training import training_data
from counterflow.design.network.files import load, load_file
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.epochs import train
from counterflow.profile_figure import RED, ranges
from tests.commands import run, succeed
from tests.followed import ROOT, followed
from tests.kept import kept

PAGE = (ROOT / "docs" / "choosing-formats.md").read_text(encoding="utf-8")
SHORT = ("--epochs", "1", "--samples", "30")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def tally(values: Any) -> Tally:
    found = Tally()
    found.add(np.asarray(values))
    return found


# Counting


def test_a_tally_knows_what_was_counted() -> None:
    values = np.concatenate([np.zeros(10), np.full(90, 0.25), np.full(9, -2.0), [100.0]])
    one, parts = tally(values), Tally()
    for part in np.array_split(values, 7):
        parts.add(part)
    assert np.array_equal(one.classes, parts.classes)
    assert (one.count, one.zeros, one.others, one.largest) == (110, 10, 100, 100.0)
    assert one.rms == pytest.approx(np.sqrt(np.mean(values[values != 0] ** 2)))
    assert 0.25 <= one.percentile(0.5) <= 0.25 * 1.1
    assert 2.0 <= one.percentile(0.95) <= 2.0 * 1.1
    assert one.percentile(1.0) == 100.0


def test_an_empty_tally_has_no_shares() -> None:
    one = tally(np.zeros(5))
    assert (one.rms, one.percentile(0.5), one.clipped_share, one.lost_share) == (0, 0, 0, 0)
    assert Tally().to_json()["count"] == 0


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_percentiles_are_those_of_numpy_to_a_class(share: float) -> None:
    values = np.random.default_rng(1).normal(size=20000)
    exact = float(np.quantile(np.abs(values), share))
    assert exact * 0.99 <= tally(values).percentile(share) <= exact * 2 ** (1 / 8) * 1.01


# Choosing


@pytest.mark.parametrize("scale", [2.0**-14, 0.003, 0.7, 1.0, 30.0, 5000.0])
@pytest.mark.parametrize("role", ["activation", "error"])
def test_a_format_is_the_narrowest_that_keeps_both_rules(scale: float, role: str) -> None:
    description = load("digits")
    signed = role == "error"
    home = Home("dense0", "layers[0]", role, Format(signed, 10, 8))
    values = scale * np.abs(np.random.default_rng(2).normal(size=5000))
    counted = tally(values)
    (chosen,) = choices(description, {home: counted})
    number, most = chosen.format, counted.percentile(SHARE)
    assert number.signed == signed
    assert number.value(number.max + 1) > ROOM * most >= number.value(number.max + 1) / 2
    noise = 2.0**-number.frac / np.sqrt(12)
    assert noise <= NOISE * counted.rms or number.bits == 32
    assert 2 * noise > NOISE * counted.rms or number.frac in (0, 1 - (number.bits - number.frac))


def test_what_is_bounded_gets_its_bound_and_no_more() -> None:
    description = load("digits")
    home = Homes(description).activations[0]
    (chosen,) = choices(description, {home: tally(np.arange(17) / 16)})
    assert (chosen.format.bits, chosen.format.frac) == (5, 5)  # 1 as 31/32, as 255/256 in u8.8


def test_nothing_is_proposed_for_what_never_was_but_zero() -> None:
    description = load("digits")
    home = Homes(description).activations[0]
    assert choices(description, {home: tally(np.zeros(9))}) == []


@pytest.mark.parametrize(
    ("network", "edge", "role", "layer"),
    [
        ("digits", 0, "input", "network"),
        ("digits", 3, "logit", "network"),
        ("digits", 1, "activation", "dense0"),
        ("tiny-conv", 2, "activation", "conv0"),  # behind its pool
        ("lenet5-classic", 1, "preactivation", "conv0"),
        ("lenet5-classic", 2, "activation", "conv0"),
    ],
)
def test_an_edge_is_in_the_format_of_its_layer(
    network: str, edge: int, role: str, layer: str
) -> None:
    home = Homes(load(network)).activations[edge]
    assert (home.role, home.layer) == (role, layer)


# The command


def test_the_command_says_everything_by_layer_and_role() -> None:
    answer = json.loads(succeed("profile", "tiny", *SHORT, "--json", "-o", "out").stdout)
    assert kept("out/profile.json") == answer
    assert {Path(one).name for one in answer["files"]} == {
        "profile.json",
        "profile.png",
        "profile.toml",
    }
    numbers = {(one["layer"], one["role"]): one for one in answer["numbers"]}
    layered = ("operand", "weight", "velocity", "update", "error")
    assert set(numbers) == {
        ("network", "input"),
        ("network", "logit"),
        ("dense0", "activation"),
        *((layer, role) for layer in ("dense0", "dense1") for role in layered),
    }
    for (_, role), one in numbers.items():
        assert one["integers"]["count"] > 0
        assert 0 < one["floats"]["p999"] <= one["floats"]["largest"]
        assert (one["proposed"] is None) == (role == "update")
        assert one["why"] is None or one["why"].endswith(".")
    for name in ("float64", "as_they_are", "as_proposed"):
        assert 0 <= answer[name]["accuracy"] <= 1
    shown = succeed("profile", "tiny", *SHORT, "-o", "out").stdout
    assert "activation of dense0: u8.4 -> " in shown
    assert load_file(Path("out/profile.toml")) == load("tiny")


def test_what_it_writes_loads_trains_and_has_what_it_proposed() -> None:
    said = succeed("profile", "tiny", *SHORT, "--json", "--write", "far/mine.toml", "-o", "out")
    answer = json.loads(said.stdout)
    written = load_file(Path("far/mine.toml"))
    homes = Homes(written)
    found = {
        (one.layer, one.role): str(one.format)
        for one in (
            *homes.activations.values(),
            *(homes.errors[edge] for edge in (1, 2)),
            *homes.parameters.values(),
        )
        if one.role != "update"
    }
    wanted = {(one["layer"], one["role"]): one["proposed"] for one in answer["numbers"]}
    assert found == {key: value for key, value in wanted.items() if value}
    again = json.loads(succeed("train", "far/mine.toml", *SHORT, "--json", "-o", "out").stdout)
    assert again["accuracy"] == answer["as_proposed"]["accuracy"]
    assert again["loss"] == answer["as_proposed"]["loss"]


TABLE = "a,b,kind\n" + "".join(f"{n % 7},{n % 5 - 2},{'xy'[n % 2]}\n" for n in range(60))
NETWORK = """
name = "mine"
dataset = "table.csv"
inputs = 2
layers = [{ outputs = 4 }, { outputs = 2, activation = "none" }]
"""


def test_a_file_elsewhere_finds_the_data_of_the_first_one() -> None:
    Path("data").mkdir()
    Path("data/table.csv").write_text(TABLE)
    Path("data/mine.toml").write_text(NETWORK)
    succeed("profile", "data/mine.toml", *SHORT, "--write", "far/off/new.toml")
    assert load_file(Path("far/off/new.toml")).dataset == "../../data/table.csv"
    succeed("train", "far/off/new.toml", *SHORT)


def test_data_can_be_brought() -> None:
    Path("other.csv").write_text(TABLE)
    Path("mine.toml").write_text(NETWORK.replace("table.csv", "synthetic"))
    options = ("--data", "other.csv", "--label", "kind", "--seed", "3")
    said = succeed("profile", "mine.toml", *options, *SHORT, "--json", "--write", "new.toml")
    assert json.loads(said.stdout)["provenance"]["dataset"] == "other.csv"
    assert load_file(Path("new.toml")).dataset == "synthetic"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tiny", "--epochs", "0"), "--epochs"),
        (("tiny", "--samples", "no"), "--samples"),
        (("tiny", "--data", "nowhere.csv"), "nowhere.csv"),
        (("missing.toml",), "missing.toml"),
        (("tiny", "--write", "/proc/none.toml"), "/proc/none.toml"),
    ],
)
def test_what_cannot_be_is_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    result = run("profile", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_network_that_stands_still_is_profiled_and_mended() -> None:
    Path("still.toml").write_text(
        NETWORK.replace("table.csv", "synthetic")
        + '[rounding]\nupdate = "nearest-even"\n[recipe]\nlearning_rate = 9.5367431640625e-07\n'
        + 'mitigation = "none"\n[formats]\nweight = "s12.10"\nvelocity = "s8.10"\n'
    )
    assert run("train", "still.toml").exit_code == 2
    said = succeed("profile", "still.toml", *SHORT, "--json", "--write", "new.toml", "-o", "out")
    answer = json.loads(said.stdout)
    assert "Warning: No weight has moved" in said.stderr
    updates = [one for one in answer["numbers"] if one["role"] == "update"]
    assert [one["integers"]["to_zero"] for one in updates] == [1.0, 1.0]
    assert min(answer["as_proposed"]["moved"].values()) > 0.3
    assert min(answer["float64"]["moved"].values()) > 0.3


# The figure


def reds(path: Path) -> int:
    """Pixels of the colour in which shares are written."""
    pixels = image.imread(path)[..., :3]
    return int(np.all(np.abs(pixels - to_rgb(RED)) < 0.05, axis=2).sum())


def test_the_figure_is_the_same_bytes_and_shows_what_saturates() -> None:
    description = load("digits")
    home = Homes(description).activations[1]
    calm, clipped = tally([0.5, 1.0]), tally([0.5, 1.0])
    clipped.clipped = 1
    for name, counted in (("a", calm), ("b", calm), ("c", clipped)):
        ranges(Path(f"{name}.png"), description, {home: counted}, {home: calm}, {})
    drawn = {name: Path(f"{name}.png").read_bytes() for name in "abc"}
    assert drawn["a"] == drawn["b"] != drawn["c"]
    assert reds(Path("c.png")) > reds(Path("a.png")) + 50


# The page


@pytest.mark.slow
def test_the_page_says_what_its_commands_find(tmp_path: Path) -> None:
    followed("choosing-formats", tmp_path, without=("counterflow profile digits",))
    answer = kept(str(tmp_path / "build/coarse/profile.json"))
    learnt = [answer[name]["accuracy"] for name in ("float64", "as_they_are", "as_proposed")]
    rows = re.findall(r"^\| (?:float64|integers).*?\| ([\d.]+) % \|", PAGE, re.MULTILINE)
    assert rows == [f"{100 * one:.2f}" for one in learnt]
    of_layer = {one["role"]: one for one in answer["numbers"] if one["layer"] == "dense0"}
    share = r"(\S+)(?: %)?"
    columns = rf"(\w+) \| (\S+) \| (\S+) \| ([su]\S+) \| {share} \| {share} \| (\S*) ?\|"
    table = re.findall(rf"^\| {columns}", PAGE, re.MULTILINE)
    assert len(table) == 5
    for role, most, largest, number, clipped, lost, proposed in table:
        one = of_layer[role]
        assert (most, largest) == tuple(f"{one['floats'][of]:.2g}" for of in ("p999", "largest"))
        for said, of in ((clipped, "saturated"), (lost, "to_zero")):
            found = one["integers"][of]
            assert said == (f"{100 * found:.1f}" if found else "–")
        assert number == one["format"]
        assert (proposed or number) == one["proposed"]
    assert load_file(tmp_path / "mended.toml") != load_file(tmp_path / "coarse.toml")


@pytest.mark.slow
def test_the_page_says_what_the_digits_need() -> None:
    succeed("profile", "digits", "--write", "narrower.toml", "-o", "out")
    designs = [load_file(Path("narrower.toml")), load("digits")]
    bits = re.search(r"takes ([\d.]+) kbit of memory in place\s+of ([\d.]+)", PAGE)
    assert bits is not None
    assert bits.groups() == tuple(f"{plan(one).memory_bits / 1000:.1f}" for one in designs)
    said = re.search(r"([\d.]+) % of the test samples are right on average", PAGE)
    assert said is not None
    for one in designs:
        schedule, dataset = plan(one).schedule, training_data(one)
        each = [
            train(one, schedule, dataset, seed=seed, evaluate="last").epochs[-1].test_accuracy
            for seed in range(1, 6)
        ]
        assert said[1] == f"{100 * np.mean([share or 0.0 for share in each]):.1f}"
