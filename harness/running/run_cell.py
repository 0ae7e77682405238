"""One cell -> predictions -> record."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.datasets.splits import SplitIndex
from harness.environment import hardware, package_versions, source_state
from harness.errors import BenchError, DataError, ExtractionError, NotApplicable
from harness.features.pair_features import PairFeatures
from harness.messages import failed_pairs, one_line
from harness.plugins.version import plugin_version
from harness.records.folders import RECORD, SHARDS, lock_folder, read_record, remove_shards, write_record
from harness.records.predictions import PREDICTIONS, merge_tables, read_predictions, write_table
from harness.records.schema import (
    CacheUse,
    Counts,
    Error,
    Failure,
    LocalizerInfo,
    Provenance,
    Record,
    Score,
    Status,
)
from harness.running.clock import StageClock
from harness.running.locate import Queue
from harness.running.predict import make_localizer, pair_features
from harness.running.resolve import ResolvedCell
from harness.running.shards import SHARD_PAIRS, Shards
from harness.scoring.criteria import criteria_of, merge_criteria
from harness.scoring.scores import score_all
from harness.specs import ImagePair, Localizer

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[str, int, int], None]
"""Called with a cell's id, pairs done and pairs to do."""


def run_cell(prepared: ResolvedCell, progress: Progress | None = None) -> Record:
    """Runs what is missing of a cell, scores all of it and writes its record. What goes wrong is in the record, not raised.

    Raises:
        UserError: if the cell's folder cannot be written.
    """
    folder = prepared.folder
    if prepared.cell.not_applicable:
        return _not_applicable(prepared, prepared.cell.not_applicable)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder):
            for leftover in folder.rglob(".*.tmp"):
                leftover.unlink()
            return _Run(prepared, progress or (lambda cell, done, total: None)).record()
    except NotApplicable as error:
        return _not_applicable(prepared, str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises fails its cell, and not the run
        return _failed(prepared, error)


def _not_applicable(prepared: ResolvedCell, reason: str) -> Record:
    record = Record(status="not-applicable", cell=prepared.info(), reason=reason)
    write_record(prepared.folder, record)
    return record


def _failed(prepared: ResolvedCell, error: BaseException) -> Record:
    """The record of a cell that failed as a whole. An earlier record with numbers is left in place."""
    reason_of = Error(
        type=type(error).__name__,
        message=one_line(error),
        traceback="".join(traceback.format_exception(error)),
    )
    record = Record(status="failed", cell=prepared.info(), error=reason_of)
    try:
        if not (prepared.folder / RECORD).exists():
            write_record(prepared.folder, record)
    except OSError:
        # A full disk fails the cell and would fail its record too; the caller still reports it.
        return record
    return record


class _Run:
    """One run of one cell."""

    def __init__(self, prepared: ResolvedCell, progress: Progress) -> None:
        self.prepared, self.progress = prepared, progress
        self.options, self.index, self.host = prepared.bench.options, prepared.index, prepared.bench.host
        self.clock = StageClock()
        self.started = datetime.now(UTC)
        self.computed = 0
        self.failures: list[Failure] = []
        self.attempted: set[tuple[str, str]] = set()
        self.numbers = {pair_id: number for number, pair_id in enumerate(self.index.pair_ids)}
        self.queue = Queue()

    def record(self) -> Record:
        """Runs, scores, writes."""
        earlier = self._earlier_record()
        self._locate_missing()
        predictions = self._finish()
        with self.clock.stage("score"):
            scores, thresholds = self._scores(predictions, earlier)
        record = self._record(predictions, scores, thresholds, earlier)
        write_record(self.prepared.folder, record)
        remove_shards(self.prepared.folder)
        return record

    # ------------------------------------------------------------------------------------------------------------ what is missing

    def _earlier_record(self) -> Record | None:
        path = self.prepared.folder / RECORD
        return read_record(path) if path.exists() else None

    def _stored(self) -> list[pa.Table]:
        folder = self.prepared.folder
        known = {name: self.prepared.signature(name) for name in self.prepared.cell.localizers}
        paths = [
            path
            for path in (folder / PREDICTIONS, *sorted((folder / SHARDS).glob("*.parquet")))
            if path.exists()
        ]
        return [read_predictions(path, known) for path in paths]

    def _missing(self) -> dict[str, list[str]]:
        """Pair -> localizers, of every pair to be worked on, in the dataset's order."""
        done: set[tuple[str, str]] = set()
        for table in self._stored():
            import pyarrow.compute as pc

            keys = table.select(["pair_id", "localizer"]).group_by(["pair_id", "localizer"]).aggregate([])
            done |= set(
                zip(
                    pc.cast(keys["pair_id"], "string").to_pylist(), keys["localizer"].to_pylist(), strict=True
                )
            )
        wanted: dict[str, list[str]] = {}
        for pair_id in self.index.pair_ids[: self.options.limit]:
            localizers = [name for name in self.prepared.cell.localizers if (pair_id, name) not in done]
            if localizers and pair_id not in self.index.excluded:
                wanted[pair_id] = localizers
        return wanted

    # ---------------------------------------------------------------------------------------------------------------- the work

    def _locate_missing(self) -> None:
        missing = self._missing()
        if not missing:
            return
        with self.clock.stage("load"):
            features = pair_features(self.prepared)
            localizers = {name: make_localizer(self.prepared, name) for name in self.prepared.cell.localizers}
        self._reset_gpu_peak()
        self.attempted = {(pair_id, name) for pair_id, names in missing.items() for name in names}
        self.failures = [
            Failure(pair_id=one, localizer=None, error=self.index.broken[one])
            for one in missing
            if one in self.index.broken
        ]
        pairs = [self.index.pairs[pair_id] for pair_id in missing if pair_id not in self.index.broken]
        shards = Shards(self.prepared.folder, self.prepared.signature)
        try:
            with closing(features.ordered(pairs)) as ordered:
                for done, pair in enumerate(ordered, start=len(self.failures) + 1):
                    self._locate_pair(
                        pair, {name: localizers[name] for name in missing[pair.pair_id]}, features
                    )
                    self.progress(self.prepared.id, done, len(missing))
                    if done % SHARD_PAIRS == 0 or shards.overdue:
                        self._store(shards)
        finally:
            # Also when the user interrupts.
            self._store(shards)
        self.failures.sort(key=self._place)

    def _locate_pair(
        self, pair: ImagePair, localizers: Mapping[str, Localizer], features: PairFeatures
    ) -> None:
        import torch

        try:
            with self.clock.stage("extract"):
                source, target = features(pair)
        except BenchError as error:
            self.failures.append(Failure(pair_id=pair.pair_id, localizer=None, error=str(error)))
            return
        self.computed += 1
        points = torch.from_numpy(self.index.source_points(pair.pair_id))
        for name, localizer in localizers.items():
            with self.clock.stage("locate"):
                self.queue.add(pair.pair_id, name, localizer, (source, target, points))

    def _store(self, shards: Shards) -> None:
        """Fetches and writes what was predicted since the last time."""
        with self.clock.stage("locate"):
            results = self.queue.fetch()
        for pair_id, name, result in results:
            if isinstance(result, Exception):
                self.failures.append(
                    Failure(pair_id=pair_id, localizer=name, error=f"localizer {name}: {one_line(result)}")
                )
            else:
                shards.add(self.numbers[pair_id], pair_id, self.index.keypoint_ids(pair_id), name, result)
        shards.write()

    def _place(self, failure: Failure) -> tuple[int, int]:
        """Where a failure is told: in the dataset's order, whatever order the pairs were worked on in."""
        names = self.prepared.cell.localizers
        return self.numbers[failure.pair_id], names.index(failure.localizer) if failure.localizer else -1

    def _finish(self) -> pa.Table:
        """All predictions of the cell, in one file."""
        tables = self._stored()
        if not tables:
            raise _nothing_worked(self.failures, self.index)
        merged = merge_tables(tables)
        path = self.prepared.folder / PREDICTIONS
        if self.computed or not path.exists() or len(tables) > 1:
            write_table(path, merged)
        return merged

    # --------------------------------------------------------------------------------------------------------------- the record

    def _scores(self, predictions: pa.Table, earlier: Record | None) -> tuple[list[Score], dict[str, str]]:
        """Scores under the measures asked for, and under those of the earlier record, which are counted anew."""
        criteria = merge_criteria(self.options.criteria, criteria_of(earlier, self.host) if earlier else ())
        return score_all(
            self.index, predictions, criteria, self.prepared.fed, self.prepared.folder / PREDICTIONS
        )

    def _record(
        self, predictions: pa.Table, scores: list[Score], thresholds: dict[str, str], earlier: Record | None
    ) -> Record:
        failures = self.failures + [
            failure
            for failure in (earlier.failures if earlier else [])
            if not self._settled(failure, predictions)
        ]
        counts = Counts(
            pairs=len(self.index.pair_ids),
            excluded=len(self.index.excluded),
            absent_points=self.index.absent_points,
            limit=self.options.limit,
        )
        stored: dict[str, set[str]] = {}
        keypoints: dict[str, int] = {}
        for pair_id, name in zip(
            predictions["pair_id"].to_pylist(), predictions["localizer"].to_pylist(), strict=True
        ):
            stored.setdefault(name, set()).add(pair_id)
            keypoints[name] = keypoints.get(name, 0) + 1
        localizers = {
            name: LocalizerInfo(
                options=self.prepared.localizer_options(name),
                pairs=len(stored[name]),
                keypoints=keypoints[name],
                failed=sum(
                    failure.localizer in (None, name) and failure.pair_id not in stored[name]
                    for failure in failures
                ),
            )
            for name in sorted(stored)
        }
        status: Status = "partial" if failures else "ok"
        return Record(
            status=status,
            cell=self.prepared.info(),
            counts=counts,
            localizers=localizers,
            thresholds=thresholds,
            scores=scores,
            failures=failures,
            provenance=self._provenance(earlier),
        )

    def _settled(self, failure: Failure, predictions: pa.Table) -> bool:
        """Whether an earlier failure has been tried again."""
        names = [failure.localizer] if failure.localizer else self.prepared.cell.localizers
        return any((failure.pair_id, name) in self.attempted for name in names)

    def _provenance(self, earlier: Record | None) -> Provenance:
        if not self.computed and earlier and earlier.provenance:
            return earlier.provenance
        commit, dirty = source_state()
        stores = self.prepared.cache.stores if self.prepared.cache else {}
        localizers = {
            f"localizer {name}": plugin_version(self.host, self.host.localizers, name)
            for name in self.prepared.cell.localizers
        }
        return Provenance(
            versions=package_versions(),
            commit=commit,
            dirty=dirty,
            plugins={**self.prepared.plugins, **localizers},
            weights=self.prepared.weight_files,
            weight_origins=self.prepared.weight_origins,
            manifest=self.index.manifest,
            hardware=hardware(self.options.device),
            precision=self.options.precision,
            compiled=self.options.compiled,
            device=self.options.device,
            batch_size=self.options.batch_size,
            started=self.started.isoformat(timespec="seconds"),
            computed_pairs=self.computed,
            stages=self.clock.stages(),
            cache={name: CacheUse(found=one.found, computed=one.computed) for name, one in stores.items()},
            gpu_peak_memory_bytes=self._gpu_peak(),
        )

    def _reset_gpu_peak(self) -> None:
        import torch

        if self.options.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self.options.device)

    def _gpu_peak(self) -> int | None:
        import torch

        return (
            torch.cuda.max_memory_allocated(self.options.device)
            if self.options.device.startswith("cuda")
            else None
        )


def _nothing_worked(failures: Sequence[Failure], index: SplitIndex) -> BenchError:
    if failures:
        return ExtractionError(f"all {failed_pairs(len(failures))}; the first: {failures[0].error}")
    return DataError(
        f"{index.label} {index.split}: none of its {len(index.pair_ids)} pairs has a valid point"
    )
