"""Data of the user's own: the same samples in every form are the same data set."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from counterflow.design.data.own.read import read
from counterflow.design.data.scaling import Scaling
from counterflow.design.data.sets import Dataset, load
from counterflow.design.data.sources import DataError
from counterflow.design.data.training import training_data
from counterflow.design.network import files
from counterflow.design.network.description import Description
from counterflow.design.network.reading import Reading
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.checkpoint import Checkpoint, TrainedOn, going_on, save
from counterflow.golden.training.checkpoint import load as load_checkpoint
from counterflow.golden.training.epochs import train
from counterflow.host.progress import Progress
from tests.commands import read as answer
from tests.commands import refuse, succeed

DIGITS = load("digits")
X, Y = DIGITS.train_x, DIGITS.train_y
TEST_X, TEST_Y = DIGITS.test_x, DIGITS.test_y
HALVES = {"x_train": X, "y_train": Y, "x_test": TEST_X, "y_test": TEST_Y}
SIDE = 8


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def published() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The digits in their published order, from which the split of seed 0 makes the set."""
    with np.load(Path(files.__file__).parents[1] / "data" / "digits.npz") as arrays:
        return arrays["pixels"], arrays["labels"]


def same(found: Dataset, expected: Dataset = DIGITS) -> None:
    """The same arrays, hence the same hash."""
    assert found.sha256 == expected.sha256
    assert np.array_equal(found.train_x, expected.train_x)
    assert np.array_equal(found.test_y, expected.test_y)
    assert found.classes == expected.classes


# Tables


def table(separator: str = ",", header: bool = True, label: int = 64, ending: str = "\n") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=ending)
    names = [f"p{at}" for at in range(64)]
    x, y = published()
    if header:
        writer.writerow([*names[:label], "digit", *names[label:]])
    writer.writerows(
        [*row[:label], one, *row[label:]] for row, one in zip(x.tolist(), y, strict=True)
    )
    return out.getvalue()


TABLES: dict[str, tuple[str, Reading]] = {
    "last column": (table(), Reading()),
    "no header": (table(header=False), Reading()),
    "named column": (table(label=3), Reading(label="digit")),
    "first column": (table(header=False, label=0), Reading(label="first")),
    "numbered column": (table(header=False, label=10), Reading(label=11)),
    "column of the usual name": (table(label=5).replace("digit", "Label"), Reading()),
    "semicolons": (table(";"), Reading()),
    "tabs": (table("\t"), Reading()),
    "Windows": ("\ufeff" + table(ending="\r\n"), Reading()),
    "blank lines": ("\n" + table().replace("\n", "\n\n") + "\n", Reading()),
    "floats": (table().replace(",16,", ",1.6e1,"), Reading()),
    "numbers as names": (
        ",".join(map(str, range(65))) + "\n" + table(header=False),
        Reading(header=True),
    ),
}


@pytest.mark.parametrize("form", TABLES)
def test_a_table_is_read_however_it_is_written(form: str) -> None:
    text, reading = TABLES[form]
    Path("digits.csv").write_text(text, encoding="utf-8", newline="")
    found = read("digits.csv", reading)
    same(found)
    assert found.shape == (1, 1, 64)
    assert "360 of 1,797 samples are kept for testing, drawn with seed 0." in found.told


@pytest.mark.parametrize("names", ["<a>,[1]", "[1],{b}", "{a},<b>"])
def test_names_of_columns_may_have_brackets_of_any_kind(names: str) -> None:
    Path("mine.csv").write_text(f"{names},k\n1,2,0\n3,4,1\n")
    assert sorted(read("mine.csv", Reading(test=0)).train_x.tolist()) == [[1, 2], [3, 4]]


