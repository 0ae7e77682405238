"""Which rows of a ranked table are told apart by their predictions, and which are tied."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
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
from harness.tables.rows import Column, Row, ranking_columns


class Ties:
    """Places of a table's rows: a `harness.tables.leaderboard.Places`.

    The first row leads a group. Rows that follow belong to it while they are not told apart from it; the first that is leads the next.
    Two rows are told apart where the paired difference of their means over datasets is beyond chance: bootstrap over images, on each
    dataset for itself, p-values adjusted for all pairs of rows (`harness.scoring.paired`).

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
            split: finds the split of a record. Raises `UserError` where it is not there.
            measure: (protocol, alphas) -> what counts as right.
        """
        self._folder, self._split, self._criterion = folder, split, criterion
        self._protocol, self._averaging = protocol, averaging
        self.problems: list[str] = []

    def __call__(self, lines: Sequence[Row], columns: Sequence[Column]) -> list[int] | None:
        """The place of each row, from 1, tied rows having the same one; None where the data or predictions are not there.

        A dataset that is not at hand is no problem: a table needs none.
        """
        ruling = ranking_columns(columns)
        splits = list(dict.fromkeys((column.dataset, column.split) for column in ruling))
        try:
            indices = [self._split(lines[0].cells[split]) for split in splits]
        except BenchError:
            return None
        try:
            draws = []
            for number, (split, index) in enumerate(zip(splits, indices, strict=True)):
                alphas = [column.alpha for column in ruling if (column.dataset, column.split) == split]
                draws.append(
                    self._draws(
                        [(line.cells[split], line.localizer) for line in lines], index, alphas, number
                    )
                )
        except BenchError as error:
            self.problems.append(str(error))
            return None
        p = holm([float(one) for one in np.nan_to_num(mean_of(draws).difference().p, nan=1)])
        apart = {
            pair: one < 1 - LEVEL
            for pair, one in zip(itertools.combinations(range(len(lines)), 2), p, strict=True)
        }
        return tied_ranks(len(lines), apart)

    def _draws(
        self, cells: Sequence[tuple[Record, str]], index: SplitIndex, alphas: Sequence[float], seed: int
    ) -> Draws:
        """Differences of each pair of cells on one split, first less other, meaned over alphas."""
        criterion = self._criterion(self._protocol, alphas)
        found: list[np.ndarray] = []
        pair_ids: tuple[str, ...] = ()
        for record, localizer in cells:
            place = self._folder / record.cell.id
            if record.provenance and record.provenance.manifest != index.manifest:
                raise UserError(f"{record.cell.id}: was run on other data than {cells[0][0].cell.id}")
            points = read_points(index, place, localizer)
            if found and tuple(points) != pair_ids:
                raise UserError(
                    f"{place}: has predictions of other pairs than {cells[0][0].cell.id}; run the cell again"
                )
            pair_ids = tuple(points)
            right, total = count_correct(index, points, criterion, record.cell.fed_size)
            found.append(right.mean(axis=1))
        weight = total.astype(np.float64) if self._averaging == "point" else np.ones(len(total))
        share = [one * weight / total for one in found]
        differences = np.stack([first - other for first, other in itertools.combinations(share, 2)], axis=1)
        return image_draws(
            differences,
            np.broadcast_to(weight[:, None], differences.shape),
            image_numbers(index, pair_ids),
            seed,
        )


def tied_ranks(rows: int, apart: dict[tuple[int, int], bool]) -> list[int]:
    found: list[int] = []
    leader = 0
    for row in range(rows):
        if row and apart[leader, row]:
            leader = row
        found.append(leader + 1)
    return found
