"""What a host leaves behind so that another one can go on with its training: one small file.

How far the training is does not stand there: the device counts the tokens that it has accepted, and
its mark tells that it is the same device, not reset since.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from counterflow.design.network.files import write_atomically
from counterflow.golden.training.checkpoint import TrainedOn

FORMAT = 1
ASKED = (
    *("network", "seed", "first_epoch", "epochs", "limit", "evaluate", "dataset"),
    "weights",
)
"""What makes a training another one."""


@dataclass(frozen=True)
class Progress:
    """A training that a device is in.

    ``base`` is what the device had counted when the first token was sent; ``mark`` what it was told
    to remember; ``tokens`` how many there are in all; ``resumed`` the checkpoint that the training
    began with, and ``weights`` the SHA-256 of the file with weights, if any.
    """

    network: str
    seed: int
    first_epoch: int
    epochs: int
    limit: int | None
    evaluate: str
    dataset: str
    mark: int
    base: int
    tokens: int = 0
    resumed: str | None = None
    data: dict[str, Any] | None = None
    """`golden.training.checkpoint.TrainedOn` as JSON has it; older files have none."""
    weights: str | None = None
    format: int = FORMAT

    @property
    def trained_on(self) -> TrainedOn | None:
        return TrainedOn.from_json(self.data)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_atomically(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The progress in the file `path`, None where there is no file.

        Raises ValueError, one sentence, where it is none of this program's.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            found = cls(**fields)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, OSError) as error:
            raise ValueError(
                f"{path}: is not a file about a training under way; remove it, or give --fresh"
            ) from error
        if found.format != FORMAT:
            raise ValueError(
                f"{path}: has format {found.format} of such files, but {FORMAT} is known; give "
                "--fresh to begin anew"
            )
        return found

    def differs(self, other: Progress) -> str | None:
        """The first thing asked for that is another one than what is under way, in words."""
        for name in ASKED:
            mine, asked = getattr(self, name), getattr(other, name)
            if mine != asked:
                return f"{name.replace('_', ' ')} {mine}, not {asked}"
        return None
