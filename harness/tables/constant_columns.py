"""Columns of a table that say the same in all rows, and those that tell rows apart."""

from __future__ import annotations

from collections.abc import Sequence

ROW_HEADS = ("#", "method")
"""Columns that stand in each part of a table, also where all rows have the same there."""

SETTINGS = ("sup.", "t", "ensemble", "trained on", "tuned on", "seeds", "pairs")
"""Columns behind the numbers that need not be repeated where all rows agree."""


def split_constant_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], names: int
) -> tuple[list[int], str]:
    """Finds the columns of names and settings in which all of several rows have one text.

    Args:
        names: number of columns before those with numbers.

    Returns:
        The columns that are left, and a sentence with the texts of the others; empty where there are none.
    """
    kept: list[int] = []
    texts: list[str] = []
    for column, title in enumerate(header):
        values = {row[column] for row in rows}
        # Numbers belong to their row however alike they are.
        is_setting = (column < names and title not in ROW_HEADS) or title in SETTINGS
        if is_setting and len(rows) > 1 and len(values) == 1:
            value = values.pop()
            # `3 seeds` says what it is.
            texts.append(value if title == "seeds" else f"{title} {value}")
        else:
            kept.append(column)
    sentence = f"All rows: {', '.join(texts)}." if texts else ""
    return kept, sentence


def distinct_heads(header: Sequence[str], rows: Sequence[Sequence[str]], names: int) -> list[int]:
    """The columns of names that tell the rows apart: place and method first, then as few others as needed.

    Args:
        names: number of columns before those with numbers.
    """
    heads = [column for column in range(names) if header[column] in ROW_HEADS] or [0]
    for column in range(names):
        texts = {tuple(row[head] for head in heads if header[head] != "#") for row in rows}
        if len(texts) == len(rows):
            break
        if column not in heads:
            heads.append(column)
    return sorted(heads)


def numbers_first(header: Sequence[str], rows: Sequence[Sequence[str]], names: int) -> list[int]:
    """The columns in the order in which a page shows them: what tells rows apart, numbers, names, the rest.

    A page is rarely as wide as a table, and its numbers are what is read first.

    Args:
        names: number of columns before those with numbers.
    """
    heads = distinct_heads(header, rows, names)
    others = [column for column in range(names) if column not in heads]
    numbers = []
    for column in range(names, len(header) - 1):
        if header[column] not in (*SETTINGS, "s/pair"):
            numbers.append(column)
    first = [*heads, *numbers, *others]
    return [*first, *(column for column in range(len(header)) if column not in first)]