def test_labels_of_text_are_numbered_by_the_alphabet() -> None:
    Path("kinds.csv").write_text("kind,a\n" + "pear,1\napple,2\nfig,3\napple,4\n" * 5)
    found = read("kinds.csv", Reading(test=0))
    assert found.train_x.shape == (20, 1)
    names = ("apple", "fig", "pear")
    assert "Classes from 0 on are apple, fig, pear." in found.told
    for x, y in zip(found.train_x[:, 0], found.train_y, strict=True):
        assert names[y] == {1: "pear", 2: "apple", 3: "fig", 4: "apple"}[int(x)]
    assert len(found.test_x) == 0


def test_a_table_may_have_its_test_half_in_a_file_of_its_own() -> None:
    Path("set").mkdir()
    for name, x, y in (("train", X, Y), ("test", TEST_X, TEST_Y)):
        rows = [",".join(map(str, [*row, one])) for row, one in zip(x, y, strict=True)]
        Path(f"set/{name}.csv").write_text("\n".join(rows))
    same(read("set"))


# Arrays


def split(order: Sequence[str]) -> dict[str, Any]:
    return dict(zip(order, HALVES.values(), strict=True))


NAMES = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_x", "train_y", "test_x", "test_y"),
    ("X_train", "Y_train", "X_test", "Y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x", "y", "x_test", "y_test"),
    ("pixels", "labels", "test_features", "test_targets"),
)


@pytest.mark.parametrize("names", NAMES)
def test_arrays_have_any_of_the_usual_names(names: tuple[str, ...]) -> None:
    np.savez("set.npz", **split(names), note=np.arange(3))
    found = read("set.npz")
    same(found)
    assert found.told == ("Not used: note.",)


@pytest.mark.parametrize(
    "kind", ["u1", "i2", ">i4", "u8", "f2", "f4", ">f8", "longdouble"], ids=str
)
@pytest.mark.parametrize("labels", ["u1", ">i8", "f4"])
def test_arrays_have_any_type_of_numbers(kind: str, labels: str) -> None:
    x, y = published()
    np.savez("set.npz", x=x.astype(kind), y=y.astype(labels)[:, None])
    same(read("set.npz"))


def as_columns(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    fields = [("label", "i4"), *((f"p{at}", "u1") for at in range(64))]
    return np.array([(one, *row) for row, one in zip(x, y, strict=True)], fields)


FORMS: dict[str, Callable[[], Any]] = {
    "arrays": lambda: published(),
    "lists": lambda: tuple(one.tolist() for one in published()),
    "halves": lambda: tuple(HALVES.values()),
    "by name": lambda: dict(zip("xy", published(), strict=True)),
    "function": lambda: published,
    "table": lambda: stored("digits.npy", np.column_stack(published())),
    "fields": lambda: stored("digits.npy", as_columns(*published())),
    "NPY files": lambda: [stored(f"set/{one}.npy", HALVES[one]) for one in HALVES][-1].parent,
    "one file": lambda: stored("set/x.npy", np.column_stack(published())).parent,
}


def stored(name: str, array: npt.NDArray[Any]) -> Path:
    Path(name).parent.mkdir(exist_ok=True)
    np.save(name, array)
    return Path(name)


@pytest.mark.parametrize("form", FORMS)
def test_arrays_come_from_files_and_from_programs(form: str) -> None:
    same(read(FORMS[form]()))


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (SIDE, SIDE, 1)])
def test_arrays_of_images_keep_their_shape(shape: tuple[int, ...]) -> None:
    x, y = published()
    found = read((x.reshape(-1, *shape), y))
    same(found)
    assert found.shape == (SIDE, SIDE, 1)


def test_other_numbers_have_another_hash() -> None:
    x, y = published()
    hashes = {read((one, y)).sha256 for one in (x, x + 1, x / 2, x[:, ::-1], x.astype(int) - 1)}
    assert len(hashes) == 5
    seeds = {read((x, y), Reading(seed=seed)).sha256 for seed in (0, 1)}
    assert len(seeds) == 2


# Files of images

