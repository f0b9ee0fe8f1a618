"""Tables: a sample a line, a column a feature, one of them the label; CSV files and 2-D arrays."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.own.halves import MISSING, Half
from counterflow.design.data.sources import DataError
from counterflow.design.network.complaints import nearest
from counterflow.design.network.reading import Reading

LABELS = ("label", "labels", "class", "target", "species", "y")
"""What the column of the labels is called where nobody says which it is, in lower case."""
VAGUE = ("target", "y")
"""Those of them that may mean something else beside a column of text, as in x, y, colour."""
SEPARATORS = ("\t", ";", ",")
REMEDY = "; name another column with --label if that is not the label"
LONGEST = 40  # characters of a cell that an error repeats


Line = tuple[int, list[str]]
"""A line's number from 1 on, and its cells."""


@dataclass(frozen=True)
class Table:
    """``names`` of all columns, if they have any; ``labels``: the places of those of the labels."""

    half: Half
    names: tuple[str, ...]
    labels: tuple[int, ...]

    @property
    def labelled(self) -> tuple[str, ...]:
        """Which columns have the labels, in words."""
        return tuple(column_of(label, self.names) for label in self.labels)


@dataclass(frozen=True)
class _Layout:
    """What a table's lines have in common; ``first`` is the number of that which they are like."""

    path: Path
    names: tuple[str, ...]
    labels: tuple[int, ...]
    width: int
    first: int

    @property
    def features(self) -> list[int]:
        """The places of all other columns."""
        return [at for at in range(self.width) if at not in self.labels]

    def label_at(self, line: int, index: int = 0) -> str:
        return f"{self.path}: line {line}, {column_of(self.labels[index], self.names)}"

    def feature_at(self, line: int, feature: int) -> str:
        """Where it stands."""
        return f"{self.path}: line {line}, {column_of(self.features[feature], self.names)}"

    def parted(self, line: int, cells: list[str]) -> tuple[NDArray[np.float64], list[str]]:
        """The features and the labels of a line."""
        if len(cells) != self.width:
            raise DataError(
                f"{self.path}: line {line} has {len(cells)} cells, expected {self.width} as in "
                f"line {self.first}."
            )
        labels = [cells[at].strip() for at in self.labels]
        cells = [cells[at] for at in self.features]
        try:
            return np.array([_number(cell) for cell in cells]), labels
        except ValueError:
            at = next(at for at, cell in enumerate(cells) if not _is_number(cell))
            raise DataError(f"{self.feature_at(line, at)} is {_wrong(cells[at])}.") from None


