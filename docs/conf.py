"""Sphinx: `sphinx-build -W --keep-going -b html docs build/docs`."""

from pathlib import Path

import lcfast

project = "lcfast"
author = "the lcfast developers"
release = version = lcfast.__version__
html_title = "lcfast"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_click",
]
exclude_patterns = ["requirements.txt"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "groupwise"
autodoc_typehints = "none"
autosummary_generate = False
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "navbar_align": "left",
}
# Only the pages of the API have a section to navigate.
html_sidebars = {page.stem: [] for page in Path(__file__).parent.glob("*.md")}
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_sourcelink = False
html_copy_source = False
