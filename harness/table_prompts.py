"""The table of prompt types, in the shape of SD4Match's Table 1: methods as rows, prompts as columns, at one threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.plan import NO_PROMPT
from harness.records import Record, Score
from harness.tables import (
    Table,
    alpha_text,
    caption_of,
    labelled,
    main_protocol,
    notes_of,
    number_text,
    one_alpha,
    score_of,
    split_name,
    tidy,
    why,
)


@dataclass
class _Row:
    """One method's numbers under every prompt."""

    scores: dict[tuple[str, str], Score] = field(default_factory=dict)
    """(prompt, dataset) -> score."""
    backbones: dict[str, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def prompt_types(
    records: Sequence[Record],
    *,
    protocol: str | None = None,
    averaging: Literal["image", "point"] = "image",
    alpha: float | None = None,
    localizers: Sequence[str] | None = None,
    prompts: Sequence[str] = (),
) -> Table:
    """Methods as rows, prompt types as columns (for each dataset, where there are several).

    A row is one method with one localizer on one backbone; the backbone column also names what prompts read besides. What fits together
    with nothing is an en dash. Rows keep the order of the records.

    Args:
        protocol: None for the one most records have, `sd4match` first.
        alpha: None for 0.10 or, where the records lack it, their smallest.
        prompts: order of the columns; those of the records otherwise.
    """
    chosen = protocol or main_protocol(records)
    at = one_alpha(records, alpha)
    records, differs = labelled(records)
    rows: dict[tuple[str, str, str], _Row] = {}
    for record in records:
        _place(record, rows, chosen, averaging, at, localizers, differs.get(record.cell.id))
    used = dict.fromkeys(record.cell.prompt for record in records)
    order = [name for name in (*prompts, *used) if name in used]
    names = [*dict.fromkeys(name for name in order if name != NO_PROMPT), *([NO_PROMPT] if NO_PROMPT in used else [])]
    datasets = list(dict.fromkeys(_dataset(record) for record in records))
    columns = [(prompt, dataset) for dataset in datasets for prompt in names]
    several = len(datasets) > 1
    return Table(
        caption=f"{caption_of(records, chosen, averaging)} Alpha {alpha_text(at)}; {', '.join(datasets)}; a column a prompt type.",
        header=("method", "localizer", "backbone", *(f"{dataset}: {prompt}" if several else prompt for prompt, dataset in columns), "note"),
        rows=tuple(
            (label, localizer, ", ".join(row.backbones), *(number_text(row.scores.get(one)) for one in columns), "; ".join(row.notes))
            for (label, localizer, _), row in rows.items()
        ),
        tidy=tuple(tidy(records, localizers)),
        names=3,
    )


def _place(
    record: Record,
    rows: dict[tuple[str, str, str], _Row],
    protocol: str,
    averaging: str,
    alpha: float,
    localizers: Sequence[str] | None,
    apart: str | None,
) -> None:
    """Adds a record's numbers to its rows; one without numbers leaves only a reason, in the rows of its method."""
    cell = record.cell
    where = f"{cell.prompt} on {_dataset(record)}"
    if not record.scores:
        told = f"{where}: {why(record)}"
        mine = [row for key, row in rows.items() if key[0] == cell.label] or [rows.setdefault((cell.label, "–", cell.features), _Row())]
        mine[0].notes.append(told)
        return
    for localizer in dict.fromkeys(score.localizer for score in record.scores):
        if localizers is not None and localizer not in localizers:
            continue
        row = rows.setdefault((cell.label, localizer, cell.features), _Row())
        row.backbones[cell.backbone] = None
        row.notes += [f"{cell.prompt}: {note}" for note in (*notes_of(record, localizer), *([apart] if apart else []))]
        if score := score_of(record, localizer, averaging, protocol, alpha):
            row.scores[cell.prompt, _dataset(record)] = score


def _dataset(record: Record) -> str:
    return split_name(record.cell.dataset, record.cell.split)
