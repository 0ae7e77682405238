"""Markdown of the repository outside the documentation, as HTML for a page of the site."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin
from sphinx.util import logging

from repository_pages.sources import RepositoryPage, address, highlight, is_public

LOGGER = logging.getLogger(__name__)


def render_markdown(root: Path, path: PurePosixPath, docnames: Collection[str]) -> RepositoryPage:
    """Renders a Markdown file.

    Args:
        root: the repository.
        path: the file, relative to it.
        docnames: pages of the documentation, without `.md`: links to these stay in it.
    """
    markdown = MarkdownIt("commonmark", {"highlight": _highlight}).enable("table")
    markdown.use(anchors_plugin, max_level=6)
    tokens = markdown.parse((root / path).read_text(encoding="utf-8"))
    anchors, further = set[str](), list[str]()
    for token in _walk(tokens):
        if token.type == "heading_open":
            anchors.add(str(token.attrGet("id")))
        for attribute in ("href", "src"):
            target = token.attrGet(attribute)
            if isinstance(target, str) and "://" not in target and not target.startswith(("#", "mailto:")):
                token.attrSet(attribute, _site_address(root, path, target, docnames, further))
    body = str(markdown.renderer.render(tokens, markdown.options, {}))
    # As the theme has its tables: they scroll inside a box of their own.
    body = body.replace("<table>", '<div class="table-wrapper"><table class="docutils">')
    return RepositoryPage(body.replace("</table>", "</table></div>"), frozenset(anchors), further)


def _walk(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _walk(token.children or [])


def _site_address(
    root: Path, path: PurePosixPath, target: str, docnames: Collection[str], further: list[str]
) -> str:
    """Address in the site of what a link in a file leads to.

    Args:
        further: gets the path in the repository of what needs a page of its own.
    """
    name, hash_sign, anchor = target.partition("#")
    inside = PurePosixPath(posixpath.normpath(posixpath.join(path.parent, name)))
    if not (root / inside).exists() or not is_public(inside):
        LOGGER.warning("%s: there is no %s", path, target)
        return target
    here = posixpath.join("source", path.parent)
    docname = str(inside).removeprefix("docs/").removesuffix(".md")
    if inside.parts[0] == "docs" and docname in docnames:
        return posixpath.relpath(docname, here) + ".html" + hash_sign + anchor
    further.append(str(inside))
    return posixpath.relpath(address(root, inside), here) + hash_sign + anchor


def _highlight(code: str, language: str, attributes: str) -> str:
    return highlight(code, language or "text")
