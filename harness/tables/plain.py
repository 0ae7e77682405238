"""Tables for a terminal: aligned columns within its width, notes below."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from harness.messages import printable
from harness.tables.constant_columns import distinct_heads, split_constant_columns

_STYLES = {"best": "\x1b[1m", "second": "\x1b[4m"}

_PLAIN = "\x1b[0m"

_STYLE = re.compile(r"\x1b\[[0-9]*m")

FILE_WIDTH = 100
"""Characters of a line of a file."""

_NARROWEST = 50
"""Characters that a table takes at least."""

_GAP = 2
"""Characters between columns."""

_PADDING = 2
"""Characters that tabulate adds to a column's title."""

_NARROWEST_NAME = 10
"""Characters that a wrapped column of names has at least."""

_WORDS = ("note", "prompt", "localizer", "backbone", "trained on", "tuned on", "sup.", "method")
"""Columns of words, flush left wherever they stand."""

_MARKS_SENTENCE = re.compile(r" ?Bold: best of [^.]*; underlined: second\.")
"""The captions' sentence on marks, which means nothing where there are none."""


class Texts(Protocol):
    """A table as far as it is printed; its attributes are those of `harness.tables.table.Table`."""

    @property
    def caption(self) -> str:
        """What the numbers are."""

    @property
    def header(self) -> tuple[str, ...]:
        """Column titles."""

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Texts, one for each column."""

    @property
    def names(self) -> int:
        """Number of columns before those with numbers."""

    @property
    def has_notes(self) -> bool:
        """Whether the last column is one of notes."""

    @property
    def marks(self) -> Mapping[tuple[int, int], str]:
        """(row, column) -> best or second."""


def terminal_width() -> int:
    """Characters of a line of the terminal."""
    return shutil.get_terminal_size((100, 24)).columns


def uses_colours() -> bool:
    """Says whether the user wants styled text (no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def wrap_text(text: str, width: int, indent: str = "") -> str:
    """The text in lines of at most `width` characters; line breaks of its own are kept."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
    return "\n".join(lines)


@dataclass(frozen=True)
class _Layout:
    """A table's texts on their way to a terminal: `header` and `rows` have the chosen columns alone."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int

    @property
    def widths(self) -> list[int]:
        """Characters of each column."""
        widths = []
        for title, *texts in zip(self.header, *self.rows, strict=True):
            widths.append(max(_width(title) + _PADDING, *map(_width, texts), 0))
        return widths

    @property
    def width(self) -> int:
        """Characters of a line."""
        return sum(self.widths) + _GAP * (len(self.header) - 1)

    def columns(self, chosen: Sequence[int]) -> _Layout:
        """The layout of some columns."""
        rows = [[row[column] for column in chosen] for row in self.rows]
        names = sum(column < self.names for column in chosen)
        return _Layout([self.header[column] for column in chosen], rows, names)


def _width(text: str) -> int:
    """Characters of the longest line, without styles."""
    return max(map(len, _STYLE.sub("", text).split("\n")))


def render_plain(table: Texts, width: int, *, has_colours: bool) -> str:
    """The table in lines of at most `width` characters, 50 at least, ending with a line break.

    Where it is too wide, columns of names and settings in which all rows agree become a sentence, notes stand
    below, and what is still too wide goes on below the first part, with the names of the rows again.

    Args:
        has_colours: whether the best numbers are bold and the second underlined, by escape sequences.
    """
    width = max(width, _NARROWEST)
    caption = "\n".join(map(printable, table.caption.split("\n")))
    if not has_colours or not table.marks:
        caption = _MARKS_SENTENCE.sub("", caption)
    rows = [_styled_row(table, number, has_colours=has_colours) for number in range(len(table.rows))]
    layout = _Layout(list(map(printable, table.header)), rows, table.names)
    sections = [wrap_text(caption, width)]
    notes: list[str] = []
    if table.has_notes and not any(row[-1] for row in table.rows):
        layout = layout.columns(range(len(layout.header) - 1))
    if layout.width > width:
        layout, notes = _notes_below(layout)
    if layout.width > width:
        layout, sentence = _without_constant_columns(layout)
        sections += [wrap_text(sentence, width)] if sentence else []
    sections += [_draw(part) for part in _parts(layout, width)]
    if notes:
        sections.append("\n".join(wrap_text(note, width, "     ") for note in notes))
    return "\n\n".join(sections) + "\n"


def _styled_row(table: Texts, number: int, *, has_colours: bool) -> list[str]:
    texts = []
    for column, field in enumerate(table.rows[number]):
        text = printable(field)
        mark = table.marks.get((number, column))
        if mark and has_colours:
            first, space, rest = text.partition(" ")
            text = f"{_STYLES[mark]}{first}{_PLAIN}{space}{rest}"
        texts.append(text)
    return texts


def _notes_below(layout: _Layout) -> tuple[_Layout, list[str]]:
    """The layout with numbers in place of the last column's notes, and the notes, each once."""
    if layout.header[-1] != "note":
        return layout, []
    numbers: dict[str, int] = {}
    rows = []
    for *texts, note in layout.rows:
        mark = f"[{numbers.setdefault(note, len(numbers) + 1)}]" if note else ""
        rows.append([*texts, mark])
    return replace(layout, rows=rows), [f" [{number}] {note}" for note, number in numbers.items()]


def _without_constant_columns(layout: _Layout) -> tuple[_Layout, str]:
    """The layout without columns in which all rows have one text, and a sentence with those texts."""
    kept, sentence = split_constant_columns(layout.header, layout.rows, layout.names)
    return layout.columns(kept), sentence


def _parts(layout: _Layout, width: int) -> list[_Layout]:
    """Layouts that fit, each with the columns that tell rows apart; long names are wrapped.

    The first has those and numbers; other names stand behind all numbers.
    """
    if layout.width <= width:
        return [layout]
    heads = distinct_heads(layout.header, layout.rows, layout.names)
    others = [column for column in range(layout.names) if column not in heads]
    numbers = list(range(layout.names, len(layout.header)))
    layout = replace(layout.columns([*heads, *numbers, *others]), names=len(heads))
    # In a third of the line, or in what the widest column leaves.
    widest = max(layout.widths[layout.names :], default=0)
    layout = _wrap_names(layout, max(width // 3, width - widest - _GAP))
    heads = list(range(layout.names))
    heads_width = layout.columns(heads).width
    parts: list[list[int]] = [[]]
    free = width - heads_width
    for column in range(layout.names, len(layout.header)):
        needed = layout.widths[column] + _GAP
        if needed > free and parts[-1]:
            parts.append([])
            free = width - heads_width
        parts[-1].append(column)
        free -= needed
    return [layout.columns([*heads, *part]) for part in parts]


def _wrap_names(layout: _Layout, room: int) -> _Layout:
    """The layout with names on several lines where they take more than `room` characters."""
    widths = layout.widths[: layout.names]
    while sum(widths) + _GAP * (len(widths) - 1) > room and max(widths, default=0) > _NARROWEST_NAME:
        widths[widths.index(max(widths))] -= 1
    rows = []
    for row in layout.rows:
        names = []
        for text, limit in zip(row, widths, strict=False):
            names.append("\n".join(textwrap.wrap(text, limit)) or text)
        rows.append([*names, *row[layout.names :]])
    return replace(layout, rows=rows)


def _draw(layout: _Layout) -> str:
    from tabulate import tabulate

    alignment = ["left"] * layout.names
    for title in layout.header[layout.names :]:
        alignment.append("left" if title in _WORDS else "right")
    return tabulate(
        [list(row) for row in layout.rows],
        list(layout.header),
        tablefmt="simple",
        # tabulate 0.9 fails on alignments of a table without rows.
        colalign=alignment if layout.rows else None,
        disable_numparse=True,
    )
