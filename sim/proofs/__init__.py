"""The proofs, a file for each part of the hardware.

To add one, write a `sim.spec.Spec` and a `sim.proof.Proof` with mutants that it must refuse, and
name its file here.
"""

from __future__ import annotations

from sim.proof import Proof
from sim.proofs import axi_lite, axi_stream, bus, rings, streams

PROOFS: tuple[Proof, ...] = (
    *streams.PROOFS,
    *rings.PROOFS,
    *bus.PROOFS,
    *axi_lite.PROOFS,
    *axi_stream.PROOFS,
)
