"""A table, rendered in five formats."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Literal

from harness.messages import printable

Format = Literal["text", "md", "csv", "tex", "html", "json"]

FORMATS: tuple[Format, ...] = ("text", "md", "csv", "tex", "html", "json")

TidyRow = dict[str, object]

Mark = Literal["best", "second"]

TIDY_KEYS = (
    *("method", "prompt", "localizer", "dataset", "split", "protocol", "averaging", "alpha", "slice"),
    *("pck", "low", "high", "pairs", "keypoints", "failed", "backbone", "status", "source"),
    *("trained_on", "tuned_on", "seed", "images", "interval", "paper"),
)
"""Columns of the CSV and JSON leaderboards."""

_WIDE = 90
"""Characters that a row of a LaTeX table may have before the table is scaled to the width of the page."""

_MARKS: dict[Format, dict[Mark, tuple[str, str]]] = {
    # GitHub's markdown underlines <ins>, and drops <u>.
    "md": {"best": ("**", "**"), "second": ("<ins>", "</ins>")},
    "tex": {"best": ("\\textbf{", "}"), "second": ("\\underline{", "}")},
    "html": {"best": ("<strong>", "</strong>"), "second": ("<u>", "</u>")},
}

_TABULATE_FORMATS: dict[Format, str] = {"md": "pipe", "tex": "latex_booktabs", "html": "html"}

_TEX_NAMES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
}
"""Characters that a backslash alone does not escape."""

_TEX_SYMBOLS = {"±": r"$\pm$", "−": "$-$", "–": "--", "†": r"$\dagger$", "‡": r"$\ddagger$", "≥": r"$\geq$"}
"""Characters of our tables that LaTeX lacks, or has in a font that not every installation has."""

# Private characters of Unicode: no name holds them, and tabulate's escaping leaves them alone.
_OPEN: dict[Mark, str] = {"best": "\ue000", "second": "\ue001"}

_CLOSE: dict[Mark, str] = {"best": "\ue002", "second": "\ue003"}


_TAG = re.compile(r"<(?=[A-Za-z/!?])")
"""What begins a tag, a comment or an address in markdown."""

_LINK = re.compile(r"\](?=[(\[])")
"""What ends the text of a link or a picture in markdown."""


@dataclass(frozen=True)
class Table:
    """A table ready to print.

    Attributes:
        caption: what the numbers are, in a sentence or two.
        header: column titles.
        rows: texts, one for each column.
        tidy: the same and all further numbers, one a row, for machines.
        names: number of columns before those with numbers.
        settings: number of columns behind those with numbers, and before the notes.
        has_notes: whether the last column is one of notes.
        left: further columns that are flush left.
        columns: those of the CSV, and keys of the JSON.
        marks: (row, column) -> best or second of its column and group: bold, underlined. Only the first word
            of the text is marked.
        breaks: rows that begin a group.
        conditional: (titles, sentence of the caption) where the sentence speaks of nothing but these columns.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tidy: tuple[TidyRow, ...] = field(repr=False, default=())
    names: int = 5
    settings: int = 0
    has_notes: bool = True
    left: frozenset[int] = frozenset()
    columns: tuple[str, ...] = TIDY_KEYS
    marks: Mapping[tuple[int, int], Mark] = field(repr=False, default_factory=dict)
    breaks: frozenset[int] = frozenset()
    conditional: tuple[tuple[frozenset[str], str], ...] = field(repr=False, default=())

    @property
    def number_columns(self) -> range:
        """The columns with numbers."""
        return range(self.names, len(self.header) - self.settings - self.has_notes)

    def render(self, format: Format, *, is_file: bool = False) -> str:
        """The table for a terminal, as markdown, CSV, LaTeX, HTML or JSON, ending with a line break.

        Args:
            is_file: whether it goes to a file, where text has no colours and no terminal's width.
        """
        if format == "text" and is_file:
            from harness.tables.plain import FILE_WIDTH, render_plain

            return render_plain(self, FILE_WIDTH, has_colours=False)
        if format == "text":
            from harness.tables.plain import render_plain, terminal_width, uses_colours

            return render_plain(self, terminal_width(), has_colours=uses_colours())
        if format == "csv":
            return _render_csv(self.tidy, self.columns)
        if format == "json":
            rows = [{key: row[key] for key in self.columns} for row in self.tidy]
            return json.dumps(rows, indent=1, allow_nan=False) + "\n"
        if format == "tex" and self.rows and self.has_notes and not any(row[-1] for row in self.rows):
            # The width of a page is scarce: a column of notes without notes is left out.
            shorter = tuple(row[:-1] for row in self.rows)
            return replace(self, header=self.header[:-1], rows=shorter, has_notes=False)._render_text(format)
        return self._render_text(format)

    def _render_text(self, format: Literal["md", "tex", "html"]) -> str:
        """The table for people."""
        from tabulate import tabulate

        last = len(self.header) - 1
        alignment = []
        for column in range(len(self.header)):
            is_left = column < self.names or column in self.left or (self.has_notes and column == last)
            alignment.append("left" if is_left else "right")
        columns = range(len(self.header))
        texts = []
        for row in range(len(self.rows)):
            texts.append([self._text_with_mark(row, column, format) for column in columns])
        body = tabulate(
            texts,
            [_escape_field(title, format) for title in self.header],
            tablefmt=_TABULATE_FORMATS[format],
            # tabulate 0.9 fails on alignments of a table without rows.
            colalign=alignment if self.rows else None,
            # Text stays text: tabulate would strip what looks like a number.
            disable_numparse=True,
        )
        caption = _clean_caption(self.caption)
        if format == "md":
            return f"{_escape_markdown(caption)}\n\n{body}\n"
        for mark, (before, after) in _MARKS[format].items():
            body = body.replace(_OPEN[mark], before)
            body = body.replace(_CLOSE[mark], after)
        if format == "html":
            return f"<p>{escape(caption)}</p>\n{body}\n"
        body = _add_rules(body, self.breaks)
        return _render_tex(caption, body, is_wide=self._width() > _WIDE)

    def _width(self) -> int:
        """Characters of a row in which every column is as wide as its widest text."""
        width = 0
        for column in zip(self.header, *self.rows, strict=True):
            # Two for the space between columns.
            width += max(map(len, column)) + 2
        return width

    def _text_with_mark(self, row: int, column: int, format: Format) -> str:
        """A text of the table with its mark: final in markdown, a private character elsewhere."""
        text = _escape_field(self.rows[row][column], format)
        mark = self.marks.get((row, column))
        if mark is None:
            return text
        # tabulate escapes LaTeX and HTML: their marks are put in afterwards.
        before, after = _OPEN[mark], _CLOSE[mark]
        if format == "md":
            before, after = _MARKS["md"][mark]
        # The number alone: its interval and claim are not what is best.
        number, space, addition = text.partition(" ")
        return f"{before}{number}{after}{space}{addition}"


