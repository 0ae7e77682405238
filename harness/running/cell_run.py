"""A cell between the lock of its folder and its record, whoever does the work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import BenchError, DataError, NotApplicable, UserError
from harness.files import file_sha256, make_folder, remove_files
from harness.interrupts import check_interrupt
from harness.isolation.origin import with_tracebacks
from harness.messages import bytes_text, one_line
from harness.records.folders import (
    RECORD,
    read_record,
    remove_fresh_shards,
    remove_shards,
    write_record,
)
from harness.records.locks import CellIsRunning, leftovers, lock_folder
from harness.records.predictions import PREDICTIONS, merge_tables, predicted_tasks, write_table
from harness.records.schema import Failure, Record
from harness.running.asked import asked_pairs
from harness.running.failures import AllFailed, all_failures
from harness.running.found import describe_found, title
from harness.running.lost import describe_damage
from harness.running.predict import Work
from harness.running.recording import make_record, record_of_failure, record_of_misfit
from harness.running.resolve import ResolvedCell
from harness.running.resources import Resources
from harness.running.shards import store_shard
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


@dataclass(frozen=True, eq=False)
class _Begun:
    """What a cell's folder has when its run begins.

    Attributes:
        sha256: of its file of predictions, as the record has it.
        refused: a failure for each pair that no protocol can score.
    """

    earlier: Record | None
    measures: Measures
    sha256: str
    refused: list[Failure]


class CellRun:
    """A run of one cell: what is missing in its folder, shards that arrive, and its record.

    The folder is locked from `begin` to the end of the `with` block. Errors of the cell are in its record and
    not raised. Every record is written while the folder is locked: it never takes the place of a newer one.

    Attributes:
        wanted: pair -> localizers that are to predict it, once the run has begun; perhaps none.
        shared: loaded networks, which stay from one cell to the next.
    """

    def __init__(self, resources: Resources, resolved: ResolvedCell, reports: Reports) -> None:
        self.resolved = resolved
        self.wanted: Mapping[str, list[str]] = {}
        self.reports, self.shared = reports, resources.shared
        self._host = resources.host
        self._begun: _Begun | None = None
        self._lock = ExitStack()

    def __enter__(self) -> CellRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives up the lock."""
        self._lock.close()

    def begin(self) -> Record | None:
        """Locks the cell's folder and finds out what is missing.

        Returns:
            The record of a cell that has failed, or whose method and prompt do not fit together; None where
            the run goes on, with `wanted` and `finish`.

        Raises:
            CellIsRunning: another process works in the folder.
        """
        folder = self.resolved.folder
        try:
            make_folder(folder)
            self._lock.enter_context(lock_folder(folder, self.reports.warn, writes=True))
            # Files that a killed run was writing.
            remove_files(leftovers(folder))
        except CellIsRunning:
            raise
        except (BenchError, OSError) as error:
            return record_of_failure(self.resolved, error)
        return self._settle(self._begin)

    def store(self, table: pa.Table) -> None:
        """Writes a shard of predictions. Raises `OSError`."""
        store_shard(self.resolved, table)

    def finish_with(self, work_on: Callable[[], Work]) -> Record:
        """Calls a function that does the work, and makes the record of all that is there then."""
        record = self._settle(lambda: self._finish(work_on()))
        assert record is not None
        return record

    def finish(self, work: Work) -> Record:
        """Scores all of the cell's predictions and writes its record.

        Args:
            work: the account of this run's work.
        """
        return self.finish_with(lambda: work)

    def end(self, record: Record) -> Record:
        """Writes the record of a cell that failed as a whole, or is not applicable.

        An earlier record with numbers is left in place where the cell failed, and so is a damaged one, which
        its owner may want to look at.
        """
        path = self.resolved.folder / RECORD
        try:
            if record.status == "not-applicable" or not path.exists() or not read_record(path).scores:
                write_record(self.resolved.folder, record)
        except (OSError, UserError):
            # A full disk fails the cell and would fail its record too; the caller still reports it.
            return record
        return record

    def _settle(self, step: Callable[[], Record | None]) -> Record | None:
        """Takes a step; an error ends the cell with a record of it."""
        try:
            return step()
        except NotApplicable as error:
            return self.end(record_of_misfit(self.resolved, one_line(error)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's error fails its cell alone
            # A library may have made another error of an interrupt, which is none of the cell.
            check_interrupt()
            return self.end(record_of_failure(self.resolved, error))

    def _begin(self) -> None:
        resolved, reports = self.resolved, self.reports
        if not resolved.options.resumes:
            remove_fresh_shards(resolved.folder)
        if resolved.cell.not_applicable:
            raise NotApplicable(resolved.cell.not_applicable)
        path = resolved.folder / RECORD
        earlier = read_record(path) if path.exists() else None
        # Scores under the criteria of the earlier record are computed anew, with the pairs that were added.
        earlier_criteria = criteria_of(earlier, self._host) if earlier else ()
        criteria = merge_criteria(resolved.options.criteria, earlier_criteria)
        measures = applicable(truth_of(resolved.index), criteria)
        if measures.not_applicable and not measures.criteria:
            raise NotApplicable("; ".join(dict.fromkeys(measures.not_applicable.values())))
        sha256 = earlier.predictions_sha256 if earlier else ""
        stored = read_stored(resolved, sha256)
        known = self._host.localizers
        for subject, problem in describe_damage(resolved, earlier, stored, known).items():
            reports.warn(subject, problem)
        missing = missing_pairs(resolved, stored)
        if found := describe_found(resolved, earlier, len(missing)):
            reports.inform(title(resolved), found)
        # Pairs that cannot be scored under any protocol fail before the work begins.
        unscorable = unscorable_pairs(truth_of(resolved.index), measures.criteria)
        refused = [
            Failure(pair_id=pair_id, localizer=None, localizers=names, error=unscorable[pair_id])
            for pair_id, names in missing.items()
            if pair_id in unscorable
        ]
        self.wanted = {pair_id: names for pair_id, names in missing.items() if pair_id not in unscorable}
        self._begun = _Begun(earlier, measures, sha256, refused)

    def _finish(self, work: Work) -> Record:
        resolved, begun = self.resolved, self._begun
        assert begun is not None
        work = work.with_failures(begun.refused)
        _log_stages(resolved, work)
        if work.cache_trouble:
            self.reports.warn(
                f"cache folder {resolved.options.cache}",
                f"{work.cache_trouble}; the run goes on without writing all of it",
            )
        # Nothing of a record that is replaced still holds: neither failures nor the machine.
        lasting = None if resolved.options.fresh else begun.earlier
        predictions, sha256 = _gather_predictions(resolved, work, begun.sha256, lasting)
        record = make_record(resolved, begun.measures, predictions, sha256, work, lasting)
        write_record(resolved.folder, record)
        remove_shards(resolved.folder)
        if resolved.options.fresh:
            remove_fresh_shards(resolved.folder)
        return record


def _log_stages(resolved: ResolvedCell, work: Work) -> None:
    stages = [f"{name} {stage.seconds:.1f} s" for name, stage in work.stages.items()]
    if stages:
        peak = max(stage.peak_memory_bytes for stage in work.stages.values())
        _LOG.info("%s: %s; peak memory %s", title(resolved), ", ".join(stages), bytes_text(peak))


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


def _gather_predictions(
    resolved: ResolvedCell, work: Work, sha256: str, earlier: Record | None
) -> tuple[pa.Table, str]:
    """Puts all predictions of the cell into one file.

    Args:
        sha256: of the file there is, as the cell's record has it.
        earlier: the record that will be replaced.

    Returns:
        The predictions, and the file's sha256.

    Raises:
        NotApplicable: there are none, since the shard has no pair.
        BenchError: there are none, or a picture is missing since.
    """
    stored = read_stored(resolved, sha256)
    if not any(table.num_rows for table in stored.tables):
        raise _nothing_predicted(resolved, work, earlier)
    predictions = add_truth(merge_tables(stored.tables), truth_of(resolved.index))
    path = resolved.folder / PREDICTIONS
    # A file of an earlier version is written again, with the truth that it lacks.
    if stored.is_one_file and predictions.equals(stored.tables[0], check_metadata=True):
        return predictions, file_sha256(path)
    return predictions, write_table(path, predictions)


def _nothing_predicted(resolved: ResolvedCell, work: Work, earlier: Record | None) -> Exception:
    index, shard = resolved.index, resolved.options.shard
    if failures := all_failures(index, work, earlier, set(), ()):
        return with_tracebacks(AllFailed(failures, work.tracebacks), work.tracebacks)
    if shard and not asked_pairs(index, resolved.options):
        return NotApplicable(f"shard {shard} is empty: there are fewer pairs than shards")
    return DataError(
        f"{index.label} {index.split}: none of its {len(index.pair_ids)} pairs has a valid point"
    )
