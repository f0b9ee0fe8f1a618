"""Descriptions as TOML files, and files written whole or not at all.

The keys of a TOML file are the fields of `design.network.description.Description`, no more and no
less, so that a file and the Python value mean the same.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.resources
import math
import os
import secrets
import shutil
import stat
import tomllib
from collections.abc import Iterable, Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from counterflow.design.network.complaints import Location, complaint, nearest, path_of
from counterflow.design.network.description import Description
from counterflow.design.network.families import SHOWN, family
from counterflow.design.network.interlocked import SHOWN as INTERLOCKED
from counterflow.design.network.interlocked import interlocked

TOO_DEEP = "arrays or tables are nested too deeply"
LONGEST = 60  # characters of a name that an error repeats


class DescriptionError(ValueError):
    """A description that cannot be read; the text names the file, the key, the value, a remedy."""


def shipped() -> tuple[str, ...]:
    """Names of the networks that come with Counterflow, smallest first."""
    return tuple(sorted(_names(), key=lambda name: description_of(name).parameters))


def load(network: str) -> Description:
    """The description with the name of a shipped network, or in the TOML file of that path.

    Raises DescriptionError, one or two sentences long.
    """
    path = Path(network)
    named = path.suffix != ".toml" and os.sep not in network
    if named and (network in _names() or not os.path.exists(path)):
        return generated(network) or description_of(network)
    return load_file(path)


def folder_of(network: str | Path) -> Path | None:
    """The folder of the TOML file that is named so, where paths in it begin; None of a network."""
    file = isinstance(network, Path) or network.endswith(".toml")
    return Path(network).parent if file else None


def generated(name: str) -> Description | None:
    """The network with that name of `design.network.families` or `interlocked`, if it is theirs."""
    try:
        fields = family(name) or interlocked(name, _fields)
        return None if fields is None else Description.model_validate(fields)
    except ValidationError as error:
        raise DescriptionError(f"{name}: {complaint(error, Description)}") from error
    except ValueError as error:
        raise DescriptionError(f"{name}: {error}.") from error


def description_of(name: str) -> Description:
    """The shipped network `name`."""
    known = _names()
    if name not in known:
        raise DescriptionError(
            f"there is no network {name[:LONGEST]!r}{nearest(name, known) or '.'} Shipped are "
            f"{', '.join(known)}; generated are {SHOWN}; {INTERLOCKED}; for one of your own give "
            "the path of its TOML file."
        )
    return parse(_text(name), f"{name}.toml")


def _text(name: str) -> str:
    return _shelf().joinpath(f"{name}.toml").read_text(encoding="utf-8")


def _fields(name: str) -> dict[str, Any]:
    """Those of a family's network or of a shipped one."""
    return family(name) or tomllib.loads(_text(name))


def load_file(path: Path) -> Description:
    """The description in the TOML file `path`, which knows the folder of that."""
    try:
        check_source(path, pipe=True)
        text = path.read_text(encoding="utf-8-sig")  # some editors begin with a byte-order mark
    except OSError as error:
        raise DescriptionError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DescriptionError(
            f"{path}: byte {error.start} is not UTF-8, in which TOML files are written."
        ) from error
    return parse(text, str(path)).found_in(path.parent)


def parse(text: str, where: str = "description") -> Description:
    """The description in a TOML text; `where` names it in errors."""
    try:
        fields = tomllib.loads(text)
        endless = _not_finite(fields)
        if endless is None:
            return Description.model_validate(fields)
    except RecursionError as error:
        raise DescriptionError(f"{where}: {TOO_DEEP}.") from error
    except ValidationError as error:
        raise DescriptionError(f"{where}: {complaint(error, Description)}") from error
    except ValueError as error:
        raise DescriptionError(f"{where}: this is not TOML: {_decapitalised(error)}.") from error
    raise DescriptionError(f"{where}: {endless}, expected a finite number.")


def to_toml(description: Description) -> str:
    """A TOML text with every field written out, from which `parse` makes an equal value."""
    import tomli_w

    fields = description.model_dump(mode="json", exclude_none=True)
    if description.recipe.scale_from is not None:  # the two follow from it
        del fields["recipe"]["learning_rate"], fields["recipe"]["momentum"]
    for layer in fields["layers"]:
        if not layer.get("formats", True):
            del layer["formats"]
    return tomli_w.dumps(fields)


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Put `content` at `path` in one step: a reader sees the old file or the new one, whole.

    Links are followed.  Raises OSError for what is there and is no regular file.
    """
    data = content.encode() if isinstance(content, str) else content
    with _replaced(path) as scratch, scratch.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


def move(file: Path, path: Path) -> Path:
    """Put the finished `file` at `path` as `write_atomically` does."""
    with _replaced(path) as scratch:
        shutil.move(file, scratch)
    return path


def place_of(path: Path) -> Path:
    """The file behind the links of `path`, which may not be there yet.

    Raises OSError for what is there and cannot be replaced: a FIFO, a device, a folder, a file that
    may not be written or that takes what the program prints.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return Path(os.path.realpath(path))
    if not stat.S_ISREG(found.st_mode):
        kind = next((words for test, words in _KINDS if test(found.st_mode)), "something else")
        raise OSError(errno.EINVAL, f"is {kind}, expected a file or a new name", str(path))
    if not os.access(path, os.W_OK):
        raise OSError(errno.EACCES, "may not be written to, expected another name", str(path))
    if any(_is_stream(found, number) for number in (1, 2)):
        raise OSError(errno.EINVAL, "takes what is printed, expected another name", str(path))
    return Path(os.path.realpath(path))


def check_source(path: Path, *, pipe: bool = False) -> None:
    """OSError for what is there and is no file to be read: a device may have no end.

    With ``pipe`` one may be read, as a shell makes of the output of a command.
    """
    try:
        mode = path.stat().st_mode
    except OSError:  # to be said by who reads it
        return
    kind = next((words for test, words in _KINDS if test(mode)), None)
    if kind is not None and not (pipe and stat.S_ISFIFO(mode)):
        raise OSError(errno.EINVAL, f"it is {kind}, expected a file", str(path))


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _is_stream(found: os.stat_result, number: int) -> bool:
    """Whether the open file of that number is the one `found`, as it is of /dev/stdout."""
    try:
        return os.path.samestat(found, os.fstat(number))
    except OSError:  # closed
        return False


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """A new name beside the file at `path`; what is there at the end takes that file's place."""
    scratch = None
    try:
        place = place_of(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = place.with_name(f".counterflow-{secrets.token_hex(8)}")
        yield scratch
        with contextlib.suppress(FileNotFoundError):  # a private file stays private
            scratch.chmod(stat.S_IMODE(place.stat().st_mode))
        scratch.replace(place)
    except OSError as error:
        if error.strerror:
            error.filename = str(path)  # the user knows nothing of the other name
        raise
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def _shelf() -> Traversable:
    return importlib.resources.files("counterflow.design.network").joinpath("named")


def _names() -> list[str]:
    files = [entry.name for entry in _shelf().iterdir()]
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def _not_finite(value: object, location: Location = ()) -> str | None:
    """The first infinity or NaN below `location`, both of which TOML can say."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path_of(location)} is {value}"
    parts: Iterable[tuple[int | str, object]] = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    return next(filter(None, (_not_finite(part, (*location, key)) for key, part in parts)), None)


def _decapitalised(error: Exception) -> str:
    text = str(error).rstrip(".").replace("Cannot overwrite a value", "A key is given twice")
    return text[:1].lower() + text[1:]
