"""Settings of the documentation's site: `make docs` builds it into `build/docs`."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path

from pygments.lexers import TextLexer
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS / "_extensions")]

from harness.version import __version__  # noqa: E402

project = "correspondence-bench"
author = "The correspondence-bench authors"
project_copyright = author
release = version = __version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.linkcode",
    "sphinx.ext.napoleon",
    "docstrings",
    "repository_pages",
]
# Read by the extension repository_pages.
repository_root = str(ROOT)
exclude_patterns = ["_extensions", "_static"]
nitpicky = True

# Headings get the anchors that a Git page gives them, so that links with anchors work in both.
myst_heading_anchors = 6
myst_enable_extensions = ["smartquotes"]
myst_links_external_new_tab = False
suppress_warnings: list[str] = []

autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_display_short_literal_types = True
maximum_signature_line_length = 80
add_module_names = False
toc_object_entries_show_parents = "hide"

# `Name` in a docstring becomes a link where something of that name is documented, and code where not.
default_role = "py:obj"
# Types in signatures are not checked: many are of other packages, whose documentation lies on other servers.
nitpick_ignore_regex = [("py:obj", ".*"), ("py:class", ".*")]

html_theme = "furo"
html_title = "correspondence-bench"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

# A block without a language holds commands, as on the project's Git pages.
highlight_language = "text"


def setup(app: Sphinx) -> None:
    """Tells Sphinx of kinds of blocks that have no colours."""
    app.add_lexer("csv", TextLexer)


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Address of the page that shows an object's source, from the pages of the API (two folders deep)."""
    target: object = importlib.import_module(info["module"])
    for name in info["fullname"].split("."):
        target = getattr(target, name, None)
    if isinstance(target, property):
        target = target.fget
    try:
        file = Path(inspect.getsourcefile(target)).relative_to(ROOT)
        line = inspect.getsourcelines(target)[1]
    except (TypeError, ValueError):
        # Data, and what other packages made.
        return None
    return f"../../source/{file.as_posix()}.html#L-{line}"
