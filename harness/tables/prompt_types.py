"""The table of prompt types, in the shape of SD4Match's Table 1: methods as rows, prompts as columns, at one threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.records.schema import Record, ranking_notes, status_text
from harness.specs import NO_PROMPT, Averaging
from harness.tables.captions import numbers_caption, reported_caption
from harness.tables.reported import ReportedMethod, ReportedNumbers, citation
from harness.tables.rows import Column, rows_of
from harness.tables.table import Table
from harness.tables.text import NOTHING, alpha_text, split_name
from harness.tables.tidy import distinguish_labels, tidy
from harness.tables.view import choose_protocol, one_alpha, score_of


@dataclass
class _Row:
    """One method's numbers under every prompt."""

    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    """(prompt, dataset) -> number."""
    backbones: dict[str, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def prompt_types(
    records: Sequence[Record],
    *,
    protocol: str | None = None,
    averaging: Averaging = "image",
    alpha: float | None = None,
    localizers: Sequence[str] | None = None,
    prompts: Sequence[str] = (),
    reported: ReportedNumbers | None = None,
) -> Table:
    """Methods as rows, prompt types as columns (for each dataset, where there are several).

    A row is one method with one localizer on one backbone; the backbone column also names what prompts read besides. What fits together
    with nothing is an en dash. Rows keep the order of the records.

    Args:
        protocol: None for the one most records have, `sd4match` first.
        alpha: None for 0.10 or, where the records lack it, their smallest.
        prompts: order of the columns; those of the records otherwise.
        reported: numbers that papers printed, in rows below the measured ones.
    """
    chosen = choose_protocol(records, protocol)
    at = one_alpha(records, alpha)
    records, differs = distinguish_labels(records)
    rows: dict[tuple[str, str, str], _Row] = {}
    for record in records:
        _place(record, rows, chosen, averaging, at, localizers, differs.get(record.cell.id), reported)
    used = dict.fromkeys(record.cell.prompt for record in records)
    order = [name for name in (*prompts, *used) if name in used]
    names = [
        *dict.fromkeys(name for name in order if name != NO_PROMPT),
        *([NO_PROMPT] if NO_PROMPT in used else []),
    ]
    datasets = list(dict.fromkeys(_dataset(record) for record in records))
    columns = [(prompt, dataset) for dataset in datasets for prompt in names]
    caption = [numbers_caption(records, chosen, averaging)]
    if reported:
        printed = _printed(reported, at, set(datasets))
        columns += [one for row in printed.values() for one in row.texts if one not in columns]
        # Stable: within a dataset the printed ones follow, and `none` stays last.
        columns = sorted(dict.fromkeys(columns), key=lambda one: one[0] == NO_PROMPT)
        datasets = list(dict.fromkeys(dataset for _, dataset in columns))
        rows |= printed
        claims = any("(" in text for row in rows.values() for text in row.texts.values())
        caption.append(reported_caption(claims, bool(printed), mixed=True))
    caption.append(f"Alpha {alpha_text(at)}; {', '.join(datasets)}; a column a prompt type.")
    several = len(datasets) > 1
    return Table(
        caption=" ".join(caption),
        header=(
            "method",
            "localizer",
            "backbone",
            *(f"{dataset}: {prompt}" if several else prompt for prompt, dataset in columns),
            "note",
        ),
        rows=tuple(
            (
                label,
                localizer,
                ", ".join(row.backbones),
                *(row.texts.get(one, NOTHING) for one in columns),
                "; ".join(row.notes),
            )
            for (label, localizer, _), row in rows.items()
        ),
        tidy=(*tidy(records, localizers), *(reported.tidy() if reported else ())),
        names=3,
    )


def _place(
    record: Record,
    rows: dict[tuple[str, str, str], _Row],
    protocol: str,
    averaging: Averaging,
    alpha: float,
    localizers: Sequence[str] | None,
    apart: str | None,
    reported: ReportedNumbers | None,
) -> None:
    """Adds a record's numbers to its rows; one without numbers leaves only a reason, in the rows of its method."""
    cell = record.cell
    where = f"{cell.prompt} on {_dataset(record)}"
    if not record.scores:
        told = f"{where}: {status_text(record)}"
        mine = [row for key, row in rows.items() if key[0] == cell.label] or [
            rows.setdefault((cell.label, NOTHING, cell.features), _Row())
        ]
        mine[0].notes.append(told)
        return
    for localizer in dict.fromkeys(score.localizer for score in record.scores):
        if localizers is not None and localizer not in localizers:
            continue
        row = rows.setdefault((cell.label, localizer, cell.features), _Row())
        row.backbones[cell.backbone] = None
        row.notes += [
            f"{cell.prompt}: {note}"
            for note in (*ranking_notes(record, localizer), *([apart] if apart else []))
        ]
        if score_of(record, localizer, averaging, protocol, alpha):
            (line,) = rows_of([record], protocol, averaging, [localizer])
            line = reported.claimed(line, protocol, averaging) if reported else line
            row.texts[cell.prompt, _dataset(record)] = line.text(Column(cell.dataset, cell.split, alpha))
            row.notes += [f"{cell.prompt}: {one}" for one in line.remarks]


def _printed(reported: ReportedNumbers, alpha: float, datasets: set[str]) -> dict[tuple[str, str, str], _Row]:
    """A row for each method that was printed with several prompts, on the datasets measured or, where there is none of those, on all."""
    numbers: dict[tuple[str, str], list[tuple[ReportedMethod, Column]]] = {}
    for one in reported.printed:
        for column in one.values:
            if column.slice == "all" and column.alpha == alpha and not one.trained_on:
                numbers.setdefault((one.name, split_name(column.dataset, column.split)), []).append(
                    (one, column)
                )
    several = {key: printed for key, printed in numbers.items() if len(printed) > 1}
    here = {key: printed for key, printed in several.items() if key[1] in datasets}
    found: dict[tuple[str, str, str], _Row] = {}
    for (name, dataset), printed in (here or several).items():
        first = printed[0][0]
        row = found.setdefault((f"{name} (reported)", first.localizer, first.backbone), _Row())
        row.backbones[first.backbone] = None
        row.texts |= {(one.prompt, dataset): f"{one.values[column]:.1f}" for one, column in printed}
        if citation(printed) not in row.notes:
            row.notes.append(citation(printed))
    return found


def _dataset(record: Record) -> str:
    return split_name(record.cell.dataset, record.cell.split)
