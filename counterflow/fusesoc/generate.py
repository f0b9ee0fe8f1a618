"""What FuseSoC runs for `counterflow_axi`: a core in the current folder, as the file given asks."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPTIONS = ("module", "target", "multipliers", "memory", "interval")


def arguments(config: Mapping[str, Any]) -> list[str]:
    """The command line of Counterflow that does what FuseSoC's generator file asks for.

    ValueError, in one sentence, if a parameter is missing or not known.
    """
    parameters = dict(config.get("parameters") or {})
    network = parameters.pop("network", None)
    if network is None:
        raise ValueError("the parameter network is missing: give a shipped one or a TOML file")
    unknown = sorted(set(parameters) - set(OPTIONS))
    if unknown:
        raise ValueError(
            f"the parameter {unknown[0]!r} is not known; there are network, {', '.join(OPTIONS)}"
        )
    beside = Path(config["files_root"]) / str(network)
    found = str(beside) if beside.suffix == ".toml" else str(network)
    given = [f"--{name}={value}" for name, value in parameters.items()]
    return ["verilog", found, "--bus", "axi", "--vlnv", config["vlnv"], "--out", ".", *given]


def main() -> None:
    """Exit status 0 if the core is there, else 2 with a sentence."""
    import yaml  # comes with FuseSoC, which calls this

    from counterflow.cli import main as counterflow

    config = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        wanted = arguments(config)
    except ValueError as error:
        sys.exit(f"Error: {error}.")
    counterflow(wanted, prog_name="counterflow")


if __name__ == "__main__":
    main()
