"""What the rows of a table have right on each pair, and their scores as estimates on the same pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.errors import BenchError, DamagedResult, UserError
from harness.records.folders import FindFolder
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
        seeds: S seeds, in order.
        right: (S, P) correct keypoints under each seed, mean over alphas.
        total: (P,) keypoints.
        truth: that of the pairs.
    """

    pair_ids: tuple[str, ...]
    seeds: tuple[int, ...]
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
        folder_of: FindFolder,
        read: Callable[[Path, Record], Predicted],
        criterion: Callable[[str, Sequence[float]], Criterion],
        protocol: str,
    ) -> None:
        """
        Args:
            folder_of: finds the folder of a cell.
            read: (a cell's folder, record) -> its predictions with the truth. Raises `UserError` where a
                dataset is needed and not at hand, and `DamagedResult` where they are damaged.
            criterion: (protocol, alphas) -> what counts as correct.
        """
        self._folder_of, self._read = folder_of, read
        self._criterion, self._protocol = criterion, protocol
        self.problems: list[str] = []

    def count_rows(
        self, records: Sequence[Sequence[Record]], rows: Sequence[Row], alphas: Sequence[float]
    ) -> dict[int, RowCounts]:
        """Number of row -> what it has right on one split.

        A row that cannot be tested adds to `problems`, unless it is for want of a dataset.

        Args:
            records: those of each row on this split, one of each seed.
        """
        counts: dict[int, RowCounts] = {}
        for number, (of_row, row) in enumerate(zip(records, rows, strict=True)):
            try:
                runs = [self._read_run(record, records[0][0]) for record in of_row]
            except DamagedResult as error:
                self.problems.append(str(error))
                continue
            except UserError:
                continue
            try:
                counts[number] = self._count_seeds(runs, of_row, row.own_localizer, alphas)
            except BenchError as error:
                self.problems.append(str(error))
        # Paired: all rows must have been run on the same pairs.
        usual = Counter(each.pair_ids for each in counts.values()).most_common(1)
        for number, each in list(counts.items()):
            if each.pair_ids != usual[0][0]:
                folder = self._folder_of(records[number][0])
                self.problems.append(
                    f"{folder}: has predictions of other pairs than most; run the cell again"
                )
                del counts[number]
        return counts

    def tell_stale(self, record: Record) -> None:
        """Adds to `problems` a row whose scores do not follow from its predictions."""
        self.problems.append(
            f"{self._folder_of(record)}: scores are not those of the predictions; "
            "'bench rescore' makes them anew"
        )

    def _read_run(self, record: Record, first: Record) -> Predicted:
        _check_same_data(record, first)
        return self._read(self._folder_of(record), record)

    def _count_seeds(
        self, runs: Sequence[Predicted], records: Sequence[Record], localizer: str, alphas: Sequence[float]
    ) -> RowCounts:
        counts = [
            self._count(predicted, record, localizer, alphas)
            for predicted, record in zip(runs, records, strict=True)
        ]
        for record, counted in zip(records, counts, strict=True):
            if counted.pair_ids != counts[0].pair_ids:
                raise UserError(
                    f"{self._folder_of(record)}: has predictions of other pairs than seed "
                    f"{records[0].cell.seed}; run the cell again"
                )
        seeds = tuple(record.cell.seed for record in records)
        return counts[0]._replace(seeds=seeds, right=np.concatenate([counted.right for counted in counts]))

    def _count(
        self, predicted: Predicted, record: Record, localizer: str, alphas: Sequence[float]
    ) -> RowCounts:
        truth, criterion = predicted.truth, self._criterion(self._protocol, alphas)
        points = scorable_points(truth, predicted.points(localizer), criterion)
        if not points:
            folder = self._folder_of(record)
            raise UserError(f"{folder}: no pair of localizer {localizer} can be scored; rescore the cell")
        right, total = count_correct(truth, points, criterion, record.cell.input_size)
        return RowCounts(tuple(points), (record.cell.seed,), right.mean(axis=1)[None], total, truth)


def _check_same_data(record: Record, first: Record) -> None:
    """Raises `DamagedResult` where a row was run on other data than the first one."""
    manifests = {each.provenance.manifest for each in (record, first) if each.provenance}
    if len(manifests) > 1:
        raise DamagedResult(f"{record.cell.id}: was run on other data than its neighbours")


def average_counts(counts: RowCounts, averaging: Averaging) -> float:
    """The score, from 0 to 1, that a row has on one split: mean over its alphas and seeds."""
    categories = [counts.truth.categories[number] for number in counts.truth.numbers(counts.pair_ids)]
    weighting = weigh_pairs(averaging, counts.total, categories)
    top = np.bincount(weighting.strata, counts.right.mean(axis=0) / weighting.divisor)
    return float((top / np.bincount(weighting.strata, weighting.weight)).mean())


def estimate_rows(
    counts: Sequence[Sequence[RowCounts]], averaging: Averaging, split_weights: Sequence[float] | None = None
) -> Estimates:
    """The mean over splits of each row's score, and over its seeds, as places are given by.

    Args:
        counts: of each split, those of each row.
        split_weights: of each split in the mean; None for equal ones.
    """
    if split_weights is None:
        split_weights = [1.0] * len(counts)
    row_seeds = [
        sorted({seed for of_row in rows for seed in of_row.seeds}) for rows in zip(*counts, strict=True)
    ]
    # One axis for all rows: under one seed, two methods are given the same noise.
    seeds = sorted({seed for of_row in row_seeds for seed in of_row})
    has_seed = np.array([[seed in of_row for of_row in row_seeds] for seed in seeds])
    numerators, denominators, identities, strata = [], [], [], []
    stratum_weights: list[float] = []
    for of_rows, split_weight in zip(counts, split_weights, strict=True):
        pair_ids, _, _, total, truth = of_rows[0]
        categories = [truth.categories[number] for number in truth.numbers(pair_ids)]
        weighting = weigh_pairs(averaging, total, categories)
        # (seeds, P, rows); zero under seeds that a row does not have.
        rights = np.zeros((len(seeds), len(total), len(of_rows)))
        for number, counted in enumerate(of_rows):
            rights[has_seed[:, number], :, number] = _by_seed(counted, row_seeds[number])
        numerators.append(rights / weighting.divisor[:, None])
        denominators.append(np.tile(weighting.weight[:, None], len(of_rows)))
        # Splits may share images, as two lists of pairs of the same pictures do.
        identities += image_identities(truth, pair_ids)
        strata.append(weighting.strata + len(stratum_weights))
        count = int(weighting.strata.max()) + 1
        stratum_weights += [split_weight / count] * count
    return estimate(
        np.concatenate(numerators, axis=1),
        np.concatenate(denominators),
        number_images(identities),
        np.concatenate(strata),
        np.array(stratum_weights),
        has_seed,
    )


def _by_seed(counts: RowCounts, seeds: Sequence[int]) -> np.ndarray:
    """Returns (seeds, P) correct keypoints under each of a row's seeds, of which this split may lack some.

    Those that it lacks stand at the mean of the others, which are moved away from it by as much as keeps the
    variance of the mean over seeds.
    """
    own = len(counts.seeds)
    if own == len(seeds):
        return counts.right
    mean = counts.right.mean(axis=0)
    right = np.tile(mean, (len(seeds), 1))
    if own > 1:
        growth = np.sqrt(len(seeds) * (len(seeds) - 1) / (own * (own - 1)))
        has_own = np.isin(seeds, counts.seeds)
        right[has_own] += growth * (counts.right - mean)
    return right
