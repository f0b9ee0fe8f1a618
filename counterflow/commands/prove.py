"""`counterflow prove`: formal proofs of small parts of the hardware."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from counterflow.commands import options
from counterflow.commands.display import Display, table

if TYPE_CHECKING:
    from counterflow.sim.proofs.proof import Proof


@click.command()
@click.argument("names", nargs=-1)
@click.option("--no-mutants", is_flag=True, help="Only the proofs, not that they refuse faults.")
@options.display
def prove(names: tuple[str, ...], no_mutants: bool, as_json: bool, quiet: bool) -> None:
    """Prove properties of small parts of the hardware with SymbiYosys.

    Each proof must also refuse a few faulty versions of its part. The exit status is 1 if a claim
    does not hold or a fault is not found.

    \b
    Examples:
        counterflow prove
        counterflow prove scatter stash --no-mutants
    """
    from counterflow.design.tools.programs import MissingTool
    from counterflow.sim.proofs.catalogue import PROOFS
    from counterflow.sim.proofs.proof import ProofError

    known = {proof.name: proof for proof in PROOFS}
    for name in names:
        if name not in known:
            raise click.UsageError(f"There is no proof {name!r}; there are {', '.join(known)}.")
    chosen = [known[name] for name in names] or list(PROOFS)
    display = Display(as_json=as_json, quiet=quiet)
    rows, results = table("proof", "how", "holds", "faults found", "seconds"), []
    for proof in chosen:
        display.note(f"{proof.name}: {proof.claim}")
        try:
            results.append(result := _tried(proof, mutants=not no_mutants))
        except (ProofError, MissingTool) as error:
            raise click.ClickException(str(error)) from error
        found = f"{result['faults_found']} of {result['faults']}"
        holds = "yes" if result["holds"] else "NO"
        rows.add_row(proof.name, str(result["how"]), holds, found, f"{result['seconds']:.1f}")
    display.show(rows)
    display.result({"proofs": results})
    good = all(one["holds"] and one["faults"] == one["faults_found"] for one in results)
    sys.exit(0 if good else 1)


def _tried(proof: Proof, *, mutants: bool) -> dict[str, object]:
    from counterflow.sim.proofs.proof import prove as proven

    verdict = proven(proof)
    faults = [proven(proof, mutant) for mutant in proof.mutants] if mutants else []
    return {
        "name": proof.name,
        "claim": proof.claim,
        "how": f"{'first' if proof.bounded else 'induction,'} {proof.depth} cycles",
        "holds": verdict.holds,
        "faults": len(faults),
        "faults_found": sum(not one.holds for one in faults),
        "seconds": round(sum(one.seconds for one in (verdict, *faults)), 2),
    }
