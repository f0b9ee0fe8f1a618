"""Faults by the hundred: which mutants of a network's netlist the benches find, and which not.

    python -m counterflow.results.mutants NET [--count N] [--seed S] [--samples N]

Leaves ``mutants-NET.json`` among the results and writes the page ``docs/mutants.md`` from all such.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterflow.commands.display import Display
from counterflow.design.data.training import training_data
from counterflow.design.network.files import load, write_atomically
from counterflow.design.network.provenance import provenance, write_json
from counterflow.design.parts.order import epoch_order
from counterflow.design.schedule.planner import plan
from counterflow.results.markdown import grid
from counterflow.results.settings import FOLDER

PAGE = Path("docs/mutants.md")
HEAD = """# Mutants

`python -m counterflow.results.mutants NET` takes the netlist of a network's hardware, lets Yosys'
`mutate` change one bit of one port of one cell at a time (inverted, tied to 0 or 1, inverted where
another bit is set), and runs each mutant through what `simulate --harsh` runs: training with every
cycle compared, all kinds of tokens and changed settings, three patterns of stalls, spoilt samples,
a reset, a power cycle. A mutant is found by the first of these that tells it from the golden
model. The design without a mutant has to pass them all, or nothing is said.

A survivor changes nothing that was compared. It may be equivalent (a carry that no value reaches,
a bit that is masked later, a counter's bit that would need years) or a gap in the benches: which
of the two has not been proved of those listed here."""


def tried(name: str, count: int, seed: int, samples: int, display: Display) -> dict[str, Any]:
    """Mutate and run; what is to be kept."""
    from counterflow.sim.mutants import mutants_of, runs_of, survivors
    from counterflow.sim.simulate import plain_job

    design = plan(load(name))
    dataset = training_data(design.description)
    recipe = design.description.recipe
    order = epoch_order(len(dataset.train_x), recipe.seed, 0)[:samples]
    plain = plain_job(design, dataset, order, recipe.seed)
    made = mutants_of(design, count, seed)
    runs = runs_of(design, plain, samples)
    with display.progress("Mutants") as on_progress:
        several = len(made.mutants)
        names = [run.name for run in runs]
        found, left = survivors(
            made,
            runs,
            on_progress=lambda run, done, total: on_progress(
                names.index(run) * several + several - total + done, several * len(runs)
            ),
        )
    arguments = ["--count", str(count), "--seed", str(seed), "--samples", str(samples)]
    command = ["python", "-m", "counterflow.results.mutants", name, *arguments]
    return {
        "network": name,
        "mutants": several,
        "seed": seed,
        "samples": samples,
        "found": {str(number): said for number, said in sorted(found.items())},
        "survivors": {str(one.number): str(one) for one in left},
        "provenance": provenance(design.description, seed=recipe.seed, command=command),
    }


def page(several: Sequence[Mapping[str, Any]]) -> str:
    """All results as Markdown."""
    return "\n\n".join([HEAD, *(section(one) for one in several)]) + "\n"


def section(one: Mapping[str, Any]) -> str:
    """How many were found by what; the others by name."""
    total, found = one["mutants"], one["found"]
    runs = Counter(said.split(": ")[0] for said in found.values())
    share = 100 * len(found) / total
    rows = [["found by", "mutants"], *([run, str(n)] for run, n in runs.most_common())]
    left = "\n".join(f"- {number}: `{what}`" for number, what in one["survivors"].items())
    return (
        f"## {one['network']}\n{len(found)} of {total} mutants are found, {share:.1f} %. "
        f"`{one['provenance']['command']}`\n\n{grid(rows)}\n\nNot found:\n\n{left or 'none'}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m counterflow.results.mutants``; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m counterflow.results.mutants")
    parser.add_argument("network", nargs="?", help="a network; without one the page alone")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=int, default=24, help="of each run (default: 24)")
    options = parser.parse_args(arguments)
    try:
        if options.network:
            how = options.count, options.seed, options.samples
            found = tried(options.network, *how, Display())
            write_json(FOLDER / f"mutants-{found['network']}.json", found)
        kept = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(FOLDER.glob("mutants-*.json"))
        ]
        write_atomically(PAGE, page(kept))
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
