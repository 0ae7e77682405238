"""Numbers that papers printed, read as rows of tables that nobody here has measured."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.records.schema import Score
from harness.specs import NO_PROMPT
from harness.tables.rows import Column, Row
from harness.tables.table import TidyRow
from harness.tables.text import NOTHING

FOLDER = Path(__file__).parent / "reported_numbers"
"""The printed numbers, one file per table, with an index that says what each is."""

INDEX = "index.json"

_DEFAULT_TRAINING = "spair-71k"

_PROMPT_CHOICE = re.compile(r"\[(trained-on|prompt-file)=[^,\]]*\]$")

_NAMES = ("method", "supervision", "trained_on")
"""Columns of the papers' tables that are no numbers."""


@dataclass(frozen=True)
class ReportedMethod:
    """What a paper printed for one method.

    Attributes:
        name: the method, as printed.
        method: its name here, or the one it will have.
        prompt, localizer: of the method's recipe; `none` and an en dash where it has none.
        weights: sources that it used; empty where we have no name for them.
        stated: whether the paper says which weights and localizer it used.
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
    stated: bool = True

    def same(self, line: Row) -> bool:
        """Whether a measured line is of this method as it was published: its own prompt, localizer and training data, no parameter changed.

        A file of a learned prompt may be the user's own: whether a training of theirs gives the printed number is what they ask.
        """
        mine = (self.method, self.prompt, self.localizer, self.trained_on)
        return mine == (_PROMPT_CHOICE.sub("", line.method), line.prompt, line.localizer, line.trained_on)

    @property
    def label(self) -> str:
        """The method as measured rows of the same training data are labelled: what was tuned on SPair-71k is the default."""
        return (
            self.method
            if self.trained_on in ("", _DEFAULT_TRAINING)
            else f"{self.method}[trained-on={self.trained_on}]"
        )

    @property
    def backbone(self) -> str:
        """The weights that the paper says it used; empty where it does not say, or we have no name for them."""
        return "+".join(self.weights) if self.stated else ""

    def has_weights(self, line: Row) -> bool:
        """Whether a measured line has the weights that the paper used, by name. `own=folder` may hold anything, and is not one of them."""
        return set(self.weights) <= set(line.backbone.partition("@")[0].split("+"))


def citation(numbers: Iterable[tuple[ReportedMethod, Column]]) -> str:
    """Where numbers stand: `SD4Match (CVPR 2024), Tables 1, 3`."""
    found: dict[str, set[str]] = {}
    for one, column in numbers:
        found.setdefault(one.source, set()).update(one.tables[column])
    return "; ".join(
        f"{source}, Table{'s'[: len(tables) > 1]} {', '.join(sorted(tables))}"
        for source, tables in found.items()
    )


@dataclass(frozen=True)
class ReportedNumbers:
    """All that is known to have been printed, under one protocol and averaging."""

    protocol: str
    averaging: str
    printed: tuple[ReportedMethod, ...]

    def lines(self, columns: Sequence[Column], protocol: str, averaging: str) -> list[Row]:
        """A line for each method that has a number in one of the columns, best first."""
        other = (
            []
            if (protocol, averaging) == (self.protocol, self.averaging)
            else [f"protocol {self.protocol}, mean per {self.averaging}"]
        )
        found = []
        for one in self.printed:
            values = {column: self.score(one, column) for column in columns if column in one.values}
            if values:
                found.append(
                    Row(
                        f"{one.name} (reported)",
                        one.prompt,
                        one.localizer if one.stated else NOTHING,
                        one.backbone or NOTHING,
                        one.supervision,
                        one.trained_on,
                        values=values,
                        notes=tuple(other),
                        remarks=(citation((one, column) for column in values),),
                        reported=True,
                    )
                )
        return sorted(
            found,
            key=lambda line: (-line.mean([column for column in columns if column in line.values]), line.key),
        )

    def score(self, one: ReportedMethod, column: Column) -> Score:
        """A printed number in the form of a measured one, without interval."""
        return Score(
            localizer="",
            protocol=self.protocol,
            averaging="image" if self.averaging == "image" else "point",
            alpha=column.alpha,
            slice=column.slice,
            pck=one.values[column],
            low=None,
            high=None,
            pairs=0,
            keypoints=0,
        )

    def claimed(self, line: Row, protocol: str, averaging: str) -> Row:
        """A measured line with what was printed for the same, under the same protocol; and a remark where its weights are others."""
        if (protocol, averaging) != (self.protocol, self.averaging) or line.notes:
            return line
        same = [one for one in self.printed if one.same(line)]
        claims = {
            column: value for one in same for column, value in one.values.items() if column in line.values
        }
        if not claims:
            return line
        used = "+".join(same[0].weights)
        stated = same[0].stated
        other: list[str] = [] if stated else ["settings of the reported number are not stated"]
        if not all(one.has_weights(line) for one in same):
            other.append(f"other weights than {'the reported' if stated else 'the published'} {used}")
        return replace(line, claims=claims, remarks=(*line.remarks, *other))

    def columns(self) -> list[Column]:
        """Every column of printed numbers over all pairs."""
        return sorted({column for one in self.printed for column in one.values if column.slice == "all"})

    def tidy(self, dataset: str | None = None) -> list[TidyRow]:
        """The printed numbers, or those of one dataset, as tidy rows; what papers do not say is null."""
        rows: list[TidyRow] = []
        for one in self.printed:
            for column, value in sorted(one.values.items()):
                if dataset not in (None, column.dataset):
                    continue
                rows.append(
                    {
                        "method": one.label,
                        "prompt": one.prompt,
                        "localizer": one.localizer if one.stated and one.localizer != NOTHING else "",
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
                        "backbone": one.backbone,
                        "status": "reported",
                        "source": "reported",
                    }
                )
        return rows


def read_reported(folder: Path = FOLDER) -> ReportedNumbers:
    """Reads the index of a folder and the tables that it names.

    Raises:
        UserError: a file is missing or says something else than the index.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        found: dict[tuple[str, ...], ReportedMethod] = {}
        for table in index["tables"]:
            for one in _read_table(folder / table["file"], table, index):
                key = (one.method, one.prompt, one.trained_on)
                earlier = found.get(key)
                found[key] = one if earlier is None else _joined(earlier, one)
        return ReportedNumbers(index["protocol"], index["averaging"], tuple(found.values()))
    except (OSError, ValueError, KeyError) as error:
        what = f"no entry {error}" if isinstance(error, KeyError) else error
        raise UserError(
            f"{folder}: the printed numbers cannot be read ({what}); restore the folder from the project"
        ) from error


