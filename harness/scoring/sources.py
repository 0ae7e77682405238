"""What cells are scored against: the truth in their files, or else the dataset that they were run on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datasets.splits import SplitIndex, Splits
from harness.errors import DamagedResult, UserError
from harness.plugins.host import Host
from harness.records.predictions import PREDICTIONS
from harness.records.schema import Record
from harness.scoring.points import Points, read_cell, select_points
from harness.scoring.truth import Truth, truth_of
from harness.scoring.truth_columns import truth_in
from harness.sweep import DatasetChoice

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Predicted:
    """All predictions of a cell, and the truth of their pairs.

    Attributes:
        path: the file of the predictions.
    """

    path: Path
    predictions: pa.Table
    truth: Truth

    def points(self, localizer: str) -> Points:
        """The points of one localizer. Raises `UserError` where they do not fit the truth."""
        return select_points(self.truth, self.predictions, localizer, self.path)


class NoSuchSlice(UserError):
    """A cell's data have no point of the slice that was asked for."""


class Sources:
    """Finds the truth of cells and the splits that they were run on; each split is read once.

    Args:
        places: `NAME=PATH` for datasets that are not in their usual folder below `data_root`.
        point_slice: the slice of points that alone count; empty for all points.
    """

    def __init__(
        self, host: Host, data_root: Path, places: Sequence[str] = (), point_slice: str = ""
    ) -> None:
        self._point_slice = point_slice
        self._choices: dict[str, list[DatasetChoice]] = {}
        for choice in map(DatasetChoice.parse, places):
            if not choice.path:
                raise UserError(f"--datasets {choice.name}: expected NAME=PATH, the place of a dataset")
            self._choices.setdefault(host.datasets[choice.name].name, []).append(choice)
        self._datasets = host.datasets
        self._splits = Splits(host.datasets, data_root)

    def read(self, folder: Path, record: Record, *, prefers_named: bool = False) -> Predicted:
        """Reads the predictions in a cell's folder with their truth.

        No dataset is needed, unless the file is of an earlier version.

        Args:
            prefers_named: whether a dataset that the user named is read all the same.

        Raises:
            DamagedResult: the file is damaged, or not that of the record.
            UserError: a dataset is needed and missing, or not the one that the cell was run on.
            NoSuchSlice: it has no point of the slice that alone counts.
        """
        path = folder / PREDICTIONS
        if not path.exists():
            # Records alone, as some are handed on, lack both: a table does without, and says nothing.
            self.split(record)
        try:
            predictions = read_cell(folder, record)
            truth = _truth_of_file(path, record, predictions)
        except UserError as error:
            raise DamagedResult(str(error)) from error
        if truth is None or (prefers_named and _dataset_of(record) in self._choices):
            truth = truth_of(self.split(record))
        predicted = Predicted(path, predictions, truth)
        return self._in_slice(predicted, record) if self._point_slice else predicted

    def _in_slice(self, predicted: Predicted, record: Record) -> Predicted:
        """The predictions with a truth of which only the points of the slice count. Raises `UserError`."""
        predicted, problem = self.with_point_slices(predicted, record)
        if problem:
            raise UserError(f"slice {self._point_slice}: {problem}")
        slices = predicted.truth.point_slices
        if slices and self._point_slice in slices and slices[self._point_slice].any():
            return replace(predicted, truth=replace(predicted.truth, only=self._point_slice))
        reason = "none of its points is in it"
        if slices is None:
            reason = f"dataset {record.cell.dataset} does not say which points look alike"
        elif slices:
            other = next(iter(slices))
            reason = f"it has {other}; give --slice {other}"
        raise NoSuchSlice(f"slice {self._point_slice}: {record.cell.id} has none: {reason}")

    def with_point_slices(self, predicted: Predicted, record: Record) -> tuple[Predicted, str]:
        """Predictions with a truth that knows slices of points, which files of earlier versions do not say.

        Returns:
            The predictions as they are where the dataset has no such slice, or is not at hand; then with a
            line that says so.
        """
        name = _dataset_of(record)
        if predicted.truth.point_slices is not None or name not in self._datasets:
            return predicted, ""
        if not self._datasets[name].symmetric_keypoints:
            return predicted, ""
        try:
            return replace(predicted, truth=truth_of(self.split(record))), ""
        except UserError as error:
            return predicted, (
                f"{record.cell.id} has none: its predictions are of an earlier version, and its dataset "
                f"cannot be read ({error})"
            )

    def split(self, record: Record) -> SplitIndex:
        """The split a record was run on, from the first folder that has it; each folder is read once.

        Raises:
            UserError: if the dataset is in none of the folders, or differs from the one the record was run
                on.
        """
        name = _dataset_of(record)
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


def _truth_of_file(path: Path, record: Record, predictions: pa.Table) -> Truth | None:
    """The truth in a file; None where it is of an earlier version. Raises `UserError` where it is damaged."""
    truth = truth_in(predictions, path)
    if truth and (truth.dataset, truth.split) != (record.cell.dataset, record.cell.split):
        raise UserError(
            f"{path}: has the truth of {truth.dataset} {truth.split}, and the record beside it is of "
            f"{record.cell.dataset} {record.cell.split}; run the cell again"
        )
    return truth


def _dataset_of(record: Record) -> str:
    """Name of the dataset as the command line has it: `folder` of `folder:birds`."""
    return record.cell.dataset.partition(":")[0]
