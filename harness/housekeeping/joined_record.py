"""The record of a cell that was put together from parts, but for scores, which follow from predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.housekeeping.parts import Part
from harness.housekeeping.shards import asked_in, has_shards, in_order_of_number, largest_limit
from harness.records.predictions import predicted_tasks
from harness.records.schema import (
    Counts,
    EarlierRun,
    Failure,
    LocalizerInfo,
    Provenance,
    Record,
    environment_of,
)
from harness.records.tracebacks import join_tracebacks
from harness.running.failures import all_failed_text
from harness.scoring.points import count_predictions
from harness.scoring.thresholds import in_order

if TYPE_CHECKING:
    import pyarrow as pa


def join_records(
    parts: Sequence[Part], failed: Sequence[Part], predictions: pa.Table, cell_id: str
) -> Record:
    """The record of all parts, with the scores of the newest still.

    Args:
        parts: of one cell, the preferred one first.
        failed: further parts, of which every pair failed.
        predictions: those of all parts.
        cell_id: the name of the cell's folder.
    """
    makers = makers_of(parts)
    base = max(makers, key=lambda part: part.started).record
    records = [part.record for part in (*parts, *failed)]
    origins = [part.record.provenance for part in makers if part.record.provenance]
    failures = _lasting_failures(records, predicted_tasks(predictions))
    localizers = _localizer_infos(records, count_predictions(predictions), failures)
    not_applicable: dict[str, str] = {}
    for record in (*records, base):
        not_applicable |= record.not_applicable
    changes = {
        "cell": base.cell.model_copy(update={"id": cell_id}),
        "counts": _join_counts(base, records, localizers),
        "localizers": localizers,
        "failures": failures,
        "tracebacks": join_tracebacks(record.tracebacks for record in records) if failures else {},
        "not_applicable": not_applicable,
        "provenance": _join_provenance(origins),
    }
    return base.model_copy(update=changes)


def join_failed(parts: Sequence[Part], cell_id: str) -> tuple[Record, dict[str, LocalizerInfo]]:
    """The record of a cell of which every pair failed, in all parts together.

    Returns:
        The record, and what it would say of its localizers if it had numbers.
    """
    base = max(parts, key=lambda part: part.started).record
    records = [part.record for part in parts]
    failures = _lasting_failures(records, set())
    localizers = _localizer_infos(records, {}, failures)
    changes: dict[str, object] = {
        "cell": base.cell.model_copy(update={"id": cell_id}),
        "counts": _join_counts(base, records, localizers),
        "failures": failures,
        "tracebacks": join_tracebacks(record.tracebacks for record in records),
    }
    if base.error:
        changes["error"] = base.error.model_copy(update={"message": all_failed_text(failures)})
    return base.model_copy(update=changes), localizers


def makers_of(parts: Sequence[Part]) -> list[Part]:
    """The parts with predictions that no part before them has: a copy, or a smaller part, made nothing."""
    makers: list[Part] = []
    known: set[tuple[str, str]] = set()
    for part in parts:
        tasks = predicted_tasks(part.predictions)
        if not tasks <= known:
            makers.append(part)
            known |= tasks
    return makers


def _join_counts(
    base: Record, records: Sequence[Record], localizers: dict[str, LocalizerInfo]
) -> Counts | None:
    """Counts of the split, which are the same in all parts; a limit where pairs are missing still.

    Args:
        localizers: those of all parts.
    """
    counts = base.counts
    if counts is None:
        return None
    known = [record.counts for record in records if record.counts]
    # Records of earlier versions lack some.
    official = next((each.official for each in known if each.official is not None), None)
    categories = next((each.categories for each in known if each.categories is not None), None)
    tried = max((info.pairs + info.failed for info in localizers.values()), default=0)
    is_limited = 0 < tried < counts.pairs - counts.excluded
    limit = tried if is_limited else None
    shard = counts.shard
    if any(map(has_shards, records)):
        limit = largest_limit(known)
        if not any(info.shards for info in localizers.values()):
            shard = None
    changes = {"official": official, "categories": categories, "limit": limit, "shard": shard}
    return counts.model_copy(update=changes)


def _lasting_failures(records: Sequence[Record], predicted: set[tuple[str, str]]) -> list[Failure]:
    """Failures of pairs that no part has a prediction of; those of single protocols are found anew."""
    lasting: dict[tuple[str, str | None, str], Failure] = {}
    for record in records:
        for failure in record.failures:
            if failure.protocol is not None:
                continue
            own = [failure.localizer] if failure.localizer else failure.localizers
            names = own or list(record.localizers)
            left = {name for name in names if (failure.pair_id, name) not in predicted}
            if not left:
                continue
            key = (failure.pair_id, failure.localizer, failure.error)
            if key in lasting:
                left.update(lasting[key].localizers)
            update = {"localizers": [] if failure.localizer else sorted(left)}
            lasting[key] = failure.model_copy(update=update)
    return in_order(list(lasting.values()))


def _localizer_infos(
    records: Sequence[Record], numbers: Mapping[str, tuple[int, int]], failures: Sequence[Failure]
) -> dict[str, LocalizerInfo]:
    """Counts of each localizer.

    Args:
        numbers: localizer -> its numbers of pairs and of keypoints.
    """
    failed: dict[str, set[str]] = {}
    for failure in failures:
        for name in [failure.localizer] if failure.localizer else failure.localizers:
            failed.setdefault(name, set()).add(failure.pair_id)
    infos: dict[str, LocalizerInfo] = {}
    for name in sorted(numbers.keys() | failed.keys()):
        options = next((each.localizers[name].options for each in records if name in each.localizers), {})
        pairs, keypoints = numbers.get(name, (0, 0))
        failures_of = len(failed.get(name, ()))
        infos[name] = LocalizerInfo(
            options=options,
            pairs=pairs,
            keypoints=keypoints,
            failed=failures_of,
            shards=_join_shards(records, name, pairs + failures_of),
            reads_annotations=any(
                name in each.localizers and each.localizers[name].reads_annotations for each in records
            ),
        )
    return infos


def _join_shards(records: Sequence[Record], localizer: str, tried: int) -> list[str]:
    """The shards that all records together have of a localizer; none where these are all pairs asked for.

    Args:
        tried: number of pairs that were predicted or failed, in all records together.
    """
    shards: set[str] = set()
    asked = 0
    for record in records:
        info = record.localizers.get(localizer)
        has_failed = any(localizer in failure.localizers for failure in record.failures)
        if record.counts and (info or has_failed):
            asked = max(asked, asked_in(record.counts))
            shards.update(info.shards if info else filter(None, [record.counts.shard]))
    # Pairs asked for with a smaller limit are among those with a larger one: as many are the same ones.
    return in_order_of_number(shards) if tried < asked else []


def _join_provenance(provenances: Sequence[Provenance]) -> Provenance | None:
    """The newest run as the last one, and all others as earlier ones, those of one environment together."""
    if not provenances:
        return None
    distinct: dict[tuple[object, ...], Provenance] = {}
    for provenance in provenances:
        # A copy of a folder has the same run once more.
        key = (provenance.started, repr(environment_of(provenance)), provenance.computed_pairs)
        distinct.setdefault(key, provenance)
    *older, newest = sorted(distinct.values(), key=lambda provenance: provenance.started)
    runs: list[EarlierRun] = []
    for provenance in (*older, newest):
        for run in provenance.earlier_runs:
            _add_run(runs, run)
    for provenance in older:
        _add_run(runs, _as_earlier(provenance))
    runs.sort(key=lambda run: run.started)
    plugins: dict[str, str] = {}
    weights: dict[str, dict[str, str]] = {}
    origins: dict[str, str] = {}
    for provenance in (*older, newest):
        plugins |= provenance.plugins
        weights |= provenance.weights
        origins |= provenance.weight_origins
    changes = {"plugins": plugins, "weights": weights, "weight_origins": origins, "earlier_runs": runs}
    return newest.model_copy(update=changes)


def _as_earlier(provenance: Provenance) -> EarlierRun:
    names = EarlierRun.model_fields.keys() - {"runs"}
    return EarlierRun(**{name: getattr(provenance, name) for name in names})


def _add_run(runs: list[EarlierRun], run: EarlierRun) -> None:
    """Adds a run to those of its environment. A run that is there already, as in a copy, is one."""
    if run in runs:
        return
    for number, known in enumerate(runs):
        if environment_of(known) == environment_of(run):
            runs[number] = known.model_copy(
                update={
                    "started": max(known.started, run.started),
                    "runs": known.runs + run.runs,
                    "computed_pairs": known.computed_pairs + run.computed_pairs,
                }
            )
            return
    runs.append(run)
