"""What a results folder holds: its cells and their status, what failed, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.messages import counted, listed
from harness.records.folders import RECORD, SHARDS
from harness.records.schema import Provenance, Record, coverage_notes
from harness.report.redact import plain
from harness.tables.table import Table
from harness.tables.text import split_name
from harness.tables.tidy import distinguish_labels

MOST_FAILURES = 100
"""Most failed pairs that are listed one by one."""


def unfinished(folder: Path) -> list[str]:
    """Names of cells that were begun and have no record: running, or interrupted."""
    return sorted(
        place.parent.name for place in folder.glob(f"*/{SHARDS}") if not (place.parent / RECORD).exists()
    )


def overview(records: Sequence[Record], waiting: Sequence[str]) -> str:
    """How many cells there are of each status, and on what."""
    counts: dict[str, int] = {}
    for record in records:
        counts[record.status] = counts.get(record.status, 0) + 1
    limited = sum(any(record.coverage(name) == "limited" for name in record.localizers) for record in records)
    parts = [f"{number} {status}" for status, number in sorted(counts.items())]
    parts += [f"{limited} limited to part of the pairs"] if limited else []
    parts += [f"{len(waiting)} not finished"] if waiting else []
    splits = sorted({split_name(record.cell.dataset, record.cell.split) for record in records})
    return plain(f"{counted(len(records), 'finished cell')} ({', '.join(parts)}) on {listed(splits)}.")


def cells(records: Sequence[Record], waiting: Sequence[str]) -> Table:
    """A row for each cell and localizer: how far it got, and what it cost."""
    records, differs = distinguish_labels(records)
    rows = [row for record in records for row in _cell_rows(record, differs.get(record.cell.id, ""))]
    header = (
        "method",
        "prompt",
        "localizer",
        "dataset",
        "status",
        "pairs",
        "keypoints",
        "failed pairs",
        "seconds",
        "note",
    )
    blank = ("–",) * 3
    return Table(
        caption="Every cell (method, prompt, dataset, seed) and localizer. Pairs and keypoints: those with predictions. "
        "Seconds: of the cell's last run.",
        header=header,
        rows=(
            *rows,
            *(
                (name, *blank, "not finished", *("–",) * 4, "no record yet: running, or interrupted")
                for name in waiting
            ),
        ),
        names=5,
    )


def _cell_rows(record: Record, apart: str) -> list[tuple[str, ...]]:
    cell = record.cell
    where = split_name(cell.dataset, cell.split)
    seconds = (
        f"{sum(stage.seconds for stage in record.provenance.stages.values()):,.1f}"
        if record.provenance
        else "–"
    )
    seed = f"seed {cell.seed}" if cell.seed else ""
    message = record.error.message if record.error else record.reason
    if not record.localizers:
        note = "; ".join(part for part in (message, seed, apart) if part)
        return [(cell.label, cell.prompt, "–", where, record.status, "–", "–", "–", seconds, note)]
    found: list[tuple[str, ...]] = []
    for name, info in record.localizers.items():
        note = "; ".join(part for part in (*coverage_notes(record, name), message, seed, apart) if part)
        status = record.coverage(name) if record.scores else record.status
        numbers = (f"{info.pairs:,}", f"{info.keypoints:,}", f"{info.failed:,}")
        found.append((cell.label, cell.prompt, name, where, status, *numbers, seconds, note))
    return found


def failures(records: Sequence[Record]) -> Table | None:
    """Pairs that raised, with their message; None where there are none."""
    every = [
        (record.cell.label, split_name(record.cell.dataset, record.cell.split), one)
        for record in records
        for one in record.failures
    ]
    if not every:
        return None
    more = f" The first {MOST_FAILURES} of {len(every):,}." if len(every) > MOST_FAILURES else ""
    return Table(
        caption=f"Pairs without a prediction: {len(every):,}.{more}",
        header=("method", "dataset", "pair", "localizer", "message"),
        rows=tuple(
            (label, where, one.pair_id, one.localizer or "every", one.error)
            for label, where, one in every[:MOST_FAILURES]
        ),
        names=4,
    )


def environments(records: Sequence[Record]) -> Table | None:
    """Versions, commit and hardware, one row for each that differs."""
    found: dict[tuple[str, ...], list[str]] = {}
    for record in records:
        if record.provenance:
            found.setdefault(_environment(record.provenance), []).append(record.cell.label)
    if not found:
        return None
    return Table(
        caption="Versions, source and hardware of the cells' last runs.",
        header=("cells of", "commit", "versions", "hardware", "precision", "note"),
        rows=tuple((", ".join(dict.fromkeys(labels)), *values) for values, labels in found.items()),
        names=5,
    )


def _environment(one: Provenance) -> tuple[str, ...]:
    commit = f"{one.commit}{' (changed since)' if one.dirty else ''}" if one.commit else "not known"
    return commit, _pairs(one.versions), f"{_pairs(one.hardware)}; device {one.device}", one.precision, ""


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def weights(records: Sequence[Record]) -> Table | None:
    """Every weight file with its hash, and whose it is; None where there are none."""
    found: dict[tuple[str, str, str, str], dict[str, None]] = {}
    for record in records:
        if record.provenance:
            for source, files in record.provenance.weights.items():
                for name, digest in files.items():
                    key = (source, name, digest, record.provenance.weight_origins.get(source, ""))
                    found.setdefault(key, {})[record.cell.label] = None
    if not found:
        return None
    return Table(
        caption="Weight files and their sha256.",
        header=("source", "file", "sha256", "used by", "from"),
        rows=tuple(
            (source, name, digest, ", ".join(labels), origin)
            for (source, name, digest, origin), labels in sorted(found.items())
        ),
        names=4,
    )


def data(records: Sequence[Record]) -> Table | None:
    """Each dataset split with the hash of its content."""
    found = {
        (record.cell.dataset, record.cell.split, record.provenance.manifest): record.counts
        for record in records
        if record.provenance and record.counts
    }
    if not found:
        return None
    return Table(
        caption="Data: the manifest is a sha256 over pairs, points, boxes and pictures. Excluded: pairs without a point in both images.",
        header=("dataset", "split", "manifest", "pairs", "excluded", "note"),
        rows=tuple(
            (dataset, split, manifest, f"{counts.pairs:,}", f"{counts.excluded:,}", "")
            for (dataset, split, manifest), counts in sorted(found.items(), key=lambda one: one[0])
        ),
        names=3,
    )
