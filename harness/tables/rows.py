"""Records become rows of tables: one per method, prompt, localizer, backbone and training data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.records.schema import Record, Score
from harness.tables.chosen import chosen_remarks
from harness.tables.columns import Column, column_of, split_of
from harness.tables.names import Names
from harness.tables.row import Row
from harness.tables.row_notes import ranking_notes
from harness.tables.seeds import SeedMean, merge_seeds
from harness.tables.text import NOTHING
from harness.tables.tuning import merged_tuned_on, tuning_remarks
from harness.tables.view import View, named


def rows_of(records: Sequence[Record], view: View) -> list[Row]:
    """One row per method, prompt, localizer, backbone and training data, over all datasets and seeds.

    A cell without the view's protocol has the numbers of another one, and a note that says so; a cell without
    numbers has a row with the reason. So has one on other data than those that rows are ranked on, where it
    has notes.
    """
    records, view, names = named(records, view)
    merged: dict[tuple[str, ...], Row] = {}
    for mean in merge_seeds(records, view, names):
        for row in _rows_of_mean(mean, view, names):
            key = row.key
            # What is wrong with data that were mended since is no fault of the row on the present data.
            if row.notes and split_of(mean.record) in names.aside:
                key = (*key, *split_of(mean.record))
            earlier = merged.get(key)
            merged[key] = _merge(earlier, row) if earlier else row
    return list(merged.values())


def _rows_of_mean(mean: SeedMean, view: View, names: Names) -> Iterator[Row]:
    record = mean.record
    cell = record.cell
    split = (cell.dataset, cell.split)
    bare = Row(
        cell.label,
        cell.prompt,
        NOTHING,
        cell.backbone,
        cell.supervision,
        cell.trained_on or "",
        params=cell.params,
        tuned_on=cell.tuned_on,
    )
    if not record.scores:
        reasons = [mean.status, *names.reasons_of(record)]
        yield replace(bare, notes=tuple(f"{cell.dataset}: {reason}" for reason in reasons))
        return
    seconds = mean.seconds
    for localizer in sorted({score.localizer for score in record.scores}):
        if not view.shows_localizer(localizer):
            continue
        reasons = [f"{cell.dataset}: {reason}" for reason in names.reasons_of(record, localizer)]
        if view.protocol in record.not_applicable:
            # Not a lack of this row: no method has such a number on this dataset, and so it is ranked.
            remark = f"{cell.dataset}: not applicable: {record.not_applicable[view.protocol]}"
            name = names.localizer(record, localizer)
            yield replace(
                bare, localizer=name, stored_localizer=localizer, notes=tuple(reasons), remarks=(remark,)
            )
            continue
        # Numbers of another protocol are shown; the row's note keeps them out of the ranking.
        protocol, values = _numbers(record, localizer, view)
        lacking = view.lacking(record, localizer, protocol)
        notes = [*ranking_notes(record, localizer, protocol), *lacking, *reasons]
        remarks = [*chosen_remarks(record), *tuning_remarks(record)]
        remarks += [f"{cell.dataset}: {remark}" for remark in mean.remarks]
        if mean.is_mixed:
            remarks.append(f"{cell.dataset}: predictions made in several environments")
        if protocol != view.protocol:
            notes.append(f"protocol {protocol}")
        else:
            notes += view.rule_notes(mean.members)
        yield replace(
            bare,
            localizer=names.localizer(record, localizer),
            stored_localizer=localizer,
            values=values,
            pairs={split: max(score.pairs for score in values.values())} if values else {},
            seconds={} if seconds is None else {split: seconds},
            # Predictions and data are found by the names in the folder.
            cells={split: tuple(map(names.original, mean.members))},
            notes=tuple(notes),
            remarks=tuple(remarks),
        )


def _numbers(record: Record, localizer: str, view: View) -> tuple[str, dict[Column, Score]]:
    """A protocol and a localizer's numbers of it: the view's protocol, or the first by name.

    There are no numbers where the record lacks the view's average.
    """
    scores = [score for score in record.scores if score.localizer == localizer]
    protocols = sorted({score.protocol for score in scores})
    protocol = view.protocol if view.protocol in protocols else protocols[0]
    values = {}
    for score in scores:
        if score.protocol == protocol and score.averaging == view.averaging:
            values[column_of(record, score.alpha, score.slice)] = score
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
        tuned_on=merged_tuned_on(row.tuned_on, later.tuned_on),
    )
