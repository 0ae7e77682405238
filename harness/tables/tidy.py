"""Tidy rows, one per score, as the CSV and JSON leaderboards print them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.schema import Record, Score
from harness.tables.table import TIDY_KEYS, TidyRow
from harness.tables.view import View


def distinguish_labels(records: Sequence[Record]) -> tuple[list[Record], dict[str, str]]:
    """Gives records of one name labels that tell them apart.

    Two cells of one method, prompt, backbone and split differ in something that tables have no column for:
    the data behind a dataset's name, the precision, the plugin's code. The best founded one (complete, then
    without failures) keeps its label.

    Returns:
        the records, and cell id -> what differs, for the cells with a new label.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        cell = record.cell
        key = (cell.label, cell.prompt, cell.backbone, cell.dataset, cell.split)
        groups.setdefault(key, []).append(record)
    labels: dict[str, str] = {}
    differences: dict[str, str] = {}
    for group in groups.values():
        best, *twins = sorted(group, key=_foundation)
        for record in twins:
            cell = record.cell
            # An id ends in a dot and a hash of what determines the numbers.
            _, _, digest = cell.id.rpartition(".")
            labels[cell.id] = f"{cell.label} ({digest[:6]})"
            differences[cell.id] = _difference(best, record)
    labelled = []
    for record in records:
        labelled.append(_with_label(record, labels.get(record.cell.id)))
    return labelled, differences


def _foundation(record: Record) -> tuple[bool, bool, bool, str]:
    """Sorting key: records whose numbers stand on more come first."""
    is_limited = any(record.coverage(name) == "limited" for name in record.localizers)
    # The id last: the same record keeps its label whatever order the folder is read in.
    return not record.scores, bool(record.failures), is_limited, record.cell.id


def _with_label(record: Record, label: str | None) -> Record:
    if label is None:
        return record
    cell = record.cell.model_copy(update={"label": label})
    return record.model_copy(update={"cell": cell})


def _difference(record: Record, twin: Record) -> str:
    """The difference of a record's twin from the record, in words."""
    aspects, twin_aspects = _aspects(record), _aspects(twin)
    names = [name for name in aspects if aspects[name] != twin_aspects[name]]
    if not names:
        return "another cell of this name"
    return f"other {', '.join(names)} than {record.cell.label}"


def _aspects(record: Record) -> dict[str, object]:
    """The values that cells of one name can differ in, by the name that a user has for each."""
    provenance = record.provenance
    if provenance is None:
        unknown = dict.fromkeys(("data", "precision", "plugin code", "prompt code", "prompt file"))
        return {**unknown, "input size": record.cell.fed}
    return {
        "data": provenance.manifest,
        "precision": provenance.precision,
        "plugin code": provenance.plugins.get("extractor"),
        "prompt code": provenance.plugins.get("prompt"),
        "prompt file": provenance.weights.get("prompt file"),
        "input size": record.cell.fed,
    }


def tidy_rows(records: Iterable[Record], view: View | None = None) -> list[TidyRow]:
    """One row per method, prompt, localizer, dataset, split, protocol, averaging, alpha and slice, sorted.

    A cell without numbers has one row, with an empty protocol and null numbers.

    Args:
        view: the rows are of its localizers; None for all.
    """
    rows: list[TidyRow] = []
    for record in records:
        if not record.scores:
            rows.append(_tidy_row(record, None))
        for score in record.scores:
            if view is None or view.shows_localizer(score.localizer):
                rows.append(_tidy_row(record, score))
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
    }
    if score is None:
        return row
    info = record.localizers.get(score.localizer)
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
        "failed": info.failed if info else 0,
        "status": record.coverage(score.localizer),
    }
