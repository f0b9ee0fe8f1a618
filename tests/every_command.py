"""Runs command lines in the surroundings of this process, and tells how each ended.

``python every_command.py REPORT [GONE | FULL]``: the JSON file REPORT receives an entry for each of
`LINES`.  With GONE the folder that the process is in is removed first; with FULL those that write
run once, and then all where no file may grow, as on a full disk.
"""

from __future__ import annotations

import io
import json
import os
import pwd
import resource
import shutil
import sys
import traceback
from pathlib import Path

LINES: dict[str, int] = {
    "--help": 0,
    "--version": 0,
    "networks": 0,
    "networks --json": 0,
    "data list": 0,
    "data check digits": 0,
    "data check cifar10 --folder nowhere": 1,
    "data fetch digits": 2,
    "data show missing.csv": 2,
    "boards": 0,
    "plan digits": 0,
    "plan tiny-res -o {out}": 0,
    "plan digits --target up5k": 2,
    "plan digits-conv --stash all": 0,
    "plan missing.toml": 2,
    "verilog tiny -o {out}": 0,
    "verilog tiny --bus axi -o {out} --json": 0,
    "train tiny --epochs 1 -o {out} --checkpoint {out}/tiny.npz": 0,
    "train tiny --resume {out}/tiny.npz": 0,
    "export tiny {out}/tiny.npz --to safetensors -o {out}/tiny.safetensors": 0,
    "export tiny {out}/tiny.npz --to onnx -o {out}/tiny.onnx --json": 0,
    "train tiny --weights {out}/tiny.safetensors --epochs 1 -o {out}": 0,
    "train tiny --weights nowhere.npz": 2,
    "import {out}/tiny.onnx -o {out}": 2,
    "train mnist --data nowhere": 2,
    "profile tiny --epochs 1 --samples 20 -o {out} --write {out}/profiled.toml": 0,
    "simulate digits --target up5k": 2,
    "synth tiny --target hx8k": 2,
    "synth tiny --target none": 2,
    "build tiny --board none": 2,
    "program none.bit --board ulx3s-85f --dry-run": 2,
    "host info tiny --port none": 2,
    "host train tiny --port none": 2,
    "board-sim tiny --faults none": 2,
    "compare tiny --seeds 1 --epochs 1 --samples 20": 0,
    "demo --net none": 2,
    "prove none": 2,
}
"""Every command, as far as it is quick, with the exit status that it must have.

Where a default folder is used it is the one the process is in; `out` has a space and an accent.
"""


def status_of(line: str, out: str) -> object:
    """Exit status, or the traceback of what should have been one."""
    from counterflow.cli import main

    try:
        main([part.format(out=out) for part in line.split()], prog_name="counterflow")
    except SystemExit as end:
        return end.code
    except BaseException:
        return traceback.format_exc()
    return "no end"


def run_where_disks_are_full(report: Path) -> None:
    """Status, errors and whether all files stay as they are, by line; what its JSON says made it.

    Lines that succeed are run for their JSON; those that write have it from before.
    """
    out, limits, found = str(report.parent / "out"), resource.getrlimit(resource.RLIMIT_FSIZE), {}
    before_it = {line: heard(line, out) for line in LINES if writes(line)}
    for line in LINES:
        before = files(report.parent)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        status, said, errors = heard(line, out)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        answer = before_it[line][1] if writes(line) else said
        made = json.loads(answer)["provenance"] if LINES[line] == 0 and line[0] != "-" else None
        found[line] = [status, errors, files(report.parent) == before, made]
    report.write_text(json.dumps(found), encoding="utf-8")


def heard(line: str, out: str) -> tuple[object, str, str]:
    """Status, standard output and standard error of a line, in JSON if it gives a result."""
    streams, said, errors = (sys.stdout, sys.stderr), io.StringIO(), io.StringIO()
    sys.stdout, sys.stderr = said, errors
    status = status_of(line if LINES[line] or line[0] == "-" else f"{line} --json", out)
    sys.stdout, sys.stderr = streams
    return status, said.getvalue(), errors.getvalue()


def writes(line: str) -> bool:
    """Whether a line that succeeds leaves files."""
    return LINES[line] == 0 and ("{out}" in line or line.split()[0] in ("train", "compare"))


def files(folder: Path) -> dict[str, bytes]:
    """All files that a user has there, by name."""
    paths = [path for path in folder.rglob("*") if path.is_file() and "home" not in path.parts]
    return {str(path): path.read_bytes() for path in paths}


def run(report: Path, *, gone: bool) -> None:
    """Run all lines, with nobody in the list of users where the variable NOBODY is set."""
    if os.environ.pop("NOBODY", ""):
        pwd.getpwuid = _nobody
    if gone:
        shutil.rmtree(Path.cwd())
    out = str(report.parent / os.fsdecode("out put é".encode()))
    found, stream = {}, sys.stdout
    for line in LINES:
        said = io.BytesIO()
        sys.stdout = io.TextIOWrapper(said, encoding=stream.encoding, errors=stream.errors)
        found[line] = [status_of(line, out), ""]
        sys.stdout.flush()
        found[line][1] = said.getvalue().decode(stream.encoding)
    sys.stdout = stream
    report.write_text(json.dumps(found), encoding="utf-8")


def _nobody(number: int) -> None:
    raise KeyError(f"getpwuid(): uid not found: {number}")


if __name__ == "__main__":
    if "FULL" in sys.argv:
        run_where_disks_are_full(Path(sys.argv[1]))
    else:
        run(Path(sys.argv[1]), gone="GONE" in sys.argv)
