"""What documents, docstrings and comments cite is there: names, files, commands and options."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from counterflow.cli import main
from counterflow.design.network.files import load, parse
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.watch import fields

ROOT = Path(__file__).parents[1]
FLOORS = ("design", "golden", "hw", "sim", "boards", "counterflow")
SOURCES = [path for floor in (*FLOORS, "tests") for path in sorted((ROOT / floor).rglob("*.py"))]
NETWORKS = sorted((ROOT / "design" / "network" / "named").glob("*.toml"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in (*PAGES, *NETWORKS, *SOURCES)
    if path != Path(__file__)  # its faults are on purpose
]

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)(`{1,2})([^`]+)\1(?!`)")
FULL = re.compile(rf"(?<![\w./-])(?:{'|'.join(FLOORS)})(?:\.[A-Za-z_]\w*)+")
SHORT = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
# But files of no folder.
NO_NAMES = (
    *(".csv", ".json", ".md", ".toml", ".tcl", ".xdc", ".v", ".h", ".core", ".png", ".log"),
    *(".kanata", ".gtkw", ".onnx", ".npz", ".safetensors", ".vcd"),
    *(".fst", ".sucl", ".txt"),
)
FOREIGN = ("onnx", "safetensors", "torch", "wiring")  # modules of other packages
WAVES = ("bench_top", "x__payload")  # in waveforms, where tests/test_waves_page.py looks
FILE = re.compile(rf"(?<![\w./-])(?:{'|'.join(FLOORS)}|docs|tests)/[\w./*-]*[\w*/]")
LINK = re.compile(r"\]\(([^)\s]+)\)")

HYBRID = """
name = "hybrid"
dataset = "synthetic"
inputs = [6, 6, 1]
layers = [
    { kind = "convolution", outputs = 2, kernel = 3, activation = "tanh" },
    { kind = "max-pool", kernel = 2 },
    { outputs = 4, activation = "none" },
]

