"""Any `Table` as HTML that can be sorted and filtered: by the page's script, and read without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.report.redact import plain
from harness.tables.table import Mark, Table

_CHOICES = ("sup.", "method", "dataset", "prompt", "localizer", "trained on", "status")
"""Columns that can be filtered by a menu of their values."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        tag: `th` for what names a row.
        numeric: whether it is set flush right.
    """

    text: str
    tag: Literal["th", "td"]
    numeric: bool
    mark: Mark | None = None


@dataclass(frozen=True)
class FilterMenu:
    """A menu: column number, the column's title, its values."""

    column: int
    title: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class HtmlTable:
    """A table as the template needs it.

    Attributes:
        key: unique in the page.
        lively: whether it can be sorted and filtered.
        reported: numbers of the rows that nobody measured.
    """

    key: str
    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    choices: tuple[FilterMenu, ...]
    lively: bool
    reported: frozenset[int]


def shown(table: Table, key: str, title: str, *, lively: bool = True) -> HtmlTable:
    """A table with its marks (`best` is bold, `second` underlined), without paths of this machine.

    A row's heading is its method or, where the table has no such column, its first cell.
    """
    heading = table.header.index("method") if "method" in table.header[: table.names] else 0
    last = len(table.header) - 1
    rows = tuple(
        tuple(
            Cell(
                text=plain(text),
                tag="th" if column == heading else "td",
                numeric=table.names <= column < last or table.header[column] == "#",
                mark=table.marks.get((number, column)),
            )
            for column, text in enumerate(row)
        )
        for number, row in enumerate(table.rows)
    )
    choices = []
    for column, name in enumerate(table.header[: table.names]):
        values = sorted({row[column].text for row in rows})
        if lively and name in _CHOICES and 1 < len(values) <= 60:
            choices.append(FilterMenu(column, name, tuple(values)))
    reported = frozenset(
        number for number, row in enumerate(rows) if row[heading].text.endswith("(reported)")
    )
    return HtmlTable(
        key,
        title,
        plain(table.caption),
        tuple(map(plain, table.header)),
        rows,
        tuple(choices),
        lively,
        reported,
    )
