"""PCK by prompt type at one threshold: methods as rows, prompts as columns, like SD4Match's Table 1."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from harness.messages import counted
from harness.records.schema import Record, Score
from harness.specs import NO_PROMPT
from harness.tables.captions import numbers_caption, reported_caption
from harness.tables.columns import Column, Split, column_of, split_of
from harness.tables.names import Names
from harness.tables.papers import ReportedMethod, ReportedNumbers, citation
from harness.tables.reported import all_tidy_rows, foreign_notes, measured_rows
from harness.tables.row_notes import ranking_notes
from harness.tables.seeds import SeedMean, merge_seeds, seeds_sentence
from harness.tables.table import Table
from harness.tables.text import NOTHING, REPORTED, alpha_text, split_name
from harness.tables.view import Selection, View, named

_RowKey = tuple[str, str, str]
"""(label, localizer, backbone of the features)"""


_Printed = tuple[str, str, str, str]
"""(method as printed, paper, protocol, average)"""


@dataclass
class _Row:
    """One method's numbers under every prompt."""

    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    """(prompt, dataset) -> number."""
    seeds: dict[tuple[str, str], int] = field(default_factory=dict)
    """(prompt, dataset) -> seeds that the number is the mean of."""
    backbones: dict[str, None] = field(default_factory=dict)
    """In order of appearance."""
    notes: list[str] = field(default_factory=list)


def prompt_types(records: Sequence[Record], view: View) -> Table:
    """Methods as rows, prompt types as columns (for each dataset, where there are several), at one threshold.

    A row is one method with one localizer on one backbone; the backbone column also names what prompts read
    besides. A prompt that a row has no number under is an en dash. Rows keep the order of the records;
    reported ones follow.
    """
    alpha = view.one_alpha(records)
    records, view, names = named(records, view)
    rows: dict[_RowKey, _Row] = {}
    means = merge_seeds(records, view, names)
    for mean in means:
        _add_mean(mean, rows, view, alpha, names)
    seeds = [count for row in rows.values() for count in row.seeds.values()]
    for row in rows.values():
        row.notes += _seeds_notes(row, min(seeds, default=1))
    datasets = list(dict.fromkeys(_dataset_name(record) for record in records))
    prompts = _order_prompts(records, view)
    columns = [(prompt, dataset) for dataset, prompt in itertools.product(datasets, prompts)]
    scores = [(column_of(mean.record, alpha), score) for mean, score in _shown_scores(means, view, alpha)]
    caption = [numbers_caption(records, view, scores), *filter(None, [seeds_sentence(seeds)])]
    if view.reported:
        # After the measured columns are known: they decide which datasets' numbers are shown.
        reported = _reported_rows(view.reported, view, alpha, set(datasets))
        for row in reported.values():
            columns += row.texts
        # Stable: within a dataset the printed ones follow, and `none` stays last.
        columns = sorted(dict.fromkeys(columns), key=lambda column: column[0] == NO_PROMPT)
        datasets = list(dict.fromkeys(dataset for _, dataset in columns))
        rows |= reported
        has_claims = any(_has_claim(row) for row in rows.values())
        caption.append(reported_caption(has_claims=has_claims, has_rows=bool(reported), is_marked=False))
    caption.append(f"Alpha {alpha_text(alpha)}; {', '.join(datasets)}; a column a prompt type.")
    titles = [prompt for prompt, _ in columns]
    if len(datasets) > 1:
        titles = [f"{dataset}: {prompt}" for prompt, dataset in columns]
    return Table(
        caption=" ".join(caption),
        header=("method", "localizer", "backbone", *titles, "note"),
        rows=tuple(_texts(key, row, columns) for key, row in rows.items()),
        tidy=all_tidy_rows(records, view),
        names=3,
    )


def _shown_scores(means: Sequence[SeedMean], view: View, alpha: float) -> Iterator[tuple[SeedMean, Score]]:
    """The numbers that the table has."""
    for mean in means:
        for localizer in filter(view.shows_localizer, mean.record.localizers):
            if score := view.score_of(mean.record, localizer, alpha):
                yield mean, score


def _has_claim(row: _Row) -> bool:
    """Says whether a number is followed by its difference from a printed one, in brackets."""
    return any("(" in text for text in row.texts.values())


def prompt_selections(records: Sequence[Record], view: View) -> list[Selection]:
    """For a page: the records of the datasets on which some method has several prompts."""
    prompts: dict[tuple[str, Split], set[str]] = {}
    for record in records:
        key = (record.cell.method, split_of(record))
        prompts.setdefault(key, set()).add(record.cell.prompt)
    splits = set()
    for (_, split), names in prompts.items():
        if len(names) > 1:
            splits.add(split)
    compared = [record for record in records if split_of(record) in splits]
    if not compared:
        return []
    return [Selection(compared, view)]