[formats]
activation = "s8.7"
"""


def citations(text: str, markdown: bool) -> Iterator[tuple[str, str]]:
    """(kind, what) of all that `text` cites; kinds are the keys of `IS_THERE`."""
    code = [span.replace("\n", " ") for _, span in SPAN.findall(FENCED.sub("", text))]
    yield from (("file", path) for path in FILE.findall(text))
    if markdown:
        blocks = FENCED.findall(text)
        code += [line for kind, block in blocks if kind == "sh" for line in block.splitlines()]
        yield from (("name", name) for _, block in blocks for name in FULL.findall(block))
        yield from (("name", span) for span in code if SHORT.fullmatch(span))
        yield from (("link", link) for link in LINK.findall(text) if ":" not in link)
    else:
        code += re.findall(r"^[# ]+(counterflow [a-z].*)$", text, re.MULTILINE)
    for span in code:
        yield from (("name", name) for name in FULL.findall(span))
        yield from (("target", target) for target in re.findall(r"^make ([a-z][a-z-]*)", span))
        yield from (("module", name) for name in re.findall(r"python3? -m ([\w.]+)", span))
        if re.match(r"counterflow [\w-]|--[a-z]", span):
            yield "command", span


@cache
def _homes() -> dict[str, list[str]]:
    """Modules by the last part of their name, and those of each class."""
    found = defaultdict(list)
    for path in SOURCES:
        relative = path.relative_to(ROOT)
        if relative.parts[0] != "tests" and path.name not in ("__init__.py", "__main__.py"):
            module = ".".join(relative.with_suffix("").parts)
            found[path.stem].append(module)
            for name in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
                found[name].append(f"{module}.{name}")
    return found


@cache
def _watched() -> set[str]:
    return {field.path for field in fields(plan(load("tiny")))}


def is_name(name: str) -> bool:
    """Whether a module, an attribute of a module or class, or a watched value is called so."""
    first, rest = name.split(".", 1)
    if first in FLOORS:
        return resolves(name)
    others = first in (*FOREIGN, *WAVES) or name.endswith(NO_NAMES) or name in _watched()
    return others or any(resolves(f"{home}.{rest}") for home in _homes()[first])


def resolves(name: str) -> bool:
    """Whether importing and asking for attributes leads to `name`."""
    parts = f"counterflow.{name.removeprefix('counterflow.')}".split(".")
    for depth in range(len(parts), 0, -1):
        module = ".".join(parts[:depth])
        if _importable(module):
            found: Any = importlib.import_module(module)
            for attribute in parts[depth:]:
                if not hasattr(found, attribute):
                    return attribute == parts[-1] and _of_instances(found, attribute)
                found = getattr(found, attribute)
            return True
    return False


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _of_instances(owner: Any, attribute: str) -> bool:
    """Whether a class gives its instances the attribute: a field, a member of a component."""
    if not inspect.isclass(owner):
        return False
    source = "".join(inspect.getsource(one) for one in owner.__mro__ if "counterflow" in str(one))
    return bool(re.search(rf'(?:self\.|"|^ +){attribute}\b', source, re.MULTILINE))


def is_file(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/")))


def is_link(link: str, page: Path = ROOT / "README.md") -> bool:
    """Whether a link of `page` leads to a file, and to a heading in it or in the page itself."""
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if not anchor or not target.exists():
        return target.exists()
    headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in [re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in headings]


def is_target(target: str) -> bool:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return re.search(rf"^{target}:", makefile, re.MULTILINE) is not None


def is_command(line: str) -> bool:
    """Whether there is the command, and it has the options; an option alone is of any command."""
    words = shlex.split(line, comments=True)
    if words[0].startswith("--"):
        return words[0].partition("=")[0] in _options(main, deep=True)
    command: click.Command = main
    for word in words[1:]:
        if word.startswith("-"):
            if word.partition("=")[0] not in _options(command):
                return False
        elif isinstance(command, click.Group) and not word.isupper():
            if word not in command.commands:
                return False
            command = command.commands[word]
    return True


def _options(command: click.Command, deep: bool = False) -> set[str]:
    found = {"-h", "--help"}
    for parameter in command.params:
        found |= {*parameter.opts, *parameter.secondary_opts}
    if deep and isinstance(command, click.Group):
        found = found.union(*(_options(one, deep) for one in command.commands.values()))
    return found


IS_THERE = {
    "name": is_name,
    "file": is_file,
    "link": is_link,
    "command": is_command,
    "target": is_target,
    "module": _importable,
}


def missing(text: str, document: str) -> list[str]:
    """What a document cites, but is not there."""
    found = []
    for kind, what in dict.fromkeys(citations(text, document.endswith(".md"))):
        there = is_link(what, ROOT / document) if kind == "link" else IS_THERE[kind](what)
        if not there:
            found.append(f"{document} cites the {kind} {what}")
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_all_that_a_document_cites_is_there(document: str) -> None:
    lacking = missing((ROOT / document).read_text(encoding="utf-8"), document)
    assert not lacking, "\n".join(lacking)


def test_a_link_within_a_page_leads_to_one_of_its_headings() -> None:
    text = "[keys](#the-keys), [folds](#the-folds)"
    assert missing(text, "docs/description.md") == ["docs/description.md cites the link #the-folds"]


@pytest.mark.parametrize("network", ["tiny", "tiny-conv", "digits-8bit", "digits", "hybrid"])
def test_the_operation_that_makes_a_watched_value_is_there(network: str) -> None:
    description = parse(HYBRID) if network == "hybrid" else load(network)
    for name in sorted({field.made_by for field in fields(plan(description))}):
        assert resolves(name), name


@pytest.mark.parametrize(
    "text",
    [
        "`design.schedule.build.build_schedule`, `Stage.delay`, hw/units/pool.py, `walk.begin`",
        "[How good](README.md#how-good), [what was built](docs/boards.md#what-was-built)",
        "`counterflow plan NET --json`, `counterflow host train --port P`, `--verify`",
        "`make test-all`, `python -m counterflow.results`",
    ],
)
def test_a_page_that_cites_what_is_there_lacks_nothing(text: str) -> None:
    assert len(set(citations(text, markdown=True))) > 1
    assert missing(text, "PAGE.md") == []


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("`design.schedule.built.build_schedule`", "name design.schedule.built.build_schedule"),
        ("``hw.units.pool.Pond``", "name hw.units.pool.Pond"),
        ("`Stage.delays`", "name Stage.delays"),
        ("`timing.ocupancy`", "name timing.ocupancy"),
        ("see hw/units/pond.py", "file hw/units/pond.py"),
        ("in `golden/pools/`", "file golden/pools/"),
        ("[page](docs/none.md)", "link docs/none.md"),
        ("[page](docs/none.md#part)", "link docs/none.md#part"),
        ("[part](docs/boards.md#what-fits-not)", "link docs/boards.md#what-fits-not"),
        ("`counterflow plant digits`", "command counterflow plant digits"),
        ("`counterflow host trial`", "command counterflow host trial"),
        ("`counterflow plan digits --port P`", "command counterflow plan digits --port P"),
        ("`--no-such-option 3`", "command --no-such-option 3"),
        ("```sh\ncounterflow plant  # it\n```\n", "command counterflow plant  # it"),
        ("```sh\nmake tests\n```\n", "target tests"),
        ("`python -m counterflow.result`", "module counterflow.result"),
    ],
)
def test_a_fault_in_a_page_is_found(text: str, lacking: str) -> None:
    assert f"PAGE.md cites the {lacking}" in missing(text, "PAGE.md")
