"""Scores stored predictions anew: from predictions and annotations to a record, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.datasets.splits import SplitIndex, read_split
from harness.errors import UserError
from harness.frames import Size
from harness.plugins.host import Host
from harness.records.folders import locked, write_record
from harness.records.predictions import PREDICTIONS, read_predictions
from harness.records.schema import Record
from harness.scoring.criteria import criteria_of, criterion, merge_criteria
from harness.scoring.scores import score_all
from harness.sweep import DatasetChoice


class Rescorer:
    """Rescores records, reading each split once.

    Args:
        places: `NAME=PATH` for datasets that are not in their usual place below `data_root`.
    """

    def __init__(self, host: Host, data_root: Path, places: Sequence[str] = ()) -> None:
        self._host, self._data_root = host, data_root
        self._places: dict[str, list[Path]] = {}
        for choice in map(DatasetChoice.parse, places):
            if not choice.place:
                raise UserError(f"--datasets {choice.name}: expected NAME=PATH, the place of a dataset")
            self._places.setdefault(host.datasets[choice.name].name, []).append(choice.place)
        self._splits: dict[tuple[Path, str, str], SplitIndex] = {}

    def rescore(
        self,
        folder: Path,
        record: Record,
        protocols: Sequence[str] | None,
        alphas: Sequence[float] | None,
        threshold: str | None,
    ) -> Record:
        """Adds scores to a record, or counts those it has anew, and writes it.

        Raises:
            UserError: if the cell has no predictions, or its dataset is not there, or not the one that was predicted on.
        """
        if record.cell.fed is None:
            raise UserError(f"{record.cell.id}: not applicable, so it has no predictions to score")
        index = self.split(record)
        had = criteria_of(record, self._host)
        names = protocols or [one.protocol.name.partition("[")[0] for one in had]
        suffix = f"[threshold={threshold}]" if threshold else ""
        asked = [criterion(self._host, name + suffix, alphas) for name in dict.fromkeys(names)]
        place = folder / record.cell.id
        with locked(place):
            predictions = read_predictions(place / PREDICTIONS)
            scores, thresholds = score_all(
                index, predictions, merge_criteria(asked, had), Size(*record.cell.fed)
            )
            changed = record.model_copy(update={"scores": scores, "thresholds": thresholds})
            write_record(place, changed)
        return changed

    def split(self, record: Record) -> SplitIndex:
        """The split a record was run on, from the first place that has it, read once. Raises `UserError`."""
        name = record.cell.dataset.partition(":")[0]
        spec = self._host.datasets[name]
        found: list[SplitIndex] = []
        for place in self._places.get(name) or [self._data_root / spec.home]:
            key = (place, name, record.cell.split)
            if key not in self._splits:
                self._splits[key] = read_split(spec, place, record.cell.split)
            index = self._splits[key]
            known = record.provenance is None or index.manifest == record.provenance.manifest
            # Lists of one's own may differ in nothing but their name and threshold.
            if known and index.label == record.cell.dataset:
                return index
            found.append(index)
        raise UserError(
            f"{record.cell.id}: dataset {record.cell.dataset} differs from the one it was run on (manifest {found[0].manifest[:12]}, "
            f"the record has {record.provenance.manifest[:12] if record.provenance else 'none'}); name the right place with "
            f"--datasets {name}=PATH, or run the cell again"
        )