def _order_prompts(records: Sequence[Record], view: View) -> list[str]:
    """The prompts of the records: those that the view names first, `none` last."""
    prompts = dict.fromkeys(record.cell.prompt for record in records)
    named = [name for name in view.prompts if name in prompts]
    order = dict.fromkeys([*named, *prompts])
    # A stable sort, which moves `none` alone.
    return sorted(order, key=lambda name: name == NO_PROMPT)


def _add_mean(mean: SeedMean, rows: dict[_RowKey, _Row], view: View, alpha: float, names: Names) -> None:
    """Adds numbers to their rows.

    A record without numbers leaves only the reason, as a note in the first row of its method.
    """
    record, cell = mean.record, mean.record.cell
    if not record.scores:
        reason = f"{cell.prompt} on {_dataset_name(record)}: {mean.status}"
        _first_row(rows, record).notes.append(reason)
        return
    for localizer in dict.fromkeys(score.localizer for score in record.scores):
        if not view.shows_localizer(localizer):
            continue
        row = rows.setdefault((cell.label, names.localizer(record, localizer), cell.features), _Row())
        row.backbones[cell.backbone] = None
        notes = [
            *ranking_notes(record, localizer, view.protocol),
            *view.lacking(record, localizer),
            *view.rule_notes(mean.members),
            *names.reasons_of(record, localizer),
        ]
        if view.score_of(record, localizer, alpha):
            text, remarks = _number_text(mean, localizer, view, alpha)
            row.seeds[cell.prompt, _dataset_name(record)] = len(mean.members)
            row.texts[cell.prompt, _dataset_name(record)] = text
            notes += remarks
        notes += [f"{cell.dataset}: {remark}" for remark in mean.remarks]
        row.notes += [f"{cell.prompt}: {note}" for note in dict.fromkeys(notes)]


def _seeds_notes(row: _Row, usual: int) -> list[str]:
    """A note for each number of more seeds than usual."""
    notes = []
    for (prompt, dataset), count in row.seeds.items():
        if count != usual:
            notes.append(f"{prompt}: {dataset}: {counted(count, 'seed')}")
    return notes


def _first_row(rows: dict[_RowKey, _Row], record: Record) -> _Row:
    """The first row of a record's method; a new one where it has none."""
    cell = record.cell
    for (label, _, _), row in rows.items():
        if label == cell.label:
            return row
    return rows.setdefault((cell.label, NOTHING, cell.features), _Row())


def _number_text(mean: SeedMean, localizer: str, view: View, alpha: float) -> tuple[str, Sequence[str]]:
    """A number by one localizer, with what a paper claimed, and remarks on that and on seeds."""
    # One mean and one localizer are one row of the leaderboard, which knows claims and their remarks.
    localizer_view = replace(view, localizers=[localizer])
    (row,) = measured_rows(mean.members, localizer_view)
    return row.text(column_of(mean.record, alpha)), row.remarks


def _texts(key: _RowKey, row: _Row, columns: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    label, localizer, _ = key
    numbers = [row.texts.get(column, NOTHING) for column in columns]
    backbones = ", ".join(row.backbones)
    return (label, localizer, backbones, *numbers, "; ".join(row.notes))


def _reported_rows(
    reported: ReportedNumbers, view: View, alpha: float, datasets: set[str]
) -> dict[_RowKey, _Row]:
    """A row for each method that a paper printed with several prompts on one of the datasets.

    Where no such number is printed for these datasets, the rows are of those printed for others.
    """
    numbers: dict[tuple[_Printed, str], list[tuple[ReportedMethod, Column]]] = {}
    for method in reported.methods:
        for column in method.values:
            if column.slice == "all" and column.alpha == alpha and not method.trained_on:
                printed_as: _Printed = (method.name, method.source, method.protocol, method.averaging)
                key = (printed_as, split_name(column.dataset, column.split))
                numbers.setdefault(key, []).append((method, column))
    keys: list[tuple[_Printed, str]] = []
    measured_keys: list[tuple[_Printed, str]] = []
    for (printed_as, dataset), entries in numbers.items():
        # Under one prompt alone there is nothing to compare.
        if len(entries) < 2:
            continue
        keys.append((printed_as, dataset))
        if dataset in datasets:
            measured_keys.append((printed_as, dataset))
    rows: dict[_RowKey, _Row] = {}
    has_several_papers = len({printed_as[1:] for printed_as, _ in measured_keys or keys}) > 1
    for printed_as, dataset in measured_keys or keys:
        entries = numbers[printed_as, dataset]
        method = entries[0][0]
        # What two papers print of one method are two rows.
        paper = f" in {', '.join(printed_as[1:])}" if has_several_papers else ""
        row_key = (f"{method.name}{paper} {REPORTED}", method.localizer, method.backbone)
        row = rows.setdefault(row_key, _Row())
        row.backbones[method.backbone] = None
        for method, column in entries:
            row.texts[method.prompt, dataset] = f"{method.values[column]:.1f}"
        for note in (citation(entries), *foreign_notes(view, method)):
            if note not in row.notes:
                row.notes.append(note)
    return rows


def _dataset_name(record: Record) -> str:
    return split_name(record.cell.dataset, record.cell.split)
