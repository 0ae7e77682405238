"""PCK on every dataset by what a method was trained on, in the shape of SD4Match's Table 3."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.schema import Record
from harness.specs import Averaging
from harness.tables.captions import (
    numbers_caption,
    pairs_text,
    reported_caption,
    text_or_dash,
    trust_sentences,
)
from harness.tables.marks import group_breaks, mark_best, supervision_order
from harness.tables.reported import ReportedNumbers
from harness.tables.rows import Column, Row, rows_of
from harness.tables.table import Table
from harness.tables.text import alpha_text, split_name
from harness.tables.tidy import distinguish_labels, tidy
from harness.tables.view import choose_protocol, columns_of, reported_columns

_NAMED = ("sup.", "method", "trained on", "prompt", "localizer", "backbone")

_AT_HOME = "†"


def generalisation(
    records: Sequence[Record],
    *,
    protocol: str | None = None,
    averaging: Averaging = "image",
    alphas: Sequence[float] | None = None,
    localizers: Sequence[str] | None = None,
    reported: ReportedNumbers | None = None,
    rank_reported: bool = False,
) -> Table:
    """Methods as rows, by supervision and training data; datasets and alphas as columns. What was trained on a column's dataset is marked.

    Args:
        protocol: None for the one most records have, `sd4match` first.
        alphas: None for all that the records have.
        reported: numbers that papers printed, to stand beside the measured ones.
        rank_reported: puts them in one group with the measured ones.
    """
    chosen = choose_protocol(records, protocol)
    records, differs = distinguish_labels(records)
    lines = rows_of(records, chosen, averaging, localizers, differs)
    columns = columns_of(records, chosen, averaging, alphas)
    printed: list[Row] = []
    if reported:
        lines = [reported.claimed(line, chosen, averaging) for line in lines]
        columns = sorted([*columns, *reported_columns(reported, columns, alphas)])
        printed = reported.lines(columns, chosen, averaging)

    def order(line: Row) -> tuple[object, ...]:
        return (
            line.reported and not rank_reported,
            *supervision_order(line),
            bool(line.notes),
            line.trained_on,
            line.key,
        )

    shown = sorted([*lines, *printed], key=order)
    caption = [numbers_caption(records, chosen, averaging), *trust_sentences(records, [])]
    if any(_at_home(line, column) for line in shown for column in columns):
        caption.append(f"{_AT_HOME}: trained on this dataset.")
    if reported:
        caption.append(reported_caption(any(line.claims for line in lines), bool(printed), rank_reported))
    return Table(
        caption=" ".join(caption),
        header=(
            *_NAMED,
            *(f"{split_name(one.dataset, one.split)} @{alpha_text(one.alpha)}" for one in columns),
            "pairs",
            "note",
        ),
        rows=tuple(
            (
                *(
                    line.supervision,
                    line.method,
                    text_or_dash(line.trained_on),
                    line.prompt,
                    line.localizer,
                    line.backbone,
                ),
                *(line.text(one) + (f" {_AT_HOME}" if _at_home(line, one) else "") for one in columns),
                pairs_text(line),
                "; ".join((*line.notes, *line.remarks)),
            )
            for line in shown
        ),
        tidy=(*tidy(records, localizers), *(reported.tidy() if reported else ())),
        names=len(_NAMED),
        marks=mark_best(shown, columns, len(_NAMED), mixed=rank_reported),
        breaks=group_breaks(shown),
    )


def _at_home(line: Row, column: Column) -> bool:
    return line.trained_on == column.dataset and column in line.values
