"""PCK by category, in the shape of SD4Match's Table 2: methods as rows within supervision groups, categories as columns, one threshold."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.schema import Record
from harness.specs import Averaging
from harness.tables.captions import numbers_caption, reported_caption, text_or_dash, trust_sentences
from harness.tables.marks import group_breaks, mark_best, supervision_order
from harness.tables.reported import ReportedNumbers
from harness.tables.rows import Column, Row, rows_of
from harness.tables.table import Table
from harness.tables.text import alpha_text, split_name
from harness.tables.tidy import distinguish_labels, tidy
from harness.tables.view import choose_protocol, one_alpha

_NAMED = ("sup.", "method", "prompt", "localizer", "backbone", "trained on")


def per_category(
    records: Sequence[Record],
    *,
    protocol: str | None = None,
    averaging: Averaging = "image",
    alpha: float | None = None,
    localizers: Sequence[str] | None = None,
    reported: ReportedNumbers | None = None,
    rank_reported: bool = False,
) -> list[Table]:
    """A table for each dataset and split. Within a supervision group, rows are in order of PCK over all pairs, best first.

    Args:
        protocol: None for the one most records have, `sd4match` first.
        alpha: None for 0.10 or, where the records lack it, their smallest.
        reported: numbers that papers printed, to stand beside the measured ones of their datasets.
        rank_reported: puts them in order with the measured ones.
    """
    chosen, at = choose_protocol(records, protocol), one_alpha(records, alpha)
    records, differs = distinguish_labels(records)
    splits = list(dict.fromkeys((record.cell.dataset, record.cell.split) for record in records))
    tables = []
    for split in splits:
        here = [record for record in records if (record.cell.dataset, record.cell.split) == split]
        lines = rows_of(here, chosen, averaging, localizers, differs)
        tables.append(_table(here, lines, split, chosen, averaging, at, localizers, reported, rank_reported))
    return tables


def _table(
    records: Sequence[Record],
    lines: Sequence[Row],
    split: tuple[str, str],
    protocol: str,
    averaging: Averaging,
    alpha: float,
    localizers: Sequence[str] | None,
    reported: ReportedNumbers | None,
    rank_reported: bool,
) -> Table:
    whole = Column(*split, alpha)
    slices = {
        column.slice for line in lines for column in line.values if column.slice.startswith("category=")
    }
    columns = [*(Column(*split, alpha, name) for name in sorted(slices)), whole]
    printed: list[Row] = []
    if reported:
        lines = [reported.claimed(line, protocol, averaging) for line in lines]
        # A number over all pairs alone is none by category.
        printed = [
            line
            for line in reported.lines(columns, protocol, averaging)
            if any(one.slice != "all" for one in line.values)
        ]

    def order(line: Row) -> tuple[object, ...]:
        number = line.values.get(whole)
        apart = line.reported and not rank_reported
        return (
            apart,
            *supervision_order(line),
            bool(line.notes),
            number is None,
            -number.pck if number else 0.0,
            line.key,
        )

    shown = sorted([*lines, *printed], key=order)
    caption = [
        numbers_caption(records, protocol, averaging),
        f"Alpha {alpha_text(alpha)}; {split_name(*split)}; a column a category.",
    ]
    caption += [_sizes(lines, columns), *trust_sentences(records, [])]
    if reported:
        caption.append(reported_caption(any(line.claims for line in lines), bool(printed), rank_reported))
    return Table(
        caption=" ".join(filter(None, caption)),
        header=(*_NAMED, *(column.slice.removeprefix("category=") for column in columns), "note"),
        rows=tuple(
            (
                *(
                    line.supervision,
                    line.method,
                    line.prompt,
                    line.localizer,
                    line.backbone,
                    text_or_dash(line.trained_on),
                ),
                *(line.text(column, interval=column == whole) for column in columns),
                "; ".join((*line.notes, *line.remarks)),
            )
            for line in shown
        ),
        tidy=(*tidy(records, localizers), *(reported.tidy(split[0]) if reported else ())),
        names=len(_NAMED),
        marks=mark_best(shown, columns, len(_NAMED), mixed=rank_reported),
        breaks=group_breaks(shown),
    )


def _sizes(lines: Sequence[Row], columns: Sequence[Column]) -> str:
    """How many pairs each column is of, in whole rows."""
    counts = {
        column.slice.removeprefix("category="): max(
            (line.values[column].pairs for line in lines if column in line.values), default=0
        )
        for column in columns
    }
    if len(set(list(counts.values())[:-1])) == 1 and len(counts) > 2:
        return f"{counts['all']} pairs, {next(iter(counts.values()))} in each category."
    return f"Pairs: {', '.join(f'{name} {count}' for name, count in counts.items())}."
