"""Sources and folders of the repository, as HTML for pages of the site."""

from __future__ import annotations

import ast
import html
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pygments
import pygments.formatters
import pygments.lexers
import pygments.util

PICTURES = (".jpg", ".png", ".svg")

LARGE = 200_000
"""Bytes above which a file is no page."""


@dataclass(frozen=True)
class RepositoryPage:
    """A page of the site that shows a file or folder of the repository.

    Attributes:
        body: HTML.
        anchors: those that links may name.
        further: paths in the repository that it links to, each with a page of its own.
    """

    body: str
    anchors: frozenset[str] = frozenset()
    further: list[str] = field(default_factory=list)


def page_name(root: Path, path: PurePosixPath) -> str:
    """Name in the site of the page that shows a file or folder, without `.html`."""
    if (root / path).is_dir():
        return posixpath.join("source", str(path), "index")
    return posixpath.join("source", str(path))


def address(root: Path, path: PurePosixPath) -> str:
    """Address in the site of the page that shows a file or folder, or of the copy of a picture or data."""
    return page_name(root, path) + (".html" if has_page(root / path) else "")


def has_page(file: Path) -> bool:
    """Says whether a file or folder is shown on a page; others are copied as they are."""
    return file.is_dir() or (file.suffix not in PICTURES and _is_text(file))


def is_public(path: PurePosixPath) -> bool:
    """Says whether a path relative to the repository is a part of it, no product of a run or a build."""
    if any(part.startswith(".") or part.endswith((".egg-info", "__pycache__")) for part in path.parts):
        return False
    # Cells of a results folder are named `METHOD.DATASET...`, as `.gitignore` has it.
    is_cell = len(path.parts) > 1 and path.parts[0] == "results" and "." in path.parts[1].removesuffix(".md")
    return not is_cell and path.parts[:1] not in [(name,) for name in ("build", "dist", "encoded", "prompts")]


def render_source(root: Path, path: PurePosixPath) -> RepositoryPage:
    """Renders a text file with numbered lines."""
    file = root / path
    text = file.read_text(encoding="utf-8")
    formatter = pygments.formatters.HtmlFormatter(
        cssclass="highlight source-listing", linenos="inline", lineanchors="L", anchorlinenos=False
    )
    lines = frozenset(f"L-{number}" for number in range(1, text.count("\n") + 2))
    return RepositoryPage(_title(path) + pygments.highlight(text, _lexer(file.name), formatter), lines)


def render_folder(root: Path, path: PurePosixPath) -> RepositoryPage:
    """Renders a folder: its files and folders, each with the first sentence of what it says of itself."""
    rows, further = [], []
    about = _sentence(root / path / "__init__.py")
    children = sorted((root / path).iterdir(), key=lambda child: (child.is_file(), child.name))
    for child in children:
        below = path / child.name
        if not is_public(below):
            continue
        name = f"<code>{html.escape(child.name)}{'/' if child.is_dir() else ''}</code>"
        # Large files and data are named, and not copied into the site.
        if has_page(child) or child.suffix in PICTURES:
            further.append(str(below))
            link = posixpath.relpath(address(root, below), posixpath.join("source", path))
            name = f'<a href="{html.escape(link)}">{name}</a>'
        says = _inline(_sentence(child / "__init__.py" if child.is_dir() else child))
        rows.append(f"<tr><td>{name}</td><td>{says}</td></tr>")
    table = f'<div class="table-wrapper"><table class="docutils"><tbody>{"".join(rows)}</tbody></table></div>'
    return RepositoryPage(f"{_title(path)}<p>{_inline(about)}</p>{table}", further=further)


def highlight(code: str, language: str) -> str:
    """Renders a block of code of a page."""
    try:
        lexer = pygments.lexers.get_lexer_by_name(language)
    except pygments.util.ClassNotFound:
        lexer = pygments.lexers.TextLexer()
    return str(pygments.highlight(code, lexer, pygments.formatters.HtmlFormatter()))


def _lexer(name: str) -> pygments.lexer.Lexer:
    try:
        return pygments.lexers.get_lexer_for_filename(name)
    except pygments.util.ClassNotFound:
        return pygments.lexers.TextLexer()


def _title(path: PurePosixPath) -> str:
    return f"<h1><code>{html.escape(str(path))}</code></h1>"


def _inline(text: str) -> str:
    """A sentence of a docstring, with its code as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def _sentence(file: Path) -> str:
    """First sentence of a Python module's docstring; empty where there is none."""
    if file.suffix != ".py" or not file.is_file():
        return ""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def _is_text(file: Path) -> bool:
    if file.stat().st_size > LARGE:
        return False
    with file.open("rb") as stream:
        return b"\0" not in stream.read(4096)
