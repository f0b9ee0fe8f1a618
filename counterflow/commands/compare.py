"""`counterflow compare`: what stale weights cost and what mitigation brings back."""

from __future__ import annotations

import click

from counterflow.commands import options


@click.command()
@options.network
@options.display
def compare(net: str, as_json: bool, quiet: bool) -> None:
    """Train NET with every mitigation."""
    raise ValueError("not yet")
