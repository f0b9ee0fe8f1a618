"""The proofs, a file for each part of the hardware.

To add one, write a `sim.proofs.spec.Spec` and a `sim.proofs.proof.Proof` with mutants that it must
refuse, and name its file here.
"""

from __future__ import annotations

from counterflow.sim.proofs import (
    axi_lite,
    axi_stream,
    branches,
    bus,
    link_check,
    link_receiver,
    link_ring,
    link_sender,
    merge,
    rings,
    streams,
)
from counterflow.sim.proofs.proof import Proof

PROOFS: tuple[Proof, ...] = (
    *streams.PROOFS,
    *rings.PROOFS,
    *branches.PROOFS,
    *merge.PROOFS,
    *bus.PROOFS,
    *axi_lite.PROOFS,
    *axi_stream.PROOFS,
    *link_check.PROOFS,
    *link_ring.PROOFS,
    *link_receiver.PROOFS,
    *link_sender.PROOFS,
)
