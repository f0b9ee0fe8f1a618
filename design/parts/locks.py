"""Locks between processes; the system takes one back when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

LOCK = ".counterflow.lock"  # in a folder in use: the number of the process, and what it does


class InUseError(ValueError):
    """A folder is in use by another process; the text names both."""


@contextlib.contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold the lock of the file at `path`, which stays there, as soon as no other process does.

    Raises OSError for what is there and is no file of ours.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(_opened(path), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def in_use(folder: Path, doing: str) -> Iterator[bool]:
    """Hold the lock of `folder`, which is made if need be; InUseError at once where another does.

    Yields whether it is locked: in a file system without locks nobody can tell.  ``doing`` is what
    the error of another process says of this one.  Raises OSError for what is there in the place of
    the lock and is no file of ours, which stays as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    handle, locked = _lock(path)
    try:
        with contextlib.suppress(OSError):  # on a full disk it is a lock without a name
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()} ".encode() + os.fsencode(doing))
        yield locked
    finally:
        path.unlink(missing_ok=True)  # before it is free, or a new holder's would be removed
        os.close(handle)


def _lock(path: Path) -> tuple[int, bool]:
    """The open lock file at `path`, and whether it is locked."""
    while True:
        handle = _opened(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, path):
                return handle, True
            os.close(handle)  # its holder has removed it meanwhile
        except BlockingIOError:
            holder = _holder(handle)
            os.close(handle)
            raise InUseError(f"{path.parent} is in use by {holder}") from None
        except OSError:
            return handle, False


def _opened(path: Path) -> int:
    """The open file at `path`, made if need be; no link is followed, what it leads to is not ours.

    OSError, before anything has changed, for what is no file.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK  # no FIFO makes it wait
        handle = os.open(path, flags, 0o666)
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return handle
        os.close(handle)
    except OSError:
        if not os.path.lexists(path) or stat.S_ISREG(path.lstat().st_mode):
            raise
    words = "is no file of Counterflow's, which keeps its lock there; remove it"
    raise OSError(errno.EINVAL, words, str(path))


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _holder(handle: int) -> str:
    number, _, doing = os.pread(handle, 4096, 0).decode(errors="replace").partition(" ")
    return f"process {number} ({doing})" if number and doing else "another process"
