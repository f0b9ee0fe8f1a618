"""Clock frequencies of a network's blocks alone and of its chain, each under several seeds.

    python -m counterflow.results.clocks NET [--block KIND ...] [--chain] [--seeds N]
        [--target NAME] [--freq MHZ] [--base REVISION]

A block is the largest of its kind in the network (walk, lane, loss, ...), between registers at its
pins on a chip of its own.  Without --block all kinds are taken, and the chain; with --chain the
chain alone, or beside those that --block names.  The router stops at what is asked for, of the
chain by --freq.  A frequency of one seed says little, so the median of all counts.  With --base the
same is done of another revision of the sources, from git, and the ratio stands beside.

Prints a table and leaves ``clocks-NET.json`` among the results, of the chain without blocks
``clocks-NET-chain.json``.  What is done is kept below
``build/results``, from where an interrupted call goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from counterflow.commands.display import Display
from counterflow.design.fpga.targets import Target, target
from counterflow.design.network.files import load
from counterflow.design.network.provenance import provenance, write_json
from counterflow.design.schedule.planner import plan
from counterflow.design.tools import placements, routing, synthesis
from counterflow.design.tools.follow import ToolError
from counterflow.design.tools.programs import ROUTERS, YOSYS, MissingTool, require_packages
from counterflow.hw.tops.block import block_verilog, blocks_of
from counterflow.hw.tops.pins import TOP
from counterflow.results.markdown import grid
from counterflow.results.records import MADE
from counterflow.results.settings import FOLDER

CHAIN = "chain"
ASKED_OF_CHAIN, ASKED_OF_BLOCK = 100.0, 150.0  # MHz to aim at, of the chain by default
_ELABORATE = (
    "import sys; from counterflow.design.network.files import load; "
    "from counterflow.design.schedule.planner import plan; "
    "from counterflow.hw.tops.pins import pinned_verilog; "
    "sys.stdout.write(pinned_verilog(plan(load(sys.argv[1])))[0])"
)


class Job(NamedTuple):
    """One block, or the `CHAIN`, of one state of the sources."""

    state: str
    name: str
    verilog: str


def verilog_of(name: str, base: str | None) -> str:
    """The chain of a network between pins, by these sources or by those of a revision `base`."""
    if base is None:
        return _elaborated(name, None)
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
        tree = Path(scratch) / "base"
        _git("worktree", "add", "--detach", "--force", str(tree), base)
        try:
            return _elaborated(name, tree)
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _elaborated(name: str, tree: Path | None) -> str:
    """In a process of its own, which imports the sources in `tree`."""
    found = {**os.environ, "PYTHONPATH": str(tree)} if tree else dict(os.environ)
    result = subprocess.run(
        [sys.executable, "-c", _ELABORATE, name],
        cwd=tree,
        env=found,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:]
        raise ValueError(f"{name} cannot be elaborated: {' '.join(last)}")
    return result.stdout


def _git(*arguments: str) -> None:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise ValueError(f"git {' '.join(arguments[:2])}: {result.stderr.strip()}")


def jobs_of(state: str, verilog: str, kinds: Sequence[str], chain: bool) -> list[Job]:
    """The blocks of `kinds`, or of all where none is named, and the chain if wanted.

    ValueError where a kind is not there.
    """
    there = {block.kind: block.module for block in blocks_of(verilog)}
    for kind in kinds:
        if kind not in there:
            raise ValueError(f"there is no block {kind!r}; there are {', '.join(there)}")
    chosen = kinds or ([] if chain else list(there))
    found = [Job(state, kind, block_verilog(verilog, there[kind])) for kind in chosen]
    return [*found, *([Job(state, CHAIN, verilog)] if chain or not kinds else [])]


def measured(
    job: Job, chip: Target, asked: float, seeds: Sequence[int], display: Display
) -> dict[str, Any]:
    """What it takes and its clock under each seed; from an earlier call if that measured it.

    The router aims at the MHz ``asked`` of it.
    """
    how = f"{routing.arguments(chip, asked, 0)} {list(seeds)}"
    key = hashlib.sha256(f"{how}\n{job.verilog}".encode()).hexdigest()
    path = MADE / f"clock-{key[:24]}.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch, display.stages() as stage:
        folder = Path(scratch)

        def enter(name: str, detail: str) -> None:
            stage(f"{job.state} {job.name}: {name}", detail)

        taken = synthesis.synthesise(
            job.verilog, TOP, {}, chip, folder, lambda line: enter("synthesise", "")
        )[synthesis.TOP]
        placed = placements.place(
            chip, folder, seeds, placements.followed(seeds, enter), frequency=asked
        )
    paths = [path for one in placed.routed.values() for path in one.paths]
    slowest = max(paths, key=lambda one: one.delay)
    result = {
        "median": placed.median,
        "fmax": {str(seed): fmax for seed, fmax in placed.frequencies.items()},
        "failed": {str(seed): said for seed, said in placed.failed.items()},
        "asked": asked,
        "slowest": slowest._asdict(),
        "luts": taken.luts,
        "flip_flops": taken.flip_flops,
    }
    write_json(path, result)
    return result


def rows(states: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The table: a line for each block, the change beside the base where there is one."""
    base, change = states.get("base"), states["change"]
    head = ["", "MHz, median", "least to most", "LUTs", "flip-flops", "slowest path of all seeds"]
    table = [[*head, *(["MHz of base", "ratio", "LUTs of base", "flip-flops"] if base else [])]]
    for name, one in change.items():
        speeds, path = list(one["fmax"].values()), one["slowest"]
        line = [
            name,
            f"{one['median']:.1f}",
            f"{min(speeds):.1f} to {max(speeds):.1f}",
            f"{one['luts']:,}",
            f"{one['flip_flops']:,}",
            f"{path['start']} to {path['end']}: logic {path['logic']:.1f} ns in {path['levels']} "
            f"levels, wire {path['routing']:.1f}",
        ]
        before = (base or {}).get(name)
        if before:
            ratio = one["median"] / before["median"]
            line += [f"{before['median']:.1f}", f"{ratio:.3f}"]
            line += [f"{before['luts']:,}", f"{before['flip_flops']:,}"]
        table.append(line + [""] * (len(table[0]) - len(line)))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m counterflow.results.clocks")
    parser.add_argument("network")
    parser.add_argument("--block", action="append", default=[], help="a kind: walk, lane, loss...")
    parser.add_argument("--chain", action="store_true", help="the chain, and no block unless named")
    parser.add_argument("--seeds", type=int, default=5, help="from 1 on (default: 5)")
    parser.add_argument("--target", default="ecp5-85f")
    parser.add_argument(
        "--freq", type=float, default=ASKED_OF_CHAIN, help="MHz asked of the chain (default: 100)"
    )
    parser.add_argument("--base", help="a revision in git to compare with, such as main or HEAD~1")
    return parser


