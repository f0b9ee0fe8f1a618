"""Formal proofs of small parts of the hardware: `sim.proofs.catalogue` has them all."""
