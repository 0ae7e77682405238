"""Scores stored predictions anew: from predictions and annotations to a record, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import DamagedResult, UserError
from harness.messages import OncePerSubject
from harness.plugins.host import Host
from harness.records.folders import RECORD, read_record, write_record
from harness.records.locks import lock_folder
from harness.records.predictions import predicted_tasks
from harness.records.schema import Record
from harness.records.slices import GEOMETRY_AWARE
from harness.scoring.criteria import (
    averagings_of,
    criteria_of,
    frames_of,
    make_criterion,
    merge_criteria,
    protocol_name,
)
from harness.scoring.measure_hash import measures_of
from harness.scoring.scores import score_all
from harness.scoring.sources import Predicted, Sources
from harness.scoring.thresholds import Measures, applicable, in_order, merge_reasons, protocol_failures


class Rescorer:
    """Rescores records, without a dataset where their files have the truth.

    Args:
        warn: called with a message about something that stops nothing.
    """

    def __init__(
        self,
        host: Host,
        sources: Sources,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._host, self._sources = host, sources
        self._warn = OncePerSubject(warn)

    def rescore(
        self,
        results: Path,
        record: Record,
        protocols: Sequence[str] | None,
        alphas: Sequence[float] | None,
        threshold: str | None,
    ) -> Rescored:
        """Adds scores to a record, computes those it has anew, and writes it.

        Args:
            results: the results folder, which has the cell's folder.
            protocols: names; None for those of the record.
            alphas: None for each protocol's own.
            threshold: what alpha multiplies; None for the dataset's own.

        Raises:
            UserError: if a dataset is needed and missing, or is not the one the cell was run on, or a
                protocol is unknown.
            DamagedResult: if the predictions are damaged or not those of the record.
            BenchError: if another process is running the cell.
        """
        folder = results / record.cell.id
        # A run of this cell at the same moment would write predictions that the scores do not fit.
        with lock_folder(folder, self._warn, writes=True):
            # Read again: a run may have ended since.
            record = read_record(folder / RECORD)
            # Those the record has are scored anew as well: its scores are replaced as a whole.
            earlier = criteria_of(record, self._host)
            names = protocols or sorted({protocol_name(item.protocol.name) for item in earlier})
            suffix = f"[threshold={threshold}]" if threshold else ""
            requested = [make_criterion(self._host, name + suffix, alphas) for name in dict.fromkeys(names)]
            predicted = self._sources.read(folder, record, prefers_named=True)
            predicted, problem = self._sources.with_point_slices(predicted, record)
            if problem:
                self._warn(f"slice {GEOMETRY_AWARE}", problem)
            measures = applicable(predicted.truth, merge_criteria(requested, earlier))
            rescored = with_scores(predicted, record, measures)
            write_record(folder, rescored)
        return Rescored(rescored, tuple(criterion.protocol.name for criterion in requested))


class Rescored(NamedTuple):
    """A record with scores made anew.

    Attributes:
        protocols: names of the protocols that were asked for, with the threshold where one was.
    """

    record: Record
    protocols: tuple[str, ...]

    @property
    def scored(self) -> list[str]:
        """Those of them that the cell's dataset has."""
        return [name for name in self.protocols if name not in self.record.not_applicable]


def with_scores(predicted: Predicted, record: Record, measures: Measures) -> Record:
    """A record with the scores, and the failures of single protocols, that follow from its predictions.

    Raises `DamagedResult` where the predictions do not fit the truth.
    """
    criteria = measures.criteria
    truth, predictions = predicted.truth, predicted.predictions
    try:
        scores, thresholds = score_all(truth, predictions, criteria, record.cell.input_size, predicted.path)
    except UserError as error:
        raise DamagedResult(str(error)) from error
    localizers: dict[str, list[str]] = {}
    for pair_id, localizer in sorted(predicted_tasks(predictions)):
        localizers.setdefault(pair_id, []).append(localizer)
    lasting = [failure for failure in record.failures if failure.protocol is None]
    failures = in_order([*lasting, *protocol_failures(truth, localizers, criteria)])
    changes = {
        "status": "partial" if failures else "ok",
        "scores": scores,
        "thresholds": thresholds,
        "frames": frames_of(criteria),
        "averagings": averagings_of(criteria),
        "measures": measures_of(criteria),
        "failures": failures,
        "not_applicable": merge_reasons(measures, record),
    }
    return record.model_copy(update=changes)
