"""Rows of tables before they are text: a method with a localizer, its numbers, the grounds to trust them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.records.schema import Record, Score, ranking_notes, seconds_per_pair, status_text
from harness.specs import Scalar
from harness.tables.columns import Column, Split, ranking_columns
from harness.tables.text import NOTHING, difference_text, number_text
from harness.tables.view import View


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        method: name in the table.
        trained_on: dataset its prompt or network was tuned on; empty for none.
        params: the extractor's parameters.
        values: column -> number.
        pairs: split -> pairs behind its numbers.
        seconds: split -> seconds per pair, for features and points, of the run that computed them.
        cells: split -> the record that the numbers are from.
        notes: why the row cannot be compared with others; empty where it can.
        remarks: what else is to be said.
        is_reported: whether a paper printed the numbers, and nobody here measured them.
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
    cells: Mapping[Split, Record] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    is_reported: bool = False
    claims: Mapping[Column, float] = field(default_factory=dict)

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
        return sum(self.values[column].pck for column in ranking) / max(len(ranking), 1)

    def text(self, column: Column, *, interval: bool = True) -> str:
        """`50.7 ±1.0`, or `50.7 ±1.0 (−2.2)` where a paper claimed 52.9; an en dash without a number."""
        score = self.values.get(column)
        if score is None:
            return NOTHING
        claim = self.claims.get(column)
        number = number_text(score) if interval else f"{score.pck:.1f}"
        return number if claim is None else f"{number} ({difference_text(score.pck - claim)})"


TieFinder = Callable[[Sequence[Row], Sequence[Column]], Sequence[int] | None]
"""(rows in order, columns) -> the rank of each, the same for tied rows; None where that cannot be decided."""


def rows_of(records: Iterable[Record], view: View, differences: Mapping[str, str] | None = None) -> list[Row]:
    """One row per method, prompt, localizer, backbone and training data, over all datasets.

    A cell without the view's protocol has the numbers of another one, and a note that says so; a cell without
    numbers has a row with the reason.

    Args:
        differences: cell id -> what sets it apart from another cell of its name
            (`harness.tables.tidy.distinguish_labels`).
    """
    merged: dict[tuple[str, ...], Row] = {}
    for record in records:
        difference = (differences or {}).get(record.cell.id)
        for row in _rows_of_record(record, view, difference):
            earlier = merged.get(row.key)
            merged[row.key] = _merge(earlier, row) if earlier else row
    return list(merged.values())


def _rows_of_record(record: Record, view: View, difference: str | None) -> Iterator[Row]:
    cell = record.cell
    split = (cell.dataset, cell.split)
    difference_notes = [f"{cell.dataset}: {difference}"] if difference else []
    bare = Row(
        cell.label,
        cell.prompt,
        NOTHING,
        cell.backbone,
        cell.supervision,
        cell.trained_on or "",
        params=cell.params,
    )
    if not record.scores:
        yield replace(bare, notes=(f"{cell.dataset}: {status_text(record)}", *difference_notes))
        return
    seconds = seconds_per_pair(record)
    for localizer in sorted({score.localizer for score in record.scores}):
        if not view.shows_localizer(localizer):
            continue
        protocol, values = _numbers(record, localizer, view)
        protocol_notes = [] if protocol == view.protocol else [f"protocol {protocol}"]
        yield replace(
            bare,
            localizer=localizer,
            values=values,
            pairs={split: record.localizers[localizer].pairs},
            seconds={} if seconds is None else {split: seconds},
            cells={split: record},
            notes=(*ranking_notes(record, localizer), *difference_notes, *protocol_notes),
        )


def _numbers(record: Record, localizer: str, view: View) -> tuple[str, dict[Column, Score]]:
    """A protocol and a localizer's numbers of it: the view's protocol, or the first by name with some."""
    scores = [score for score in record.scores if score.localizer == localizer]
    scores = [score for score in scores if score.averaging == view.averaging]
    protocols = sorted({score.protocol for score in scores})
    protocol = view.protocol if view.protocol in protocols else protocols[0]
    values = {
        Column(record.cell.dataset, record.cell.split, score.alpha, score.slice): score
        for score in scores
        if score.protocol == protocol
    }
    return protocol, values


def _merge(row: Row, later: Row) -> Row:
    """One row of two that have the same key."""
    return replace(
        row,
        values={**row.values, **later.values},
        pairs={**row.pairs, **later.pairs},
        seconds={**row.seconds, **later.seconds},
        cells={**row.cells, **later.cells},
        notes=row.notes + later.notes,
        remarks=row.remarks + later.remarks,
    )
