"""Finds the places of a ranked table's rows, with intervals, from their predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.datasets.splits import SplitIndex
from harness.errors import BenchError, UserError
from harness.records.schema import Record
from harness.scoring.averages import weigh_pairs
from harness.scoring.bootstrap import Estimates, estimate
from harness.scoring.correctness import count_correct, image_identities, number_images, scorable_points
from harness.scoring.criteria import Criterion
from harness.scoring.points import read_points
from harness.scoring.ranks import rank_estimates
from harness.scoring.truth import truth_of
from harness.specs import Averaging
from harness.tables.columns import Column, Split, ranking_columns
from harness.tables.row import Places, Row


class _Counts(NamedTuple):
    """What a row has right on one split.

    Attributes:
        pair_ids: P pairs.
        right: (P,) correct keypoints, mean over alphas.
        total: (P,) keypoints.
    """

    pair_ids: tuple[str, ...]
    right: np.ndarray
    total: np.ndarray


class Ties:
    """Finds the places of a table's rows: a `harness.tables.row.TieFinder`.

    Attributes:
        problems: why rows could not be tested, one line each.
    """

    def __init__(
        self,
        folder: Path,
        split: Callable[[Record], SplitIndex],
        criterion: Callable[[str, Sequence[float]], Criterion],
        protocol: str,
        averaging: Averaging,
    ) -> None:
        """
        Args:
            folder: the results folder.
            split: finds the split of a record. Raises `UserError` where it is not at hand.
            criterion: (protocol, alphas) -> what counts as correct.
        """
        self._folder, self._split, self._criterion = folder, split, criterion
        self._protocol, self._averaging = protocol, averaging
        self.problems: list[str] = []

    def __call__(self, rows: Sequence[Row], columns: Sequence[Column]) -> Places | None:
        """The place of each row; None where data are missing, or fewer than two rows have predictions.

        A missing dataset leaves no line in `problems`: a table can do without.
        """
        alphas: dict[Split, list[float]] = {}
        for column in ranking_columns(columns):
            split = (column.dataset, column.split)
            alphas.setdefault(split, []).append(column.alpha)
        try:
            indices = {split: self._split(rows[0].cells[split]) for split in alphas}
        except BenchError:
            return None
        counts = []
        for split, index in indices.items():
            counts.append(self._count_rows([row.cells[split] for row in rows], rows, index, alphas[split]))
        tested = [number for number in range(len(rows)) if all(number in counted for counted in counts)]
        if len(tested) < 2:
            return None
        counts_of_tested = [[counted[number] for number in tested] for counted in counts]
        ranks = rank_estimates(self._estimate(list(indices.values()), counts_of_tested))
        # A row that cannot be tested keeps the place that its number gives it.
        best = list(range(1, len(rows) + 1))
        worst = list(best)
        for number, row in enumerate(tested):
            best[row] = tested[ranks.best[number] - 1] + 1
            worst[row] = tested[ranks.worst[number] - 1] + 1
        return Places(best, worst, frozenset(range(len(rows))).difference(tested))

    def _count_rows(
        self, records: Sequence[Record], rows: Sequence[Row], index: SplitIndex, alphas: Sequence[float]
    ) -> dict[int, _Counts]:
        """Number of row -> what it has right on one split. A row that cannot be tested adds to `problems`."""
        counts: dict[int, _Counts] = {}
        for number, (record, row) in enumerate(zip(records, rows, strict=True)):
            try:
                counts[number] = self._count(record, row.own_localizer, index, alphas)
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

    def _count(self, record: Record, localizer: str, index: SplitIndex, alphas: Sequence[float]) -> _Counts:
        if record.provenance and record.provenance.manifest != index.manifest:
            raise UserError(f"{record.cell.id}: was run on other data than its neighbours")
        folder = self._folder / record.cell.id
        criterion = self._criterion(self._protocol, alphas)
        truth = truth_of(index)
        points = scorable_points(truth, read_points(truth, folder, record, localizer), criterion)
        if not points:
            raise UserError(f"{folder}: no pair of localizer {localizer} can be scored; rescore the cell")
        right, total = count_correct(truth, points, criterion, record.cell.input_size)
        return _Counts(tuple(points), right.mean(axis=1), total)

    def _estimate(self, indices: Sequence[SplitIndex], counts: Sequence[Sequence[_Counts]]) -> Estimates:
        """The mean over splits of each row's score, as places are given by.

        Args:
            counts: of each split, those of each row.
        """
        numerators, denominators, identities, strata = [], [], [], []
        stratum_weights: list[float] = []
        for index, of_rows in zip(indices, counts, strict=True):
            pair_ids, _, total = of_rows[0]
            categories = [index.pairs[pair_id].category for pair_id in pair_ids]
            weighting = weigh_pairs(self._averaging, total, categories)
            rights = np.stack([counted.right for counted in of_rows], axis=1)
            numerators.append(rights / weighting.divisor[:, None])
            denominators.append(np.tile(weighting.weight[:, None], len(of_rows)))
            # Splits may share images, as two lists of pairs of the same pictures do.
            identities += image_identities(truth_of(index), pair_ids)
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
