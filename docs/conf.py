"""How `make docs` builds the pages of this folder."""

import zonda

project = "Zonda"
author = "The Zonda authors"
copyright = author  # noqa: A001 - Sphinx's name for it
release = version = zonda.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"Zonda {release}"
