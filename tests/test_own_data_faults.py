"""Bad data: one sentence with file, place, value and what would do; nothing is left half done."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from counterflow.design.data.own.read import read
from counterflow.design.data.sources import DataError
from counterflow.design.data.training import training_data
from counterflow.design.network import files
from counterflow.design.network.description import Description
from counterflow.design.network.reading import Reading
from tests.commands import refuse, succeed
from tests.test_own_data import idx, images

ROWS = "a,b,kind\n1,2,x\n3,4,y\n5,6,x\n"
X = np.arange(12.0).reshape(6, 2)
Y = np.arange(6) % 2


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text(content: str | bytes, name: str = "mine.csv") -> Callable[[], str]:
    """What writes a file, and returns its name."""

    def make() -> str:
        data = content.encode() if isinstance(content, str) else content
        Path(name).write_bytes(data)
        return name

    return make


def table(*lines: str) -> Callable[[], str]:
    return text(ROWS + "".join(f"{line}\n" for line in lines))


def npz(**arrays: Any) -> Callable[[], str]:
    def make() -> str:
        np.savez("mine.npz", **{name: one for name, one in arrays.items() if one is not None})
        return "mine.npz"

    return make


def npy(array: npt.NDArray[Any]) -> Callable[[], str]:
    def make() -> str:
        np.save("mine.npy", array, allow_pickle=True)
        return "mine.npy"

    return make


def cut(make: Callable[[], str], share: float) -> Callable[[], str]:
    """The same file without its end, as a full disk leaves it."""

    def shorter() -> str:
        path = Path(make())
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        return str(path)

    return shorter


def changed(array: npt.NDArray[Any], at: Any, value: Any) -> npt.NDArray[Any]:
    copy = array.copy()
    copy[at] = value
    return copy


def packed(**members: bytes) -> Callable[[], str]:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return text(content.getvalue(), "mine.npz")


TABLES: dict[str, tuple[Callable[[], str], list[str]]] = {
    "empty": (text(""), ["mine.csv: is empty", "CSV"]),
    "blank": (text("\n \n,,\n"), ["mine.csv: is empty, expected lines"]),
    "header only": (
        text("a,b,kind\n"),
        ["no line behind its header", "where it is no table, expected NPZ, NPY, IDX or a folder"],
    ),
    "JSON": (text('{"a": [1, 2]}', "mine.json"), ["mine.json: is JSON and not read", "CSV, NPZ"]),
    "JSON, a list": (text("\n[[1, 2],\n [3, 4]]\n", "mine.json"), ["mine.json: is JSON and not"]),
    "PDF": (text(b"%PDF-1.4 x\n"), ["mine.csv: is PDF and not read alone, expected a CSV, NPZ"]),
    "a web page": (text("<!DOCTYPE html>\n<p>1,2\n"), ["mine.csv: is HTML or XML and not read"]),
    "a vague name and a column of text": (
        text("x,y,colour\n1,2,red\n3,4,blue\n"),
        ["a column named 'y' and one of text, 'colour'; say which", "--label 'y' or 'colour'"],
    ),
    "a target and a column of text": (
        text("Target,name,b\n1,ann,2\n0,bob,3\n"),
        ["named 'Target' and one of text, 'name'"],
    ),
    "one column": (text("1\n2\n"), ["line 1 has one cell, '1'", "commas, semicolons or tabs"]),
    "short row": (table("7,8"), ["line 5 has 2 cells, expected 3 as in line 1"]),
    "long row": (table("7,8,9,x"), ["line 5 has 4 cells"]),
    "missing cell": (table("7,,x"), ["line 5, column 2 (b) is empty", "fill it in, or leave"]),
    "NA": (table("7,NA,x"), ["line 5, column 2 (b) is 'NA', expected a number; fill it in"]),
    "a word": (table("red,8,x"), ["line 5, column 1 (a) is 'red'", "write classes of things"]),
    "NaN": (table("nan,8,x"), ["line 5, column 1 (a) is nan, expected a finite number"]),
    "infinity": (table("7,-inf,x"), ["line 5, column 2 (b) is -inf, expected a finite"]),
    "huge": (table("7,1e200,x"), ["line 5, column 2 (b) is 1e+200", "up to 1e+100"]),
    "a separator of thousands": (table("7,1_000,x"), ["column 2 (b) is '1_000'"]),
    "digits of another script": (table("7,\uff11,x"), ["column 2 (b) is '\uff11'"]),
    "commas in fractions": (text("a;k\n1,5;x\n"), ["line 2, column 1 (a) is '1,5'", "with a dot"]),
    "behind the label": (text("k,a,b\nx,1,2\ny,3,?\n"), ["line 3, column 3 (b) is '?'"]),
    "next to the label": (text("k,a,b\nx,1,2\ny,?,4\n"), ["line 3, column 2 (a) is '?'"]),
    "no header": (text("1,2,0\n3,z,1\n"), ["line 2, column 2 is 'z'"]),
    "quotes": (text('a,b\n1,"2"3\n'), ["line 2 is no line of a table"]),
    "label missing": (table("7,8,"), ["line 5, column 3 (kind) is empty, expected a class"]),
    "label unknown": (table("7,8,?"), ["line 5, column 3 (kind) is '?', expected a class"]),
    "label not whole": (
        text("a,y\n1,0\n2,0.7\n"),
        ["line 3, column 2 (y) is 0.7, expected a whole number from 0 on", "regression"],
    ),
    "not the label": (
        text("1,0,3.5\n2,1,4.5\n"),
        ["column 3 is 3.5", "name another column with --label if that is not the label"],
    ),
    "label NaN": (text("a,y\n1,0\n2,nan\n"), ["line 3, column 2 (y) is nan"]),
    "label negative": (text("a,y\n1,0\n2,-1\n"), ["column 2 (y) is -1, expected classes num"]),
    "label large": (text("a,y\n1,0\n2,256\n"), ["column 2 (y) is 256, expected 0..255"]),
    "labels of text, too many": (
        text("a,y\n" + "".join(f"1,n{at}\n" for at in range(257))),
        ["one of 257 classes", "at most 256", "with --label if that is not"],
    ),
    "one class": (text("a,y\n1,3\n2,3\n"), ["all labels are 3, expected at least two classes"]),
    "one sample": (text("a,y\n1,0\n"), ["mine.csv: all labels are 0"]),
    "Latin 1": (text(b"a,k\n1,caf\xe9\n"), ["byte 9 is not UTF-8"]),
    "noise": (text(bytes(range(128, 256))), ["is a pickle"]),
    "binary": (text(b"\x01\x02\xff\xfe"), ["byte 2 is not UTF-8"]),
}

ARRAYS: dict[str, tuple[Callable[[], str], list[str]]] = {
    "empty": (text(b"", "mine.npz"), ["mine.npz: is empty"]),
    "cut off": (
        cut(npz(x=X, y=Y), 0.7),
        ["mine.npz: is damaged", "; where it was cut short, copy or download it again."],
    ),
    "NPY cut off": (
        cut(npy(np.column_stack((X, Y))), 0.9),
        ["mine.npy: is damaged", "; where it was cut short, copy or download it again."],
    ),
    "head cut off": (cut(npy(np.column_stack((X, Y))), 0.1), ["mine.npy: is damaged"]),
    "head scrambled": (
        text(b"\x93NUMPY\x01\0\x1a\0{'descr': '<f8', 'shape': (\n", "mine.npy"),
        ["mine.npy: is damaged"],
    ),
    "text": (text("x,y\n1,2\n", "mine.npz"), ["begins with the bytes 78 2c 79 0a, which no .npz"]),
    "another archive": (
        packed(book=b"<xml/>"),
        ["mine.npz: has the arrays book, expected x and y"],
    ),
    "objects": (npz(x=np.array([[1, "a"]], object), y=Y[:1]), ["array of Python objects", "never"]),
    "NPY of objects": (npy(np.array([1, None])), ["mine.npy: has an array of Python objects"]),
    "labels of objects": (npz(x=X, y=np.array([None] * 6)), ["array of Python objects"]),
    "a pickle": (text(pickle.dumps({"x": 1}), "mine.pkl"), ["is a pickle, which would run code"]),
    "HDF5": (text(b"\x89HDF\r\n\x1a\n", "mine.h5"), ["mine.h5: is HDF5 and not read"]),
    "no arrays": (npz(), ["has no arrays, expected x and y"]),
    "no samples": (npz(y=Y), ["has the arrays y, but none that is the x to y"]),
    "no labels": (npz(x=X), ["has the arrays x, but none that is the y to x"]),
    "no test labels": (npz(x=X, y=Y, x_test=X), ["none that is the y to x_test"]),
    "test half only": (
        npz(x_test=X, y_test=Y),
        ["has the arrays x_test, y_test, expected x and y"],
    ),
    "other names": (npz(a=X, b=Y), ["has the arrays a, b, expected x and y"]),
    "two of the same": (npz(x=X, images=X, y=Y), ["has both x and images"]),
    "lengths": (npz(x=X, y=Y[1:]), ["mine.npz: y has the shape (5,) for 6 samples"]),
    "rows of classes": (npz(x=X, y=np.eye(2)[Y]), ["y has the shape (6, 2)", "y.argmax(axis=1)"]),
    "NaN": (npz(x=changed(X, (3, 1), np.nan), y=Y), ["mine.npz: x[3, 1] is nan, expected a fin"]),
    "infinity": (npz(x=changed(X, (0, 0), np.inf), y=Y), ["x[0, 0] is inf"]),
    "NaN to test on": (
        npz(x_train=X, y_train=Y, x_test=changed(X, (5, 0), np.nan), y_test=Y),
        ["mine.npz: x_test[5, 0] is nan"],
    ),
    "complex": (npz(x=X * 1j, y=Y), ["x is of the type complex128, expected numbers"]),
    "words": (npz(x=X.astype(str), y=Y), ["x is of the type <U32, expected numbers"]),
    "dates": (npz(x=X, y=Y.astype("M8[D]")), ["y[0] is of the type datetime64[D]"]),
    "label not whole": (npz(x=X, y=Y + 0.7), ["mine.npz: y[0] is 0.7", "regression"]),
    "label negative": (npz(x=X, y=Y * 2 - 1), ["y[0] is -1, expected classes numbered from 0"]),
    "label large": (npz(x=X, y=Y * 999), ["y[1] is 999, expected 0..255"]),
    "labels of two kinds": (
        npz(x=X, y=Y, x_test=X, y_test=Y.astype(str)),
        ["y[0] is a number, but those of the other half are text"],
    ),
    "no rows": (npz(x=X[:0], y=Y[:0]), ["mine.npz: has no samples to train on"]),
    "no rows to train on": (
        npz(x=X[:0], y=Y[:0], x_test=X, y_test=Y),
        ["has no samples to train on"],
    ),
    "a single value": (npz(x=np.array(3), y=Y), ["x is a single value"]),
    "no columns": (npz(x=X[:, :0], y=Y), ["x has the shape (6, 0), expected samples [N, n]"]),
    "too many dimensions": (npz(x=np.zeros((6, 1, 1, 1, 1)), y=Y), ["x has the shape (6, 1, 1"]),
    "another test half": (
        npz(x=X, y=Y, x_test=X[:, :1], y_test=Y),
        ["x_test has samples of shape (1,), expected (2,)"],
    ),
    "NPY of one column": (npy(Y), ["is an array of shape (6,)", "save samples and labels as NPZ"]),
    "NPY of images": (npy(np.zeros((3, 4, 4))), ["is an array of shape (3, 4, 4)"]),
    "NPY with NaN": (
        npy(changed(np.column_stack((X, Y)), (2, 0), np.nan)),
        ["mine.npy: [2, 0] is nan"],
    ),
    "NPY with a label": (
        npy(changed(np.column_stack((X, Y)), (2, 2), 0.5)),
        ["mine.npy: [2, 2] is 0.5, expected a whole number"],
    ),
    "fields with NaN": (
        npy(np.array([(0, 1.0), (1, np.nan)], [("label", "i4"), ("a", "f8")])),
        ["mine.npy: [1]['a'] is nan"],
    ),
}


def folder(**contents: bytes | Callable[[], Any]) -> Callable[[], str]:
    """A folder set/ with these files; in their names __ stands for a hyphen, ___ for a slash."""

    def make() -> str:
        for name, content in contents.items():
            path = Path("set", name.replace("___", "/").replace("__", "-"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content() if callable(content) else content)
        return "set"

    return make


def image(
    mode: str = "L", size: tuple[int, int] = (4, 4), shade: Any = 0, kind: str = "PNG"
) -> bytes:
    made = io.BytesIO()
    Image.new(mode, size, shade).save(made, kind)
    return made.getvalue()


IMAGES = idx(np.zeros((4, 3, 3), np.uint8))
LABELS = idx(np.array([0, 1, 1, 0], np.uint8))
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8))

FOLDERS: dict[str, tuple[Callable[[], str], list[str]]] = {
    "empty": (folder(_hidden=b""), ["set: has nothing in it that is understood", "CSV"]),
    "a device": (lambda: "/dev/null", ["/dev/null: is no file"]),
    "nothing": (lambda: "nowhere", ["nowhere: there is no such file or folder."]),
    "a set by its name": (
        lambda: "digits",
        ["digits: there is no such file", "`counterflow data list` has the set of that name"],
    ),
    "no labels": (
        folder(train__images=b"", train__images__idx3=IMAGES),
        ["no IDX file of training l"],
    ),
    "no test labels": (
        folder(train__images__idx3=IMAGES, train__labels__idx1=LABELS, t10k__images__idx3=IMAGES),
        ["set: has no IDX file of test labels"],
    ),
    "two of the same": (
        folder(a__images__idx3=IMAGES, b__images__idx3=IMAGES, labels__idx1=LABELS),
        ["has both a-images-idx3 and b-images-idx3"],
    ),
    "lengths": (
        folder(images__idx3=IMAGES, labels__idx1=idx(np.zeros(3, np.uint8))),
        ["labels-idx1 has the shape (3,) for 4 samples"],
    ),
    "IDX cut off": (
        folder(images__idx3=IMAGES[:-1], labels__idx1=LABELS),
        ["set/images-idx3: has 51 bytes, expected 52; where it was cut short, copy or download it"],
    ),
    "IDX empty": (folder(images__idx3=b"", labels__idx1=LABELS), ["begins with the bytes (none)"]),
    "IDX of another type": (
        folder(images__idx3=b"\0\0\7\3" + IMAGES[4:], labels__idx1=LABELS),
        ["begins with the bytes 00 00 07 03, expected 00 00 08 03 or the like"],
    ),
    "IDX with NaN": (
        folder(
            images__idx3=idx(np.full((4, 1, 2), np.nan, ">f4"), ">f4"),
            labels__idx1=LABELS,
        ),
        ["images-idx3[0, 0, 0] is nan"],
    ),
}


def shaded(place: str, labels: list[str]) -> Callable[[], str]:
    """Black images with these labels below `place`; the folder is set/."""

    def make() -> str:
        images(place, np.zeros((len(labels), 4, 4), np.uint8), labels)
        return "set"

    return make


def pictures(**contents: bytes) -> Callable[[], str]:
    """Classes a and b of two grey images each, and further files; __ in a name is a slash."""

    def make() -> str:
        shaded("set", ["a", "b", "a", "b"])()
        for name, content in contents.items():
            *place, ending = name.split("__")
            path = Path("set", *place[:-1], f"{place[-1]}.{ending}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return "set"

    return make


def tables(**contents: str) -> Callable[[], str]:
    return folder(**{f"{name}.csv": content.encode() for name, content in contents.items()})


def noise() -> bytes:
    made = io.BytesIO()
    NOISE.save(made, "PNG")
    return made.getvalue()


FOLDERS |= {
    "images of two sizes": (
        pictures(b__z__png=image(size=(5, 4))),
        ["set/b/z.png: has 4x5 pixels in grey, but set/a/00000.png has 4x4 pixels in grey"],
    ),
    "images in colour among grey ones": (
        pictures(a__z__png=image("RGB")),
        ["set/a/z.png: has 4x4 pixels in colour"],
    ),
    "an image cut off": (
        pictures(b__z__png=noise()[:300]),
        ["set/b/z.png: cannot be read as PNG or JPEG"],
    ),
    "a JPEG cut off": (
        pictures(b__z__jpg=image(kind="JPEG")[:200]),
        ["set/b/z.jpg: cannot be read as PNG or JPEG"],
    ),
    "an empty image": (pictures(b__z__png=b""), ["set/b/z.png: is empty"]),
    "text for an image": (pictures(b__z__png=b"text"), ["set/b/z.png: cannot be read"]),
    "another format by name": (
        pictures(b__z__png=image(kind="GIF")),
        ["set/b/z.png: cannot be read as PNG or JPEG"],
    ),
    "another file of a class": (pictures(b__z__txt=b"text"), ["set/b/z.txt: is no PNG or JPEG"]),
    "a class without images": (pictures(c__z__txt=b""), ["set/c: has no PNG or JPEG file in it"]),
    "an image of no class": (pictures(z__png=image()), ["set/z.png: is in no folder of a class"]),
    "see-through pixels": (
        pictures(b__z__png=image("RGBA", shade=(1, 2, 3, 128))),
        ["set/b/z.png: has see-through pixels"],
    ),
    "no classes": (
        shaded(".", ["set"] * 2),
        ["set: has images in it, but no folder for each class"],
    ),
    "one class": (
        shaded("set", ["a"] * 4),
        ["set: all labels are a, expected at least two classes"],
    ),
    "a test half without classes": (
        shaded("set", ["train/a", "train/b", "test", "test"]),
        ["set/test/00002.png: is in no folder of a class"],
    ),
    "one image alone": (
        text(image(), "mine.png"),
        ["mine.png: is an image and not read alone", "give its folder"],
    ),
    "one IDX file alone": (text(IMAGES, "mine"), ["mine: is an IDX file and not read alone"]),
    "other columns to test on": (
        tables(train=ROWS, test="a,c,kind\n1,2,x\n"),
        ["set/test.csv: has other columns than set/train.csv", "the label in column 3 (kind)"],
    ),
    "no label to test on": (
        tables(train=ROWS, test="a,b\n1,2\n"),
        ["set/test.csv: has no column 3 for the label"],
    ),
}

EVERY = {
    f"{kind}, {name}": fault
    for kind, faults in (("table", TABLES), ("arrays", ARRAYS), ("folder", FOLDERS))
    for name, fault in faults.items()
}


@pytest.mark.parametrize("fault", EVERY)
def test_bad_data_are_refused_in_a_sentence_that_says_where(fault: str) -> None:
    make, words = EVERY[fault]
    said = refuse("data", "show", make())
    for word in words:
        assert word in said, said


@pytest.mark.parametrize("command", ["train", "simulate", "compare"])
@pytest.mark.parametrize("fault", ["table, NaN", "arrays, cut off", "folder, images of two sizes"])
def test_every_command_refuses_them_before_its_work(command: str, fault: str) -> None:
    make, (word, *_) = EVERY[fault]
    path = make()
    assert word in refuse(command, "tiny", "--data", path)
    own = files.to_toml(files.load("tiny")).replace('"synthetic"', f'"{path}"')
    Path("own.toml").write_text(own)
    assert word in refuse(command, "own.toml")


# What a network cannot take


def network(**changes: Any) -> Description:
    layers = [{"outputs": 3}, {"outputs": 2, "activation": "none"}]
    return Description.model_validate({"name": "mine", "inputs": 2, "layers": layers} | changes)


UNFIT: dict[str, tuple[dict[str, Any], Any, str]] = {
    "more classes than outputs": (
        {},
        (X, np.arange(6)),
        "tells 2 classes apart, but arrays has 6, numbered from 0 on; the last layer needs at",
    ),
    "other width": (
        {"inputs": 3},
        (X, Y),
        r"has 3 inputs, but the samples of arrays have 2 elements; set inputs = 2 or name",
    ),
    "image of another shape": (
        {"inputs": [2, 3, 1]},
        (np.zeros((6, 3, 2)), Y),
        r"has inputs = \[2, 3, 1\], but .* images of 3x2x1; set inputs = \[3, 2, 1\]",
    ),
    "channels first": (
        {"inputs": [4, 5, 3]},
        (np.zeros((6, 3, 4, 5)), Y),
        r"bring channels to the end, as x\.transpose\(0, 2, 3, 1\) does",
    ),
    "images below zero": (
        {"inputs": [1, 2, 1]},
        (X.reshape(6, 1, 2) - 5, Y),
        r'down to -5, but formats.input is u8.8 .* set input = "s8.7" in \[formats\]',
    ),
    "a share that leaves nothing": (
        {"data": {"test": 0.99}},
        (X, Y),
        r"has 6 samples, of which 6 are kept for testing",
    ),
    "no arrays": ({}, 3, r"arrays: is int, expected \(x, y\) or arrays by name"),
    "three arrays": ({}, (X, Y, X), r"arrays: is tuple, expected \(x, y\)"),
    "rows of several lengths": ({}, ([[1], [1, 2]], [0, 1]), "rows of several lengths"),
    "a function of nothing": ({}, lambda: None, r"<lambda>: is NoneType, expected \(x, y\)"),
    "objects": ({}, (np.array([[None]]), [0]), "x_train is of the type object"),
}


@pytest.mark.parametrize("fault", UNFIT)
def test_what_the_network_cannot_take_is_refused(fault: str) -> None:
    changes, given, words = UNFIT[fault]
    with pytest.raises(ValueError, match=words) as caught:
        training_data(network(**changes), given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("knd", r"has no column 'knd' for the label; did you mean 'kind'\? .* the names 'a', 'b'"),
        ("0", r"has no column '0' for the label; expected 'first', 'last', a number from 1 to 3"),
        ("4", r"has no column '4'"),
    ],
)
def test_a_label_that_no_column_has_is_refused(label: str, words: str) -> None:
    Path("mine.csv").write_text(ROWS)
    with pytest.raises(DataError, match=words):
        read("mine.csv", Reading(label=label))
    Path("twice.csv").write_text("a,a,b\n1,2,3\n")
    with pytest.raises(DataError, match="has 2 columns named 'a', 1 and 2; name one by its number"):
        read("twice.csv", Reading(label="a"))


def alike(*shape: int) -> tuple[Any, Any]:
    """Ten samples of zeros, with labels."""
    return np.zeros((10, *shape)), np.arange(10) % 2


CLOSE = (2.0**20 + np.arange(20).reshape(10, 2) / 8, np.arange(10) % 2)
ALIKE: dict[str, tuple[dict[str, Any], Any, str]] = {
    "zeros": ({}, alike(2), "arrays: all 8 training samples are alike, with elements of 0, once"),
    "images": (
        {"inputs": [1, 2, 1]},
        alike(1, 2),
        "elements of 0, once they are scaled",
    ),
    "columns": ({}, ([[3, 7]] * 10, [0, 1] * 5), r"alike, with elements of 3\.\.7, once"),
    "integers that no double tells apart": (
        {},
        (np.arange(2**63, 2**63 + 20, dtype=np.uint64).reshape(10, 2), np.arange(10) % 2),
        r"with elements of 9\.22337e\+18, once .* rounded to u8\.8.* that differ, also as float64",
    ),
    "rounding": (
        {"data": {"scale": "common"}},
        CLOSE,
        'bring samples that differ by more, or set scale = "columns" in',
    ),
}


@pytest.mark.parametrize("fault", ALIKE)
def test_samples_that_are_all_alike_are_refused(fault: str) -> None:
    changes, given, words = ALIKE[fault]
    with pytest.raises(DataError, match=words) as caught:
        training_data(network(**changes), given)
    assert "\n" not in str(caught.value)


def test_a_column_may_be_the_same_everywhere_and_close_values_far_apart_in_their_column() -> None:
    x, y = X.copy(), Y
    x[:, 0] = 5
    training_data(network(), (x, y))
    training_data(network(), CLOSE)


def test_showing_samples_that_are_all_alike_says_so() -> None:
    said = succeed("data", "show", npz(x=np.full((10, 2), 3), y=np.arange(10) % 2)()).stdout
    assert "All elements of training samples are 3: nothing can be learnt from them." in said
    assert "nothing can be" not in succeed("data", "show", npz(x=X, y=Y)()).stdout


def test_two_sources_of_data_are_refused() -> None:
    path = npz(x=X, y=Y)()
    for command in (["train", "tiny"], ["profile", "tiny"]):
        said = refuse(*command, "--dataset", "digits", "--data", path)
        assert "--dataset and --data both name what to train on; leave one of them out." in said


def test_a_file_that_is_no_checkpoint_is_said_to_be_none() -> None:
    said = refuse("train", "tiny", "--resume", npz(x=X, y=Y)())
    assert "mine.npz: is no checkpoint of Counterflow, but has x and y" in said
    assert "`counterflow train --checkpoint` writes one." in said


@pytest.mark.parametrize(
    ("name", "words"),
    [("nonesuch", "is unknown; possible are digits, mnist"), ("digts", "'digits'? Possible are")],
)
def test_an_unknown_set_is_refused_in_sentences(name: str, words: str) -> None:
    assert words in refuse("train", "tiny", "--dataset", name)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("label = 0", "data.label is 0, expected a column's name, its number from 1 on, 'first'"),
        ("test = 1.0", "data.test is 1.0, expected a number of at least 0"),
        ("test = -0.1", "data.test is -0.1"),
        ("seed = -1", "data.seed is -1"),
        ("scale = 'rows'", "data.scale is the text 'rows', expected 'common' or 'columns'"),
        ("header = 1", "data.header is 1"),
        ("labels = 'a'", "unknown key 'labels' in data; did you mean 'label'?"),
    ],
)
def test_a_table_data_that_says_nothing_sensible_is_refused(line: str, words: str) -> None:
    Path("mine.toml").write_text(files.to_toml(network()) + f"\n[data]\n{line}\n")
    assert words in refuse("train", "mine.toml")


@pytest.mark.parametrize("share", np.linspace(0, 0.99, 23))
@pytest.mark.parametrize("make", [npz(x=X, y=Y), npy(np.column_stack((X, Y)))], ids=["NPZ", "NPY"])
def test_a_file_that_was_cut_anywhere_is_refused(make: Callable[[], str], share: float) -> None:
    with pytest.raises(DataError, match=r"^mine\.np[yz]: "):
        read(cut(make, share)())


GOOD = {
    "NPZ": npz(x=X, y=Y),
    "NPY": npy(np.column_stack((X, Y))),
    "table": text(ROWS * 3),
    "images": pictures(a__z__png=image(), b__z__jpg=image(kind="JPEG")),
    "IDX": folder(images__idx3=IMAGES, labels__idx1=LABELS),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", GOOD)
def test_a_spoilt_file_is_read_or_refused_but_never_more(form: str) -> None:
    """Bytes changed, left out or put in, anywhere: an error is one sentence that names the file."""
    place = Path(GOOD[form]())
    random = np.random.default_rng(5)
    files = sorted(path for path in (place, *place.rglob("*")) if path.is_file())
    refused = 0
    for _ in range(60):
        path = files[random.integers(len(files))]
        before = path.read_bytes()
        at, longer = random.integers(len(before)), random.integers(3)
        spoilt = before[:at] + random.bytes(longer) + before[at + random.integers(3) :]
        path.write_bytes(spoilt)
        try:
            read(place)
        except DataError as error:
            refused += 1
            assert str(error).startswith(str(place))  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
        path.write_bytes(before)
    assert refused > 9
