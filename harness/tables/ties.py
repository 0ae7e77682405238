"""Decides from predictions which rows of a ranked table are told apart, and which are tied."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.datasets.splits import SplitIndex
from harness.errors import BenchError, UserError
from harness.records.schema import Record
from harness.scoring.correctness import count_correct, image_numbers, scorable_points
from harness.scoring.criteria import Criterion
from harness.scoring.intervals import LEVEL
from harness.scoring.paired import Draws, holm, image_draws, mean_of
from harness.scoring.points import read_points
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
    """Finds the ranks of a table's rows: a `harness.tables.row.TieFinder`.

    The first row leads a group. Rows that follow belong to it while they are not told apart from it; the
    first that is leads the next. Two rows are told apart where the paired difference of their means over
    datasets is beyond chance: bootstrap over images, on each dataset for itself, p-values adjusted for all
    pairs of rows (`harness.scoring.paired`).

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

        None as well for means over categories. A missing dataset leaves no line in `problems`: a table can do
        without.
        """
        # Differences of pairs add up to neither of these averages.
        if self._averaging not in ("image", "point"):
            return None
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
        draws = []
        # Another seed for each dataset: the mean over them needs independent draws.
        for seed, (index, counted) in enumerate(zip(indices.values(), counts, strict=True)):
            draws.append(self._draws([counted[number] for number in tested], index, seed))
        # Too few images to draw from show no difference.
        difference = mean_of(draws).difference()
        p_values = np.nan_to_num(difference.p, nan=1)
        adjusted = holm(p_values.tolist())
        pairs = itertools.combinations(range(len(tested)), 2)
        are_apart = {}
        for pair, p_value in zip(pairs, adjusted, strict=True):
            are_apart[pair] = p_value < 1 - LEVEL
        # A row that cannot be tested keeps the place that its number gives it.
        ranks = list(range(1, len(rows) + 1))
        for number, rank in zip(tested, tied_ranks(len(tested), are_apart), strict=True):
            ranks[number] = tested[rank - 1] + 1
        return Places(ranks, frozenset(range(len(rows))).difference(tested))

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

    def _draws(self, counts: Sequence[_Counts], index: SplitIndex, seed: int) -> Draws:
        """Differences of each pair of rows on one split, earlier less later, as means over alphas."""
        total = counts[0].total
        # By point, a pair weighs as many keypoints as it has.
        weight = np.ones(len(total))
        if self._averaging == "point":
            weight = total.astype(np.float64)
        shares = [each.right * weight / total for each in counts]
        # In the order in which `__call__` numbers the pairs of rows.
        pairs = itertools.combinations(shares, 2)
        differences = np.stack([share - later for share, later in pairs], axis=1)
        weights = np.broadcast_to(weight[:, None], differences.shape)
        return image_draws(differences, weights, image_numbers(truth_of(index), counts[0].pair_ids), seed)


def tied_ranks(rows: int, are_apart: Mapping[tuple[int, int], bool]) -> list[int]:
    """Ranks of rows in order, from 1: each row has that of its group's leader.

    Args:
        are_apart: (row, later row) -> whether they are told apart.
    """
    ranks: list[int] = []
    leader = 0
    for row in range(rows):
        # With the leader alone, not with the row above: many small steps do not make one group.
        if row and are_apart[leader, row]:
            leader = row
        ranks.append(leader + 1)
    return ranks