def _run(options: argparse.Namespace) -> None:
    if options.seeds < 1:
        raise ValueError(f"--seeds is {options.seeds}; one or more are needed")
    if not 0 < options.freq < float("inf"):
        raise ValueError(f"--freq is {options.freq:g}; a number of MHz is needed")
    chip, description = target(options.target), load(options.network)
    if chip.router is None:
        raise ValueError(f"no program here places and routes for {chip.name}")
    require_packages(YOSYS, ROUTERS[chip.router])
    plan(description)
    jobs = []
    for state, revision in {"base": options.base, "change": None}.items():
        if state == "change" or revision is not None:
            verilog = verilog_of(options.network, revision)
            jobs += jobs_of(state, verilog, options.block, options.chain)
    display, seeds = Display(), range(1, options.seeds + 1)
    states: dict[str, dict[str, Any]] = {}
    for job in jobs:
        asked = options.freq if job.name == CHAIN else ASKED_OF_BLOCK
        states.setdefault(job.state, {})[job.name] = measured(job, chip, asked, seeds, display)
    print(grid(rows(states)))
    given = ["python", "-m", "counterflow.results.clocks", *sys.argv[1:]]
    kept = {
        "network": description.name,
        "target": chip.name,
        "seeds": list(seeds),
        **states,
        "provenance": provenance(description, seed=1, command=given),
    }
    which = "-chain" * (options.chain and not options.block)
    write_json(FOLDER / f"clocks-{description.name}{which}.json", kept)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m counterflow.results.clocks``; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, MissingTool, ToolError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
