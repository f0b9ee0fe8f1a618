"""How Sphinx makes a site of these pages: `make docs`.

They stay plain Markdown, as GitHub shows it, so that there is one text of each.
"""

from __future__ import annotations

from counterflow.design.network.provenance import version as installed

project = "Counterflow"
author = "the authors of Counterflow"
release = installed()

extensions = ["myst_parser"]
exclude_patterns = ["examples", "results"]  # what pages link to, and no pages themselves
myst_heading_anchors = 4  # links lead to headings by the names that GitHub gives them

html_theme = "furo"
html_title = f"Counterflow {release}"
html_copy_source = False
