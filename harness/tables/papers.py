"""Numbers that papers printed, beside which tables show measured ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from harness.records.labels import label_without
from harness.records.schema import Score
from harness.records.slices import ALL
from harness.specs import Averaging
from harness.tables.columns import Column
from harness.tables.method_names import PRECISION
from harness.tables.row import Row
from harness.tables.table import TidyRow
from harness.tables.text import NOTHING

# The training data of learned prompts where --trained-on names no other.
_DEFAULT_TRAINING = "spair-71k"

# The part of a label that says which file a learned prompt is from: `[trained-on=pf-pascal]`.
_PROMPT_CHOICE = re.compile(r"\[(trained-on|prompt-file)=[^,\]]*\]$")


@dataclass(frozen=True)
class ReportedMethod:
    """The numbers that a paper printed for one method.

    Attributes:
        name: the method, as printed.
        method: its name here, or the one it will have.
        prompt, localizer: of the method's recipe; `none` and an en dash where it has none.
        weights: sources that it used; empty where they have no name here.
        trained_on: dataset; empty for none.
        values: column -> PCK in percent.
        source: the paper: `SD4Match (CVPR 2024)`.
        tables: column -> numbers of its tables that have this value; empty where nobody says it.
        is_stated: whether the paper says which weights and localizer it used.
        protocol, averaging: what the numbers are; protocol `not stated` where nobody says it.
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
    protocol: str = "sd4match"
    averaging: Averaging = "image"

    def score_of(self, column: Column) -> Score:
        """A printed number in the form of a measured one, without interval."""
        return Score(
            localizer="",
            protocol=self.protocol,
            averaging=self.averaging,
            alpha=column.alpha,
            slice=column.slice,
            pck=self.values[column],
            low=None,
            high=None,
            pairs=0,
            keypoints=0,
        )

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
    """Printed numbers that a table shows; of two papers on one method, the first counts."""

    methods: tuple[ReportedMethod, ...]

    @property
    def papers(self) -> list[str]:
        """The papers, each once."""
        return list(dict.fromkeys(method.source for method in self.methods))

    def of_slice(self, name: str) -> ReportedNumbers:
        """The numbers that were printed of a slice, as if its points were all there are."""
        methods = []
        for method in self.methods:
            values = {column: value for column, value in method.values.items() if column.slice == name}
            if values:
                whole = {column: column._replace(slice=ALL) for column in values}
                changes = {whole[column]: value for column, value in values.items()}
                tables = {whole[column]: method.tables[column] for column in values}
                methods.append(replace(method, values=changes, tables=tables))
        return ReportedNumbers(tuple(methods))

    def tidy_rows(self, dataset: str | None = None) -> list[TidyRow]:
        """The printed numbers, or those of one dataset, as tidy rows; what papers do not say is null."""
        rows: list[TidyRow] = []
        for method in self.methods:
            for column, value in sorted(method.values.items()):
                if dataset in (None, column.dataset):
                    rows.append(_tidy_row(method, column, value))
        return rows


def _tidy_row(method: ReportedMethod, column: Column, value: float) -> TidyRow:
    has_localizer = method.is_stated and method.localizer != NOTHING
    return {
        "method": method.label,
        "prompt": method.prompt,
        "localizer": method.localizer if has_localizer else "",
        "dataset": column.dataset,
        "split": column.split,
        "protocol": method.protocol,
        "averaging": method.averaging,
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
        "paper": method.source,
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
        texts.append(f"{source}, {noun} {', '.join(sorted(names))}" if names else source)
    return "; ".join(texts)
