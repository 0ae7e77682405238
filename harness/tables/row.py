"""A row of a table before it is text: a method with a localizer, its numbers, the grounds to trust them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.records.schema import Record, Score
from harness.specs import Scalar
from harness.tables.columns import Column, Split, ranking_columns
from harness.tables.intervals import number_text
from harness.tables.text import NOTHING, difference_text


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        method: name in the table.
        trained_on: dataset its prompt or network was trained on; empty for none.
        params: the extractor's parameters.
        values: column -> number.
        pairs: split -> pairs behind its numbers.
        seconds: split -> seconds per pair, for features and points, of the run that computed them.
        cells: split -> the records that the numbers are from, one of each seed, in order of seed.
        notes: why the row cannot be compared with others; empty where it can.
        remarks: what else is to be said.
        stored_localizer: the localizer as predictions name it; empty where that is its name in the table.
        is_reported: whether a paper printed the numbers, and nobody here measured them.
        tuned_on: data on which its free choices were made (`CellInfo.tuned_on`); None where that is unknown.
        claims: column -> what a paper printed for the same method, prompt and training data.
    """

    method: str
    prompt: str
    localizer: str
    backbone: str
    supervision: str
    trained_on: str = ""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    values: Mapping[Column, Score] = field(default_factory=dict)
    pairs: Mapping[Split, int] = field(default_factory=dict)
    seconds: Mapping[Split, float] = field(default_factory=dict)
    cells: Mapping[Split, tuple[Record, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    is_reported: bool = False
    claims: Mapping[Column, float] = field(default_factory=dict)
    stored_localizer: str = ""
    tuned_on: tuple[str, ...] | None = None

    @property
    def own_localizer(self) -> str:
        """The localizer as predictions and papers name it."""
        return self.stored_localizer or self.localizer

    @property
    def seeds(self) -> Mapping[Split, int]:
        """Split -> number of seeds that its numbers are the mean of."""
        return {split: len(records) for split, records in self.cells.items()}

    @property
    def key(self) -> tuple[str, ...]:
        """The texts that the rows of two records have in common where they are one row."""
        return self.method, self.prompt, self.localizer, self.backbone, self.trained_on

    @property
    def note(self) -> str:
        """Notes and remarks, as the last column of a table has them."""
        return "; ".join((*self.notes, *self.remarks))

    def is_complete(self, columns: Sequence[Column]) -> bool:
        """Says whether the row can be compared with others in all of these columns."""
        return not self.notes and all(column in self.values for column in columns)

    def mean(self, columns: Sequence[Column]) -> float:
        """Mean PCK over the ranking columns."""
        ranking = ranking_columns(columns)
        total = sum(self.values[column].pck for column in ranking)
        return total / max(len(ranking), 1)

    def scores(self, columns: Sequence[Column]) -> list[tuple[Column, Score]]:
        """The numbers in these columns that were measured."""
        if self.is_reported:
            return []
        return [(column, self.values[column]) for column in columns if column in self.values]

    def text(self, column: Column, *, interval: bool = True) -> str:
        """`50.7 ±1.0`, or `50.7 ±1.0 (−2.2)` where a paper claimed 52.9; an en dash without a number."""
        score = self.values.get(column)
        if score is None:
            return NOTHING
        # Papers print no intervals.
        has_interval = interval and not self.is_reported
        number = number_text(score) if has_interval else f"{score.pck:.1f}"
        claim = self.claims.get(column)
        if claim is None:
            return number
        return f"{number} ({difference_text(score.pck - claim)})"


class RowDifference(NamedTuple):
    """What sets two tested rows apart, in percentage points.

    Attributes:
        above, below: their numbers, from 0, in the order of the table.
        points: mean of the one above less that of the other.
        low, high: ends of the 95 % interval that holds for all differences together; None with too few
            images.
        detectable: least true difference that four of five such comparisons find; None likewise, and for
            rows that are equal on every pair.
    """

    above: int
    below: int
    points: float
    low: float | None
    high: float | None
    detectable: float | None

    @property
    def is_found(self) -> bool:
        """Says whether the rows are told apart."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Places(NamedTuple):
    """Places of rows in order, from 1, with 95 % intervals that hold for all of them together.

    Attributes:
        best, worst: ends of each row's interval.
        untested: numbers of the rows that could not be tested; their place is by value alone.
        differences: those of all couples of tested rows.
        pairs, images: what the tested rows were compared on.
    """

    best: Sequence[int]
    worst: Sequence[int]
    untested: frozenset[int] = frozenset()
    differences: Sequence[RowDifference] = ()
    pairs: int = 0
    images: int = 0


FindPlaces = Callable[[Sequence[Row], Sequence[Column]], Places | None]
"""(rows in order, columns) -> their places; None where they cannot be tested."""
