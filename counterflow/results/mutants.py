"""Faults by the hundred: which mutants of a network's netlist the benches find, and which not.

    python -m counterflow.results.mutants NET [--count N] [--seed S] [--samples N] [--seconds N]

Leaves ``mutants-NET.json`` among the results and writes the page ``docs/mutants.md`` from all such.
What is done is kept below ``build/results``, from where an interrupted call goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterflow.commands.display import Display
from counterflow.design.data.training import training_data
from counterflow.design.network.files import load, write_atomically
from counterflow.design.network.provenance import provenance, write_json
from counterflow.design.parts.order import epoch_order
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.tools.programs import ABC, YOSYS, MissingTool, require, require_packages
from counterflow.results.markdown import grid
from counterflow.results.records import MADE
from counterflow.results.settings import FOLDER

if TYPE_CHECKING:
    from counterflow.sim.mutants import Mutant, Mutants, Standing

PAGE = Path("docs/mutants.md")
HEAD = """# Mutants

`python -m counterflow.results.mutants NET` takes the netlist of a network's hardware, lets Yosys'
`mutate` change one bit of one port of one cell at a time (inverted, tied to 0 or 1, inverted where
another bit is set; clocks are left alone, and what makes memories worse for the runs), and runs
each mutant through what `simulate --harsh` runs: training with every cycle compared, all kinds of
tokens and changed settings, three patterns of stalls, spoilt samples, a reset, a power cycle,
numbers up to the ends of their formats; at the end of each the weights and all counters, which
start near a carry and are read before all else, too. A mutant is found by the first of these that
tells it from the golden model. What is neither found nor proved equal (see below) goes into long
runs of such numbers, for the lowest bits of an update show once in thousands, and a queue that
counts wrong only where stalls have filled it. The design without a mutant has to pass each run, or
nothing is said.

Of a survivor ABC is asked to prove that it changes nothing. Both start as after power-up, with
memories as in the runs; words outside of a memory, and registers without an initial value, read
zero; from then on anything may come at the chain's ports, in any cycle. Nothing
that a bench watches of the chain may ever differ: streams, words written to memories, products
counted, answers of the register bus. Registers may, as long as nobody sees it; random walks of both
beside each other tell which do, before ABC begins. A walk or a proof that finds
a difference has found a gap in the benches, unless no user may do what shows it; without a proof
in time nothing is known."""

TITLES = {
    "differs": "Not found, and shown to differ",
    "open": "Neither found nor proved",
}


@dataclass
class Done:
    """What an interrupted call did of the work that `key` tells from any other."""

    key: str
    found: dict[str, str] = field(default_factory=dict)
    survived: dict[str, int] = field(default_factory=dict)
    proofs: dict[str, list[Any]] = field(default_factory=dict)


class Keeper:
    """Keeps what is done of a network's mutants in a file, until all is."""

    def __init__(self, name: str, key: str) -> None:
        self.path = MADE / f"mutants-{name}.json"
        self.done = Done(key)
        if self.path.exists():
            kept = Done(**json.loads(self.path.read_text(encoding="utf-8")))
            self.done = kept if kept.key == key else self.done

    def standing(self) -> Standing:
        """Where the runs go on."""
        from counterflow.sim.mutants import Standing

        return Standing(
            {int(number): said for number, said in self.done.found.items()},
            {int(number): runs for number, runs in self.done.survived.items()},
        )

    def keep(self, standing: Standing) -> None:
        """All that is done so far."""
        self.done.found = {str(number): said for number, said in sorted(standing.found.items())}
        self.done.survived = {str(number): runs for number, runs in standing.survived.items()}
        write_json(self.path, asdict(self.done))