def _escape_field(text: str, format: Format) -> str:
    """A field of the table in one line; in markdown without columns, marks, tags and links of its own."""
    text = printable(text)
    if format != "md":
        return text
    # A bar would begin a column, and an asterisk look like the mark of a best number.
    return _escape_markdown(text.replace("|", "\\|").replace("*", "\\*"))


def _escape_markdown(text: str) -> str:
    """Text in which nothing becomes a tag, a link or a picture."""
    return _LINK.sub(r"\\]", _TAG.sub(r"\\<", text))


def _clean_caption(caption: str) -> str:
    """The caption's lines, each without control characters."""
    return "\n".join(map(printable, caption.split("\n")))


def _guarded(value: object) -> object:
    """A value of a CSV: a text that a spreadsheet would run as a formula begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    text = printable(value).strip()
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _render_csv(rows: Sequence[TidyRow], columns: Sequence[str]) -> str:
    import pandas as pd

    # As objects: a column of whole numbers and gaps stays one of whole numbers.
    guarded = [{key: _guarded(value) for key, value in row.items()} for row in rows]
    frame = pd.DataFrame(guarded, columns=list(columns), dtype=object)
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def _add_rules(body: str, breaks: frozenset[int]) -> str:
    """A LaTeX table with a rule above each row that begins a group, except the first."""
    lines = []
    number = -1  # the header
    for line in body.splitlines():
        # Rows end so; booktabs' own rules do not.
        if line.rstrip().endswith("\\\\"):
            if number > 0 and number in breaks:
                lines.append("\\midrule")
            number += 1
        lines.append(line)
    return "\n".join(lines)


def _render_tex(caption: str, body: str, *, is_wide: bool) -> str:
    """A LaTeX table with its caption; one that is too wide is scaled to the width of the page."""
    caption = re.sub(r"[&%$#_{}\\~^<>]", _escape_tex, caption)
    # After escaping: the commands hold characters that it would escape.
    for character, command in _TEX_SYMBOLS.items():
        body = body.replace(character, command)
        caption = caption.replace(character, command)
    environment = "table"
    packages = "booktabs"
    if is_wide:
        # table* goes over both columns of a page of two.
        environment = "table*"
        packages = "booktabs,graphicx"
        body = f"\\resizebox{{\\linewidth}}{{!}}{{%\n{body}}}"
    lines = (
        f"% needs \\usepackage{{{packages}}}",
        f"\\begin{{{environment}}}",
        "\\centering",
        f"\\caption{{{caption}}}",
        body,
        f"\\end{{{environment}}}",
    )
    return "\n".join(lines) + "\n"


def _escape_tex(match: re.Match[str]) -> str:
    return _TEX_NAMES.get(match[0], f"\\{match[0]}")


def filter_tidy(table: Table, wanted: Mapping[str, Sequence[object] | None]) -> Table:
    """The table with those of its tidy rows that have one of the wanted values, or no value at all.

    Args:
        wanted: column -> values; None for every value.
    """
    rows = table.tidy
    for column, values in wanted.items():
        if values is not None:
            # A cell without numbers has no protocol, averaging and alpha: it stays in every choice.
            rows = tuple(row for row in rows if row[column] in values or not row[column])
    return replace(table, tidy=rows)


def render_tables(tables: Sequence[Table], format: Format, *, is_file: bool = False) -> str:
    """Several tables in one text; as CSV and JSON, the rows of all of them once.

    Args:
        is_file: see `Table.render`.
    """
    if format in ("csv", "json"):
        return Table("", (), (), joined_tidy_rows(tables), columns=tables[0].columns).render(format)
    return "\n".join(table.render(format, is_file=is_file) for table in tables)


def joined_tidy_rows(tables: Sequence[Table]) -> tuple[TidyRow, ...]:
    """The tidy rows of several tables, each once: a row may stand behind several of them."""
    # Keyed by its text, since a dict has no hash.
    rows: dict[str, TidyRow] = {}
    for table in tables:
        for row in table.tidy:
            rows[json.dumps(row)] = row
    return tuple(rows.values())
