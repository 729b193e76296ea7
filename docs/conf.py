"""Sphinx: `sphinx-build -W --keep-going -b html docs build/docs`."""

from pathlib import Path

from click.testing import CliRunner
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import lcfast
from lcfast.cli import main

ROOT = Path(__file__).parents[1]

project = "lcfast"
author = "the lcfast developers"
release = version = lcfast.__version__
html_title = "lcfast"

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autosummary_generate = False
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "show_toc_level": 2,
    "navbar_align": "left",
}
# Only the pages of the API have a section to navigate.
html_sidebars = {page.stem: [] for page in (ROOT / "docs").glob("*.md")}
html_show_sourcelink = False
html_copy_source = False


class CommandHelp(SphinxDirective):
    """What `lcfast COMMAND --help` prints."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return it as a literal block."""
        result = CliRunner().invoke(
            main, [*self.arguments, "--help"], prog_name="lcfast", terminal_width=80
        )
        text = result.output
        return [nodes.literal_block(text, text, language="text")]


def name_files(app: Sphinx, document: nodes.document) -> None:
    """Replace links to files of the repository that are not pages, such as LICENSE, by text."""
    for link in list(document.findall(pending_xref)):
        if link["reftype"] == "myst" and (ROOT / link["reftarget"]).is_file():
            link.replace_self(link.children)


def setup(app: Sphinx) -> None:
    """Register the directive and the change of links."""
    app.add_directive("command-help", CommandHelp)
    app.connect("doctree-read", name_files)
