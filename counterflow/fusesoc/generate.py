"""What FuseSoC runs for `counterflow_axi`: a core in the current folder, as the file given asks.

It runs in whatever Python is first in PATH, which may have neither Counterflow nor what that needs:
only the standard library, of any version, is sure to be there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPTIONS = ("module", "target", "multipliers", "memory", "interval")
OLDEST = (3, 11)  # Python that Counterflow runs in


def arguments(config: Mapping[str, Any]) -> list[str]:
    """The command line of Counterflow that does what FuseSoC's generator file asks for.

    ValueError, in one sentence, if a parameter is missing or not known, or no value.
    """
    given = config.get("parameters") or {}
    if not isinstance(given, dict):
        raise ValueError(f"parameters is {given!r}, expected names with values, as network: tiny")
    parameters = dict(given)
    network = parameters.pop("network", None)
    if network is None:
        raise ValueError("the parameter network is missing: give a shipped one or a TOML file")
    unknown = sorted(set(map(str, parameters)) - set(OPTIONS))
    if unknown:
        raise ValueError(
            f"the parameter {unknown[0]!r} is not known; there are network, {', '.join(OPTIONS)}"
        )
    for name, value in {"network": network, **parameters}.items():
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError(f"the parameter {name} is {value!r}, expected a name or a number")
    missing = [name for name in ("vlnv", "files_root") if not isinstance(config.get(name), str)]
    if missing:
        raise ValueError(f"the file of FuseSoC lacks {missing[0]}, which FuseSoC 2.4 gives")
    beside = Path(config["files_root"]) / str(network)
    found = str(beside) if beside.suffix == ".toml" else str(network)
    options = [f"--{name}={value}" for name, value in parameters.items()]
    return ["verilog", found, "--bus", "axi", "--vlnv", config["vlnv"], "--out", ".", *options]


def lacking() -> str | None:
    """What keeps this Python from running Counterflow, in a sentence; None where it can."""
    here = f"python3 is {sys.executable}"
    remedy = "put one that has Counterflow first in PATH, for example by activating its environment"
    if sys.version_info[:2] < OLDEST:
        version, wanted = (".".join(map(str, one)) for one in (sys.version_info[:2], OLDEST))
        return f"{here}, version {version}, and Counterflow needs {wanted} or newer: {remedy}"
    try:
        import yaml  # noqa: F401

        import counterflow.cli
    except ModuleNotFoundError as error:
        return f"{here}, which has no module {error.name}: {remedy}"
    except ImportError as error:
        return f"{here}, which cannot import Counterflow ({error}): {remedy}"
    own = Path(counterflow.cli.__file__).parent / "fusesoc"
    if (own / "generate.py").read_bytes() != Path(__file__).read_bytes():
        return (
            f"{here}, whose Counterflow is not the one that this generator is of: let FuseSoC take "
            f"the library in {own}, which python -m counterflow.fusesoc prints"
        )
    return None


def read(path: Path) -> dict[str, Any]:
    """What the file of FuseSoC says; ValueError, in one sentence, where it is none."""
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not YAML, in which FuseSoC writes") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: is {type(config).__name__}, expected the parameters of FuseSoC")
    return config


def main() -> None:
    """Exit status 0 if the core is there, else 2 with a sentence."""
    reason = lacking()
    if reason is None:
        try:
            if len(sys.argv) != 2:
                raise ValueError("give one file, as FuseSoC does: generate.py FILE")
            wanted = arguments(read(Path(sys.argv[1])))
        except ValueError as error:
            reason = str(error)
    if reason is not None:
        print(f"Error: {reason}.", file=sys.stderr)
        sys.exit(2)
    from counterflow.cli import main as counterflow

    counterflow(wanted, prog_name="counterflow")


if __name__ == "__main__":
    main()
