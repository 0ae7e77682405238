"""Links from pages to files of the repository that are no pages: sources, folders, results, the README.

Such links are relative, so that they work where a Git server shows the Markdown. In the site, each leads to a
page of its own below `source/`: code with numbered lines, a folder with what lies in it, Markdown as a page.
A link to something that is not there is a warning, which `make docs` takes for an error.
"""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from repository_pages.markdown import render_markdown
from repository_pages.sources import (
    RepositoryPage,
    address,
    has_page,
    is_public,
    page_name,
    render_folder,
    render_source,
)

LOGGER = logging.getLogger(__name__)


class LinksOut(SphinxTransform):
    """Turns links to files outside the documentation into links to the pages that show them."""

    # Before downloads and cross-references are collected.
    default_priority = 200

    def apply(self, **kwargs: object) -> None:
        root = Path(self.config.repository_root).resolve()
        here = posixpath.dirname(self.env.docname) or "."
        for node in list(self.document.findall(_leads_out)):
            name, anchor = _target(node)
            path = self._path(root, name)
            if path is None:
                LOGGER.warning("%s: there is no such file in the repository", name, location=node)
                node.replace_self(node.children)
                continue
            outside = _outside_paths(self.env).setdefault(self.env.docname, {})
            outside.setdefault(str(path), []).append(anchor)
            uri = posixpath.relpath(address(root, path), here) + (f"#{anchor}" if anchor else "")
            node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))

    def _path(self, root: Path, name: str) -> PurePosixPath | None:
        """The file or folder that a link names, relative to the repository; None where it is not there."""
        target = (Path(self.env.doc2path(self.env.docname)).parent / name).resolve()
        if not (target.exists() and target.is_relative_to(root)):
            return None
        path = PurePosixPath(target.relative_to(root).as_posix())
        return path if is_public(path) else None


def _leads_out(node: nodes.Node) -> bool:
    """Says whether a node is a link of a page to something that is no page."""
    if not isinstance(node, addnodes.download_reference | addnodes.pending_xref):
        return False
    if node.get("reftype") != "myst":
        return False
    # A Markdown file outside the documentation is taken for a page, under its whole path.
    if node.get("refdomain") == "doc":
        return bool(node["reftarget"].startswith("/"))
    return not node.get("refdomain") and "/" in node["reftarget"]


def _target(node: nodes.Element) -> tuple[str, str]:
    """Path and anchor that such a link names; the anchor is empty where it has none."""
    if node.get("refdomain") == "doc":
        return node["reftarget"] + ".md", node.get("reftargetid") or ""
    path, _, anchor = node["reftarget"].partition("#")
    return path, anchor


def _outside_paths(env: BuildEnvironment) -> dict[str, dict[str, list[str]]]:
    """Page -> path in the repository that it links to -> anchors; kept between builds."""
    if not hasattr(env, "outside_paths"):
        env.outside_paths = {}
    paths: dict[str, dict[str, list[str]]] = env.outside_paths
    return paths


def _forget_page(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _outside_paths(env).pop(docname, None)


def _merge_pages(app: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment) -> None:
    for docname in docnames & _outside_paths(other).keys():
        _outside_paths(env)[docname] = _outside_paths(other)[docname]


def _make_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, object], str]]:
    """Makes the pages of all files and folders that pages link to, and of those that these show in turn."""
    if app.builder.format != "html":
        return
    root = Path(app.config.repository_root).resolve()
    asked: dict[str, list[tuple[str, str]]] = {}
    for docname, targets in _outside_paths(app.env).items():
        for path, anchors in targets.items():
            asked.setdefault(path, []).extend((docname, anchor) for anchor in anchors)
    waiting, made = sorted(asked), set[str]()
    while waiting:
        path = waiting.pop(0)
        if path in made:
            continue
        made.add(path)
        if not has_page(root / path):
            copy = Path(app.outdir) / "source" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, copy)
            continue
        page = _render(root, PurePosixPath(path), app.env.found_docs)
        for docname, anchor in asked.get(path, ()):
            if anchor and anchor not in page.anchors:
                LOGGER.warning("%s has no heading #%s", path, anchor, location=docname)
        waiting += page.further
        yield page_name(root, PurePosixPath(path)), {"title": path, "body": page.body}, "page.html"


def _render(root: Path, path: PurePosixPath, docnames: set[str]) -> RepositoryPage:
    if (root / path).is_dir():
        return render_folder(root, path)
    if path.suffix == ".md":
        return render_markdown(root, path, docnames)
    return render_source(root, path)


def setup(app: Sphinx) -> dict[str, object]:
    """Adds the links and their pages to Sphinx."""
    app.add_config_value("repository_root", "", "env")
    app.add_transform(LinksOut)
    app.connect("env-purge-doc", _forget_page)
    app.connect("env-merge-info", _merge_pages)
    app.connect("html-collect-pages", _make_pages)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
