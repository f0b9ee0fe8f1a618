"""The house stands: what may import what, by one name and without circles, and prose that is true.

Read from the source: nothing is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What each may import beside itself: only what stands above it in its list.
FLOORS = {
    "design": "",
    "golden": "design",
    "hw": "design",
    "sim": "design golden hw",
    "boards": "design hw",
    "program": "design golden hw sim boards",
}
ROOMS = {
    "design": {
        "parts": "",
        "graph": "parts",
        "units": "parts graph",
        "network": "parts graph units",
        "schedule": "parts graph network units",
        "fpga": "parts network units schedule",
        "fit": "parts network units schedule fpga",
        "choice": "parts graph network units schedule",
        "data": "parts network",
        "bus": "parts network units schedule",
        "tools": "parts fpga",
    },
    "golden": {
        "parts": "",
        "units": "parts",
        "chain": "parts units",
        "cycle_trace": "parts chain",
        "fast": "parts units",
        "reference": "units",
        "training": "parts units chain fast reference",
        "profiling": "parts chain reference training",
        "transfer": "units",
    },
    "hw": {
        "parts": "",
        "weighted": "parts",
        "pooling": "parts",
        "norms": "parts weighted pooling",
        "losses": "parts",
        "units": "parts weighted pooling norms losses",
        "intake": "parts",
        "chain": "parts losses units intake",
        "link": "parts units intake chain",
        "axi": "parts intake chain",
        "tops": "parts chain link axi",
    },
    "sim": {
        "harsh": "",
        "shapes": "",
        "streams": "",
        "fst": "",
        "runtime": "",
        "simulator": "fst runtime",
        "gates": "",
        "bench": "",
        "exercise": "bench",
        "session": "simulator bench",
        "generated": "simulator",
        "simulate": "simulator bench exercise generated harsh session",
        "mutants": "simulator bench exercise harsh session simulate",
        "aig": "",
        "walks": "aig",
        "circuit": "bench harsh simulate mutants aig walks",
        "equivalence": "circuit",
        "compiled": "simulator bench",
        "boards": "compiled",
        "proofs": "",
    },
}
PROGRAM = "program"  # what stands in the package counterflow itself
FACE = "counterflow"  # hands on what programs of users import, and nothing in the house does
HOST = "counterflow/host"  # files that only a planted tree has
LINKED = tuple(floor for floor in FLOORS if floor != PROGRAM)  # ... or is linked there


class House:
    """The source files under `root`, by module, and what is wrong with them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = dict(_modules(root))
        self.trees = {name: ast.parse(path.read_text()) for name, path in self.files.items()}
        self.defined = {name: _defined(tree) for name, tree in self.trees.items()}

    def faults(self) -> list[str]:
        found = [text for name in self.files for text in self._faults_of(name)]
        return [*found, *self._circles()]

    def _faults_of(self, name: str) -> Iterator[str]:
        tree, own = self.trees[name], self._place(name)
        where = self.files[name].relative_to(self.root)
        if "__all__" in self.defined[name] and name != FACE:
            yield f"{where} has an __all__"
        for line, module, taken in _imports(tree):
            at = f"{where}:{line}"
            if not module or module.split(".")[0] in LINKED:
                yield f"{at} imports {module or '.'} by another name than counterflow..."
            if module.split(".")[0] != "counterflow":
                continue
            target = self._target(module, taken)
            if target not in self.files:
                yield f"{at} imports {target}, which is not there"
            elif taken and target == module and taken not in self.defined[module]:
                yield f"{at} imports {taken} from {module}, which does not define it"
            else:
                yield from (f"{at} {text}" for text in _upward(own, self._place(target)))
        for line, module, taken in self._taken_through_modules(tree):
            if taken not in self.defined[module]:
                yield f"{where}:{line} takes {taken} from {module}, which does not define it"
        if where.name == "__init__.py" and name != FACE:
            for handed in sorted(_unused(tree)):
                yield f"{where} imports {handed} only to hand it on"

    def _place(self, module: str) -> tuple[str, str]:
        """Floor and room; a floor's own __init__ has room ''."""
        _, *parts = module.split(".")
        if not parts or parts[0] not in LINKED:
            return PROGRAM, ".".join(parts[:1])
        return parts[0], ".".join(parts[1:2])

    def _target(self, module: str, taken: str) -> str:
        inner = f"{module}.{taken}"
        return inner if taken and inner in self.files else module

    def _taken_through_modules(self, tree: ast.Module) -> Iterator[tuple[int, str, str]]:
        """Line, module and name of each ``module.name``."""
        modules = {
            one.asname or one.name: self._target(node.module or "", one.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for one in node.names
            if f"{node.module}.{one.name}" in self.files
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = modules.get(node.value.id)
                if module is not None:
                    yield node.lineno, module, node.attr

    def _circles(self) -> Iterator[str]:
        """Files that import each other, in functions and for types, too."""
        graph = {
            name: {self._target(module, taken) for _, module, taken in _imports(tree)}
            for name, tree in self.trees.items()
        }
        done: set[str] = set()

        def follow(name: str, path: tuple[str, ...]) -> Iterator[str]:
            if name in path:
                yield "a circle: " + " -> ".join((*path[path.index(name) :], name))
            elif name in graph and name not in done:
                for target in sorted(graph[name]):
                    yield from follow(target, (*path, name))
                done.add(name)

        for name in graph:
            yield from follow(name, ())


def _modules(root: Path) -> Iterator[tuple[str, Path]]:
    for top in (*LINKED, "counterflow"):
        for path in sorted((root / top).rglob("*.py")):
            folders = path.relative_to(root).with_suffix("").parts
            if top == "counterflow" and len(folders) > 2 and folders[1] in LINKED:
                continue  # a link, or what an installation makes of one
            parts = folders if top == "counterflow" else ("counterflow", *folders)
            yield ".".join(parts).removesuffix(".__init__"), path


def _imports(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of every import, wherever it stands; '' for a relative module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, one.name, "") for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "" if node.level else node.module or ""
            yield from ((node.lineno, module, one.name) for one in node.names)


def _defined(tree: ast.Module) -> set[str]:
    """Names that a module makes itself, outside of functions and classes."""
    names: set[str] = set()
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        todo += ast.iter_child_nodes(node)
    return names


def _unused(tree: ast.Module) -> set[str]:
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {
        one.asname or one.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for one in node.names
    }
    return imported - used - {"annotations"}


def _upward(own: tuple[str, str], target: tuple[str, str]) -> Iterator[str]:
    (floor, room), (other, inner) = own, target
    if floor != other:
        if other not in FLOORS[floor].split():
            yield f"({floor}) imports {other}"
    elif floor in ROOMS and room != inner and inner not in ROOMS[floor].get(room, "").split():
        yield f"({floor}.{room}) imports {floor}.{inner}"


@pytest.fixture(scope="module")
def house() -> House:
    return House(ROOT)


def test_the_house_stands(house: House) -> None:
    assert {"counterflow.cli", "counterflow.hw.chain", "counterflow.design"} <= set(house.files)
    assert house.faults() == []


def test_every_room_is_in_the_table(house: House) -> None:
    for floor, rooms in ROOMS.items():
        there = {room for place, room in map(house._place, house.files) if place == floor and room}
        assert there == set(rooms)


@pytest.mark.parametrize("table", [FLOORS, *ROOMS.values()], ids=["house", *ROOMS])
def test_each_stands_on_what_is_above_it_in_the_table(table: Mapping[str, str]) -> None:
    above: set[str] = set()
    for name, under in table.items():
        assert set(under.split()) <= above
        above.add(name)


def test_tests_import_the_one_name_too() -> None:
    for path in (ROOT / "tests").glob("*.py"):
        modules = {module.split(".")[0] for _, module, _ in _imports(ast.parse(path.read_text()))}
        assert not modules & {*LINKED, ""}, path.name


PLANTED = {
    "upward": ("design/data/sets.py", "import counterflow.hw.chain", "(design) imports hw"),
    "beside": ("golden/chain.py", "from counterflow.hw import chain", "(golden) imports hw"),
    "in a function": (
        "boards/table.py",
        "def f():\n    from counterflow.golden import chain",
        "(boards) imports golden",
    ),
    "for types": (
        "hw/chain.py",
        "if TYPE_CHECKING:\n    import counterflow.cli",
        "(hw) imports program",
    ),
    "to a higher room": (
        "design/parts/roles.py",
        "from counterflow.design.data.sets import Set",
        "(design.parts) imports design.data",
    ),
    "a circle": (
        "counterflow/cli.py",
        "from counterflow.host import port",
        "a circle: counterflow.cli -> counterflow.host.port -> counterflow.cli",
    ),
    "a circle through a package": (
        "counterflow/host/__init__.py",
        "from counterflow.host import other\nPORTS = other",
        "a circle: counterflow.host -> counterflow.host.other -> counterflow.host",
    ),
    "another name": ("hw/chain.py", "from design.data.sets import Set", "by another name"),
    "relative": ("hw/chain.py", "from . import units", "by another name"),
    "not there": ("hw/chain.py", "import counterflow.hw.gone", "which is not there"),
    "handed on": (
        "hw/chain.py",
        "from counterflow.design.data.sets import Path",
        "from counterflow.design.data.sets, which does not define it",
    ),
    "taken through a module": (
        "hw/chain.py",
        "from counterflow.design.data import sets\nsets.Path",
        "takes Path from counterflow.design.data.sets, which does not define it",
    ),
    "a face": (
        "design/__init__.py",
        "from counterflow.design.data.sets import Set",
        "design/__init__.py imports Set only to hand it on",
    ),
    "through the face": (
        "counterflow/cli.py",
        "from counterflow import load",
        "imports load from counterflow, which does not define it",
    ),
    "a list of names": ("hw/chain.py", "__all__ = ['Chain']", "has an __all__"),
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A house in which all is well, with links as in a checkout."""
    files = {
        "design/__init__.py": "",
        "design/data/sets.py": "from pathlib import Path\nclass Set: pass\n",
        "design/parts/roles.py": "",
        "golden/chain.py": "from counterflow.design.data.sets import Set\n",
        "hw/chain.py": "def f():\n    from counterflow.design.data import sets\n",
        "boards/table.py": "import counterflow.hw.chain\n",
        "counterflow/__init__.py": "from counterflow.cli import load\n__all__ = ['load']\n",
        "counterflow/cli.py": "from counterflow.hw import chain\ndef load(): ...\n",
        f"{HOST}/port.py": "def f():\n    import counterflow.cli\n",
        f"{HOST}/other.py": "def f():\n    from counterflow.host import PORTS\n",
        "counterflow/host/__init__.py": "PORTS = ()\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for package in ("design/data", "design/parts", "golden", "hw", "boards", "counterflow/host"):
        (tmp_path / package / "__init__.py").touch()
    for floor in ("design", "golden", "hw", "boards"):
        (tmp_path / "counterflow" / floor).symlink_to(f"../{floor}")
    return tmp_path


def test_a_small_house_stands(small: Path) -> None:
    assert House(small).faults() == []


@pytest.mark.parametrize(("file", "text", "fault"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_found(small: Path, file: str, text: str, fault: str) -> None:
    path = small / file
    path.write_text(f"{text}\n{path.read_text()}")
    assert any(fault in found for found in House(small).faults())
