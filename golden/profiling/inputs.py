"""How the samples of a data set lie in a network's input format."""

from __future__ import annotations

from counterflow.design.choice.homes import Home
from counterflow.design.choice.tally import Tally
from counterflow.design.data.sets import Dataset

SAMPLES = 5000  # of which it is counted: more say nothing new


def input_tally(home: Home, dataset: Dataset) -> Tally:
    """The values of the training samples before they become codes, and what became of them.

    With them those of targets that are data, which are in the same format.

    The largest value of most scalings, 1, is a last place beyond the range: that is no saturation.
    """
    tally, target = Tally(), home.format
    given = [(dataset.train_x, dataset.scaling)]
    if dataset.train_t is not None and dataset.target_scaling is not None:
        given.append((dataset.train_t, dataset.target_scaling))
    for numbers, scaling in given:
        samples = numbers[:SAMPLES]
        values, codes = scaling.values(samples), scaling.codes(samples, target)
        beyond = (values > target.value(target.max + 1)) | (values < target.value(target.min - 1))
        lost = (values != 0) & (codes == 0)
        tally.add(values, clipped=int(beyond.sum()), lost=int(lost.sum()))
    return tally
