"""`python -m boards`: write the table of what fits into the documents that have its marks."""

from __future__ import annotations

import sys
from pathlib import Path

from boards.page import PAGES, renewed
from counterflow.files import write_atomically


def main(paths: list[str]) -> None:
    """Renew the table in `paths`, or else in `PAGES`."""
    for path in [Path(one) for one in paths] or PAGES:
        write_atomically(path, renewed(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
