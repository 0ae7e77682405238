"""Records of cells, made from predictions, the account of the work and the earlier record."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.environment import hardware, package_versions, source_state
from harness.messages import one_line
from harness.records.predictions import PREDICTIONS, fingerprints_of
from harness.records.schema import (
    Counts,
    Error,
    Failure,
    LocalizerInfo,
    Provenance,
    Record,
    Stage,
)
from harness.running.clock import StageClock
from harness.running.predict import Work
from harness.running.resolve import ResolvedCell, files_key, fingerprint_options
from harness.scoring.criteria import Criterion, frames_of
from harness.scoring.scores import score_all
from harness.specs import Scalar

if TYPE_CHECKING:
    import pyarrow as pa


def make_record(
    resolved: ResolvedCell,
    criteria: Sequence[Criterion],
    predictions: pa.Table,
    work: Work,
    earlier: Record | None,
) -> Record:
    """Scores all predictions of a cell and makes its record.

    Args:
        criteria: protocols to score under.
        predictions: those of the cell's file, of earlier runs too.
        work: the work of this run.
        earlier: the record that this one replaces.

    Raises:
        UserError: a pair has predictions of some key-points only.
        DataError: a protocol's threshold does not exist for the dataset.
    """
    info = resolved.info()
    clock = StageClock()
    with clock.stage("score"):
        path = resolved.folder / PREDICTIONS
        scores, thresholds = score_all(resolved.index, predictions, criteria, info.input_size, path)
    failures = [*work.failures, *_standing_failures(resolved, work, earlier)]
    # Scoring is a stage of its own: the clock of the work has stopped.
    stages = {**work.stages, **clock.stages()}
    return Record(
        status="partial" if failures else "ok",
        cell=info,
        counts=Counts(
            pairs=len(resolved.index.pair_ids),
            excluded=len(resolved.index.excluded),
            absent_points=resolved.index.absent_points,
            limit=resolved.options.limit,
            official=resolved.index.official_pairs,
            categories=len({pair.category for pair in resolved.index.pairs.values()}),
        ),
        localizers=_localizer_infos(resolved, predictions, failures, earlier),
        thresholds=thresholds,
        frames=frames_of(criteria),
        scores=scores,
        failures=failures,
        provenance=_provenance(resolved, work, earlier, stages),
    )


def record_of_misfit(resolved: ResolvedCell, reason: str) -> Record:
    """The record of a cell whose method and prompt do not fit together."""
    return Record(status="not-applicable", cell=resolved.info(), reason=reason)


def record_of_failure(resolved: ResolvedCell, error: BaseException) -> Record:
    """The record of a cell that failed as a whole."""
    description = Error(
        type=type(error).__name__,
        message=one_line(error),
        traceback="".join(traceback.format_exception(error)),
    )
    return Record(status="failed", cell=resolved.info(), error=description)


def _standing_failures(resolved: ResolvedCell, work: Work, earlier: Record | None) -> list[Failure]:
    """Failures of the earlier record that this run has not tried again."""
    standing: list[Failure] = []
    for failure in earlier.failures if earlier else ():
        # Without a localizer's name it is a failure of the pair, for all of them.
        localizers = [failure.localizer] if failure.localizer else resolved.cell.localizers
        tasks = {(failure.pair_id, name) for name in localizers}
        if tasks.isdisjoint(work.attempted):
            standing.append(failure)
    return standing


def _localizer_infos(
    resolved: ResolvedCell, predictions: pa.Table, failures: Sequence[Failure], earlier: Record | None
) -> dict[str, LocalizerInfo]:
    """Counts of each localizer's predictions, and the options it was made with."""
    pairs: dict[str, set[str]] = {}
    keypoints: dict[str, int] = {}
    pair_ids = predictions["pair_id"].to_pylist()
    names = predictions["localizer"].to_pylist()
    for pair_id, name in zip(pair_ids, names, strict=True):
        pairs.setdefault(name, set()).add(pair_id)
        keypoints[name] = keypoints.get(name, 0) + 1
    options = _localizer_options(resolved, predictions, earlier)
    infos: dict[str, LocalizerInfo] = {}
    for name in sorted(pairs):
        failed = [failure for failure in failures if failure.localizer in (None, name)]
        infos[name] = LocalizerInfo(
            options=options[name],
            pairs=len(pairs[name]),
            keypoints=keypoints[name],
            failed=sum(failure.pair_id not in pairs[name] for failure in failed),
        )
    return infos


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
    return Provenance(
        versions=package_versions(),
        commit=commit,
        dirty=dirty,
        plugins={**resolved.plugins, **localizers},
        weights=_file_hashes(resolved),
        weight_origins=dict(resolved.weights.origins),
        manifest=resolved.index.manifest,
        hardware=hardware(options.device),
        precision=options.precision,
        compiled=options.compiled,
        device=options.device,
        batch_size=options.batch_size,
        started=work.started,
        computed_pairs=work.computed,
        stages=dict(stages),
        cache=dict(work.cache),
        gpu_peak_memory_bytes=work.gpu_peak_memory_bytes,
    )


def _file_hashes(resolved: ResolvedCell) -> dict[str, dict[str, str]]:
    """Weight source, prompt file, or spec that names files -> file -> sha256."""
    hashes = {name: dict(files) for name, files in resolved.weights.files.items()}
    for name, localizer in resolved.localizers.items():
        if localizer.files:
            hashes[files_key(name)] = dict(localizer.files)
    return hashes
