"""What the rows of a table have right on each pair, and their scores as estimates on the same pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.errors import BenchError, DamagedResult, UserError
from harness.records.schema import Record
from harness.scoring.averages import weigh_pairs
from harness.scoring.bootstrap import Estimates, estimate
from harness.scoring.correctness import count_correct, image_identities, number_images, scorable_points
from harness.scoring.criteria import Criterion
from harness.scoring.sources import Predicted
from harness.scoring.truth import Truth
from harness.specs import Averaging
from harness.tables.row import Row


class RowCounts(NamedTuple):
    """What a row has right on one split.

    Attributes:
        pair_ids: P pairs.
        right: (P,) correct keypoints, mean over alphas.
        total: (P,) keypoints.
        truth: that of the pairs.
    """

    pair_ids: tuple[str, ...]
    right: np.ndarray
    total: np.ndarray
    truth: Truth


class RowCounter:
    """Reads the predictions of rows, and counts their correct keypoints.

    Attributes:
        problems: why rows could not be counted, one line each.
    """

    def __init__(
        self,
        folder: Path,
        read: Callable[[Path, Record], Predicted],
        criterion: Callable[[str, Sequence[float]], Criterion],
        protocol: str,
    ) -> None:
        """
        Args:
            folder: the results folder.
            read: (a cell's folder, record) -> its predictions with the truth. Raises `UserError` where a
                dataset is needed and not at hand, and `DamagedResult` where they are damaged.
            criterion: (protocol, alphas) -> what counts as correct.
        """
        self._folder, self._read, self._criterion, self._protocol = folder, read, criterion, protocol
        self.problems: list[str] = []

    def count_rows(
        self, records: Sequence[Record], rows: Sequence[Row], alphas: Sequence[float]
    ) -> dict[int, RowCounts]:
        """Number of row -> what it has right on one split.

        A row that cannot be tested adds to `problems`, unless it is for want of a dataset.

        Args:
            records: that of each row on this split.
        """
        counts: dict[int, RowCounts] = {}
        for number, (record, row) in enumerate(zip(records, rows, strict=True)):
            try:
                _check_same_data(record, records[0])
                predicted = self._read(self._folder / record.cell.id, record)
            except DamagedResult as error:
                self.problems.append(str(error))
                continue
            except UserError:
                continue
            try:
                counts[number] = self._count(predicted, record, row.own_localizer, alphas)
            except BenchError as error:
                self.problems.append(str(error))
        # Paired: all rows must have been run on the same pairs.
        usual = Counter(each.pair_ids for each in counts.values()).most_common(1)
        for number, each in list(counts.items()):
            if each.pair_ids != usual[0][0]:
                folder = self._folder / records[number].cell.id
                self.problems.append(
                    f"{folder}: has predictions of other pairs than most; run the cell again"
                )
                del counts[number]
        return counts

    def _count(
        self, predicted: Predicted, record: Record, localizer: str, alphas: Sequence[float]
    ) -> RowCounts:
        truth, criterion = predicted.truth, self._criterion(self._protocol, alphas)
        points = scorable_points(truth, predicted.points(localizer), criterion)
        if not points:
            folder = self._folder / record.cell.id
            raise UserError(f"{folder}: no pair of localizer {localizer} can be scored; rescore the cell")
        right, total = count_correct(truth, points, criterion, record.cell.input_size)
        return RowCounts(tuple(points), right.mean(axis=1), total, truth)


def _check_same_data(record: Record, first: Record) -> None:
    """Raises `DamagedResult` where a row was run on other data than the first one."""
    manifests = {each.provenance.manifest for each in (record, first) if each.provenance}
    if len(manifests) > 1:
        raise DamagedResult(f"{record.cell.id}: was run on other data than its neighbours")


def estimate_rows(counts: Sequence[Sequence[RowCounts]], averaging: Averaging) -> Estimates:
    """The mean over splits of each row's score, as places are given by.

    Args:
        counts: of each split, those of each row.
    """
    numerators, denominators, identities, strata = [], [], [], []
    stratum_weights: list[float] = []
    for of_rows in counts:
        pair_ids, _, total, truth = of_rows[0]
        categories = [truth.categories[number] for number in truth.numbers(pair_ids)]
        weighting = weigh_pairs(averaging, total, categories)
        rights = np.stack([counted.right for counted in of_rows], axis=1)
        numerators.append(rights / weighting.divisor[:, None])
        denominators.append(np.tile(weighting.weight[:, None], len(of_rows)))
        # Splits may share images, as two lists of pairs of the same pictures do.
        identities += image_identities(truth, pair_ids)
        strata.append(weighting.strata + len(stratum_weights))
        count = int(weighting.strata.max()) + 1
        stratum_weights += [1 / count] * count
    return estimate(
        np.concatenate(numerators),
        np.concatenate(denominators),
        number_images(identities),
        np.concatenate(strata),
        np.array(stratum_weights),
    )
