"""Checkpoints: what is written is read, and nothing else is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.network.description import Description
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.checkpoint import Checkpoint, load, save
from counterflow.golden.training.epochs import train


def network(name: str = "net", outputs: int = 6) -> Description:
    return Description.model_validate(
        {
            "name": name,
            "inputs": 8,
            "layers": [{"outputs": outputs}, {"outputs": 4, "activation": "none"}],
            "recipe": {"epochs": 4},
            "fold": {"multipliers": 20},
        }
    )


NET = network()
SCHEDULE = plan(NET).schedule
DATA = synthetic(8, 4, 40, seed=3)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    result = train(NET, SCHEDULE, DATA, epochs=2, seed=9).checkpoint
    assert result is not None
    return result


def rewritten(path: Path, **changes: Any) -> None:
    """Write the file again with some arrays changed, or left out where None."""
    with np.load(path) as arrays:
        found = {**arrays, **changes}
    np.savez(path, **{name: value for name, value in found.items() if value is not None})


def test_what_is_saved_is_loaded(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "half.npz"
    save(path, checkpoint)
    found = load(path, NET, SCHEDULE)
    assert (found.network, found.epoch, found.seed) == (NET.hash(), 2, 9)
    assert found.settings == checkpoint.settings
    assert found.versions == checkpoint.versions
    assert found.versions["numpy"] == np.__version__
    for one, other in zip(found.states, checkpoint.states, strict=True):
        assert one.generator == other.generator
        for name in one.arrays:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).dtype == np.int64
    assert list(tmp_path.iterdir()) == [path]


def test_a_training_goes_on_bit_for_bit_from_a_file(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "half.npz"
    save(path, checkpoint)
    whole = train(NET, SCHEDULE, DATA, seed=9)
    rest = train(NET, SCHEDULE, DATA, resume=load(path, NET, SCHEDULE))
    assert whole.checkpoint is not None
    assert rest.checkpoint is not None
    assert [one.epoch for one in rest.epochs] == [2, 3]
    assert rest.epochs[-1].test_loss == whole.epochs[-1].test_loss
    for one, other in zip(whole.checkpoint.states, rest.checkpoint.states, strict=True):
        assert one.generator == other.generator
        for name in one.arrays:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path, other = tmp_path / "half.npz", network("other", outputs=7)
    save(path, checkpoint)
    expected = f"network {NET.hash()}, not of other, which is {other.hash()}"
    with pytest.raises(ValueError, match=expected):
        load(path, other, plan(other).schedule)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape("none.npz: there is no such checkpoint.")):
        load(tmp_path / "none.npz", NET, SCHEDULE)
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        load(tmp_path, NET, SCHEDULE)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(
    tmp_path: Path, checkpoint: Checkpoint, share: float
) -> None:
    path = tmp_path / "half.npz"
    save(path, checkpoint)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=re.escape("half.npz: cannot be read as a checkpoint (")):
        load(path, NET, SCHEDULE)


def test_no_flipped_byte_passes_unseen(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "half.npz"
    save(path, checkpoint)
    content = path.read_bytes()
    kept = load(path, NET, SCHEDULE)
    for place in range(0, len(content), 41):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        path.write_bytes(bytes(changed))
        try:
            found = load(path, NET, SCHEDULE)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
            continue
        for one, other in zip(found.states, kept.states, strict=True):  # a field nobody reads
            for name in one.arrays:
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"weight0": np.zeros((6, 9), np.int64)}, "the weight of dense0 has the shape (6, 9), not"),
        ({"bias1": np.zeros(5, np.int64)}, "the bias of dense1 has the shape (5,), not (4,)"),
        (
            {"weight1": np.full((4, 6), 2**19)},
            "a weight of dense1 is 524288, not in -524288..524287",
        ),
        ({"velocity0": np.zeros((6, 8))}, "velocity0 has the type float64, not int64"),
        ({"velocity0": None}, "velocity0"),
        ({"about": None}, "is no checkpoint of Counterflow, but has weight0, bias0, velocity0,"),
        ({"about": np.array("[]")}, "list"),
        ({"about": np.array({"a": 1}, object)}, "allow_pickle"),
    ],
)
def test_wrong_contents_are_refused(
    tmp_path: Path, checkpoint: Checkpoint, changes: dict[str, Any], expected: str
) -> None:
    path = tmp_path / "half.npz"
    save(path, checkpoint)
    rewritten(path, **changes)
    with pytest.raises(ValueError, match=re.escape(expected)) as error:
        load(path, NET, SCHEDULE)
    assert "\n" not in str(error.value)


def test_a_later_format_is_named(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "half.npz"
    save(path, checkpoint)
    about = {"format": 99, "network": NET.hash()}
    rewritten(path, about=np.array(json.dumps(about)))
    with pytest.raises(ValueError, match="has format 99 of checkpoints, but 1 is known"):
        load(path, NET, SCHEDULE)


def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "half.npz"
    save(path, checkpoint)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, checkpoint)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
