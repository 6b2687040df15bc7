"""How the documentation is built: sphinx-build -W -b html docs docs/_build."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from neural_foundation import __version__

project = "neural-foundation"
author = "The neural-foundation developers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "directives"]
exclude_patterns = ["_build", "_ext"]
source_suffix = {".md": "markdown"}
root_doc = "index"

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"neural-foundation {__version__}"
