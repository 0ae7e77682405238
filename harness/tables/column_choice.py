"""Columns of a table that the user chose: which there are, by plain names, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.errors import UserError, nearest_names
from harness.messages import listed
from harness.specs import read_alpha
from harness.tables.captions import MARKED_APART, MARKS
from harness.tables.left_out import has_one_group, left_out_sentences
from harness.tables.table import Table
from harness.tables.text import alpha_text

NUMBERS = "pck"
"""Stands for all columns with numbers."""

_ALIASES: Mapping[str, str] = {
    "place": "#",
    "rank": "#",
    "notes": "note",
    "supervision": "sup.",
    "timestep": "t",
    "seconds": "s/pair",
}
"""Other names of columns, in the form of `_plain`."""

_NAMING = (
    *("dataset", "split", "protocol", "averaging", "alpha", "slice", "method", "prompt", "localizer"),
    *("backbone", "trained_on", "seed", "status", "source"),
)
"""Columns of CSV and JSON without which a number may be taken for another."""


def choose_columns(tables: Sequence[Table], names: Sequence[str]) -> list[Table]:
    """The tables with the columns of these names alone, in this order.

    `pck` stands for all columns with numbers, a dataset for all of its thresholds. A caption says what a
    reader cannot see any more: notes, backbones, and what sets apart rows that read alike.

    Raises:
        UserError: no table has a column of a name.
    """
    known = [_known_names(table) for table in tables]
    for name in names:
        if not any(_plain(name) in columns for columns in known):
            raise _unknown_column(name, _titles(tables))
    chosen = []
    for table, columns in zip(tables, known, strict=True):
        numbers: dict[int, None] = {}
        for name in names:
            numbers |= dict.fromkeys(columns.get(_plain(name), ()))
        # A table without any of them, such as that of another dataset, has nothing to say.
        if numbers:
            chosen.append(_with_columns(table, list(numbers)))
    return chosen


def choose_tidy_columns(tables: Sequence[Table], names: Sequence[str]) -> tuple[list[Table], list[str]]:
    """The tables with these columns of their CSV and JSON, and a line where they leave rows ambiguous.

    Raises:
        UserError: there is no column of a name.
    """
    known = {_plain(name): name for name in tables[0].columns}
    for name in names:
        if _plain(name) not in known:
            raise _unknown_column(name, tables[0].columns, " of csv and json")
    columns = tuple(dict.fromkeys(known[_plain(name)] for name in names))
    differing = []
    for key in _NAMING:
        if key in tables[0].columns and key not in columns:
            values = {row[key] for table in tables for row in table.tidy}
            if len(values) > 1:
                differing.append(key)
    lines = [f"--columns leaves out {listed(differing)}, in which rows differ"] if differing else []
    return [replace(table, columns=columns) for table in tables], lines


def _unknown_column(name: str, titles: Iterable[str], where: str = "") -> UserError:
    """The error for a name of no column: with the nearest ones, and all there are."""
    plain = {_plain(title): title for title in titles}
    near = [plain[each] for each in nearest_names(_plain(name), plain)]
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return UserError(f"--columns {name}: no such column{where}; {hint}there are {', '.join(titles)}")


def _titles(tables: Sequence[Table]) -> list[str]:
    """Names that the user may write, in the order of the columns."""
    titles: dict[str, None] = {}
    for table in tables:
        for column, title in enumerate(table.header):
            # Without its space, a title needs no quotes on a command line.
            if column == table.names:
                titles[NUMBERS] = None
            titles[title.replace(" @", "@").replace(" ", "-")] = None
    return list(titles)


def _known_names(table: Table) -> dict[str, list[int]]:
    """Plain name -> the columns that it stands for."""
    known: dict[str, list[int]] = {}
    for column, title in enumerate(table.header):
        # Of two columns of one title, the name means both.
        known.setdefault(_plain(title), []).append(column)
    for column in table.number_columns:
        dataset, sign, _ = table.header[column].partition(" @")
        if sign:
            known.setdefault(_plain(dataset), []).append(column)
    known.setdefault(NUMBERS, list(table.number_columns))
    return known


def _plain(name: str) -> str:
    """`shapes @0.10`, `shapes@0.1` and `Shapes @ .1` are one name, so are `trained on` and `trained_on`."""
    dataset, sign, alpha = name.strip().rpartition("@")
    if sign:
        try:
            alpha = alpha_text(read_alpha(float(alpha)))
        except ValueError:  # no threshold: the name of a dataset with a sign in it
            alpha = alpha.strip()
        return f"{_plain(dataset)}@{alpha}"
    words = "-".join(name.replace("_", " ").casefold().split())
    return _ALIASES.get(words, words)


def _with_columns(table: Table, shown: Sequence[int]) -> Table:
    """The table with these columns, by their numbers, and what the caption has to say of the others."""
    places = {column: place for place, column in enumerate(shown)}
    names = 0
    while names < len(shown) and shown[names] < table.names:
        names += 1
    last = len(table.header) - 1
    left = {places[column] for column in shown if column < table.names or column in table.left}
    if table.has_notes and last in places:
        left.add(places[last])
    marks = {(row, places[column]): mark for (row, column), mark in table.marks.items() if column in places}
    titles = {table.header[column] for column in shown}
    if "sup." not in titles and not has_one_group(table):
        # A reader could not see which rows a mark compares.
        marks = {}
    caption = table.caption
    for needed, sentence in table.conditional:
        if not needed & titles:
            caption = caption.replace(sentence, "")
    if not marks:
        for sentence in (MARKS, MARKED_APART):
            caption = caption.replace(sentence, "")
    return replace(
        table,
        caption=" ".join([*caption.split(), *left_out_sentences(table, shown)]),
        header=tuple(table.header[column] for column in shown),
        rows=tuple(tuple(row[column] for column in shown) for row in table.rows),
        names=names,
        settings=0,
        has_notes=table.has_notes and shown[-1] == last,
        left=frozenset(left),
        marks=marks,
        conditional=(),
    )
