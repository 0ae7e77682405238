"""One cell -> predictions -> record."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from harness.datasets.index import SplitIndex
from harness.errors import BenchError, DataError, NotApplicable
from harness.features import ExtractionError, PairFeatures, PromptUse
from harness.measures import measures_of, merge_measures
from harness.pck import valid_points
from harness.plan import NO_PROMPT
from harness.prepare import PreparedCell, plugin_version
from harness.provenance import StageClock, hardware, package_versions, source_state
from harness.records import (
    PREDICTIONS,
    RECORD,
    SHARDS,
    CacheUse,
    Counts,
    Error,
    Failure,
    LocalizerInfo,
    Provenance,
    Record,
    Score,
    Status,
    locked,
    merge_tables,
    prediction_table,
    read_predictions,
    read_record,
    remove_shards,
    write_record,
    write_table,
)
from harness.scoring import score_all
from harness.specs import FeatureMap, Localizer, MakeContext

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

SHARD_PAIRS = 32
"""Pairs whose predictions are written at once: the most work that a killed run repeats."""

SHARD_SECONDS = 30.0
"""Slow work is written more often."""

Progress = Callable[[str, int, int], None]
"""Called with a cell's id, pairs done and pairs to do."""


def run_cell(prepared: PreparedCell, progress: Progress | None = None) -> Record:
    """Runs what is missing of a cell, scores all of it and writes its record. What goes wrong is in the record, not raised.

    Raises:
        UserError: if the cell's folder cannot be written.
    """
    folder = prepared.folder
    if prepared.cell.not_applicable:
        return _not_applicable(prepared, prepared.cell.not_applicable)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            for leftover in folder.rglob(".*.tmp"):
                leftover.unlink()
            return _Run(prepared, progress or (lambda cell, done, total: None)).record()
    except NotApplicable as error:
        return _not_applicable(prepared, str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises fails its cell, and not the run
        return _failed(prepared, error)


def _not_applicable(prepared: PreparedCell, reason: str) -> Record:
    record = Record(status="not-applicable", cell=prepared.info(), reason=reason)
    write_record(prepared.folder, record)
    return record


def _failed(prepared: PreparedCell, error: BaseException) -> Record:
    """The record of a cell that failed as a whole. An earlier record with numbers is left in place."""
    told = Error(type=type(error).__name__, message=_message(error), traceback="".join(traceback.format_exception(error)))
    record = Record(status="failed", cell=prepared.info(), error=told)
    try:
        if not (prepared.folder / RECORD).exists():
            write_record(prepared.folder, record)
    except OSError:
        # A full disk fails the cell and would fail its record too; the caller still reports it.
        return record
    return record


class _Run:
    """One run of one cell."""

    def __init__(self, prepared: PreparedCell, progress: Progress) -> None:
        self.prepared, self.progress = prepared, progress
        self.options, self.index, self.host = prepared.bench.options, prepared.index, prepared.bench.host
        self.clock = StageClock()
        self.started = datetime.now(UTC)
        self.computed = 0
        self.failures: list[Failure] = []
        self.attempted: set[tuple[str, str]] = set()

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
        paths = [path for path in (folder / PREDICTIONS, *sorted((folder / SHARDS).glob("*.parquet"))) if path.exists()]
        return [read_predictions(path, known) for path in paths]

    def _missing(self) -> list[tuple[int, str, list[str]]]:
        """(number, pair_id, localizers) of every pair to be worked on, in the dataset's order."""
        done: set[tuple[str, str]] = set()
        for table in self._stored():
            import pyarrow.compute as pc

            keys = table.select(["pair_id", "localizer"]).group_by(["pair_id", "localizer"]).aggregate([])
            done |= set(zip(pc.cast(keys["pair_id"], "string").to_pylist(), keys["localizer"].to_pylist(), strict=True))
        wanted: list[tuple[int, str, list[str]]] = []
        for number, pair_id in enumerate(self.index.pair_ids[: self.options.limit]):
            localizers = [name for name in self.prepared.cell.localizers if (pair_id, name) not in done]
            if localizers and pair_id not in self.index.excluded:
                wanted.append((number, pair_id, localizers))
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
        done = 0
        for shard, pairs in _by_shard(missing):
            rows, written = _Rows(), time.monotonic()
            try:
                for _, pair_id, names in pairs:
                    self._locate_pair(pair_id, {name: localizers[name] for name in names}, features, rows)
                    done += 1
                    self.progress(self.prepared.id, done, len(missing))
                    if time.monotonic() - written > SHARD_SECONDS:
                        self._write_shard(shard, rows)
                        rows, written = _Rows(), time.monotonic()
            finally:
                # Also when the user interrupts.
                self._write_shard(shard, rows)

    def _locate_pair(self, pair_id: str, localizers: Mapping[str, Localizer], features: PairFeatures, rows: _Rows) -> None:
        import torch

        self.attempted |= {(pair_id, name) for name in localizers}
        if pair_id in self.index.broken:
            self.failures.append(Failure(pair_id=pair_id, localizer=None, error=self.index.broken[pair_id]))
            return
        pair = self.index.pairs[pair_id]
        try:
            with self.clock.stage("extract"):
                source, target = features(pair)
        except BenchError as error:
            self.failures.append(Failure(pair_id=pair_id, localizer=None, error=str(error)))
            return
        self.computed += 1
        points = torch.from_numpy(pair.source_points[valid_points(pair)])
        for name, localizer in localizers.items():
            try:
                with self.clock.stage("locate"), torch.inference_mode():
                    xy, score = located(localizer, source, target, points)
            except Exception as error:  # noqa: BLE001 - a localizer is a plugin's code; what it raises fails this pair only
                message = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
                self.failures.append(Failure(pair_id=pair_id, localizer=name, error=f"localizer {name}: {message.splitlines()[0]}"))
                continue
            rows.add(pair_id, self.index.keypoint_ids(pair_id), name, xy, score)

    def _write_shard(self, number: int, rows: _Rows) -> None:
        if not rows.columns["x"]:
            return
        folder = self.prepared.folder / SHARDS
        signatures = {name: self.prepared.signature(name) for name in set(cast("list[str]", rows.columns["localizer"]))}
        table = prediction_table(rows.columns, signatures)
        path = folder / f"{number:06d}.parquet"
        if path.exists():
            table = merge_tables([table, read_predictions(path)])
        write_table(path, table)

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
        measures = merge_measures(self.options.measures, measures_of(earlier, self.host) if earlier else ())
        return score_all(self.index, predictions, measures, self.prepared.fed)

    def _record(self, predictions: pa.Table, scores: list[Score], thresholds: dict[str, str], earlier: Record | None) -> Record:
        failures = self.failures + [failure for failure in (earlier.failures if earlier else []) if not self._settled(failure, predictions)]
        counts = Counts(
            pairs=len(self.index.pair_ids),
            excluded=len(self.index.excluded),
            absent_points=self.index.absent_points,
            limit=self.options.limit,
        )
        stored: dict[str, set[str]] = {}
        keypoints: dict[str, int] = {}
        for pair_id, name in zip(predictions["pair_id"].to_pylist(), predictions["localizer"].to_pylist(), strict=True):
            stored.setdefault(name, set()).add(pair_id)
            keypoints[name] = keypoints.get(name, 0) + 1
        localizers = {
            name: LocalizerInfo(
                options=self.prepared.localizer_options(name),
                pairs=len(stored[name]),
                keypoints=keypoints[name],
                failed=sum(failure.localizer in (None, name) and failure.pair_id not in stored[name] for failure in failures),
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
        localizers = {f"localizer {name}": plugin_version(self.host, "bench_localizers", name) for name in self.prepared.cell.localizers}
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

        return torch.cuda.max_memory_allocated(self.options.device) if self.options.device.startswith("cuda") else None


class _Rows:
    """Predictions of a shard, as columns."""

    def __init__(self) -> None:
        self.columns: dict[str, list[object]] = {name: [] for name in ("pair_id", "keypoint_id", "localizer", "x", "y", "score")}

    def add(self, pair_id: str, keypoint_ids: Sequence[str], localizer: str, xy: torch.Tensor, score: torch.Tensor) -> None:
        """One localizer's predictions for one pair."""
        count = len(keypoint_ids)
        values = ([pair_id] * count, keypoint_ids, [localizer] * count, xy[:, 0].tolist(), xy[:, 1].tolist(), score.tolist())
        for column, more in zip(self.columns.values(), values, strict=True):
            column.extend(more)


def pair_features(prepared: PreparedCell) -> PairFeatures:
    """Makes the cell's extractor and prompt. Raises `NotApplicable`, and whatever a plugin raises."""
    cell, options, host = prepared.cell, prepared.bench.options, prepared.bench.host
    extractor = host.extractor(cell.extractor)
    spec = host.prompt(cell.prompt) if cell.prompt != NO_PROMPT else None
    context = MakeContext(
        device=options.device,
        precision=options.precision,
        params=dict(cell.params),
        weights=prepared.weights,
        prompt_file=prepared.learned.path if prepared.learned else None,
        categories=prepared.index.categories,
        prompt_scope=spec.scope if spec else "image",
        cache_bytes=options.cache_bytes // 4,
        cache=prepared.cache,
    )
    prompt = PromptUse(spec.make(context), spec.scope) if spec else None
    # Maps that follow from the pair are read once, and what the extractor keeps of pictures is read with every pair.
    maps, kept = (4, 2) if "pair" in (extractor.scope, context.prompt_scope) else (2, 4)
    made = extractor.make(replace(context, cache_bytes=options.cache_bytes // kept))
    return PairFeatures(
        prepared.index,
        made,
        extractor.scope,
        prompt,
        seed=cell.seed,
        batch_size=options.batch_size,
        cache_bytes=options.cache_bytes // maps,
    )


def make_localizer(prepared: PreparedCell, name: str) -> Localizer:
    """A localizer, with the options that the method's recipe gives it."""
    return prepared.bench.host.localizer(name).make(**prepared.localizer_options(name))


def located(localizer: Localizer, source: FeatureMap, target: FeatureMap, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions (N, 2) and scores (N) in float64 on the CPU. Raises `ExtractionError` where they are not that."""
    import torch

    if source.data.shape[0] != target.data.shape[0]:
        raise ExtractionError(f"the source map has {source.data.shape[0]} channels and the target map {target.data.shape[0]}")
    found = localizer(source, target, points)
    xy, score = found.points.detach().double().cpu(), found.score.detach().double().cpu()
    if xy.shape != points.shape or score.shape != points.shape[:1]:
        raise ExtractionError(f"expected points {tuple(points.shape)} and as many scores, got {tuple(xy.shape)} and {tuple(score.shape)}")
    if not (torch.isfinite(xy).all() and torch.isfinite(score).all()):
        raise ExtractionError("a prediction is NaN or infinite")
    return xy, score


def _by_shard(missing: Sequence[tuple[int, str, list[str]]]) -> Iterator[tuple[int, list[tuple[int, str, list[str]]]]]:
    """The pairs to work on, in canonical shards of the dataset's order."""
    shards: dict[int, list[tuple[int, str, list[str]]]] = {}
    for pair in missing:
        shards.setdefault(pair[0] // SHARD_PAIRS, []).append(pair)
    yield from shards.items()


def _nothing_worked(failures: Sequence[Failure], index: SplitIndex) -> BenchError:
    if failures:
        return ExtractionError(f"all {len(failures)} pairs failed; the first: {failures[0].error}")
    return DataError(f"{index.label} {index.split}: none of its {len(index.pair_ids)} pairs has a valid point")


def _message(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return first if isinstance(error, BenchError) else f"{type(error).__name__}: {first}".rstrip(": ")
