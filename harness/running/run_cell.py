"""One cell, from what its folder lacks to its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.datasets.selection import predictable_pairs
from harness.errors import BenchError, DataError, ExtractionError, NotApplicable
from harness.messages import failed_pairs
from harness.records.folders import (
    RECORD,
    lock_folder,
    read_record,
    remove_fresh_shards,
    remove_shards,
    write_record,
)
from harness.records.predictions import PREDICTIONS, merge_tables, read_predictions, write_table
from harness.records.schema import Record
from harness.running.found import describe_found, title
from harness.running.predict import Prediction, Work, now, predict
from harness.running.recording import make_record, record_of_failure, record_of_misfit
from harness.running.resolve import ResolvedCell
from harness.running.resources import Resources
from harness.running.shards import write_shard
from harness.scoring.criteria import criteria_of, merge_criteria

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[str, int, int], None]
"""Called with a cell's id, pairs done and pairs to do."""

Warn = Callable[[str, str], None]
"""Called with a subject and a message about something that stops nothing."""


def run_cell(
    resources: Resources,
    resolved: ResolvedCell,
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> Record:
    """Runs what a cell lacks, scores all of it and writes its record.

    Errors of the cell are in its record and not raised.

    Args:
        warn: called where something was not written to the cache, or the results folder cannot be locked.

    Raises:
        UserError: the cell's folder cannot be written.
    """
    folder = resolved.folder
    warn = warn or (lambda subject, message: None)
    if resolved.cell.not_applicable:
        return _write_not_applicable(resolved, resolved.cell.not_applicable)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder, warn):
            # Files that a killed run was writing.
            for leftover in folder.rglob(".*.tmp"):
                leftover.unlink()
            return _run_locked(
                resources,
                resolved,
                progress or (lambda cell, done, total: None),
                warn,
            )
    except NotApplicable as error:
        return _write_not_applicable(resolved, str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's error fails its cell alone
        return _write_failed(resolved, error)


def _run_locked(resources: Resources, resolved: ResolvedCell, progress: Progress, warn: Warn) -> Record:
    path = resolved.folder / RECORD
    earlier = read_record(path) if path.exists() else None
    missing = _missing_pairs(resolved)
    if found := describe_found(resolved, earlier, len(missing)):
        warn(title(resolved), found)
    work = Work(now())
    if missing:
        work = _work_on(resources, resolved, missing, progress)
    if work.cache_trouble:
        warn(
            f"cache folder {resolved.options.cache}",
            f"{work.cache_trouble}; the run goes on without writing all of it",
        )
    predictions = _gather_predictions(resolved, work)
    # Scores under the criteria of the earlier record are computed anew, with the pairs that were added.
    earlier_criteria = criteria_of(earlier, resources.host) if earlier else ()
    criteria = merge_criteria(resolved.options.criteria, earlier_criteria)
    # Nothing of a record that is replaced still holds: neither failures nor the machine.
    record = make_record(resolved, criteria, predictions, work, None if resolved.options.fresh else earlier)
    write_record(resolved.folder, record)
    remove_shards(resolved.folder)
    if resolved.options.fresh:
        remove_fresh_shards(resolved.folder)
    return record


def _work_on(
    resources: Resources, resolved: ResolvedCell, missing: dict[str, list[str]], progress: Progress
) -> Work:
    """Predicts the missing pairs and writes a shard of predictions at a time."""

    def store(predictions: Sequence[Prediction]) -> None:
        write_shard(resolved, predictions)

    def report(done: int) -> None:
        progress(resolved.id, done, len(missing))

    return predict(resolved, missing, store, report, resources.shared)


def _write_not_applicable(resolved: ResolvedCell, reason: str) -> Record:
    record = record_of_misfit(resolved, reason)
    write_record(resolved.folder, record)
    return record


def _write_failed(resolved: ResolvedCell, error: BaseException) -> Record:
    """Writes the record of a cell that failed as a whole. An earlier record with numbers is left in place."""
    record = record_of_failure(resolved, error)
    try:
        if not (resolved.folder / RECORD).exists():
            write_record(resolved.folder, record)
    except OSError:
        # A full disk fails the cell and would fail its record too; the caller still reports it.
        return record
    return record


def _read_stored(resolved: ResolvedCell) -> list[pa.Table]:
    """The tables in a cell's folder, without rows of localizers that have changed since."""
    fingerprints: dict[str, str] = {}
    for name, localizer in resolved.localizers.items():
        fingerprints[name] = localizer.fingerprint
    paths = sorted(resolved.shards.glob("*.parquet"))
    stored = resolved.folder / PREDICTIONS
    # Those of a cell that is computed anew stay where they are until the new ones are there.
    if stored.exists() and not resolved.options.fresh:
        paths = [stored, *paths]
    return [read_predictions(path, fingerprints) for path in paths]


def _missing_pairs(resolved: ResolvedCell) -> dict[str, list[str]]:
    """Pair -> localizers that have not predicted it yet, in the dataset's order."""
    import pyarrow.compute as pc

    done: set[tuple[str, str]] = set()
    for table in _read_stored(resolved):
        # One row for each pair and localizer, in place of one for each point.
        columns = ["pair_id", "localizer"]
        keys = table.select(columns).group_by(columns).aggregate([])
        pair_ids = pc.cast(keys["pair_id"], "string").to_pylist()
        localizers_done = keys["localizer"].to_pylist()
        done.update(zip(pair_ids, localizers_done, strict=True))
    missing: dict[str, list[str]] = {}
    for pair_id in predictable_pairs(resolved.index, resolved.options.limit):
        localizers = [name for name in resolved.cell.localizers if (pair_id, name) not in done]
        if localizers:
            missing[pair_id] = localizers
    return missing


def _gather_predictions(resolved: ResolvedCell, work: Work) -> pa.Table:
    """Puts all predictions of the cell into one file and returns them.

    Raises:
        BenchError: there are none.
    """
    tables = _read_stored(resolved)
    if not tables:
        raise _nothing_predicted(resolved, work)
    predictions = merge_tables(tables)
    path = resolved.folder / PREDICTIONS
    if work.computed or not path.exists() or len(tables) > 1 or resolved.options.fresh:
        write_table(path, predictions)
    return predictions


def _nothing_predicted(resolved: ResolvedCell, work: Work) -> BenchError:
    if work.failures:
        return ExtractionError(f"all {failed_pairs(len(work.failures))}; the first: {work.failures[0].error}")
    index = resolved.index
    return DataError(
        f"{index.label} {index.split}: none of its {len(index.pair_ids)} pairs has a valid point"
    )
