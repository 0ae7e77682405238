"""Rows of tables before they are text: one method with one localizer, its numbers, and what a reader needs to trust them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from harness.records.schema import Record, Score, ranking_notes, seconds_per_pair, status_text
from harness.specs import Averaging
from harness.tables.text import NOTHING, difference_text, number_text

Split = tuple[str, str]
"""(dataset, split)"""

RANKING_ALPHA = 0.10
"""The field's headline threshold."""


class Column(NamedTuple):
    """What a column of numbers is of."""

    dataset: str
    split: str
    alpha: float
    slice: str = "all"


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        method: name in the table.
        trained_on: dataset its prompt or network was tuned on; empty for none.
        timestep, ensemble: the extractor's parameters of these names; empty where it has none.
        values: column -> number.
        pairs: split -> pairs behind its numbers.
        seconds: split -> seconds per pair, for features and points, of the run that computed them.
        cells: split -> the record that the numbers are from.
        notes: why the row cannot be compared with others; empty where it can.
        remarks: what else is to be said.
        reported: whether a paper printed the numbers, and nobody here measured them.
        claims: column -> what a paper printed for the same method, prompt and training data.
    """

    method: str
    prompt: str
    localizer: str
    backbone: str
    supervision: str
    trained_on: str = ""
    timestep: str = ""
    ensemble: str = ""
    values: Mapping[Column, Score] = field(default_factory=dict)
    pairs: Mapping[Split, int] = field(default_factory=dict)
    seconds: Mapping[Split, float] = field(default_factory=dict)
    cells: Mapping[Split, Record] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    reported: bool = False
    claims: Mapping[Column, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        """What two lines must have in common to be one row."""
        return self.method, self.prompt, self.localizer, self.backbone, self.trained_on

    def complete(self, columns: Sequence[Column]) -> bool:
        """Whether it can be compared with others in all of these columns."""
        return not self.notes and all(column in self.values for column in columns)

    def mean(self, columns: Sequence[Column]) -> float:
        """Mean over the columns that rank."""
        ruling = ranking_columns(columns)
        return sum(self.values[column].pck for column in ruling) / max(len(ruling), 1)

    def text(self, column: Column, *, interval: bool = True) -> str:
        """`50.7 ±1.0`, with `(−2.2)` behind it where a paper claimed 52.9; an en dash where there is no number."""
        score = self.values.get(column)
        if score is None:
            return NOTHING
        claim = self.claims.get(column)
        number = number_text(score) if interval else f"{score.pck:.1f}"
        return number if claim is None else f"{number} ({difference_text(score.pck - claim)})"


def ranking_columns(columns: Sequence[Column]) -> Sequence[Column]:
    """The columns that rows are ranked by: those at alpha 0.10, or all."""
    return [column for column in columns if column.alpha == RANKING_ALPHA] or columns


def rows_of(
    records: Iterable[Record],
    protocol: str,
    averaging: Averaging,
    localizers: Sequence[str] | None = None,
    apart: Mapping[str, str] | None = None,
) -> list[Row]:
    """One line per method, prompt, localizer, backbone and training data, over all datasets.

    A cell without the protocol has the numbers of another one, and a note that says so; a cell without numbers has a line with the reason.

    Args:
        localizers: keep only these.
        apart: cell id -> what sets it apart from another cell of its name (`harness.tables.tidy.distinguish_labels`).
    """
    merged: dict[tuple[str, ...], Row] = {}
    for record in records:
        for line in _lines(record, protocol, averaging, localizers, (apart or {}).get(record.cell.id)):
            earlier = merged.get(line.key)
            merged[line.key] = _joined(earlier, line) if earlier else line
    return list(merged.values())


def _lines(
    record: Record, protocol: str, averaging: Averaging, localizers: Sequence[str] | None, apart: str | None
) -> Iterable[Row]:
    cell = record.cell
    unlike = [f"{cell.dataset}: {apart}"] if apart else []
    bare = Row(
        cell.label,
        cell.prompt,
        NOTHING,
        cell.backbone,
        cell.supervision,
        cell.trained_on or "",
        timestep=str(cell.params.get("timestep", "")),
        ensemble=str(cell.params.get("ensemble", "")),
    )
    if not record.scores:
        yield replace(bare, notes=(f"{cell.dataset}: {status_text(record)}", *unlike))
        return
    split = (cell.dataset, cell.split)
    seconds = seconds_per_pair(record)
    for localizer in sorted({score.localizer for score in record.scores}):
        if localizers is not None and localizer not in localizers:
            continue
        mine = [
            score for score in record.scores if score.localizer == localizer and score.averaging == averaging
        ]
        protocols = sorted({score.protocol for score in mine})
        used = protocol if protocol in protocols else protocols[0]
        yield replace(
            bare,
            localizer=localizer,
            values={
                Column(*split, score.alpha, score.slice): score for score in mine if score.protocol == used
            },
            pairs={split: record.localizers[localizer].pairs},
            seconds={} if seconds is None else {split: seconds},
            cells={split: record},
            notes=(
                *ranking_notes(record, localizer),
                *unlike,
                *([] if used == protocol else [f"protocol {used}"]),
            ),
        )


def _joined(first: Row, other: Row) -> Row:
    return replace(
        first,
        values={**first.values, **other.values},
        pairs={**first.pairs, **other.pairs},
        seconds={**first.seconds, **other.seconds},
        cells={**first.cells, **other.cells},
        notes=first.notes + other.notes,
        remarks=first.remarks + other.remarks,
    )