def _joined(first: ReportedMethod, other: ReportedMethod) -> ReportedMethod:
    different = [
        column
        for column in first.values
        if other.values.get(column, first.values[column]) != first.values[column]
    ]
    if different:
        raise ValueError(f"two values for {first.name} in {different[0]}")
    return replace(
        first,
        values={**first.values, **other.values},
        tables={
            column: (*first.tables.get(column, ()), *other.tables.get(column, ()))
            for column in {**first.tables, **other.tables}
        },
    )


def _read_table(path: Path, table: Mapping[str, Any], index: Mapping[str, Any]) -> Iterator[ReportedMethod]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            known = index["methods"][row["method"]]
            supervision = row.get("supervision") or "Z"
            trained_on = row.get("trained_on") or table.get("trained_on", {}).get(supervision, "")
            common = ReportedMethod(
                name=known.get("name", row["method"]),
                method=known["method"],
                prompt=known.get("prompt", NO_PROMPT),
                localizer=known.get("localizer", NOTHING),
                weights=tuple(known.get("weights", ())),
                supervision=supervision,
                trained_on="" if trained_on == "none" else trained_on,
                values={},
                source=index["source"],
                tables={},
                stated=known.get("stated", True),
            )
            by_prompt: dict[str, dict[Column, float]] = {}
            for title, text in row.items():
                if title not in _NAMES and text:
                    prompt, column = _place(title, table, index["split"], common.prompt)
                    by_prompt.setdefault(prompt, {})[column] = float(text)
            for prompt, values in by_prompt.items():
                yield replace(
                    common, prompt=prompt, values=values, tables=dict.fromkeys(values, (table["table"],))
                )


def _place(title: str, table: Mapping[str, Any], split: str, prompt: str) -> tuple[str, Column]:
    """The prompt and column that a title of a paper's table means."""
    if table["columns"] == "prompts":
        return title, Column(table["dataset"], split, table["alpha"])
    if table["columns"] == "categories":
        return prompt, Column(
            table["dataset"], split, table["alpha"], "all" if title == "all" else f"category={title}"
        )
    dataset, _, alpha = title.partition("@")
    return prompt, Column(dataset, split, float(alpha))
