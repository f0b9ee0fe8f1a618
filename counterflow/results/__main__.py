"""``python -m counterflow.results``: collect what was measured, then write page and plots."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from counterflow.design.network.files import write_atomically
from counterflow.results import records
from counterflow.results.gathered import read, write_plots
from counterflow.results.page import page
from counterflow.results.settings import FOLDER, NETWORKS


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m counterflow.results")
    parser.add_argument(
        "--json", type=Path, default=FOLDER, help=f"folder of JSON and plots (default: {FOLDER})"
    )
    parser.add_argument(
        "--made",
        type=Path,
        default=records.MADE,
        help=f"folder of simulations and syntheses to collect (default: {records.MADE})",
    )
    options = parser.parse_args(arguments)
    try:
        records.collect(options.made, options.json, NETWORKS)
        results = read(options.json)
        text = page(results, write_plots(results))
        path = write_atomically(options.json.with_name(f"{options.json.name}.md"), text)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
