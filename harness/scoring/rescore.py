"""Scores stored predictions anew: from predictions and annotations to a record, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.datasets.splits import SplitIndex, Splits
from harness.errors import DamagedResult, UserError
from harness.messages import OncePerSubject
from harness.plugins.host import Host
from harness.records.folders import RECORD, lock_folder, read_record, write_record
from harness.records.predictions import PREDICTIONS, predicted_tasks
from harness.records.schema import Record
from harness.scoring.criteria import (
    averagings_of,
    criteria_of,
    frames_of,
    make_criterion,
    merge_criteria,
    protocol_name,
)
from harness.scoring.points import read_cell
from harness.scoring.scores import score_all
from harness.scoring.thresholds import Measures, applicable, in_order, merge_reasons, protocol_failures
from harness.scoring.truth import Truth, truth_of
from harness.sweep import DatasetChoice


class Rescorer:
    """Rescores records, reading each split once.

    Args:
        places: `NAME=PATH` for datasets that are not in their usual folder below `data_root`.
        warn: called with a message about something that stops nothing.
    """

    def __init__(
        self,
        host: Host,
        data_root: Path,
        places: Sequence[str] = (),
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._host = host
        self._warn = OncePerSubject(warn)
        self._choices: dict[str, list[DatasetChoice]] = {}
        for choice in map(DatasetChoice.parse, places):
            if not choice.path:
                raise UserError(f"--datasets {choice.name}: expected NAME=PATH, the place of a dataset")
            self._choices.setdefault(host.datasets[choice.name].name, []).append(choice)
        self._splits = Splits(host.datasets, data_root)

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
            UserError: if the dataset is missing or not the one the cell was run on, or a protocol is unknown.
            DamagedResult: if the predictions are damaged or not those of the record.
            BenchError: if another process is running the cell.
        """
        truth = truth_of(self.split(record))
        folder = results / record.cell.id
        # A run of this cell at the same moment would write predictions that the scores do not fit.
        with lock_folder(folder, self._warn):
            # Read again: a run may have ended since.
            record = read_record(folder / RECORD)
            # Those the record has are scored anew as well: its scores are replaced as a whole.
            earlier = criteria_of(record, self._host)
            names = protocols or sorted({protocol_name(item.protocol.name) for item in earlier})
            suffix = f"[threshold={threshold}]" if threshold else ""
            requested = [make_criterion(self._host, name + suffix, alphas) for name in dict.fromkeys(names)]
            measures = applicable(truth, merge_criteria(requested, earlier))
            rescored = _rescored(truth, folder, record, measures)
            write_record(folder, rescored)
        return Rescored(rescored, tuple(criterion.protocol.name for criterion in requested))

    def split(self, record: Record) -> SplitIndex:
        """The split a record was run on, from the first folder that has it; each folder is read once.

        Raises:
            UserError: if the dataset is in none of the folders, or differs from the one the record was run
                on.
        """
        name = record.cell.dataset.partition(":")[0]
        manifest = record.provenance.manifest if record.provenance else None
        unlike: list[SplitIndex] = []
        for choice in self._choices.get(name) or [DatasetChoice(name)]:
            index = self._splits.read(choice, record.cell.split)
            # Lists of the user's own may differ in nothing but their name and threshold.
            if manifest in (None, index.manifest) and index.label == record.cell.dataset:
                return index
            unlike.append(index)
        raise UserError(
            f"{record.cell.id}: dataset {record.cell.dataset} differs from the one it was run on "
            f"(manifest {unlike[0].manifest[:12]}, the record has {(manifest or 'none')[:12]}); "
            f"name the right place with --datasets {name}=PATH, or run the cell again"
        )


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


def _rescored(truth: Truth, folder: Path, record: Record, measures: Measures) -> Record:
    """A record with the scores, and the failures of single protocols, that follow from its predictions."""
    criteria = measures.criteria
    try:
        predictions = read_cell(folder, record)
        fed = record.cell.input_size
        scores, thresholds = score_all(truth, predictions, criteria, fed, folder / PREDICTIONS)
    except UserError as error:
        raise DamagedResult(str(error)) from error
    predicted: dict[str, list[str]] = {}
    for pair_id, localizer in sorted(predicted_tasks(predictions)):
        predicted.setdefault(pair_id, []).append(localizer)
    lasting = [failure for failure in record.failures if failure.protocol is None]
    failures = in_order([*lasting, *protocol_failures(truth, predicted, criteria)])
    changes = {
        "status": "partial" if failures else "ok",
        "scores": scores,
        "thresholds": thresholds,
        "frames": frames_of(criteria),
        "averagings": averagings_of(criteria),
        "failures": failures,
        "not_applicable": merge_reasons(measures, record),
    }
    return record.model_copy(update=changes)
