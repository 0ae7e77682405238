"""One cell, from what its folder lacks to its record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import BenchError, DataError, ExtractionError, NotApplicable, UserError
from harness.files import file_sha256, make_folder, remove_files
from harness.isolation.origin import with_tracebacks
from harness.messages import bytes_text, failed_pairs, one_line
from harness.records.folders import (
    RECORD,
    lock_folder,
    read_record,
    remove_fresh_shards,
    remove_shards,
    write_record,
)
from harness.records.predictions import PREDICTIONS, merge_tables, predicted_tasks, write_table
from harness.records.schema import Failure, Record
from harness.running.asked import asked_pairs
from harness.running.found import describe_found, title
from harness.running.lost import describe_damage
from harness.running.predict import Work, now, predict
from harness.running.recording import make_record, record_of_failure, record_of_misfit
from harness.running.resolve import ResolvedCell
from harness.running.resources import Resources
from harness.running.shards import write_shard
from harness.running.stored import Stored, read_stored
from harness.scoring.criteria import criteria_of, merge_criteria
from harness.scoring.thresholds import Measures, applicable, unscorable_pairs
from harness.scoring.truth import truth_of
from harness.scoring.truth_columns import add_truth

if TYPE_CHECKING:
    import pyarrow as pa

_LOG = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with a cell's id, pairs done and pairs to do."""

Warn = Callable[[str, str], None]
"""Called with a subject and a message about something that stops nothing."""


class Reports(NamedTuple):
    """Functions that are called while a cell runs; by default they do nothing.

    Attributes:
        warn: called for each file of the cell that is damaged, in whole or in part, and where something was
            not written to the cache, or the results folder cannot be locked.
        inform: called where the cell's numbers, or some of them, are there already.
        step: called with what the cell is at, such as `loading weights`.
    """

    progress: Progress = lambda cell, done, total: None
    warn: Warn = lambda subject, message: None
    inform: Warn = lambda subject, message: None
    step: Callable[[str], None] = lambda text: None


def run_cell(resources: Resources, resolved: ResolvedCell, reports: Reports | None = None) -> Record:
    """Runs what a cell lacks, scores all of it and writes its record.

    Errors of the cell are in its record and not raised. Where another process is running the cell, or its
    folder cannot be made, nothing is written.
    """
    folder = resolved.folder
    reports = reports or Reports()
    try:
        make_folder(folder)
        with lock_folder(folder, reports.warn):
            # Files that a killed run was writing.
            remove_files(folder.rglob(".*.tmp"))
            # Every record is written while the folder is locked: it never takes the place of a newer one.
            return _run_locked(resources, resolved, reports)
    except (BenchError, OSError) as error:
        return record_of_failure(resolved, error)


def _run_locked(resources: Resources, resolved: ResolvedCell, reports: Reports) -> Record:
    try:
        if not resolved.options.resumes:
            remove_fresh_shards(resolved.folder)
        if resolved.cell.not_applicable:
            raise NotApplicable(resolved.cell.not_applicable)
        return _complete(resources, resolved, reports)
    except NotApplicable as error:
        record = record_of_misfit(resolved, one_line(error))
        write_record(resolved.folder, record)
        return record
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's error fails its cell alone
        return _write_failed(resolved, error)


def _complete(resources: Resources, resolved: ResolvedCell, reports: Reports) -> Record:
    """Does the work of a cell that an earlier run has left undone, and writes the record of all of it."""
    path = resolved.folder / RECORD
    earlier = read_record(path) if path.exists() else None
    # Scores under the criteria of the earlier record are computed anew, with the pairs that were added.
    earlier_criteria = criteria_of(earlier, resources.host) if earlier else ()
    criteria = merge_criteria(resolved.options.criteria, earlier_criteria)
    measures = applicable(truth_of(resolved.index), criteria)
    if measures.not_applicable and not measures.criteria:
        raise NotApplicable("; ".join(dict.fromkeys(measures.not_applicable.values())))
    sha256 = earlier.predictions_sha256 if earlier else ""
    stored = read_stored(resolved, sha256)
    known = resources.host.localizers
    for subject, problem in describe_damage(resolved, earlier, stored, known).items():
        reports.warn(subject, problem)
    missing = missing_pairs(resolved, stored)
    if found := describe_found(resolved, earlier, len(missing)):
        reports.inform(title(resolved), found)
    work = _work_on(resources, resolved, missing, measures, reports)
    _log_stages(resolved, work)
    if work.cache_trouble:
        reports.warn(
            f"cache folder {resolved.options.cache}",
            f"{work.cache_trouble}; the run goes on without writing all of it",
        )
    predictions, sha256 = _gather_predictions(resolved, work, sha256)
    # Nothing of a record that is replaced still holds: neither failures nor the machine.
    lasting = None if resolved.options.fresh else earlier
    record = make_record(resolved, measures, predictions, sha256, work, lasting)
    write_record(resolved.folder, record)
    remove_shards(resolved.folder)
    if resolved.options.fresh:
        remove_fresh_shards(resolved.folder)
    return record


