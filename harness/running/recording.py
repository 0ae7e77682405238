"""Records of cells, made from predictions, the account of the work and the earlier record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.environment import hardware, package_versions, source_state
from harness.isolation.origin import traceback_of
from harness.messages import one_line
from harness.records.predictions import PREDICTIONS, fingerprints_of, predicted_tasks
from harness.records.schema import (
    Counts,
    EarlierRun,
    Error,
    Failure,
    LocalizerInfo,
    Provenance,
    Record,
    Stage,
    environment_of,
)
from harness.records.tracebacks import join_tracebacks
from harness.running.asked import covered_shards
from harness.running.clock import StageClock
from harness.running.failures import AllFailed, all_failures
from harness.running.predict import Work
from harness.running.resolve import ResolvedCell, files_key, fingerprint_options
from harness.scoring.criteria import averagings_of, frames_of
from harness.scoring.measure_hash import measures_of
from harness.scoring.points import count_predictions
from harness.scoring.scores import score_all
from harness.scoring.thresholds import Measures, merge_reasons
from harness.scoring.truth import truth_of
from harness.specs import Scalar

if TYPE_CHECKING:
    import pyarrow as pa


MOST_ENVIRONMENTS = 20
"""Most environments of earlier runs that a record keeps; of more, the newest."""


def make_record(
    resolved: ResolvedCell,
    measures: Measures,
    predictions: pa.Table,
    sha256: str,
    work: Work,
    earlier: Record | None,
) -> Record:
    """Scores all predictions of a cell and makes its record.

    Args:
        measures: protocols to score under, and those that the dataset lacks.
        predictions: those of the cell's file, of earlier runs too.
        sha256: of that file.
        work: the work of this run.
        earlier: the record that this one replaces.

    Raises:
        UserError: the predictions are not those of the split.
    """
    info = resolved.info()
    index, criteria = resolved.index, measures.criteria
    truth = truth_of(index)
    clock = StageClock()
    with clock.stage("score"):
        path = resolved.folder / PREDICTIONS
        scores, thresholds = score_all(truth, predictions, criteria, info.input_size, path)
    failures = all_failures(index, work, earlier, predicted_tasks(predictions), criteria)
    localizers = _localizer_infos(resolved, predictions, failures, earlier)
    # Scoring is a stage of its own: the clock of the work has stopped.
    stages = {**work.stages, **clock.stages()}
    return Record(
        status="partial" if failures else "ok",
        cell=info,
        counts=_counts(resolved, has_shards=any(info.shards for info in localizers.values())),
        localizers=localizers,
        thresholds=thresholds,
        frames=frames_of(criteria),
        averagings=averagings_of(criteria),
        measures=measures_of(criteria),
        scores=scores,
        failures=failures,
        tracebacks=join_tracebacks(each.tracebacks for each in (work, earlier) if each) if failures else {},
        provenance=_provenance(resolved, work, earlier, stages),
        not_applicable=merge_reasons(measures, earlier),
        predictions_sha256=sha256,
    )


def _counts(resolved: ResolvedCell, *, has_shards: bool) -> Counts:
    """Numbers of the split's pairs.

    Args:
        has_shards: whether some shards of the pairs asked for are missing.
    """
    index, options = resolved.index, resolved.options
    return Counts(
        pairs=len(index.pair_ids),
        excluded=len(index.excluded),
        absent_points=index.absent_points,
        limit=options.limit,
        shard=str(options.shard) if options.shard and has_shards else None,
        official=index.official_pairs,
        categories=len({pair.category for pair in index.pairs.values()}),
    )


def record_of_misfit(resolved: ResolvedCell, reason: str) -> Record:
    """The record of a cell whose method and prompt do not fit together."""
    return Record(
        status="not-applicable", cell=resolved.info(), reason=reason, counts=_counts_of_shard(resolved)
    )


def record_of_failure(resolved: ResolvedCell, error: BaseException) -> Record:
    """The record of a cell that failed as a whole."""
    record = record_of_error(resolved, describe_error(error))
    if isinstance(error, AllFailed) and resolved.options.shard:
        # In the whole cell they are some failures of many.
        failures, tracebacks = list(error.failures), dict(error.tracebacks)
        return record.model_copy(update={"failures": failures, "tracebacks": tracebacks})
    return record


def record_of_error(resolved: ResolvedCell, error: Error) -> Record:
    """The same of an error that is described already, as one of another process is."""
    counts = _counts_of_shard(resolved)
    return Record(status="failed", cell=resolved.info(), error=error, counts=counts)


def describe_error(error: BaseException) -> Error:
    """The error as records have it."""
    return Error(type=type(error).__name__, message=one_line(error), traceback=traceback_of(error))


def _counts_of_shard(resolved: ResolvedCell) -> Counts | None:
    """Counts of a cell without numbers: those who merge shards must know which one it was."""
    return _counts(resolved, has_shards=True) if resolved.options.shard else None


def _localizer_infos(
    resolved: ResolvedCell, predictions: pa.Table, failures: Sequence[Failure], earlier: Record | None
) -> dict[str, LocalizerInfo]:
    """Counts of each localizer's predictions and failed pairs, and the options it was made with."""
    numbers = count_predictions(predictions)
    failed: dict[str, set[str]] = {}
    for failure in failures:
        if failure.protocol is None:
            for name in [failure.localizer] if failure.localizer else failure.localizers:
                failed.setdefault(name, set()).add(failure.pair_id)
    tried = {name: set(pair_ids) for name, pair_ids in failed.items()}
    for pair_id, name in predicted_tasks(predictions):
        tried.setdefault(name, set()).add(pair_id)
    before = earlier.localizers if earlier else {}
    options = _localizer_options(resolved, predictions, earlier)
    infos: dict[str, LocalizerInfo] = {}
    # A localizer that failed on every pair it was asked for counts, too.
    for name in sorted(numbers.keys() | failed.keys()):
        pairs, keypoints = numbers.get(name, (0, 0))
        infos[name] = LocalizerInfo(
            options=options.get(name, {}),
            pairs=pairs,
            keypoints=keypoints,
            failed=len(failed.get(name, ())),
            shards=covered_shards(
                resolved.index,
                resolved.options,
                tried[name],
                before[name].shards if name in before else (),
            ),
            reads_annotations=_reads_annotations(resolved, name, before),
        )
    return infos