def read_table(path: Path, reading: Reading) -> Table:
    """The table in a text file of lines of cells, with commas, semicolons or tabs between them.

    The first line has names if it has no number in it, or text above a number.  Raises DataError,
    with line and column, for what is no number.
    """
    rows = _rows(path)
    start = [row for row in (next(rows, None), next(rows, None)) if row is not None]
    if not start:
        raise DataError(f"{path}: is empty, expected lines of numbers with a label each.")
    layout = _layout(path, start, reading)
    body = itertools.chain(start[1:] if layout.names else start, rows)
    lines, numbers, labels = [], [], []
    for line, cells in body:
        features, found = layout.parted(line, cells)
        lines.append(line)
        numbers.append(features)
        labels.append(found)

    def sample_at(index: tuple[int, ...]) -> str:
        return layout.feature_at(lines[index[0]], index[1]) if index else str(path)

    x, y = np.array(numbers), _as_numbers(labels)
    if y.shape[1] == 1:
        y = y[:, 0]
    columns = len(layout.labels)

    def label_at(at: int) -> str:
        return layout.label_at(lines[at // columns], at % columns)

    half = Half(x, y, sample_at, label_at, REMEDY)
    return Table(half, layout.names, layout.labels)


def _layout(path: Path, start: Sequence[Line], reading: Reading) -> _Layout:
    """That of the table whose first line, or first two, is `start`."""
    (first, cells), below = start[0], start[1][1] if len(start) > 1 else []
    header = _is_header(cells, below) if reading.header is None else reading.header
    if header and not below:
        raise DataError(
            f"{path}: has no line behind its header, expected samples; where it is no table, "
            "expected NPZ, NPY, IDX or a folder."
        )
    if len(cells) < 2:
        raise DataError(
            f"{path}: line {first} has one cell, {_shown(cells[0])}; expected at least two, with "
            "commas, semicolons or tabs between them."
        )
    names = tuple(cell.strip() for cell in cells) if header else ()
    found = labels_in(path, names, len(cells), reading.label, below if header else cells)
    return _Layout(path, names, found, len(cells), first)


def labels_in(
    path: Path,
    names: Sequence[str],
    width: int,
    wanted: str | int | tuple[str | int, ...] | None,
    first: Sequence[str] = (),
) -> tuple[int, ...]:
    """The places of the columns with the labels, see `label_of`, of which some must be left.

    A name with commas that no column has names several.
    """
    several = wanted if isinstance(wanted, tuple) else (wanted,)
    if isinstance(wanted, str) and "," in wanted and wanted not in names:
        several = tuple(one.strip() for one in wanted.split(","))
    found = tuple(label_of(path, names, width, one, first) for one in several)
    for at, one in enumerate(found):
        if one in found[:at]:
            raise DataError(f"{path}: label names {column_of(one, names)} twice.")
    if len(found) == width:
        raise DataError(f"{path}: all {width} columns are labels, expected one of samples, too.")
    return found


def label_of(
    path: Path,
    names: Sequence[str],
    width: int,
    wanted: str | int | None,
    first: Sequence[str] = (),
) -> int:
    """The place of the column with the labels.

    Where nobody says which: the one that is called so, else the only one of text, else the last.
    DataError, which asks, where a vague name is of another column than the only one of text.
    """
    if wanted is None:
        called = [at for at, name in enumerate(names) if name.lower() in LABELS]
        text = [at for at, cell in enumerate(first) if not _is_number(cell)]
        if len(called) == len(text) == 1 and called != text and names[called[0]].lower() in VAGUE:
            either = " or ".join(_shown(names[at]) for at in (*called, *text))
            raise DataError(
                f"{path}: has a column named {_shown(names[called[0]])} and one of text, "
                f"{_shown(names[text[0]])}; say which has the labels with --label {either}."
            )
        return called[0] if len(called) == 1 else text[0] if len(text) == 1 else width - 1
    if isinstance(wanted, str) and wanted in names:
        if names.count(wanted) > 1:
            places = [str(at + 1) for at, name in enumerate(names) if name == wanted]
            raise DataError(
                f"{path}: has {len(places)} columns named {wanted!r}, {', '.join(places[:-1])} and "
                f"{places[-1]}; name one by its number."
            )
        return names.index(wanted)
    if wanted in ("first", "last"):
        return 0 if wanted == "first" else width - 1
    number = int(wanted) if re.fullmatch("[0-9]+", str(wanted)) else 0
    if not 1 <= number <= width:
        known = f"the names {', '.join(map(_shown, names[:8]))}" if names else "no names"
        close = nearest(str(wanted), names) or "; expected"
        raise DataError(
            f"{path}: has no column {wanted!r} for the label{close} 'first', 'last', a number from "
            f"1 to {width} or a name; it has {known}{', ...' if len(names) > 8 else ''}."
        )
    return number - 1


def _rows(path: Path) -> Iterator[Line]:
    """Lines that are not empty, with their numbers from 1 on."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = file.readline()
            file.seek(0)
            separator = next((one for one in SEPARATORS if one in start), ",")
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8; expected a CSV file in UTF-8, NPZ, NPY, "
            "IDX, or a folder."
        ) from error
    except csv.Error as error:
        raise DataError(
            f"{path}: line {reader.line_num} is no line of a table ({error})."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error


def _is_header(first: Sequence[str], below: Sequence[str]) -> bool:
    numbers = [_is_number(cell) for cell in first]
    above = [_is_number(cell) and not it for it, cell in zip(numbers, below, strict=False)]
    return any(above) or not any(numbers)


def _wrong(cell: str) -> str:
    """A cell that is no number, and what to do about it."""
    if not cell.strip():
        return "empty, expected a number; fill it in, or leave its sample out"
    remedy = "write classes of things as numbers"
    if cell.strip().lower() in MISSING:
        remedy = "fill it in, or leave its sample out"
    elif _is_number(cell.replace(",", ".", 1)):
        remedy = "write fractions with a dot"
    return f"{_shown(cell)}, expected a number; {remedy}"


def _as_numbers(labels: Sequence[Sequence[str]]) -> NDArray[Any]:
    """[N, columns]."""
    try:
        return np.array([[_number(label) for label in line] for line in labels])
    except ValueError:
        return np.array(labels)


def _number(cell: str) -> float:
    if "_" in cell or not cell.isascii():  # separators of Python's, digits of other scripts
        raise ValueError(cell)
    return float(cell)


def _is_number(cell: str) -> bool:
    try:
        _number(cell)
    except ValueError:
        return False
    return True


def column_of(at: int, names: Sequence[str]) -> str:
    """A column in words, from 1 on."""
    return f"column {at + 1} ({names[at][:LONGEST]})" if names else f"column {at + 1}"


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= LONGEST else cell[: LONGEST - 3] + "...")
