"""Numbers that papers printed, as rows of tables that nobody here has measured."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.records.schema import Record, Score
from harness.specs import NO_PROMPT
from harness.tables.columns import Column
from harness.tables.rows import Row, rows_of
from harness.tables.table import TidyRow
from harness.tables.text import NOTHING
from harness.tables.tidy import tidy_rows
from harness.tables.view import View

FOLDER = Path(__file__).parent / "reported_numbers"
"""The printed numbers, one file per table, with an index that says what each is."""

INDEX = "index.json"

_DEFAULT_TRAINING = "spair-71k"

_PROMPT_CHOICE = re.compile(r"\[(trained-on|prompt-file)=[^,\]]*\]$")

_NAMES = ("method", "supervision", "trained_on")
"""Columns of the papers' tables that do not hold numbers."""


@dataclass(frozen=True)
class ReportedMethod:
    """The numbers that a paper printed for one method.

    Attributes:
        name: the method, as printed.
        method: its name here, or the one it will have.
        prompt, localizer: of the method's recipe; `none` and an en dash where it has none.
        weights: sources that it used; empty where they have no name here.
        is_stated: whether the paper says which weights and localizer it used.
        trained_on: dataset; empty for none.
        values: column -> PCK in percent.
        source: the paper: `SD4Match (CVPR 2024)`.
        tables: column -> numbers of its tables that have this value.
    """

    name: str
    method: str
    prompt: str
    localizer: str
    weights: tuple[str, ...]
    supervision: str
    trained_on: str
    values: Mapping[Column, float]
    source: str
    tables: Mapping[Column, tuple[str, ...]]
    is_stated: bool = True

    def matches(self, row: Row) -> bool:
        """Says whether a measured row is of this method as published.

        That is: with its own prompt, localizer and training data, and no parameter changed.

        A file of a learned prompt may be the user's own: users ask whether their training gives the printed
        number.
        """
        published = (self.method, self.prompt, self.localizer, self.trained_on)
        method = _PROMPT_CHOICE.sub("", row.method)
        return published == (method, row.prompt, row.localizer, row.trained_on)

    @property
    def label(self) -> str:
        """The method, labelled as measured rows are; training on SPair-71k is the default, not named."""
        if self.trained_on in ("", _DEFAULT_TRAINING):
            return self.method
        return f"{self.method}[trained-on={self.trained_on}]"

    @property
    def backbone(self) -> str:
        """The weights that the paper says it used; empty where it does not say, or they have no name here."""
        return "+".join(self.weights) if self.is_stated else ""

    def has_weights_of(self, row: Row) -> bool:
        """Says whether a measured row used the weights that the paper used, by name.

        `name=folder` marks the user's own files, which may hold anything: these are other weights.
        """
        return set(self.weights) <= set(row.backbone.partition("@")[0].split("+"))


