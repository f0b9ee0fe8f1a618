"""What commands show of tests: accuracy where labels judge, else how large errors are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterflow.commands.display import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterflow.golden.training.epochs import Epoch


def columns(epochs: Sequence[Epoch]) -> dict[str, list[str]]:
    """Cells of each epoch by the heads of their columns, beside those of losses."""
    last = epochs[-1]
    if last.accuracy is not None:
        return {
            "accuracy, train": [percent(one.accuracy, 2) for one in epochs],
            "accuracy, test": [percent(one.test_accuracy, 2) for one in epochs],
        }
    if last.rmse is None:
        return {}
    return {
        "RMSE, train": [_number(one.rmse) for one in epochs],
        "RMSE, test": [_number(one.test_rmse) for one in epochs],
        "explained (R2), test": [percent(one.test_explained, 2) for one in epochs],
    }


def measures_json(epoch: Epoch) -> dict[str, object]:
    """What scripts read of the test samples, beside their loss."""
    found: dict[str, object] = {"accuracy": epoch.test_accuracy}
    if epoch.rmse is not None or epoch.test_rmse is not None:
        found |= {"rmse": epoch.test_rmse, "explained": epoch.test_explained}
    return found


def said_of(epoch: Epoch) -> str:
    """The test samples in a few words."""
    loss = f"loss {_number(epoch.test_loss)}"
    if epoch.test_accuracy is not None:
        return f"{loss}, accuracy {percent(epoch.test_accuracy, 2)}"
    if epoch.test_rmse is None:
        return loss
    explained = percent(epoch.test_explained, 2)
    return f"{loss}, RMSE {_number(epoch.test_rmse)}, {explained} of the variance explained"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
