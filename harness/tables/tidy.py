"""Tidy rows, one per score, as the CSV and JSON leaderboards print them."""

from __future__ import annotations

from collections.abc import Iterable

from harness.records.schema import Record, Score
from harness.tables.intervals import interval_kind
from harness.tables.table import TIDY_KEYS, TidyRow
from harness.tables.tuning import tidy_tuned_on
from harness.tables.view import View


def tidy_rows(records: Iterable[Record], view: View | None = None) -> list[TidyRow]:
    """One row per method, prompt, localizer, dataset, split, protocol, averaging, alpha and slice, sorted.

    A cell without numbers has one row, with an empty protocol and null numbers.

    Args:
        view: the rows are of its localizers; None for all.
    """
    rows: list[TidyRow] = []
    names = view.names if view else None
    for record in records:
        if not record.scores:
            rows.append(_tidy_row(record, None))
        for score in record.scores:
            if view is None or view.shows_localizer(score.localizer):
                localizer = names.localizer(record, score.localizer) if names else score.localizer
                rows.append(_tidy_row(record, score) | {"localizer": localizer})
    return sorted(rows, key=_tidy_order)


def _tidy_order(row: TidyRow) -> tuple[str, ...]:
    texts = []
    for key in TIDY_KEYS:
        value = row[key]
        texts.append("" if value is None else str(value))
    return tuple(texts)


def _tidy_row(record: Record, score: Score | None) -> TidyRow:
    row: TidyRow = {
        "method": record.cell.label,
        "prompt": record.cell.prompt,
        "localizer": "",
        "dataset": record.cell.dataset,
        "split": record.cell.split,
        "protocol": "",
        "averaging": "",
        "alpha": None,
        "slice": "",
        "pck": None,
        "low": None,
        "high": None,
        "pairs": 0,
        "keypoints": 0,
        "failed": 0,
        "backbone": record.cell.backbone,
        "status": record.status,
        "source": "measured",
        "trained_on": record.cell.trained_on or "",
        "tuned_on": tidy_tuned_on(record.cell.tuned_on),
        "seed": record.cell.seed,
        "images": None,
        "interval": None,
        "paper": "",
    }
    if score is None:
        return row
    # Keys keep their places: JSON prints them in this order.
    return row | {
        "localizer": score.localizer,
        "protocol": score.protocol,
        "averaging": score.averaging,
        "alpha": score.alpha,
        "slice": score.slice,
        "pck": score.pck,
        "low": score.low,
        "high": score.high,
        "pairs": score.pairs,
        "keypoints": score.keypoints,
        "failed": record.failed_pairs(score.localizer, score.protocol),
        "status": record.coverage(score.localizer, score.protocol),
        "images": score.images,
        "interval": interval_kind(score),
    }