@dataclass(frozen=True)
class ReportedNumbers:
    """All printed numbers that are known here, under one protocol and averaging."""

    protocol: str
    averaging: str
    methods: tuple[ReportedMethod, ...]

    def has_numbers_of(self, view: View) -> bool:
        """Says whether these numbers are of the view's protocol and averaging."""
        return (view.protocol, view.averaging) == (self.protocol, self.averaging)

    def rows(self, columns: Sequence[Column], view: View) -> list[Row]:
        """A row for each method that has a number in one of the columns, best first."""
        notes = () if self.has_numbers_of(view) else (f"protocol {self.protocol}, mean per {self.averaging}",)
        rows = []
        for method in self.methods:
            values = {column: self.score_of(method, column) for column in columns if column in method.values}
            if not values:
                continue
            row = Row(
                f"{method.name} (reported)",
                method.prompt,
                method.localizer if method.is_stated else NOTHING,
                method.backbone or NOTHING,
                method.supervision,
                method.trained_on,
                values=values,
                notes=notes,
                remarks=(citation((method, column) for column in values),),
                is_reported=True,
            )
            rows.append(row)

        def order(row: Row) -> tuple[float, tuple[str, ...]]:
            return -row.mean([column for column in columns if column in row.values]), row.key

        return sorted(rows, key=order)

    def score_of(self, method: ReportedMethod, column: Column) -> Score:
        """A printed number in the form of a measured one, without interval."""
        return Score(
            localizer="",
            protocol=self.protocol,
            averaging="image" if self.averaging == "image" else "point",
            alpha=column.alpha,
            slice=column.slice,
            pck=method.values[column],
            low=None,
            high=None,
            pairs=0,
            keypoints=0,
        )

    def add_claims(self, row: Row, view: View) -> Row:
        """A measured row with the numbers printed for the same method, and a remark where its weights differ.

        A row that cannot be compared, or is of another protocol or averaging, stays as it is.
        """
        if row.notes or not self.has_numbers_of(view):
            return row
        methods = [method for method in self.methods if method.matches(row)]
        claims: dict[Column, float] = {}
        for method in methods:
            claims |= {column: value for column, value in method.values.items() if column in row.values}
        if not claims:
            return row
        weights = "+".join(methods[0].weights)
        is_stated = methods[0].is_stated
        remarks = list(row.remarks)
        if not is_stated:
            remarks.append("settings of the reported number are not stated")
        if not all(method.has_weights_of(row) for method in methods):
            remarks.append(f"other weights than {'the reported' if is_stated else 'the published'} {weights}")
        return replace(row, claims=claims, remarks=tuple(remarks))

    def columns_beside(self, measured: Sequence[Column], view: View) -> list[Column]:
        """The columns of printed numbers that a table gets besides the measured ones.

        Those of datasets that were measured; where nobody printed a number for any of them, those of all
        datasets, so that the table has what was asked for.
        """
        datasets = {column.dataset for column in measured}
        columns = {column for method in self.methods for column in method.values if column.slice == "all"}
        shown = sorted(column for column in columns if view.shows_alpha(column.alpha))
        shown = [column for column in shown if column.dataset in datasets] or shown
        return [column for column in shown if column not in measured]

    def tidy_rows(self, dataset: str | None = None) -> list[TidyRow]:
        """The printed numbers, or those of one dataset, as tidy rows; what papers do not say is null."""
        rows: list[TidyRow] = []
        for method in self.methods:
            for column, value in sorted(method.values.items()):
                if dataset in (None, column.dataset):
                    rows.append(self._tidy_row(method, column, value))
        return rows

    def _tidy_row(self, method: ReportedMethod, column: Column, value: float) -> TidyRow:
        return {
            "method": method.label,
            "prompt": method.prompt,
            "localizer": method.localizer if method.is_stated and method.localizer != NOTHING else "",
            "dataset": column.dataset,
            "split": column.split,
            "protocol": self.protocol,
            "averaging": self.averaging,
            "alpha": column.alpha,
            "slice": column.slice,
            "pck": value,
            "low": None,
            "high": None,
            "pairs": None,
            "keypoints": None,
            "failed": None,
            "backbone": method.backbone,
            "status": "reported",
            "source": "reported",
        }


def citation(numbers: Iterable[tuple[ReportedMethod, Column]]) -> str:
    """The paper and tables that numbers stand in: `SD4Match (CVPR 2024), Tables 1, 3`."""
    tables: dict[str, set[str]] = {}
    for method, column in numbers:
        tables.setdefault(method.source, set()).update(method.tables[column])
    return "; ".join(
        f"{source}, Table{'s' if len(names) > 1 else ''} {', '.join(sorted(names))}"
        for source, names in tables.items()
    )


def measured_rows(records: Sequence[Record], view: View, differences: Mapping[str, str]) -> list[Row]:
    """The rows of records (`rows_of`), with the numbers that papers claim where the view shows those."""
    rows = rows_of(records, view, differences)
    return [view.reported.add_claims(row, view) for row in rows] if view.reported else rows


