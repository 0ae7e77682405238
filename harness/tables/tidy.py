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
            labels[cell.id] = f"{cell.label} ({cell.id.rpartition('.')[2][:6]})"
            differences[cell.id] = _difference(best, record)
    return [_with_label(record, labels.get(record.cell.id)) for record in records], differences


def _foundation(record: Record) -> tuple[bool, bool, bool, str]:
    """Sorting key: records whose numbers stand on more come first."""
    is_limited = any(record.coverage(name) == "limited" for name in record.localizers)
    return not record.scores, bool(record.failures), is_limited, record.cell.id


def _with_label(record: Record, label: str | None) -> Record:
    if label is None:
        return record
    return record.model_copy(update={"cell": record.cell.model_copy(update={"label": label})})


def _difference(record: Record, twin: Record) -> str:
    """The difference of a record's twin from the record, in words."""
    aspects, twin_aspects = _aspects(record), _aspects(twin)
    names = [name for name, value in aspects.items() if value != twin_aspects[name]]
    return f"other {', '.join(names)} than {record.cell.label}" if names else "another cell of this name"


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
    return tuple("" if row[key] is None else str(row[key]) for key in TIDY_KEYS)


def _tidy_row(record: Record, score: Score | None) -> TidyRow:
    localizer = score.localizer if score else ""
    info = record.localizers.get(localizer)
    return {
        "method": record.cell.label,
        "prompt": record.cell.prompt,
        "localizer": localizer,
        "dataset": record.cell.dataset,
        "split": record.cell.split,
        "protocol": score.protocol if score else "",
        "averaging": score.averaging if score else "",
        "alpha": score.alpha if score else None,
        "slice": score.slice if score else "",
        "pck": score.pck if score else None,
        "low": score.low if score else None,
        "high": score.high if score else None,
        "pairs": score.pairs if score else 0,
        "keypoints": score.keypoints if score else 0,
        "failed": info.failed if info else 0,
        "backbone": record.cell.backbone,
        "status": record.coverage(localizer) if score else record.status,
        "source": "measured",
    }
