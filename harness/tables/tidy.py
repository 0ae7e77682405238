"""Tidy rows, one per score, as the CSV and JSON leaderboards print them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.schema import Record, Score
from harness.tables.table import TIDY_KEYS, TidyRow


def distinguish_labels(records: Sequence[Record]) -> tuple[list[Record], dict[str, str]]:
    """Records whose methods have names that tell them apart, and what sets the renamed ones apart.

    Two cells of one method, prompt, backbone and split differ in something that tables have no column for: the data behind a dataset's
    name, the precision, the plugin's code. The best founded one (complete, then without failures) keeps the name.

    Returns:
        the records, and cell id -> what differs.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        cell = record.cell
        groups.setdefault((cell.label, cell.prompt, cell.backbone, cell.dataset, cell.split), []).append(
            record
        )
    renamed: dict[str, str] = {}
    differs: dict[str, str] = {}
    for group in groups.values():
        first, *others = sorted(
            group, key=lambda one: (not one.scores, bool(one.failures), _is_limited(one), one.cell.id)
        )
        for other in others:
            renamed[other.cell.id] = f"{other.cell.label} ({other.cell.id.rpartition('.')[2][:6]})"
            differs[other.cell.id] = _difference(first, other)
    found = [
        one.model_copy(update={"cell": one.cell.model_copy(update={"label": renamed[one.cell.id]})})
        if one.cell.id in renamed
        else one
        for one in records
    ]
    return found, differs


def _is_limited(record: Record) -> bool:
    return any(record.coverage(name) == "limited" for name in record.localizers)


def _difference(first: Record, other: Record) -> str:
    """What sets a cell apart from another of the same name."""
    names = [name for name, value in _aspects(first).items() if value != _aspects(other)[name]]
    return f"other {', '.join(names)} than {first.cell.label}" if names else "another cell of this name"


def _aspects(record: Record) -> dict[str, object]:
    """What cells of one name can differ in, by the name that a user has for it."""
    provenance = record.provenance
    if provenance is None:
        return dict.fromkeys(("data", "precision", "plugin code", "prompt code", "prompt file")) | {
            "input size": record.cell.fed
        }
    return {
        "data": provenance.manifest,
        "precision": provenance.precision,
        "plugin code": provenance.plugins.get("extractor"),
        "prompt code": provenance.plugins.get("prompt"),
        "prompt file": provenance.weights.get("prompt file"),
        "input size": record.cell.fed,
    }


def tidy(records: Iterable[Record], localizers: Sequence[str] | None = None) -> list[TidyRow]:
    """One row per method, prompt, localizer, dataset, split, protocol, averaging, alpha and slice, sorted.

    A cell without numbers has one row, with an empty protocol and null numbers.

    Args:
        localizers: keep only these.
    """
    rows = [
        row
        for record in records
        for row in _rows(record)
        if localizers is None or row["localizer"] in ("", *localizers)
    ]
    return sorted(rows, key=lambda row: tuple("" if row[key] is None else str(row[key]) for key in TIDY_KEYS))


def _rows(record: Record) -> Iterable[TidyRow]:
    if not record.scores:
        yield _row(record, None)
    for score in record.scores:
        yield _row(record, score)


def _row(record: Record, score: Score | None) -> TidyRow:
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