def reported_rows(columns: Sequence[Column], view: View) -> list[Row]:
    """Rows of the reported numbers in these columns; an empty list where the view shows none."""
    return view.reported.rows(columns, view) if view.reported else []


def all_tidy_rows(records: Sequence[Record], view: View, dataset: str | None = None) -> tuple[TidyRow, ...]:
    """Tidy rows of the records and of the reported numbers that the view shows.

    Args:
        dataset: reported numbers are of this dataset alone; None for all.
    """
    reported = view.reported.tidy_rows(dataset) if view.reported else []
    return (*tidy_rows(records, view), *reported)


def read_reported(folder: Path = FOLDER) -> ReportedNumbers:
    """Reads the index of a folder and the tables that it names.

    Raises:
        UserError: a file is missing or contradicts the index or another file.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        methods: dict[tuple[str, ...], ReportedMethod] = {}
        for table in index["tables"]:
            for method in _read_table(folder / table["file"], table, index):
                key = (method.method, method.prompt, method.trained_on)
                earlier = methods.get(key)
                methods[key] = _merge(earlier, method) if earlier else method
        return ReportedNumbers(index["protocol"], index["averaging"], tuple(methods.values()))
    except (OSError, ValueError, KeyError) as error:
        problem = f"no entry {error}" if isinstance(error, KeyError) else error
        raise UserError(
            f"{folder}: the printed numbers cannot be read ({problem}); restore the folder from the project"
        ) from error


def _merge(method: ReportedMethod, later: ReportedMethod) -> ReportedMethod:
    """One method's numbers of two tables. Raises ValueError where they differ."""
    for column, value in method.values.items():
        if later.values.get(column, value) != value:
            raise ValueError(f"two values for {method.name} in {column}")
    tables = {
        column: (*method.tables.get(column, ()), *later.tables.get(column, ()))
        for column in {**method.tables, **later.tables}
    }
    return replace(method, values={**method.values, **later.values}, tables=tables)


def _read_table(path: Path, table: Mapping[str, Any], index: Mapping[str, Any]) -> Iterator[ReportedMethod]:
    """Yields the methods of one table of a paper, one per row and prompt."""
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            method = _method_of(line, table, index)
            by_prompt: dict[str, dict[Column, float]] = {}
            for title, text in line.items():
                if title not in _NAMES and text:
                    prompt, column = _column_of(title, table, index["split"], method.prompt)
                    by_prompt.setdefault(prompt, {})[column] = float(text)
            for prompt, values in by_prompt.items():
                tables = dict.fromkeys(values, (table["table"],))
                yield replace(method, prompt=prompt, values=values, tables=tables)


def _method_of(line: Mapping[str, str], table: Mapping[str, Any], index: Mapping[str, Any]) -> ReportedMethod:
    """The method that a line of a paper's table is of, without numbers."""
    entry = index["methods"][line["method"]]
    supervision = line.get("supervision") or "Z"
    trained_on = line.get("trained_on") or table.get("trained_on", {}).get(supervision, "")
    return ReportedMethod(
        name=entry.get("name", line["method"]),
        method=entry["method"],
        prompt=entry.get("prompt", NO_PROMPT),
        localizer=entry.get("localizer", NOTHING),
        weights=tuple(entry.get("weights", ())),
        supervision=supervision,
        trained_on="" if trained_on == "none" else trained_on,
        values={},
        source=index["source"],
        tables={},
        is_stated=entry.get("stated", True),
    )


def _column_of(title: str, table: Mapping[str, Any], split: str, prompt: str) -> tuple[str, Column]:
    """The prompt and column that a title of a paper's table means."""
    if table["columns"] == "prompts":
        return title, Column(table["dataset"], split, table["alpha"])
    if table["columns"] == "categories":
        part = "all" if title == "all" else f"category={title}"
        return prompt, Column(table["dataset"], split, table["alpha"], part)
    dataset, _, alpha = title.partition("@")
    return prompt, Column(dataset, split, float(alpha))