KINDS = {"u1": 8, "i1": 9, ">i2": 0xB, ">i4": 0xC, ">f4": 0xD, ">f8": 0xE}
IDX_NAMES = (
    "{}-images-idx3-ubyte",
    "{}-images.idx3-ubyte.gz",
    "emnist-digits-{}-images-idx3-ubyte.gz",
    "raw/{}-images-idx3-ubyte",
    "Fashion/raw/{}-images-idx3-ubyte",
    "{}_images.idx",
)


@pytest.mark.parametrize("name", IDX_NAMES)
@pytest.mark.parametrize("test", ["t10k", "test"])
@pytest.mark.parametrize("kind", ["u1", ">f4"])
def test_idx_files_have_any_of_the_usual_names(name: str, test: str, kind: str) -> None:
    for half, x, y in (("train", X, Y), (test, TEST_X, TEST_Y)):
        for what, array in (("images", x.reshape(-1, SIDE, SIDE)), ("labels", y)):
            path = Path("set", name.format(half).replace("images", what))
            path = path.with_name(path.name.replace("idx3", f"idx{array.ndim}"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(idx(array.astype(kind), kind, packed=path.suffix == ".gz"))
    found = read("set")
    same(found)
    assert found.shape == (SIDE, SIDE, 1)


def idx(array: npt.NDArray[Any], kind: str = "u1", *, packed: bool = False) -> bytes:
    sizes = b"".join(size.to_bytes(4) for size in array.shape)
    content = bytes((0, 0, KINDS[kind], array.ndim)) + sizes + array.tobytes()
    return gzip.compress(content) if packed else content


def images(folder: str, x: npt.NDArray[Any], y: Sequence[Any], ending: str = ".png") -> None:
    """A folder for each label, with the images in the order that they have."""
    for at, (image, label) in enumerate(zip(x, y, strict=True)):
        path = Path(folder, str(label), f"{at:05}{ending}")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


@pytest.mark.parametrize("halves", [False, True])
def test_folders_of_images_have_their_labels_as_names(halves: bool) -> None:
    first = slice(0, 120)
    x, y = X[first].reshape(-1, SIDE, SIDE), Y[first]
    images("set/train" if halves else "set", x, y)
    if halves:
        images("set/test", TEST_X[first].reshape(-1, SIDE, SIDE), TEST_Y[first])
        (Path("set") / "notes").mkdir()
    order = np.argsort(y, kind="stable")
    found = read("set", None if halves else Reading(test=0))
    assert sorted(found.train_y.tolist()) == sorted(y.tolist())
    rows = sorted(zip(found.train_y.tolist(), found.train_x.tolist(), strict=True))
    assert rows == sorted(zip(y[order].tolist(), X[order].tolist(), strict=True))
    assert found.shape == (SIDE, SIDE, 1)
    assert ("Not used: notes." in found.told) == halves
    assert len(found.test_x) == (120 if halves else 0)


@pytest.mark.parametrize(
    ("mode", "ending", "shape"),
    [
        ("L", ".png", (5, 4, 1)),
        ("1", ".png", (5, 4, 1)),
        ("I;16", ".png", (5, 4, 1)),
        ("RGB", ".PNG", (5, 4, 3)),
        ("RGBA", ".png", (5, 4, 3)),
        ("P", ".png", (5, 4, 3)),
        ("L", ".jpeg", (5, 4, 1)),
        ("RGB", ".jpg", (5, 4, 3)),
    ],
)
def test_images_are_grey_or_in_colour(mode: str, ending: str, shape: tuple[int, ...]) -> None:
    for number, name in enumerate(("cat", "dog")):
        Path(name).mkdir()
        for shade in (40, 90, 200):
            image = Image.new("RGBA", (4, 5), (shade + number, 0, 0, 255))
            image = image.convert("I;16") if mode == "I;16" else image.convert("RGB").convert(mode)
            image.save(Path(name, f"{shade}{ending}"))
        Path(name, ".hidden").write_text("of the system")
    found = read(".")
    assert found.shape == shape
    assert found.classes == 2
    assert found.train_x.shape == (4, 20 * shape[2])


def test_folders_with_numbers_as_names_keep_their_order() -> None:
    x = np.arange(12, dtype=np.uint8).repeat(4).reshape(12, 2, 2)
    images("set", x, range(12))
    found = read("set", Reading(test=0))
    assert np.array_equal(found.train_x[:, 0], found.train_y)


@pytest.mark.parametrize("names", [("1", "01", "2"), ("1", "\uff11", "2")])
def test_folders_whose_names_are_one_number_are_two_classes(names: tuple[str, ...]) -> None:
    x = np.arange(30, dtype=np.uint8).repeat(4).reshape(30, 2, 2)
    images("set", x, [names[at % 3] for at in range(30)])
    assert len(set(read("set", Reading(test=0)).train_y)) == 3


# What a training makes of it


def network(**changes: Any) -> Description:
    fields = {
        "name": "mine",
        "inputs": 64,
        "layers": [{"outputs": 6}, {"outputs": 10, "activation": "none"}],
        "recipe": {"epochs": 2},
    }
    return Description.model_validate(fields | changes)


def trained(description: Description, dataset: Dataset, **options: Any) -> Checkpoint:
    schedule = plan(description).schedule
    found = train(description, schedule, dataset, limit=50, evaluate=False, **options).checkpoint
    assert found is not None
    return found


def states(checkpoint: Checkpoint) -> list[Any]:
    return [one.tolist() for state in checkpoint.states for one in state.arrays.values()]


def test_a_published_set_is_known_in_whatever_form_it_comes() -> None:
    np.savez("mine.npz", **HALVES)
    found = training_data(network(), "mine.npz")
    same(found)
    assert (found.name, found.scaling, found.shape) == ("digits", DIGITS.scaling, DIGITS.shape)
    other = training_data(network(), (X + 1, Y, TEST_X, TEST_Y))
    assert other.name == "arrays"
    assert "This is not digits as published." in other.told


def test_a_table_of_pixels_trains_as_the_set_of_images() -> None:
    Path("mine.csv").write_text(table())
    mine = network(dataset="mine.csv", data={"scale": "common"})
    data = training_data(mine)
    same(data)
    assert data.scaling == Scaling.common(16)
    assert states(trained(mine, data)) == states(trained(network(), DIGITS))


def test_images_have_one_scaling_and_columns_their_own() -> None:
    rows, y = np.array([[0.0, 1000.0], [3.0, 1003.0]] * 20), np.arange(40) % 2
    flat = {"inputs": 2, "layers": [{"outputs": 2, "activation": "none"}], "dataset": "none"}
    found = training_data(network(**flat), (rows, y))
    assert (found.scaling.zero, found.scaling.scale) == ((0.0, 1000.0), (4.0, 4.0))
    assert "Each column is scaled to 0..1 by its own range and rounded to u8.8." in found.told
    signed = network(**flat, formats={"input": "s8.7"})
    found = training_data(signed, (rows, y))
    assert (found.scaling.zero, found.scaling.scale) == ((1.5, 1001.5), (2.0, 2.0))
    codes = found.scaling.codes(found.train_x, Format.parse("s8.7"))
    assert sorted(set(codes.ravel().tolist())) == [-96, 96]
    image = network(**flat | {"inputs": [1, 2, 1]})
    for shape in ((1, 2), (2,)):
        found = training_data(image, (rows.reshape(-1, *shape), y))
        assert found.scaling == (Scaling.common(1003) if shape == (1, 2) else found.scaling)
    found = training_data(network(**flat, data={"scale": "common"}), (rows, y))
    assert found.scaling == Scaling((0.0,), (1024.0,))


def test_the_scaling_is_that_of_the_training_half() -> None:
    """What is beyond it in the test half has the outermost codes."""
    x, far = np.array([[0.0], [3.0]] * 5), np.array([[-50.0], [1e90]])
    mine = network(inputs=1, layers=[{"outputs": 2, "activation": "none"}], dataset="none")
    found = training_data(mine, (x, np.arange(10) % 2, far, np.arange(2)))
    codes = found.scaling.codes(found.test_x, Format.parse("u8.8"))
    assert found.scaling == Scaling((0.0,), (4.0,))
    assert codes.tolist() == [[0], [255]]


def test_a_path_counts_from_the_description_then_from_here() -> None:
    x, y = published()
    Path("there").mkdir()
    for place, part in (("there/mine.npz", slice(100)), ("mine.npz", slice(200))):
        np.savez(place, x=x[part], y=y[part])
    mine = network(dataset="mine.npz")
    assert len(training_data(mine, beside=Path("there")).train_x) == 80
    assert len(training_data(mine, beside=Path("nowhere")).train_x) == 160
    assert len(training_data(mine).train_x) == 160
    Path("there/mine.toml").write_text(files.to_toml(mine))
    made = answer("train", "there/mine.toml", "--epochs", "1", "-o", "out")
    assert made["samples"] == 80
    assert made["provenance"]["dataset"] == "mine.npz"
    assert made["provenance"]["dataset_sha256"] == read((x[:100], y[:100])).sha256


def test_a_description_without_data_of_its_own_keeps_its_hash() -> None:
    assert files.load("tiny").hash() == "ed1401c09710"
    assert "data" not in files.load("tiny").model_dump()
    assert network().hash() == network(data=None).hash() != network(data={}).hash()


# Checkpoints


def test_a_checkpoint_keeps_hash_and_scaling(tmp_path: Path) -> None:
    x, y = published()
    mine = network(formats={"input": "s8.7"})
    data = training_data(mine, (x - 0.5, y))
    made = trained(mine, data, epochs=1)
    save(tmp_path / "one.npz", made)
    found = load_checkpoint(tmp_path / "one.npz", mine, plan(mine).schedule)
    assert found.data is not None
    assert (found.data.sha256, found.data.scaling) == (data.sha256, data.scaling)
    assert (found.data.name, found.data.design) == ("arrays", mine.hash_without_data())
    assert len(found.data.scaling.scale) == 64
    whole, after = trained(mine, data, epochs=2), trained(mine, data, epochs=2, resume=found)
    assert states(whole) == states(after)


def test_to_go_on_with_other_data_is_refused_unless_it_is_asked_for() -> None:
    x, y = published()
    first = training_data(network(), (x - 0.5, y))
    other = training_data(network(), (2 * x - 0.5, y))
    start = trained(network(), first, epochs=1)
    with pytest.raises(ValueError, match=r"trained on arrays \(SHA-256 .{12}\), not on arrays \(S"):
        trained(network(), other, resume=start)
    assert going_on(start, first) is first
    alike = training_data(network(), (x - 0.5, 9 - y))
    assert alike.scaling == first.scaling
    with pytest.raises(ValueError, match="give --other-data"):
        trained(network(), alike, resume=start)
    after = trained(network(), other, resume=start, other_data=True)
    assert after.data is not None
    assert (after.data.sha256, after.data.scaling) == (other.sha256, first.scaling)
    assert going_on(start, other, other_data=True).scaling == first.scaling != other.scaling


def test_a_host_remembers_what_a_board_was_trained_on(tmp_path: Path) -> None:
    x, y = published()
    mine = network(formats={"input": "s8.7"})
    first, other = (training_data(mine, (x * factor - 0.5, y)) for factor in (1, 2))
    before = TrainedOn.of(mine, first)
    kept = Progress("net", 1, 0, 1, None, "last", first.sha256, 0, 0, data=asdict(before))
    kept.save(tmp_path / "progress.json")
    found = Progress.load(tmp_path / "progress.json")
    assert found is not None
    assert found.trained_on == before
    assert before.scaled(other).scaling == first.scaling != other.scaling
    with pytest.raises(ValueError, match="has scalings for 64 columns, but arrays has 63 columns"):
        before.scaled(read((x[:, 1:], y)))
    fields = json.loads((tmp_path / "progress.json").read_text())
    del fields["data"]  # as older programs left it
    (tmp_path / "progress.json").write_text(json.dumps(fields))
    older = Progress.load(tmp_path / "progress.json")
    assert older is not None
    assert older.trained_on is None


def test_a_checkpoint_goes_on_with_a_description_of_other_data_if_asked() -> None:
    x, y = published()
    for name, part in (("one", slice(900)), ("two", slice(900, 1797))):
        np.savez(f"{name}.npz", x=x[part], y=y[part])
        Path(f"{name}.toml").write_text(files.to_toml(network(dataset=f"{name}.npz")))
    succeed("train", "one.toml", "--epochs", "1", "--samples", "50", "--checkpoint", "c.npz")
    said = refuse("train", "two.toml", "--resume", "c.npz", "--samples", "50")
    assert "c.npz: was trained on one.npz" in said
    assert "--other-data" in said
    said = refuse("train", "one.toml", "--resume", "c.npz", "--data", "two.npz")
    assert "not on two.npz" in said
    for net in (["two.toml"], ["one.toml", "--data", "two.npz"]):
        result = succeed("train", *net, "--resume", "c.npz", "--other-data", "--samples", "50")
        assert "Scaled as one.npz (SHA-256" in result.stderr
    narrow = network(dataset="two.npz", layers=[{"outputs": 10, "activation": "none"}])
    Path("two.toml").write_text(files.to_toml(narrow))
    said = refuse("train", "two.toml", "--resume", "c.npz", "--other-data")
    assert "checkpoint of the network" in said


# Commands


def test_data_show_says_in_a_line_what_a_training_would_find() -> None:
    Path("mine.csv").write_text(table(label=3))
    shown = succeed("data", "show", "mine.csv", "--label", "digit").stdout.splitlines()
    assert shown[0] == (
        "mine.csv: 1,437 training and 360 test samples of 64 elements, 10 classes, 0..16, SHA-256 "
        f"{DIGITS.sha256[:12]}."
    )
    assert shown[1] == "The label is column 4 (digit)."
    facts = answer("data", "show", "mine.csv", "--label", "4")
    assert facts["sha256"] == DIGITS.sha256
    assert (facts["train"], facts["test"], facts["classes"]) == (1437, 360, 10)
    assert (facts["shape"], facts["range"]) == ([1, 1, 64], [0, 16])
    assert facts["told"] == shown[1:]


IN_TEST_HALF = "Class eel stands in the test half only: nothing can learn it."


def eel_in(form: str) -> str:
    """Data of cats and dogs, in whose test half there are eels, too."""
    x = np.arange(24, dtype=np.uint8).reshape(12, 1, 2)
    y = np.array(["cat", "dog"] * 5 + ["eel"] * 2)
    test = slice(8, None)
    if form == "images":
        images("mine/train", x[:8], y[:8].tolist())
        images("mine/test", x[test], y[test].tolist())
        return "mine"
    if form == "tables":
        Path("mine").mkdir()
        for name, part in (("train", slice(8)), ("test", test)):
            rows = [f"{a},{b},{kind}" for (a, b), kind in zip(x[part, 0], y[part], strict=True)]
            Path("mine", f"{name}.csv").write_text("\n".join(["a,b,kind", *rows]))
        return "mine"
    np.savez("mine.npz", x=x[:8, 0], y=y[:8], x_test=x[test, 0], y_test=y[test])
    return "mine.npz"


@pytest.mark.parametrize("form", ["images", "tables", "arrays"])
def test_a_class_of_the_test_half_only_is_named(form: str) -> None:
    path = eel_in(form)
    assert IN_TEST_HALF in succeed("data", "show", path).stdout
    assert IN_TEST_HALF in answer("data", "show", path)["told"]
    layers = [{"outputs": 3, "activation": "none"}]
    mine = {"name": "mine", "inputs": 2, "layers": layers, "dataset": path}
    assert training_data(Description.model_validate(mine)).told[-1] == IN_TEST_HALF
    Path("mine.toml").write_text(files.to_toml(Description.model_validate(mine)))
    said = succeed("train", "mine.toml", "--epochs", "1", "-o", "out").output
    assert said.index(IN_TEST_HALF) < said.index("loss, train")


def test_classes_of_numbers_and_those_that_a_draw_leaves_out_are_named_too() -> None:
    x = np.arange(20).reshape(10, 2)
    y = np.arange(10) % 2
    found = (x, y, x, np.where(np.arange(10) > 7, 2 + np.arange(10) % 2, y))
    mine = network(inputs=2, layers=[{"outputs": 4, "activation": "none"}])
    words = "Classes 2, 3 stand in the test half only: nothing can learn them."
    assert words in training_data(mine, found).told
    tested = training_data(mine, (x, y)).test_x[0, 0] // 2
    drawn = np.where(np.arange(10) == tested, 2, y)
    words = "Class 2 stands in the test half only: nothing can learn it."
    assert words in training_data(mine, (x, drawn)).told


def test_an_autoencoder_may_be_tested_on_what_it_has_not_seen() -> None:
    ends = {"loss": "mse", "targets": "input"}
    mine = network(inputs=2, layers=[{"outputs": 2, "activation": "none"}], **ends)
    assert not any("test half" in one for one in training_data(mine, eel_in("arrays")).told)


def test_names_with_brackets_are_said_as_they_are() -> None:
    Path("a[1].csv").write_text("width [cm],kind [x]\n1,[a]\n2,b\n3,b\n")
    said = succeed("data", "show", "a[1].csv").stdout
    for name in ("a[1].csv: 2 training", "column 2 (kind [x])", "are [a], b."):
        assert name in said
    made = 'name = "n"\ninputs = 1\nlayers = [{ outputs = 2, activation = "none" }]\n'
    Path("n.toml").write_text(made)
    result = succeed("train", "n.toml", "--data", "a[1].csv", "--epochs", "1", "-o", "[out]")
    assert "column 2 (kind [x])" in result.stderr
    assert "[out]/train.json" in result.stdout


def test_classes_without_samples_are_said() -> None:
    found = read((np.arange(9), 1 + 2 * (np.arange(9) % 2)))
    assert found.classes == 4
    assert "Classes without samples: 0, 2." in found.told


def test_commands_say_what_they_train_on() -> None:
    for net, words in (("digits", "digits: 1,437 training"), ("tiny", "synthetic: 200 training")):
        result = succeed("train", net, "--epochs", "1", "--samples", "5")
        assert words in result.stderr
        assert succeed("train", net, "--epochs", "1", "--samples", "5", "--quiet").output == ""


def test_signed_features_train_hardware_that_is_equal() -> None:
    rows = np.random.default_rng(3).normal(size=(40, 6))
    np.savez("mine.npz", x=rows, y=(rows[:, :4]).argmax(axis=1))
    text = files.to_toml(files.load("tiny"))
    Path("tiny.toml").write_text(text.replace('input = "u8.8"', 'input = "s8.7"'))
    found = answer("simulate", "tiny.toml", "--data", "mine.npz", "--samples", "8")
    assert found["equal"]
    assert found["mismatches"] == 0
    assert found["provenance"]["dataset"] == "mine.npz"
    assert json.loads(Path("build/tiny/simulate.json").read_text())["equal"]


def test_only_files_of_the_user_s_own_can_be_read_in_a_way_of_their_own() -> None:
    with pytest.raises(ValueError, match=r"trained on digits, of which nothing can be said in \[d"):
        training_data(network(data={"seed": 3}))
    with pytest.raises(ValueError, match="label is 'a', which says something of tables only"):
        training_data(network(), published(), reading=Reading(label="a"))
    with pytest.raises(DataError, match="has a test half"):
        training_data(network(), tuple(HALVES.values()), reading=Reading(test=0.5))
