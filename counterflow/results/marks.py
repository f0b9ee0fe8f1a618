"""Marks in documents, between which stands what JSON among the results says.

A mark is ``<!-- KIND KEY -->`` or, for one of several things that can be said,
``<!-- KIND KEY CLAIM -->``; what it asks for follows, up to ``<!-- end -->``, and comes from
``KIND-KEY.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from counterflow.design.network.files import write_atomically
from counterflow.results.settings import FOLDER

Facts = Mapping[str, Any]
Said = Callable[[Facts, Path, str], str]
"""What stands behind a mark: of the facts in a file, as the claim asks (empty: the table)."""


def marked(kind: str) -> re.Pattern[str]:
    """Marks of a kind with all that they mark: key and claim are its groups."""
    return re.compile(rf"<!-- {kind} (\S+)(?: (\S+))? -->.*?<!-- end -->", re.DOTALL)


def keys(kind: str, text: str) -> set[str]:
    """Keys of the marks in a text."""
    return {match[1] for match in marked(kind).finditer(text)}


def path_of(kind: str, key: str, folder: Path = FOLDER) -> Path:
    """The JSON that stands for `key`."""
    return folder / f"{kind}-{key}.json"


def kept(kind: str, folder: Path, order: str) -> list[tuple[dict[str, Any], Path]]:
    """All results of a kind with their files, by what they have under `order`, then by name."""
    paths = folder.glob(f"{kind}-*.json")
    several = [(json.loads(path.read_text(encoding="utf-8")), path) for path in paths]
    return sorted(several, key=lambda one: (one[0][order], one[1].name))


def renewed(text: str, kind: str, said: Said, folder: Path = FOLDER) -> str:
    """`text` with what each of its marks asks for; ValueError names a mark that asks in vain."""

    def fresh(match: re.Match[str]) -> str:
        key, claim = match[1], match[2] or ""
        path = path_of(kind, key, folder)
        if not path.exists():
            raise ValueError(f"a mark names {key}, but there is no {path}")
        content = said(json.loads(path.read_text(encoding="utf-8")), path, claim)
        begin = f"<!-- {kind} {key}{claim and f' {claim}'} -->"
        return f"{begin}{content}<!-- end -->" if claim else f"{begin}\n{content}\n<!-- end -->"

    return marked(kind).sub(fresh, text)


def renew(pages: Iterable[Path], fresh: Callable[[str], str]) -> None:
    """Write anew the pages that `fresh` makes another text of."""
    for page in pages:
        write_atomically(page, fresh(page.read_text(encoding="utf-8")))


def given(arguments: Sequence[str], file: str) -> dict[str, dict[str, Any]]:
    """What `file` holds in each of the folders that are given as KEY=FOLDER, without its files.

    Paths of this machine in its command, where the result went, are left out.
    """
    found = {}
    for argument in arguments:
        key, _, folder = argument.partition("=")
        facts = json.loads((Path(folder) / file).read_text(encoding="utf-8"))
        facts.pop("files", None)
        facts["provenance"]["command"] = command(facts)
        found[key] = facts
    return found


def command(facts: Facts) -> str:
    """The command line that made a result, without where that went."""
    return re.sub(r" (-o|--out) \S+| --quiet", "", str(facts["provenance"]["command"]))
