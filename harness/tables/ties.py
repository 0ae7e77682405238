"""Decides from predictions which rows of a ranked table are told apart, and which are tied."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.datasets.splits import SplitIndex
from harness.errors import BenchError, UserError
from harness.records.schema import Record
from harness.scoring.correctness import count_correct, image_numbers, read_points
from harness.scoring.criteria import Criterion
from harness.scoring.intervals import LEVEL
from harness.scoring.paired import Draws, holm, image_draws, mean_of
from harness.specs import Averaging
from harness.tables.columns import Column, Split, ranking_columns
from harness.tables.row import Row


class Ties:
    """Finds the ranks of a table's rows: a `harness.tables.row.TieFinder`.

    The first row leads a group. Rows that follow belong to it while they are not told apart from it; the
    first that is leads the next. Two rows are told apart where the paired difference of their means over
    datasets is beyond chance: bootstrap over images, on each dataset for itself, p-values adjusted for all
    pairs of rows (`harness.scoring.paired`).

    Attributes:
        problems: why rows could not be compared, one line each.
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

    def __call__(self, rows: Sequence[Row], columns: Sequence[Column]) -> list[int] | None:
        """The rank of each row, from 1, the same for tied rows; None where data or predictions are missing.

        A missing dataset leaves no line in `problems`: a table can do without.
        """
        ranking = ranking_columns(columns)
        alphas: dict[Split, list[float]] = {}
        for column in ranking:
            split = (column.dataset, column.split)
            alphas.setdefault(split, []).append(column.alpha)
        try:
            indices = [self._split(rows[0].cells[split]) for split in alphas]
        except BenchError:
            return None
        draws = []
        try:
            # Another seed for each dataset: the mean over them needs independent draws.
            for seed, (split, index) in enumerate(zip(alphas, indices, strict=True)):
                cells = [(row.cells[split], row.own_localizer) for row in rows]
                draws.append(self._draws(cells, index, alphas[split], seed))
        except BenchError as error:
            self.problems.append(str(error))
            return None
        # Too few images to draw from show no difference.
        difference = mean_of(draws).difference()
        p_values = np.nan_to_num(difference.p, nan=1)
        adjusted = holm(p_values.tolist())
        pairs = itertools.combinations(range(len(rows)), 2)
        are_apart = {}
        for pair, p_value in zip(pairs, adjusted, strict=True):
            are_apart[pair] = p_value < 1 - LEVEL
        return tied_ranks(len(rows), are_apart)

    def _draws(
        self, cells: Sequence[tuple[Record, str]], index: SplitIndex, alphas: Sequence[float], seed: int
    ) -> Draws:
        """Differences of each pair of cells on one split, earlier less later, as means over alphas.

        Args:
            cells: records, each with the localizer of its row.
        """
        criterion = self._criterion(self._protocol, alphas)
        correct: list[np.ndarray] = []
        pair_ids: tuple[str, ...] = ()
        for record, localizer in cells:
            folder = self._folder / record.cell.id
            first_id = cells[0][0].cell.id
            # Paired: all rows must have been run on the same pairs of the same images.
            if record.provenance and record.provenance.manifest != index.manifest:
                raise UserError(f"{record.cell.id}: was run on other data than {first_id}")
            points = read_points(index, folder, localizer)
            if correct and tuple(points) != pair_ids:
                raise UserError(
                    f"{folder}: has predictions of other pairs than {first_id}; run the cell again"
                )
            pair_ids = tuple(points)
            right, total = count_correct(index, points, criterion, record.cell.input_size)
            correct.append(right.mean(axis=1))
        # By point, a pair weighs as many keypoints as it has.
        weight = np.ones(len(total))
        if self._averaging == "point":
            weight = total.astype(np.float64)
        shares = [count * weight / total for count in correct]
        # In the order in which `__call__` numbers the pairs of rows.
        pairs = itertools.combinations(shares, 2)
        differences = np.stack([share - later for share, later in pairs], axis=1)
        weights = np.broadcast_to(weight[:, None], differences.shape)
        return image_draws(differences, weights, image_numbers(index, pair_ids), seed)


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
