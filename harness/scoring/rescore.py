"""Scores stored predictions anew: from predictions and annotations to a record, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.datasets.splits import SplitIndex, Splits
from harness.errors import UserError
from harness.messages import OncePerSubject
from harness.plugins.host import Host
from harness.records.folders import lock_folder, write_record
from harness.records.predictions import PREDICTIONS, read_predictions
from harness.records.schema import Record
from harness.scoring.criteria import criteria_of, frames_of, make_criterion, merge_criteria, protocol_name
from harness.scoring.scores import score_all
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
    ) -> Record:
        """Adds scores to a record, computes those it has anew, and writes it.

        Args:
            results: the results folder, which has the cell's folder.
            protocols: names; None for those of the record.
            alphas: None for each protocol's own.
            threshold: what alpha multiplies; None for the dataset's own.

        Raises:
            UserError: if the cell has no predictions, or its dataset is missing or not the one it was run on.
        """
        fed = record.cell.input_size
        index = self.split(record)
        # Those the record has are scored anew as well: its scores are replaced as a whole.
        earlier = criteria_of(record, self._host)
        names = protocols or [protocol_name(criterion.protocol.name) for criterion in earlier]
        suffix = f"[threshold={threshold}]" if threshold else ""
        requested = [make_criterion(self._host, name + suffix, alphas) for name in dict.fromkeys(names)]
        folder = results / record.cell.id
        # A run of this cell at the same moment would write predictions that the scores do not fit.
        with lock_folder(folder, self._warn):
            path = folder / PREDICTIONS
            predictions = read_predictions(path)
            criteria = merge_criteria(requested, earlier)
            scores, thresholds = score_all(index, predictions, criteria, fed, path)
            changes = {"scores": scores, "thresholds": thresholds, "frames": frames_of(criteria)}
            rescored = record.model_copy(update=changes)
            write_record(folder, rescored)
        return rescored

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
