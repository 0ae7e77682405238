"""One table, five formats."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Format = Literal["md", "csv", "tex", "html", "json"]

FORMATS: tuple[Format, ...] = ("md", "csv", "tex", "html", "json")

TidyRow = dict[str, object]

Mark = Literal["best", "second"]

TIDY_KEYS = (
    *("method", "prompt", "localizer", "dataset", "split", "protocol", "averaging", "alpha", "slice"),
    *("pck", "low", "high", "pairs", "keypoints", "failed", "backbone", "status", "source"),
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

_TEX_NAMES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
}
"""What a backslash alone does not escape."""

_TEX_SYMBOLS = {"±": r"$\pm$", "−": "$-$", "–": "--", "†": r"$\dagger$", "≥": r"$\geq$"}
"""Characters of ours that LaTeX lacks, or has in a font that is not everywhere."""

_OPEN: dict[Mark, str] = {"best": "\ue000", "second": "\ue001"}

_CLOSE: dict[Mark, str] = {"best": "\ue002", "second": "\ue003"}


@dataclass(frozen=True)
class Table:
    """A table ready to print.

    Attributes:
        caption: what the numbers are, in a sentence or two.
        header: column titles.
        rows: cells as text.
        tidy: the same and all further numbers, one a row, for machines.
        names: number of columns before those with numbers; behind them is one of notes.
        columns: those of the CSV.
        marks: (row, column) -> best or second of its column and group: bold, underlined. It is the cell's first word that is marked.
        breaks: rows that begin a group.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tidy: tuple[TidyRow, ...] = field(repr=False, default=())
    names: int = 5
    columns: tuple[str, ...] = TIDY_KEYS
    marks: Mapping[tuple[int, int], Mark] = field(repr=False, default_factory=dict)
    breaks: frozenset[int] = frozenset()

    def render(self, format: Format) -> str:
        """The table as markdown, CSV, LaTeX, HTML or JSON, ending with a line break."""
        if format == "csv":
            return _csv(self.tidy, self.columns)
        if format == "json":
            return json.dumps(list(self.tidy), indent=1, allow_nan=False) + "\n"
        if format == "tex" and self.rows and not any(row[-1] for row in self.rows):
            # Width is what a page has least of.
            return replace(self, header=self.header[:-1], rows=tuple(row[:-1] for row in self.rows))._text(
                format, notes=False
            )
        return self._text(format, notes=True)

    def _text(self, format: Literal["md", "tex", "html"], *, notes: bool) -> str:
        """
        Args:
            notes: whether the last column is one of notes.
        """
        from tabulate import tabulate

        numeric = (
            ["left"] * self.names + ["right"] * (len(self.header) - self.names - notes) + ["left"] * notes
        )
        style = {"md": "pipe", "tex": "latex_booktabs", "html": "html"}[format]
        rows = [
            [self._cell(row, column, format) for column in range(len(self.header))]
            for row in range(len(self.rows))
        ]
        # Text stays text: tabulate would strip what looks like a number.
        header = [_plain(title, format) for title in self.header]
        body = tabulate(
            rows, header, tablefmt=style, colalign=numeric if rows else None, disable_numparse=True
        )
        if format == "md":
            return f"{self.caption}\n\n{body}\n"
        for mark, (before, after) in _MARKS[format].items():
            body = body.replace(_OPEN[mark], before).replace(_CLOSE[mark], after)
        if format == "html":
            return f"<p>{_html(self.caption)}</p>\n{body}\n"
        return _tex(self.caption, _ruled(body, self.breaks), wide=self._width() > _WIDE)

    def _width(self) -> int:
        """Characters of a row in which every column is as wide as its widest cell."""
        return sum(max(map(len, column)) + 2 for column in zip(self.header, *self.rows, strict=True))

    def _cell(self, row: int, column: int, format: Format) -> str:
        text = _plain(self.rows[row][column], format)
        mark = self.marks.get((row, column))
        if mark is None:
            return text
        # tabulate escapes LaTeX and HTML: their marks are put in afterwards.
        before, after = _MARKS["md"][mark] if format == "md" else (_OPEN[mark], _CLOSE[mark])
        number, space, rest = text.partition(" ")
        return f"{before}{number}{after}{space}{rest}"


def _plain(text: str, format: Format) -> str:
    # In markdown a bar of a name or a message would begin a column.
    return text.replace("|", "\\|") if format == "md" else text


def _csv(rows: Sequence[TidyRow], columns: Sequence[str]) -> str:
    import pandas as pd

    buffer = io.StringIO()
    # As objects: a column of whole numbers and gaps stays one of whole numbers.
    pd.DataFrame(list(rows), columns=list(columns), dtype=object).to_csv(
        buffer, index=False, lineterminator="\n"
    )
    return buffer.getvalue()


def _ruled(body: str, breaks: frozenset[int]) -> str:
    """A LaTeX table with a rule above each row that begins a group, but for the first."""
    lines = []
    number = -1  # the header
    for line in body.splitlines():
        if line.rstrip().endswith("\\\\"):
            if number > 0 and number in breaks:
                lines.append("\\midrule")
            number += 1
        lines.append(line)
    return "\n".join(lines)


def _tex(caption: str, body: str, *, wide: bool) -> str:
    escaped = re.sub(r"[&%$#_{}\\~^<>]", lambda found: _TEX_NAMES.get(found[0], f"\\{found[0]}"), caption)
    for character, command in _TEX_SYMBOLS.items():
        body, escaped = body.replace(character, command), escaped.replace(character, command)
    if not wide:
        return f"% needs \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\\caption{{{escaped}}}\n{body}\n\\end{{table}}\n"
    return (
        f"% needs \\usepackage{{booktabs,graphicx}}\n\\begin{{table*}}\n\\centering\n\\caption{{{escaped}}}\n"
        f"\\resizebox{{\\linewidth}}{{!}}{{%\n{body}}}\n\\end{{table*}}\n"
    )


def _html(text: str) -> str:
    from html import escape

    return escape(text)


def filter_tidy(table: Table, wanted: Mapping[str, Sequence[object] | None]) -> Table:
    """The table with those of its rows for machines that have one of the wanted values, and those that have none at all.

    Args:
        wanted: column -> values; None for every value.
    """
    rows = tuple(
        row
        for row in table.tidy
        if all(values is None or row[key] in values or not row[key] for key, values in wanted.items())
    )
    return replace(table, tidy=rows)


def render_tables(tables: Sequence[Table], format: Format) -> str:
    """Several tables in one text; as CSV and JSON, the rows of all of them once."""
    if format in ("csv", "json"):
        rows = {json.dumps(row): row for table in tables for row in table.tidy}
        return Table("", (), (), tuple(rows.values()), columns=tables[0].columns).render(format)
    return "\n".join(table.render(format) for table in tables)
