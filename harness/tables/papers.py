"""Numbers that papers printed, as read from the tables of `reported_numbers/`."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.records.labels import label_without
from harness.records.schema import Score
from harness.specs import AVERAGINGS, NO_PROMPT, Averaging
from harness.tables.columns import Column
from harness.tables.method_names import PRECISION
from harness.tables.row import Row
from harness.tables.table import TidyRow
from harness.tables.text import NOTHING

FOLDER = Path(__file__).parent / "reported_numbers"
"""The printed numbers, one file per table, with an index that says what each is."""

INDEX = "index.json"

# The training data of learned prompts where --trained-on names no other.
_DEFAULT_TRAINING = "spair-71k"

# The part of a label that says which file a learned prompt is from: `[trained-on=pf-pascal]`.
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
        method = _PROMPT_CHOICE.sub("", label_without(row.method, PRECISION))
        return published == (method, row.prompt, row.own_localizer, row.trained_on)

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
        names, _, _ = row.backbone.partition("@")
        return set(self.weights) <= set(names.split("+"))


@dataclass(frozen=True)
class ReportedNumbers:
    """All printed numbers that are known here, under one protocol and averaging."""

    protocol: str
    averaging: Averaging
    methods: tuple[ReportedMethod, ...]

    def score_of(self, method: ReportedMethod, column: Column) -> Score:
        """A printed number in the form of a measured one, without interval."""
        return Score(
            localizer="",
            protocol=self.protocol,
            averaging=self.averaging,
            alpha=column.alpha,
            slice=column.slice,
            pck=method.values[column],
            low=None,
            high=None,
            pairs=0,
            keypoints=0,
        )

    def tidy_rows(self, dataset: str | None = None) -> list[TidyRow]:
        """The printed numbers, or those of one dataset, as tidy rows; what papers do not say is null."""
        rows: list[TidyRow] = []
        for method in self.methods:
            for column, value in sorted(method.values.items()):
                if dataset in (None, column.dataset):
                    rows.append(self._tidy_row(method, column, value))
        return rows

    def _tidy_row(self, method: ReportedMethod, column: Column, value: float) -> TidyRow:
        has_localizer = method.is_stated and method.localizer != NOTHING
        return {
            "method": method.label,
            "prompt": method.prompt,
            "localizer": method.localizer if has_localizer else "",
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
            "trained_on": method.trained_on,
            "tuned_on": None,
            "seed": None,
            "images": None,
            "interval": None,
        }


def citation(numbers: Iterable[tuple[ReportedMethod, Column]]) -> str:
    """The paper and tables that numbers stand in: `SD4Match (CVPR 2024), Tables 1, 3`."""
    tables: dict[str, set[str]] = {}
    for method, column in numbers:
        names = tables.setdefault(method.source, set())
        names.update(method.tables[column])
    texts = []
    for source, names in tables.items():
        noun = "Tables" if len(names) > 1 else "Table"
        texts.append(f"{source}, {noun} {', '.join(sorted(names))}")
    return "; ".join(texts)


def read_reported(folder: Path = FOLDER) -> ReportedNumbers:
    """Reads the index of a folder and the tables that it names.

    Raises:
        UserError: a file is missing or contradicts the index or another file.
    """
    try:
        text = (folder / INDEX).read_text(encoding="utf-8")
        index = json.loads(text)
        methods: dict[tuple[str, ...], ReportedMethod] = {}
        for table in index["tables"]:
            for method in _read_table(folder / table["file"], table, index):
                # A method stands in several tables of its paper: on several datasets, or by category.
                key = (method.method, method.prompt, method.trained_on)
                earlier = methods.get(key)
                methods[key] = _merge(earlier, method) if earlier else method
        return ReportedNumbers(index["protocol"], _averaging_of(index), tuple(methods.values()))
    except (OSError, ValueError, KeyError) as error:
        # The message of a KeyError is the bare key.
        problem = f"no entry {error}" if isinstance(error, KeyError) else error
        raise UserError(
            f"{folder}: the printed numbers cannot be read ({problem}); restore the folder from the project"
        ) from error


def _averaging_of(index: Mapping[str, Any]) -> Averaging:
    """The average of the printed numbers. Raises ValueError where it is none that is known."""
    for averaging in AVERAGINGS:
        if index["averaging"] == averaging:
            return averaging
    raise ValueError(f"averaging {index['averaging']!r} is none of {', '.join(AVERAGINGS)}")


def _merge(method: ReportedMethod, later: ReportedMethod) -> ReportedMethod:
    """One method's numbers of two tables. Raises ValueError where they differ."""
    for column, value in method.values.items():
        if later.values.get(column, value) != value:
            raise ValueError(f"two values for {method.name} in {column}")
    tables = dict(method.tables)
    for column, numbers in later.tables.items():
        tables[column] = (*tables.get(column, ()), *numbers)
    values = {**method.values, **later.values}
    return replace(method, values=values, tables=tables)


def _read_table(path: Path, table: Mapping[str, Any], index: Mapping[str, Any]) -> Iterator[ReportedMethod]:
    """Yields the methods of one table of a paper, one per row and prompt."""
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            method = _method_of(line, table, index)
            by_prompt: dict[str, dict[Column, float]] = {}
            for title, text in line.items():
                # Empty: the paper has no number for this method and column.
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
    # A table's supervised rows are trained on one dataset, unless a row says otherwise.
    defaults = table.get("trained_on", {})
    trained_on = line.get("trained_on") or defaults.get(supervision, "")
    if trained_on == "none":
        trained_on = ""
    return ReportedMethod(
        name=entry.get("name", line["method"]),
        method=entry["method"],
        prompt=entry.get("prompt", NO_PROMPT),
        localizer=entry.get("localizer", NOTHING),
        weights=tuple(entry.get("weights", ())),
        supervision=supervision,
        trained_on=trained_on,
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
        slice_name = title if title == "all" else f"category={title}"
        return prompt, Column(table["dataset"], split, table["alpha"], slice_name)
    dataset, _, alpha = title.partition("@")
    return prompt, Column(dataset, split, float(alpha))