def _reads_annotations(resolved: ResolvedCell, name: str, before: Mapping[str, LocalizerInfo]) -> bool:
    if name in resolved.localizers:
        return resolved.localizers[name].record.spec.reads_annotations
    return name in before and before[name].reads_annotations


def _localizer_options(
    resolved: ResolvedCell, predictions: pa.Table, earlier: Record | None
) -> dict[str, dict[str, Scalar]]:
    """Options by localizer: of this run's localizers, and of those that earlier runs predicted with."""
    fingerprints = fingerprints_of(predictions)
    options = {name: fingerprint_options(fingerprint) for name, fingerprint in fingerprints.items()}
    # In the order in which they were written, where the earlier run came to its end.
    options |= {name: info.options for name, info in earlier.localizers.items()} if earlier else {}
    return options | {name: dict(localizer.options) for name, localizer in resolved.localizers.items()}


def _provenance(
    resolved: ResolvedCell, work: Work, earlier: Record | None, stages: Mapping[str, Stage]
) -> Provenance:
    """Everything that made the numbers. A run that computed nothing leaves the earlier record's as it is."""
    if not work.computed and earlier and earlier.provenance:
        return earlier.provenance
    options = resolved.options
    commit, dirty = source_state()
    localizers = {
        f"localizer {name}": localizer.record.version for name, localizer in resolved.localizers.items()
    }
    before = earlier.provenance if earlier else None
    return Provenance(
        versions=package_versions(),
        commit=commit,
        dirty=dirty,
        # Of localizers that this run does not use, those of the run that used them.
        plugins={**(before.plugins if before else {}), **resolved.plugins, **localizers},
        weights=_file_hashes(resolved),
        weight_origins=dict(resolved.weights.origins),
        manifest=resolved.index.manifest,
        facts=dict(resolved.index.facts),
        hardware=dict(work.hardware) or hardware(options.device),
        workers=len(work.workers) or None,
        nodes=len({node for node, _ in work.workers}) or None,
        precision=options.precision,
        compiled=options.compiled,
        device=options.device,
        batch_size=options.batch_size,
        started=work.started,
        computed_pairs=work.computed,
        stages=dict(stages),
        cache=dict(work.cache),
        gpu_peak_memory_bytes=work.gpu_peak_memory_bytes,
        earlier_runs=_earlier_runs(before) if before else [],
    )


def _earlier_runs(before: Provenance) -> list[EarlierRun]:
    """The runs before this one, those of one environment as one, the newest last."""
    last = EarlierRun(
        started=before.started,
        computed_pairs=before.computed_pairs,
        versions=before.versions,
        commit=before.commit,
        dirty=before.dirty,
        hardware=before.hardware,
        device=before.device,
        compiled=before.compiled,
        batch_size=before.batch_size,
    )
    others: list[EarlierRun] = []
    for run in before.earlier_runs:
        if environment_of(run) == environment_of(last):
            pairs = last.computed_pairs + run.computed_pairs
            last = last.model_copy(update={"runs": last.runs + run.runs, "computed_pairs": pairs})
        else:
            others.append(run)
    return [*others, last][-MOST_ENVIRONMENTS:]


def _file_hashes(resolved: ResolvedCell) -> dict[str, dict[str, str]]:
    """Weight source, prompt file, or spec that names files -> file -> sha256."""
    hashes = {name: dict(files) for name, files in resolved.weights.files.items()}
    for name, localizer in resolved.localizers.items():
        if localizer.files:
            hashes[files_key(name)] = dict(localizer.files)
    return hashes
