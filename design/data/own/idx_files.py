"""Folders with IDX files of images and labels, by whatever names programs have given them."""

from __future__ import annotations

import re
from pathlib import Path

from counterflow.design.data.idx import read_idx
from counterflow.design.data.own.arrays import half_of
from counterflow.design.data.own.halves import Half
from counterflow.design.data.own.images import visible
from counterflow.design.data.sources import DataError

NAME = re.compile(r"(idx\d?[-.]?(ubyte|byte|short|int|float|double)?|[-.]ubyte|\.idx)(\.gz)?$")
NESTS = (".", "raw", "*/raw")
"""Where packages leave the files, below the folder that one names."""
TESTS = ("t10k", "test")
USUAL = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-... and t10k-labels-..."


def idx_files(folder: Path) -> list[Path]:
    """The IDX files in `folder`, by their names; of a file plain and packed, the plain one."""
    for nest in NESTS:
        places = [folder] if nest == "." else sorted(folder.glob(nest))
        found = {
            path.name.removesuffix(".gz"): path
            for place in places
            for path in reversed(visible(place))  # so that the plain one comes last
            if path.is_file() and NAME.search(path.name.lower())
        }
        if found:
            return sorted(found.values())
    return []


def read_idx_files(folder: Path) -> list[Half]:
    """The training half in `folder` and, if there is one, the test half.

    A name with "label" in it is of labels, with "t10k" or "test" of the test half.  Raises
    DataError, naming files, where one is missing, damaged or one of several.
    """
    roles: dict[tuple[bool, bool], Path] = {}
    for path in idx_files(folder):
        name = path.name.lower()
        role = (any(word in name for word in TESTS), "label" in name)
        if role in roles:
            raise DataError(
                f"{folder}: has both {roles[role].name} and {path.name}, expected {USUAL}; put "
                "other sets into folders of their own."
            )
        roles[role] = path
    for test, labels in ((False, False), (False, True), (True, False), (True, True)):
        wanted = not test or (test, not labels) in roles
        if wanted and (test, labels) not in roles:
            what = f"{'test' if test else 'training'} {'labels' if labels else 'images'}"
            raise DataError(f"{folder}: has no IDX file of {what}, expected {USUAL}.")
    halves = []
    for test in (False, True):
        if (test, False) in roles:
            x, y = roles[test, False], roles[test, True]
            halves.append(half_of(str(folder), x.name, read_idx(x), y.name, read_idx(y)))
    return halves
