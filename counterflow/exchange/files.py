"""Files of tensors: safetensors, and NPZ with integers and their scales."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.sources import AGAIN
from counterflow.design.network.files import check_source, write_atomically
from counterflow.exchange.tensors import Floats, Tensors
from counterflow.golden.units.state import State

SAFETENSORS, NPZ = ".safetensors", ".npz"
SCALE = ".scale"  # behind the name of an array of integers, in an NPZ file
METADATA = "metadata"  # the name of a text in an NPZ file
IGNORED = "num_batches_tracked"  # a counter of PyTorch's norms


@dataclass(frozen=True)
class Stored:
    """What a file holds: real values by name, and the SHA-256 of its bytes."""

    path: Path
    tensors: dict[str, Floats]
    sha256: str


def safetensors(tensors: Tensors, states: Sequence[State], metadata: Mapping[str, object]) -> bytes:
    """Exact real values, named by units, in the layouts of PyTorch, and how they came about."""
    import safetensors.numpy as package

    arrays: dict[str, NDArray[Any]] = {
        name: np.ascontiguousarray(one.values(states)) for name, one in tensors.by_name.items()
    }
    ones = {name: np.ones(count, np.float32) for name, count in tensors.ones.items()}
    scales = {name: one.scale for name, one in tensors.by_name.items()}
    return bytes(package.save(arrays | ones, texts_of({**metadata, "scales": scales})))


def npz(tensors: Tensors, states: Sequence[State], metadata: Mapping[str, object]) -> bytes:
    """Integers by name, each with its scale as ``NAME.scale``."""
    arrays: dict[str, Any] = {METADATA: np.array(json.dumps(metadata))}
    for name, one in tensors.by_name.items():
        arrays[name] = one.integers(states)
        arrays[f"{name}{SCALE}"] = np.array(one.scale)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def write_values(path: Path, values: Mapping[str, NDArray[Any]]) -> Path:
    """Real `values` by name as the safetensors file `path`."""
    import safetensors.numpy as package

    whole = {name: np.ascontiguousarray(one) for name, one in values.items()}
    return write_atomically(path, bytes(package.save(whole)))


def read(path: Path) -> Stored:
    """The tensors in the file `path`.

    Raises ValueError, one sentence, where it is none, is damaged, or holds what is no finite
    number.
    """
    readers = {SAFETENSORS: _safetensors, NPZ: _npz}
    if path.suffix not in readers:
        raise ValueError(
            f"{path}: weights are read from files that end in {SAFETENSORS} or {NPZ}; of a PyTorch "
            "module they are written by safetensors.torch.save_file(module.state_dict(), "
            "'weights.safetensors')"
        )
    try:
        check_source(path)
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    kind = path.suffix.removeprefix(".").upper() if path.suffix == NPZ else "safetensors"
    try:
        found = readers[path.suffix](data)
    except _UnfitError as error:
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:  # a damaged file fails in more ways than can be named
        reason = str(error).strip(".") or type(error).__name__
        raise ValueError(f"{path}: cannot be read as {kind} ({reason}); {AGAIN}") from error
    for name, values in found.items():
        _check_finite(f"{path}: {name}", values)
    return Stored(path, found, hashlib.sha256(data).hexdigest())


class _UnfitError(ValueError):
    """What is in a file cannot be weights; the text says why."""


def _safetensors(data: bytes) -> dict[str, Floats]:
    import safetensors.numpy as package

    try:
        found = package.load(data)
    except KeyError as error:  # the name of a type that NumPy does not have
        raise _UnfitError(
            f"it holds numbers of the type {error.args[0]}, expected F16, F32 or F64; PyTorch "
            "converts them by module.float()"
        ) from error
    return {
        name: _real(name, values) for name, values in found.items() if not name.endswith(IGNORED)
    }


def _npz(data: bytes) -> dict[str, Floats]:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise _UnfitError("it is damaged, or something else than an NPZ file")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        if "about" in arrays:
            raise _UnfitError(
                "it is a checkpoint, whose numbers need the network that they are of; write its "
                "weights with `counterflow export NET CHECKPOINT --to npz`"
            )
        names = [one for one in arrays.files if not one.endswith((SCALE, IGNORED, METADATA))]
        found = {}
        for name in names:
            values, scale = arrays[name], f"{name}{SCALE}"
            if scale in arrays:
                values = values * float(arrays[scale])
            elif values.dtype.kind in "iu":
                raise _UnfitError(
                    f"{name} holds integers ({values.dtype}) and there is no {scale} beside it; "
                    "give real numbers, or the scale of these"
                )
            found[name] = _real(name, values)
        return found


def _real(name: str, values: NDArray[Any]) -> Floats:
    if values.dtype.kind != "f":
        raise _UnfitError(f"{name} has the type {values.dtype}, expected real numbers")
    return values.astype(np.float64)


def _check_finite(what: str, values: Floats) -> None:
    if not np.isfinite(values).all():
        at = np.argwhere(~np.isfinite(values))[0].tolist()
        raise ValueError(f"{what}{at} is {values[tuple(at)]}, expected finite numbers")


def texts_of(metadata: Mapping[str, object]) -> dict[str, str]:
    """`metadata` as formats have it that know texts only: JSON, but what is a text already."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in metadata.items()
    }
