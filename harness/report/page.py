"""The page: everything put together, and written whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import put_file
from harness.messages import listed
from harness.records.joining import Results
from harness.records.schema import Record
from harness.records.unfinished import Unfinished
from harness.report import summary
from harness.report.card import draw_card, first_cards
from harness.report.figures import Section, sections
from harness.report.gallery import Gallery, make_galleries
from harness.report.html_table import HtmlTable, make_html_table
from harness.report.image_store import ImageStore
from harness.report.redact import plain
from harness.report.series import series_by_split
from harness.scoring.criteria import make_criterion
from harness.tables.catalogue import page_tables
from harness.tables.names import Names, make_names
from harness.tables.places import PlaceFinder
from harness.tables.seed_intervals import SeedIntervals
from harness.tables.table import Table
from harness.tables.text import averaging_text
from harness.tables.view import View, named

if TYPE_CHECKING:
    from harness.plugins.host import Host
    from harness.scoring.sources import Sources

MOST_BYTES = 4_800_000
"""A page is kept below this: images take the bytes that the rest leaves."""

GALLERY_BYTES = 3_200_000
"""Most bytes of images and their points."""

FIRST_BYTES = 150_000
"""Reserved for the rest of each gallery: its menus and the cards that are there without the script."""

AT_FIRST = 6
"""Cards that are there without the page's script."""


@dataclass(frozen=True)
class Page:
    """A page, and a list of things that are missing in it.

    Attributes:
        html: the page.
        absent: a line for each dataset that is not at hand.
        damaged: a line for each file of predictions that cannot be used.
    """

    html: str
    absent: tuple[str, ...]
    damaged: tuple[str, ...]


def write_page(page: Page, path: Path) -> None:
    """Puts the page in place, whole or not at all. Raises `UserError`."""
    put_file(path, page.html.encode())


def make_page(
    results: Results,
    view: View,
    title: str | None,
    host: Host,
    sources: Sources,
) -> Page:
    """Makes the page of results folders.

    Args:
        title: the page's heading; the folders' names otherwise.
    """
    folder_names = [folder.resolve().name or "results" for folder in results.folders]
    name = listed(folder_names)
    # From all records: a table or a chart of some has the names that they have in the whole folder.
    names = make_names(results.records, results.reasons)
    records, view, names = named(results.records, replace(view, names=names))
    intervals = SeedIntervals(results.folder_of, sources.read, partial(make_criterion, host))
    view = replace(view, seed_intervals=intervals)
    figure_sections = sections(records, view)
    splits = series_by_split(records, view)
    finder = PlaceFinder(
        results.folder_of, sources.read, partial(make_criterion, host), view.protocol, view.averaging
    )
    content: dict[str, Any] = {
        "title": title or f"Semantic correspondence: {name}",
        "folders": folder_names,
        "view": view,
        "averaging": averaging_text(view.averaging),
        "problems": [],
        "absent": [],
        "tables": _tables(records, view, finder),
        "sections": figure_sections,
        "numbers": _numbers_tables(figure_sections),
        "galleries": [],
        "pictures": [],
        **_summary_content(records, names, results.unfinished()),
    }
    # Galleries get the bytes that a page without them leaves: it is rendered twice.
    bytes_without_galleries = len(_render(content).encode()) + FIRST_BYTES * len(splits)
    bytes_left = min(GALLERY_BYTES, MOST_BYTES - bytes_without_galleries)
    images = ImageStore(max(0, bytes_left))
    result = make_galleries(splits, view, results.folder_of, host, sources, images)
    unusable = tuple(dict.fromkeys((*result.damaged, *finder.problems)))
    # `plain` keeps only the last part of a path: with the folder's name for the folder, that names the cell.
    for line in (*results.problems(), *unusable):
        content["problems"].append(plain(_with_names(line, results.folders, folder_names)))
    content["absent"] = [plain(line) for line in result.absent]
    for number, gallery in enumerate(result.galleries, start=1):
        content["galleries"].append(_gallery_content(gallery, f"gallery{number}"))
    content["pictures"] = list(images.uris.values())
    return Page(_render(content), result.absent, unusable)


def _with_names(line: str, folders: Sequence[Path], names: Sequence[str]) -> str:
    """The line with a folder's name in place of its path."""
    for folder, name in zip(folders, names, strict=True):
        line = line.replace(str(folder), name)
    return line


def _summary_content(
    records: Sequence[Record], names: Names, waiting: Sequence[Unfinished]
) -> dict[str, Any]:
    """Everything that the template shows of cells, failures and provenance."""
    cells = summary.cells_table(records, names, waiting)
    failures = summary.failures_table(records)
    failures_table = None
    if failures:
        failures_table = _small_table(failures, "failures", "Failed pairs")
    candidates = (
        ("environments", "Versions and hardware", summary.environments_table(records)),
        ("weights", "Weights", summary.weights_table(records)),
        ("data", "Data", summary.data_table(records)),
    )
    provenance = []
    for key, title, table in candidates:
        if table:
            provenance.append(_small_table(table, key, title))
    return {
        "overview": summary.overview(records, waiting),
        "cells": make_html_table(cells, "cells", "Cells"),
        "failures": failures_table,
        "provenance": provenance,
    }


def _numbers_tables(figure_sections: Sequence[Section]) -> dict[str, HtmlTable]:
    """Key of a figure -> its numbers."""
    tables = {}
    for section in figure_sections:
        for figure in section.figures:
            title = f"{section.title}, {figure.title}: numbers"
            tables[figure.key] = _small_table(figure.numbers, f"{figure.key}-numbers", title)
    return tables


def _small_table(table: Table, key: str, title: str) -> HtmlTable:
    return make_html_table(table, key, title, interactive=False)


def _tables(records: Sequence[Record], view: View, finder: PlaceFinder) -> list[HtmlTable]:
    """The leaderboard, and the other tables that there are records of."""
    entries = page_tables(records, replace(view, has_details=True, find_places=finder))
    return [make_html_table(table, key, title, arranged=True) for key, title, table in entries]


def _gallery_content(gallery: Gallery, key: str) -> dict[str, Any]:
    """Everything that the template shows of a gallery."""
    methods, cards = gallery.content["methods"], gallery.content["cards"]
    first = []
    for card in first_cards(cards, len(methods), AT_FIRST):
        drawings = []
        # Two methods at most stand beside each other, as in the page's script.
        for method, name in enumerate(methods[:2]):
            drawing = draw_card(card, method, name)
            if drawing:
                drawings.append(drawing)
        first.append({"id": card["id"], "category": card["category"], "drawings": drawings})
    return {
        "key": key,
        "title": gallery.split.short_title,
        "description": gallery.description,
        "rule": gallery.rule,
        "methods": methods,
        "categories": gallery.content["categories"],
        "json": _script_json(gallery.content),
        "first": first,
        "count": len(cards),
    }


def _script_json(content: Any) -> str:
    """JSON that can stand in a `<script>`: no text in it ends the element or begins a comment."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # The last two end a line in older JavaScript, where a text must not have a line break.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _render(content: dict[str, Any]) -> str:
    import jinja2

    # StrictUndefined: a name that is misspelled in the template is an error instead of an empty text.
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(_package_file("page.html.j2"))
    html = template.render(content, css=_package_file("page.css"), js=_package_file("page.js"))
    return f"{html}\n"


def _package_file(name: str) -> str:
    """Text of a file of this package."""
    return (resources.files("harness.report") / name).read_text(encoding="utf-8")
