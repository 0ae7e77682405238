"""The page: everything put together, and written whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.files import check_place, replacing
from harness.records.schema import Record
from harness.report import summary
from harness.report.card import drawing, first_cards
from harness.report.figures import sections
from harness.report.gallery import Gallery, Pictures, galleries
from harness.report.html_table import HtmlTable, shown
from harness.report.redact import plain
from harness.report.series import groups_of
from harness.scoring.criteria import make_criterion
from harness.tables.categories import per_category
from harness.tables.generalisation import generalisation
from harness.tables.leaderboard import leaderboard
from harness.tables.prompt_types import prompt_types
from harness.tables.reported import ReportedNumbers
from harness.tables.rows import RANKING_ALPHA
from harness.tables.table import Table
from harness.tables.text import split_name
from harness.tables.ties import Ties
from harness.tables.timesteps import TIMESTEP, timesteps
from harness.tables.view import View

if TYPE_CHECKING:
    from harness.plugins.host import Host
    from harness.scoring.rescore import Rescorer

MOST_BYTES = 4_800_000
"""A page is kept below this: pictures take what the rest leaves."""

GALLERY_BYTES = 3_200_000
"""Most bytes of pictures and their points."""

FIRST_BYTES = 150_000
"""Kept free for the rest of a gallery: its menus and the cards that are there without the script."""

AT_FIRST = 6
"""Cards that are there without the page's script."""


@dataclass(frozen=True)
class Page:
    """A page, and what it lacks.

    Attributes:
        html: the page.
        absent: a line for each dataset that is not at hand.
        damaged: a line for each file of predictions that cannot be used.
    """

    html: str
    absent: tuple[str, ...]
    damaged: tuple[str, ...]


def write(made: Page, path: Path) -> None:
    """Puts the page in place, whole or not at all. Raises `UserError`."""
    place = check_place(path)
    try:
        with replacing(place) as file:
            file.write(made.html.encode())
    except OSError as error:
        raise UserError(f"{path}: not written: {error.strerror or error}") from error


def make(
    records: Sequence[Record],
    damaged: Sequence[str],
    folder: Path,
    view: View,
    title: str | None,
    host: Host,
    rescorer: Rescorer,
    reported: ReportedNumbers | None = None,
) -> Page:
    """The page of a results folder.

    Args:
        records: those that can be read, in order of id.
        damaged: a line for each that cannot.
        title: the page's heading; the folder's name otherwise.
        reported: numbers that papers printed, to stand in the tables beside the measured ones.

    Raises:
        UserError: no record has the view's protocol.
    """
    waiting = summary.unfinished(folder)
    charts = sections(records, view)
    groups = groups_of(records, view)
    name = folder.resolve().name or "results"
    ties = Ties(folder, rescorer.split, partial(make_criterion, host), view.protocol, view.averaging)
    content = {
        "title": title or f"Semantic correspondence: {name}",
        "folder": name,
        "overview": summary.overview(records, waiting),
        "view": view,
        "cells": _small(summary.cells(records, waiting), "cells", "Cells", lively=True),
        "failures": _small(summary.failures(records), "failures", "Failed pairs"),
        "provenance": [
            one
            for one in (
                _small(summary.environments(records), "environments", "Versions and hardware"),
                _small(summary.weights(records), "weights", "Weights"),
                _small(summary.data(records), "data", "Data"),
            )
            if one
        ],
        "problems": [],
        "absent": [],
        "tables": _tables(records, view, ties, reported),
        "sections": charts,
        "numbers": {
            figure.key: _small(
                figure.numbers, f"{figure.key}-numbers", f"{section.title}, {figure.title}: numbers"
            )
            for section in charts
            for figure in section.figures
        },
        "galleries": [],
        "pictures": [],
    }
    rest = len(_render(content).encode()) + FIRST_BYTES * len(groups)
    pictures = Pictures(max(0, min(GALLERY_BYTES, MOST_BYTES - rest)))
    found = galleries(groups, view, folder, host, rescorer, pictures)
    unusable = tuple(dict.fromkeys((*found.damaged, *ties.problems)))
    content |= {
        # Which cell is meant stays legible.
        "problems": [plain(line.replace(str(folder), name)) for line in (*damaged, *unusable)],
        "absent": [plain(line) for line in found.absent],
        "galleries": [_gallery(one, number) for number, one in enumerate(found.galleries)],
        "pictures": list(pictures.uris.values()),
    }
    return Page(_render(content), found.absent, unusable)


