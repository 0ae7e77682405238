"""Any `Table` as HTML that can be sorted and filtered: by the page's script, and read without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.report.redact import plain
from harness.tables.constant_columns import numbers_first, split_constant_columns
from harness.tables.table import Mark, Table
from harness.tables.text import REPORTED

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


def make_html_table(
    table: Table, key: str, title: str, *, interactive: bool = True, arranged: bool = False
) -> HtmlTable:
    """Returns a table with its marks (`best` is bold, `second` underlined), without paths of this machine.

    A row's heading is its method or, where the table has no such column, its first field.

    Args:
        interactive: whether it can be sorted and filtered.
        arranged: whether numbers stand right behind what tells the rows apart, and what all rows have in
            common in the caption: so a leaderboard's numbers are seen on a page of 1280 pixels.
    """
    heading = 0
    # Among the columns of names alone: another column of that title would hold numbers.
    if "method" in table.header[: table.names]:
        heading = table.header.index("method")
    columns, caption = list(range(len(table.header))), table.caption
    if arranged:
        kept, sentence = split_constant_columns(table.header, table.rows, table.names)
        order = numbers_first(table.header, table.rows, table.names)
        columns = [column for column in order if column in kept]
        caption = " ".join(filter(None, (caption, sentence)))
    rows: list[tuple[TableField, ...]] = []
    reported: list[int] = []
    for number, texts in enumerate(table.rows):
        rows.append(_fields(table, number, heading, columns))
        if plain(texts[heading]).endswith(REPORTED):
            reported.append(number)
    menus = _filter_menus(table, columns, rows) if interactive else ()
    return HtmlTable(
        key=key,
        title=title,
        caption=plain(caption),
        header=tuple(plain(table.header[column]) for column in columns),
        rows=tuple(rows),
        menus=menus,
        is_interactive=interactive,
        reported=frozenset(reported),
    )


def _fields(table: Table, row: int, heading: int, columns: Sequence[int]) -> tuple[TableField, ...]:
    """
    Args:
        heading: column of the row's heading.
        columns: those of the table that are shown, in order.
    """
    fields = []
    last = len(table.header) - 1
    for column in columns:
        # Numbers stand between the columns of names and the last one, which has notes; ranks are before.
        is_numeric = table.names <= column < last or table.header[column] == "#"
        tag: Literal["th", "td"] = "th" if column == heading else "td"
        mark = table.marks.get((row, column))
        fields.append(TableField(plain(table.rows[row][column]), tag, is_numeric, mark))
    return tuple(fields)


def _filter_menus(
    table: Table, columns: Sequence[int], rows: Sequence[tuple[TableField, ...]]
) -> tuple[FilterMenu, ...]:
    """Menus of the columns of names, in the order of the page's columns."""
    menus = []
    for position, column in enumerate(columns):
        title = table.header[column]
        values = sorted({row[position].text for row in rows})
        # A menu with one value would filter nothing.
        if column < table.names and title in _MENU_COLUMNS and 1 < len(values) <= _MOST_CHOICES:
            menus.append(FilterMenu(position, title, tuple(values)))
    return tuple(menus)
