"""Settings of Sphinx for the site; ``.ci/docs`` builds it. The sources are the Markdown pages as the code host shows them."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

project = "GQN zoo"
author = copyright = "The GQN zoo authors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_pages"]
root_doc = "docs/README"
source_suffix = {".md": "markdown", ".py": "markdown"}  # site_pages.py turns the cells of examples/*.py into Markdown
include_patterns = [
    "*.md",
    "docs/**.md",
    "examples/first_steps.py",
    "examples/your_own_core.py",
    "examples/plugin/README.md",
    "results/README.md",
    "results/speed/**.md",
    "results/tables/comparison.md",
    "results/weights/**README.md",
]
# Folders that hold no pages, so that they are not searched.
exclude_patterns = [".*", "benchmarks", "build", "data", "dist", "docs/site", "results/rows", "runs", "tests", "zoo"]

myst_heading_anchors = 4  # as on the code host, so that links to headings hold in both places
suppress_warnings = ["myst.header"]  # generated pages start sections at the level of the page that they stand in

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = "GQN zoo"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "native"
