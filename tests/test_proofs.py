"""Small parts are proven by SymbiYosys, and refuse faults; `make formal` has all of them."""

from __future__ import annotations

from functools import partial

import pytest

from counterflow.hw.parts.streams import Gather
from counterflow.sim.proofs.catalogue import PROOFS
from counterflow.sim.proofs.proof import Mutant, Proof, ProofError, prove
from counterflow.sim.proofs.streams import GatherSpec

QUICK = [proof for proof in PROOFS if proof.quick]
PAIRS = [pytest.param(p, m, id=f"{p.name}-{i}") for p in PROOFS for i, m in enumerate(p.mutants)]


@pytest.mark.parametrize("proof", QUICK, ids=lambda proof: proof.name)
def test_small_parts_are_proven(proof: Proof) -> None:
    verdict = prove(proof)
    assert verdict.holds, verdict.log


@pytest.mark.parametrize("proof", QUICK, ids=lambda proof: proof.name)
def test_a_proof_refuses_a_fault(proof: Proof) -> None:
    assert not prove(proof, proof.mutants[0]).holds


@pytest.mark.slow
@pytest.mark.parametrize("proof", [p for p in PROOFS if not p.quick], ids=lambda proof: proof.name)
def test_larger_parts_are_proven(proof: Proof) -> None:
    verdict = prove(proof)
    assert verdict.holds, verdict.log


@pytest.mark.slow
@pytest.mark.parametrize(("proof", "mutant"), PAIRS)
def test_proofs_refuse_every_fault(proof: Proof, mutant: Mutant) -> None:
    assert not prove(proof, mutant).holds


def test_every_proof_has_a_fault_to_refuse_and_a_name_of_its_own() -> None:
    assert all(proof.mutants for proof in PROOFS)
    assert len({proof.name for proof in PROOFS}) == len(PROOFS)


def test_a_fault_that_changes_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="stands 0 times in the source"):
        Mutant(Gather, "no such line", "").made()


class Untied(GatherSpec):
    """With a probe whose name nothing in the design has."""

    def probe(self, path: str, shape: object = 1) -> object:  # type: ignore[override]
        return super().probe(path.replace("element", "elephant"), shape)


def test_a_probe_of_what_is_not_there_is_an_error_and_no_proof() -> None:
    proof = Proof("untied", "anything", partial(Untied, lanes=2, count=3), ())
    with pytest.raises(ProofError, match="elephant"):
        prove(proof)
