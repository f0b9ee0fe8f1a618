"""What `counterflow compare` found, in the documents: each table and claim from a JSON.

    python -m counterflow.results.comparisons                renews them in `PAGES`
    python -m counterflow.results.comparisons KEY=FOLDER ... keeps what is in these folders, first

A JSON is ``compare-KEY.json`` among the results.  A document names it in a mark, for the table
``<!-- compare KEY -->``, for one of `CLAIMS` ``<!-- compare KEY loss -->``, each up to
``<!-- end -->``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from counterflow.commands.compare import NUMBERS
from counterflow.commands.recovered import interval
from counterflow.design.network.files import load
from counterflow.design.network.provenance import write_json
from counterflow.results import marks
from counterflow.results.markdown import grid
from counterflow.results.marks import Facts
from counterflow.results.settings import FOLDER

PAGES = [Path("README.md"), Path("docs/measurements.md"), Path("docs/interlocking.md")]
EXAMPLES = Path("docs/examples")  # networks that only these tables have
KIND = "compare"
WAYS = {
    ("sequential", "none"): "sequential, no delay",
    ("pipelined", "none"): "pipelined, nothing done",
    ("pipelined", "lwpv"): "prediction (lwpv)",
    ("pipelined", "sc"): "compensation (sc)",
    ("pipelined", "lwpv+sc"): "both (lwpv+sc)",
}
VAGUE = 4.0  # gaps that the interval of a share may be wide


def renewed(text: str, folder: Path = FOLDER) -> str:
    """`text` with what each of its marks asks for; ValueError names a mark that asks in vain."""
    return marks.renewed(text, KIND, said, folder)


def said(found: Facts, path: Path, claim: str) -> str:
    """The table of a comparison, or one of `CLAIMS`."""
    if claim and claim not in CLAIMS:
        raise ValueError(f"a mark asks for {claim!r}; there are {', '.join(CLAIMS)}")
    return CLAIMS[claim](found) if claim else table(found, path)


def table(found: Facts, path: Path) -> str:
    """Accuracies of every method, and under them what made them."""
    rows = _by_horizon(found) if "horizons" in found else _by_method(found)
    seeds = len(_methods(found)[0]["accuracies"])
    source = f"`{marks.command(found)}`, n = {seeds} seeds; [JSON](results/{path.name})"
    if outdated(found):
        source += ". The network has been changed since"
    return f"{grid(rows)}\n\n{source}."


def outdated(found: Facts) -> bool:
    """Whether the network is no longer that which was trained."""
    made = found["provenance"]
    own = EXAMPLES / f"{made['network']}.toml"
    network = load(str(own) if own.exists() else str(made["network"]))
    return network.hash() != str(made["description_hash"])


def _methods(found: Facts) -> Sequence[Facts]:
    several: Sequence[Facts] = found.get("methods") or found["horizons"][0]["methods"]
    return several


def _by_method(found: Facts) -> list[list[str]]:
    """A row a way to train, and of each kind of numbers accuracy, gain and share of the gap."""
    models = list(dict.fromkeys(one["model"] for one in found["methods"]))
    heads = ("mean ± sd, %", "against nothing done, points", "share of the gap closed")
    rows = [["", *(f"{NUMBERS[model]}: {head}" for model in models for head in heads)]]
    for way, name in WAYS.items():
        several = [one for one in found["methods"] if (one["scheme"], one["mitigation"]) == way]
        if several:
            rows.append([name, *(cell for one in several for cell in _cells(one))])
    return rows


def _cells(one: Facts) -> tuple[str, str, str]:
    plain = (one["scheme"], one["mitigation"]) == ("pipelined", "none")
    mitigated = one["mitigation"] != "none"
    share = _said(one["recovered"], " %") if _tells(one["recovered"]) else "–"
    return (
        _mean(one),
        "" if plain else _said(one["gain"], places=2),
        share if mitigated else "",
    )


def _tells(share: Facts | None) -> bool:
    """Whether a share of the gap is known to within so many gaps that it says something."""
    if share is None or share["interval"] is None:
        return False
    low, high = share["interval"]
    return bool(high - low <= VAGUE)


def _by_horizon(found: Facts) -> list[list[str]]:
    """A row a horizon: what it costs, what each way to train reaches."""
    ways = [(one["scheme"], one["mitigation"]) for one in found["horizons"][0]["methods"]]
    head = ["losses seen", "longest delay", "stash, kbit", *(f"{WAYS[way]}, %" for way in ways)]
    rows = [[*head, "by head, pipelined, %"]]
    for one in found["horizons"]:
        heads = next(m["heads"] for m in one["methods"] if m["scheme"] == "pipelined")
        rows.append(
            [
                str(one["interlocking"]),
                str(one["delay"]),
                f"{one['stash_bits'] / 1000:,.1f}",
                *(_mean(method) for method in one["methods"]),
                ", ".join(f"{100 * each['mean']:.1f}" for each in heads),
            ]
        )
    return rows


def _mean(one: Facts) -> str:
    return f"{100 * one['mean']:.2f} ± {100 * one['sd']:.2f}"


def _said(estimate: Facts, unit: str = "", places: int = 0) -> str:
    return interval(estimate["mean"], estimate["interval"], unit=unit, places=places)


def _loss(found: Facts) -> str:
    """What the delay costs, in points."""
    gain = _of(found, "sequential", "none")["gain"]
    return f"{_said(gain, places=1)} points of accuracy (n = {gain['n']}, 95 % interval)"


def _share(found: Facts) -> str:
    """How much of that both mitigations together bring back."""
    share = _of(found, "pipelined", "lwpv+sc")["recovered"]
    return _said(share, " %") if share else "nothing that could be told from noise"


def _of(found: Facts, scheme: str, mitigation: str) -> Facts:
    wanted = scheme, mitigation
    return next(one for one in _methods(found) if (one["scheme"], one["mitigation"]) == wanted)


def _ways(found: Facts) -> str:
    """What is reached pipelined with nothing done, and sequentially."""
    ways = [_of(found, way, "none") for way in ("pipelined", "sequential")]
    return f"{' and '.join(_mean(one) for one in ways)} % (n = {len(ways[0]['accuracies'])})"


CLAIMS: dict[str, Callable[[Facts], str]] = {"loss": _loss, "recovered": _share, "ways": _ways}
"""What a mark may ask for in a sentence."""


def main(arguments: Sequence[str]) -> None:
    """Keep the results that are given as KEY=FOLDER, then renew all pages."""
    for key, found in marks.given(arguments, "compare.json").items():
        write_json(marks.path_of(KIND, key), found)
    marks.renew(PAGES, renewed)


if __name__ == "__main__":
    main(sys.argv[1:])