def _work_on(
    resources: Resources,
    resolved: ResolvedCell,
    missing: Mapping[str, list[str]],
    measures: Measures,
    reports: Reports,
) -> Work:
    """Predicts the missing pairs and writes a shard of predictions at a time.

    Pairs that cannot be scored under any protocol fail before the work begins.
    """
    unscorable = unscorable_pairs(truth_of(resolved.index), measures.criteria)
    refused = {pair_id: names for pair_id, names in missing.items() if pair_id in unscorable}
    wanted = {pair_id: names for pair_id, names in missing.items() if pair_id not in unscorable}
    work = Work(now())
    if wanted:
        work = predict(
            resolved,
            wanted,
            lambda predictions: write_shard(resolved, predictions),
            lambda done: reports.progress(resolved.id, done, len(wanted)),
            resources.shared,
            reports.step,
        )
    failures = [
        Failure(pair_id=pair_id, localizer=None, localizers=names, error=unscorable[pair_id])
        for pair_id, names in refused.items()
    ]
    return work.with_failures(failures)


def _log_stages(resolved: ResolvedCell, work: Work) -> None:
    stages = [f"{name} {stage.seconds:.1f} s" for name, stage in work.stages.items()]
    if stages:
        peak = max(stage.peak_memory_bytes for stage in work.stages.values())
        _LOG.info("%s: %s; peak memory %s", title(resolved), ", ".join(stages), bytes_text(peak))


def _write_failed(resolved: ResolvedCell, error: BaseException) -> Record:
    """Writes the record of a cell that failed as a whole. An earlier record with numbers is left in place,
    and so is a damaged one, which its owner may want to look at.
    """
    record = record_of_failure(resolved, error)
    path = resolved.folder / RECORD
    try:
        if not path.exists() or not read_record(path).scores:
            write_record(resolved.folder, record)
    except (OSError, UserError):
        # A full disk fails the cell and would fail its record too; the caller still reports it.
        return record
    return record


def missing_pairs(resolved: ResolvedCell, stored: Stored) -> dict[str, list[str]]:
    """Pair -> localizers that have not predicted it yet, in the dataset's order."""
    done: set[tuple[str, str]] = set()
    for table in stored.tables:
        done |= predicted_tasks(table)
    missing: dict[str, list[str]] = {}
    for pair_id in asked_pairs(resolved.index, resolved.options):
        localizers = [name for name in resolved.cell.localizers if (pair_id, name) not in done]
        if localizers:
            missing[pair_id] = localizers
    return missing


def _gather_predictions(resolved: ResolvedCell, work: Work, sha256: str) -> tuple[pa.Table, str]:
    """Puts all predictions of the cell into one file.

    Args:
        sha256: of the file there is, as the cell's record has it.

    Returns:
        The predictions, and the file's sha256.

    Raises:
        BenchError: there are none, or a picture is missing since.
    """
    stored = read_stored(resolved, sha256)
    if not any(table.num_rows for table in stored.tables):
        raise _nothing_predicted(resolved, work)
    predictions = add_truth(merge_tables(stored.tables), truth_of(resolved.index))
    path = resolved.folder / PREDICTIONS
    # A file of an earlier version is written again, with the truth that it lacks.
    if stored.is_one_file and predictions.equals(stored.tables[0], check_metadata=True):
        return predictions, file_sha256(path)
    return predictions, write_table(path, predictions)


def _nothing_predicted(resolved: ResolvedCell, work: Work) -> BenchError:
    if work.failures:
        error = ExtractionError(
            f"all {failed_pairs(len(work.failures))}; the first: {work.failures[0].error}"
        )
        return with_tracebacks(error, work.tracebacks)
    index = resolved.index
    return DataError(
        f"{index.label} {index.split}: none of its {len(index.pair_ids)} pairs has a valid point"
    )
