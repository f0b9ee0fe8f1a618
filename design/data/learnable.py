"""What nothing can learn, though it can be read: samples all alike, classes never trained on."""

from __future__ import annotations

import numpy as np

from counterflow.design.data.sets import Dataset
from counterflow.design.data.sources import DataError
from counterflow.design.parts.formats import Format

ROWS = 1000  # that are compared at a time: as a rule the first ones differ
EXACT = 2.0**53  # up to which float64 tells integers apart


def untaught(dataset: Dataset) -> tuple[str, ...]:
    """A sentence that names the classes of the test half that the training half lacks, if any."""
    missing = np.setdiff1d(dataset.test_y, dataset.train_y).tolist()
    if dataset.train_t is not None or not missing:
        return ()
    found = ", ".join(dataset.names[one] if dataset.names else str(one) for one in missing)
    if len(missing) > 1:
        return (f"Classes {found} stand in the test half only: nothing can learn them.",)
    return (f"Class {found} stands in the test half only: nothing can learn it.",)


def doubts(dataset: Dataset) -> tuple[str, ...]:
    """What there is to say of a set that no network takes yet, whose scaling is not known."""
    least, most = dataset.train_x.min(), dataset.train_x.max()
    if least < most:
        return untaught(dataset)
    same = f"All elements of training samples are {least:g}: nothing can be learnt from them."
    return (same, *untaught(dataset))


def check_differ(dataset: Dataset, target: Format) -> None:
    """DataError where all training samples have the same codes: a network could only guess."""
    x, scaling = dataset.train_x, dataset.scaling
    first = scaling.codes(x[:1], target)
    if len(x) < 2 or any(
        (scaling.codes(x[start : start + ROWS], target) != first).any()
        for start in range(0, len(x), ROWS)
    ):
        return
    least, most = f"{x.min():g}", f"{x.max():g}"
    shown = least if least == most else f"{least}..{most}"
    remedy = "bring samples that differ"
    if (x != x[0]).any():
        remedy += ' by more, or set scale = "columns" in [data]'
    elif x.max() > EXACT:
        remedy += ", also as float64"
    raise DataError(
        f"{dataset.name}: all {len(x):,} training samples are alike, with elements of {shown}, "
        f"once they are scaled and rounded to {target}, so that nothing can be learnt from them; "
        f"{remedy}."
    )
