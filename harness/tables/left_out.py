"""What a caption says of columns that the user left out, so that a table without them misleads nobody."""

from __future__ import annotations

from collections.abc import Sequence

from harness.messages import listed
from harness.tables.table import Table
from harness.tables.text import NOTHING, REPORTED

_NO_NAMES = ("#", "note", "pairs", "s/pair", "seeds")
"""Columns that set no row apart from another."""


def left_out_sentences(table: Table, shown: Sequence[int]) -> list[str]:
    """Sentences on the columns of a table that are not among those shown, by number.

    Backbones and notes are always told, seeds where there are several, and whatever else sets rows apart
    that read alike without it.
    """
    absent = {table.header[column]: column for column in range(len(table.header)) if column not in shown}
    labels = _labels(table)
    sentences = []
    if "backbone" in absent:
        sentences += _values_sentence("Backbone", table, absent["backbone"], labels)
    if "seeds" in absent and any(row[absent["seeds"]] not in ("1 seed", NOTHING) for row in table.rows):
        sentences += _values_sentence("Seeds", table, absent["seeds"], labels)
    sentences += _alike_sentences(table, shown, absent)
    if "#" in table.header:
        sentences += _order_sentences(table, shown)
    if "note" in absent:
        for note, rows in _rows_by_text(table, absent["note"]).items():
            sentences.append(f"Note on {listed([labels[row] for row in rows])}: {note}.")
    return sentences


def has_one_group(table: Table) -> bool:
    """Says whether all rows are of one supervision group, so that marks compare all of them."""
    if "sup." not in table.header:
        return True
    return len(_rows_by_text(table, table.header.index("sup."))) < 2


def _labels(table: Table) -> list[str]:
    """A name of each row: its first name, and what else sets it apart from others of that name."""
    settings = set(range(len(table.header))).difference(table.number_columns)
    columns = [column for column in sorted(settings) if table.header[column] not in _NO_NAMES]
    labels = [row[columns[0]] if columns else "" for row in table.rows]
    for column in columns[1:]:
        texts_of: dict[str, set[str]] = {}
        for label, row in zip(labels, table.rows, strict=True):
            texts_of.setdefault(label, set()).add(row[column])
        for number, row in enumerate(table.rows):
            # A text that all rows of the name have tells nothing.
            if len(texts_of[labels[number]]) > 1 and row[column] not in ("", NOTHING):
                labels[number] = f"{labels[number]} {row[column]}"
    return labels


def _rows_by_text(table: Table, column: int) -> dict[str, list[int]]:
    """Text of a column -> the rows that have it; those without any are left out."""
    rows: dict[str, list[int]] = {}
    for number, row in enumerate(table.rows):
        if row[column] not in ("", NOTHING):
            rows.setdefault(row[column], []).append(number)
    return rows


def _values_sentence(title: str, table: Table, column: int, labels: Sequence[str]) -> list[str]:
    """`Backbone: none.`, or `Backbone: dift tiny-stable-diffusion@1a2b3c4d; hog and position none.`"""
    method = table.header.index("method") if "method" in table.header else 0
    rows = {}
    for text, numbers in _rows_by_text(table, column).items():
        # Reported rows are called so, and their notes say the paper.
        measured = [number for number in numbers if not table.rows[number][method].endswith(REPORTED)]
        if measured:
            rows[text] = measured
    if not rows:
        return []
    if len(rows) == 1:
        return [f"{title}: {next(iter(rows))}."]
    texts = [f"{listed([labels[row] for row in numbers])} {text}" for text, numbers in rows.items()]
    return [f"{title}: {'; '.join(texts)}."]


def _alike_sentences(table: Table, shown: Sequence[int], absent: dict[str, int]) -> list[str]:
    """A sentence for each group of rows that read alike, on what sets them apart."""
    settings = set(range(len(table.header))).difference(table.number_columns)
    heads = [column for column in shown if column in settings and table.header[column] not in _NO_NAMES]
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(table.rows):
        groups.setdefault(tuple(row[column] for column in heads), []).append(number)
    sentences = []
    for head, rows in groups.items():
        differences = []
        for title, column in absent.items():
            texts = dict.fromkeys(table.rows[row][column] for row in rows)
            # Backbones of rows are told anyway.
            if column in settings and title not in (*_NO_NAMES, "backbone") and len(texts) > 1:
                differences.append(f"{title} ({', '.join(table.rows[row][column] for row in rows)})")
        if differences:
            called = f" called {' '.join(head)}" if head else ""
            sentences.append(f"Rows{called} differ, in their order, in {listed(differences)}.")
    return sentences


def _order_sentences(table: Table, shown: Sequence[int]) -> list[str]:
    """A sentence where rows are in an order that a reader cannot see: that of datasets which are left out."""
    datasets: dict[str, bool] = {}
    for column in table.number_columns:
        dataset = table.header[column].partition(" @")[0]
        datasets[dataset] = datasets.get(dataset, False) or column in shown
    hidden = [dataset for dataset, is_shown in datasets.items() if not is_shown]
    if not hidden or len(hidden) == len(datasets):
        return []
    return [f"Rows are in order of all datasets, of {listed(hidden)}, too."]