def _tables(
    records: Sequence[Record], view: View, ties: Ties, reported: ReportedNumbers | None
) -> list[HtmlTable]:
    """The leaderboard, and the other tables that there are records of."""
    options: dict[str, Any] = {
        "protocol": view.protocol,
        "averaging": view.averaging,
        "localizers": view.localizers,
    }
    beside: dict[str, Any] = {**options, "reported": reported}
    made = [
        shown(
            leaderboard(records, alphas=view.alphas, full=True, places=ties, **beside),
            "leaderboard",
            "Leaderboard",
        )
    ]
    alpha = None if view.alphas is None or RANKING_ALPHA in view.alphas else min(view.alphas)
    # A dataset on which some method was asked with several prompts; a method that was asked at several timesteps.
    prompts = _several(records, lambda record: record.cell.prompt)
    asked = {place[1:] for place in prompts}
    if compared := [record for record in records if _split(record) in asked]:
        made.append(shown(prompt_types(compared, alpha=alpha, **beside), "prompts", "Prompt types"))
    splits = list(dict.fromkeys(map(_split, records)))
    for number, (split, table) in enumerate(
        zip(splits, per_category(records, alpha=alpha, **beside), strict=True), start=1
    ):
        # Several categories, all pairs and the note.
        if len(table.header) - table.names > 3:
            made.append(shown(table, f"categories{number}", f"Categories of {split_name(*split)}"))
    if len(splits) > 1 or reported:
        made.append(
            shown(generalisation(records, alphas=view.alphas, **beside), "generalisation", "Generalisation")
        )
    steps = _several(records, lambda record: str(record.cell.params.get(TIMESTEP, "")))
    if swept := [
        record
        for record in records
        if TIMESTEP in record.cell.params and (record.cell.method, *_split(record)) in steps
    ]:
        made.append(shown(timesteps(swept, alpha=alpha, **options), "timesteps", "Timesteps"))
    return made


def _split(record: Record) -> tuple[str, str]:
    return record.cell.dataset, record.cell.split


def _several(records: Sequence[Record], value: Callable[[Record], str]) -> set[tuple[str, str, str]]:
    """(method, dataset, split) whose records have more than one value."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for record in records:
        found.setdefault((record.cell.method, *_split(record)), set()).add(value(record))
    return {name for name, values in found.items() if len(values) > 1}


def _small(table: Table | None, key: str, title: str, *, lively: bool = False) -> HtmlTable | None:
    return shown(table, key, title, lively=lively) if table else None


def _gallery(one: Gallery, number: int) -> dict[str, Any]:
    """What the template needs of a gallery."""
    methods, cards = one.content["methods"], one.content["cards"]
    first = [
        {
            "id": card["id"],
            "category": card["category"],
            "drawings": [
                made
                for method in range(min(2, len(methods)))
                if (made := drawing(card, method, methods[method]))
            ],
        }
        for card in first_cards(cards, len(methods), AT_FIRST)
    ]
    return {
        "key": f"gallery{number + 1}",
        "title": one.group.short,
        "told": one.told,
        "correct": one.correct,
        "methods": methods,
        "categories": one.content["categories"],
        "json": _json(one.content),
        "first": first,
        "count": len(cards),
    }


def _json(content: Any) -> str:
    """JSON that can stand in a `<script>`: no text in it ends the element or begins a comment."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _render(content: dict[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return (
        environment.from_string(_text("page.html.j2")).render(
            content, css=_text("page.css"), js=_text("page.js")
        )
        + "\n"
    )


def _text(name: str) -> str:
    """A file of this package."""
    return (resources.files("harness.report") / name).read_text(encoding="utf-8")
