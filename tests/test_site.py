"""The site: every page of docs/ is in it, and it is built without a warning."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TOCTREE = re.compile(r"^```\{toctree\}\n(?::.*\n)*\n((?:[\w-]+\n)*)```$", re.MULTILINE)


def listed(index: str) -> list[str]:
    """The pages that the tables of contents of a page name."""
    return [line for block in TOCTREE.findall(index) for line in block.split()]


def build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build the pages in `docs` as `make docs` does."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(
        r"^\t\$\(BIN\)/python (-m sphinx .*) docs build/docs$", makefile, re.MULTILINE
    )
    command = [sys.executable, *line.split(), str(docs), str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


class Links(HTMLParser):
    """What a page links to and shows, and the names that its parts have."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.names.add(found.get("id") or "")
        if tag in ("a", "img"):
            self.targets.append(found.get("href") or found.get("src") or "")


def dead_links(site: Path) -> list[str]:
    """Links between pages, and to files, that lead to nothing."""
    pages: dict[Path, Links] = {}
    for path in site.glob("*.html"):
        pages[path] = Links()
        pages[path].feed(path.read_text(encoding="utf-8"))
    dead = []
    for path, page in pages.items():
        for target in page.targets:
            name, _, anchor = unquote(target).partition("#")
            there = (site / name) if name else path
            if ":" in name or (there.exists() and not anchor):
                continue
            if there not in pages or anchor not in pages[there].names:
                dead.append(f"{path.name}: {target}")
    return dead


def test_every_page_is_in_the_table_of_contents() -> None:
    pages = listed((DOCS / "index.md").read_text(encoding="utf-8"))
    assert sorted(pages) == sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "index")


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_no_link_is_dead(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = build(DOCS, site)
    assert (done.returncode, done.stderr) == (0, "")
    for page in DOCS.glob("*.md"):
        assert (site / f"{page.stem}.html").is_file(), page
    assert dead_links(site) == []
    (site / "numbers.html").unlink()
    assert any(one.endswith("numbers.html") for one in dead_links(site))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("[gone](gone.md)", "gone.md"),
        ("[gone](numbers.md#gone)", "gone"),
        ("![gone](results/gone.png)", "gone.png"),
    ],
)
def test_a_link_that_leads_nowhere_stops_the_site(
    fault: str, sentence: str, tmp_path: Path
) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(DOCS, docs)
    shutil.copy(ROOT / "README.md", tmp_path)
    with (docs / "files.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{fault}\n")
    done = build(docs, tmp_path / "site")
    assert done.returncode != 0
    assert sentence in done.stderr