def tried(name: str, options: argparse.Namespace, display: Display) -> dict[str, Any]:
    """Mutate, run and prove; what is to be kept."""
    from counterflow.sim.mutants import mutants_of, run_all, runs_of
    from counterflow.sim.simulate import plain_job

    design = plan(load(name))
    description, samples = design.description, options.samples
    dataset = training_data(description)
    order = epoch_order(len(dataset.train_x), description.recipe.seed, 0)[:samples]
    made = mutants_of(design, options.count, options.seed)
    plain = plain_job(design, dataset, order, description.recipe.seed)
    short, long = runs_of(design, plain, samples)
    runs = [*short, *long]
    key = hashlib.sha256(f"{samples} {made.verilog}".encode()).hexdigest()
    keeper = Keeper(description.name, key)
    standing = keeper.standing()
    several, names = len(made.mutants), [run.name for run in runs]
    with display.progress("Mutants") as on_progress:

        def ran(run: str, done: int, total: int) -> None:
            keeper.keep(standing)
            on_progress(names.index(run) * several + several - total + done, several * len(runs))

        left = run_all(made, short, standing, on_progress=ran)
    if options.seconds:
        _prove(design, made, left, options.seconds, keeper, standing, display)
    proofs = keeper.done.proofs
    spared = {int(number) for number, (kind, *_) in proofs.items() if kind == "proved"}
    with display.progress("Long runs") as on_progress:
        left = run_all(made, runs, standing, on_progress=ran, spared=spared)
    given = ("count", "seed", "samples", "seconds")
    chosen = [text for one in given for text in (f"--{one}", str(getattr(options, one)))]
    command = ["python", "-m", "counterflow.results.mutants", name, *chosen]
    return {
        "network": description.name,
        "mutants": several,
        "seed": options.seed,
        "samples": samples,
        "found": keeper.done.found,
        **_sorted(left, proofs),
        "provenance": provenance(description, seed=description.recipe.seed, command=command),
    }


def _prove(
    design: Plan,
    made: Mutants,
    left: Sequence[Mutant],
    seconds: float,
    keeper: Keeper,
    standing: Standing,
    display: Display,
) -> None:
    """Prove what is not proved yet, or was not in less time."""
    from counterflow.sim.circuit import circuit_of
    from counterflow.sim.equivalence import OPEN, verdict

    proofs = keeper.done.proofs
    waiting = []
    for one in left:
        kind, _, before = proofs.get(str(one.number), (OPEN, "", 0))
        if kind == OPEN and before < seconds:
            waiting.append(one.number)
    if not waiting:
        return
    circuit = circuit_of(design, made)
    with display.progress("Proofs") as on_progress:
        for done, number in enumerate(waiting):
            on_progress(done, len(waiting))
            proofs[str(number)] = [*verdict(circuit, number, seconds), seconds]
            keeper.keep(standing)


def _sorted(left: Sequence[Mutant], proofs: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The survivors by what is proved of them, each with its name and what was said."""
    kinds: dict[str, dict[str, str]] = {"proved": {}, **{kind: {} for kind in TITLES}}
    for one in left:
        kind, said, _ = proofs.get(str(one.number), ("open", "", 0))
        kinds[kind][str(one.number)] = f"`{one}`" + (f": {said}" if said else "")
    return kinds


def page(several: Sequence[Mapping[str, Any]]) -> str:
    """All results as Markdown."""
    return "\n\n".join([HEAD, *(section(one) for one in several)]) + "\n"


def section(one: Mapping[str, Any]) -> str:
    """How many were found by what, how many proved; the others by name."""
    total, found, proved = one["mutants"], len(one["found"]), len(one["proved"])
    runs = Counter(said.split(": ")[0] for said in one["found"].values())
    rows = [["found by", "mutants"], *([run, str(n)] for run, n in runs.most_common())]
    text = (
        f"## {one['network']}\nOf {total} mutants {found} are found and {proved} proved to change "
        f"nothing: {100 * (found + proved) / total:.1f} %. `{one['provenance']['command']}`\n\n"
        f"{grid(rows)}"
    )
    for kind, title in TITLES.items():
        listed = "\n".join(f"- {number}: {what}" for number, what in one[kind].items())
        text += f"\n\n{title}:\n\n{listed or 'none'}"
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m counterflow.results.mutants``; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m counterflow.results.mutants")
    parser.add_argument("network", nargs="?", help="a network; without one the page alone")
    parser.add_argument("--count", type=_positive, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=_positive, default=24, help="of each run (default: 24)")
    parser.add_argument(
        "--seconds",
        type=int,
        default=60,
        help="of processor time for each proof (default: 60); none are made with 0",
    )
    options = parser.parse_args(arguments)
    try:
        if options.network:
            require()
            require_packages(YOSYS)
            if options.seconds:
                ABC.found()
            found = tried(options.network, options, Display())
            write_json(FOLDER / f"mutants-{found['network']}.json", found)
        kept = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(FOLDER.glob("mutants-*.json"))
        ]
        write_atomically(PAGE, page(kept))
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, MissingTool) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
