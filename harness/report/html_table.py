"""Any `Table` as HTML that can be sorted and filtered: by the page's script, and read without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.report.redact import plain
from harness.tables.table import Mark, Table

_MENU_COLUMNS = ("sup.", "method", "dataset", "prompt", "localizer", "trained on", "tuned on", "status")
"""Columns that can be filtered by a menu of their values."""

_MOST_CHOICES = 60
"""Most values of a menu: with more, the search field is quicker."""


@dataclass(frozen=True)
class TableField:
    """One field of a table.

    Attributes:
        tag: `th` for the field that names a row.
        is_numeric: whether it is set flush right.
    """

    text: str
    tag: Literal["th", "td"]
    is_numeric: bool
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
        is_interactive: whether it can be sorted and filtered.
        reported: numbers of the rows that nobody measured.
    """

    key: str
    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[TableField, ...], ...]
    menus: tuple[FilterMenu, ...]
    is_interactive: bool
    reported: frozenset[int]


def make_html_table(table: Table, key: str, title: str, *, interactive: bool = True) -> HtmlTable:
    """Returns a table with its marks (`best` is bold, `second` underlined), without paths of this machine.

    A row's heading is its method or, where the table has no such column, its first field.
    """
    heading = 0
    # Among the columns of names alone: another column of that title would hold numbers.
    if "method" in table.header[: table.names]:
        heading = table.header.index("method")
    rows: list[tuple[TableField, ...]] = []
    reported: list[int] = []
    for number in range(len(table.rows)):
        row = _fields(table, number, heading)
        rows.append(row)
        if row[heading].text.endswith("(reported)"):
            reported.append(number)
    menus = _filter_menus(table, rows) if interactive else ()
    return HtmlTable(
        key=key,
        title=title,
        caption=plain(table.caption),
        header=tuple(map(plain, table.header)),
        rows=tuple(rows),
        menus=menus,
        is_interactive=interactive,
        reported=frozenset(reported),
    )


def _fields(table: Table, row: int, heading: int) -> tuple[TableField, ...]:
    """
    Args:
        heading: column of the row's heading.
    """
    fields = []
    last = len(table.header) - 1
    for column, text in enumerate(table.rows[row]):
        # Numbers stand between the columns of names and the last one, which has notes; ranks are before.
        is_numeric = table.names <= column < last or table.header[column] == "#"
        tag: Literal["th", "td"] = "th" if column == heading else "td"
        mark = table.marks.get((row, column))
        fields.append(TableField(plain(text), tag, is_numeric, mark))
    return tuple(fields)


def _filter_menus(table: Table, rows: Sequence[tuple[TableField, ...]]) -> tuple[FilterMenu, ...]:
    menus = []
    for column, title in enumerate(table.header[: table.names]):
        values = sorted({row[column].text for row in rows})
        # A menu with one value would filter nothing.
        if title in _MENU_COLUMNS and 1 < len(values) <= _MOST_CHOICES:
            menus.append(FilterMenu(column, title, tuple(values)))
    return tuple(menus)
