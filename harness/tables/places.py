"""Finds the places of a ranked table's rows, with intervals, from their predictions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from harness.records.folders import FindFolder
from harness.records.schema import Record
from harness.scoring.criteria import Criterion
from harness.scoring.pck import percent
from harness.scoring.ranks import Ranks, rank_estimates
from harness.scoring.sources import Predicted
from harness.specs import Averaging
from harness.tables.columns import Column, Split, ranking_columns
from harness.tables.row import Places, Row, RowDifference
from harness.tables.row_counts import RowCounter, RowCounts, average_counts, estimate_rows

_ROUNDING = 1e-6
"""Percent by which a recorded score may differ from that of predictions."""


class PlaceFinder:
    """Finds the places of a table's rows: a `harness.tables.row.FindPlaces`."""

    def __init__(
        self,
        folder_of: FindFolder,
        read: Callable[[Path, Record], Predicted],
        criterion: Callable[[str, Sequence[float]], Criterion],
        protocol: str,
        averaging: Averaging,
    ) -> None:
        """
        Args:
            folder_of: finds the folder of a cell.
            read: (a cell's folder, record) -> its predictions with the truth. Raises `UserError` where a
                dataset is needed and not at hand, and `DamagedResult` where they are damaged.
            criterion: (protocol, alphas) -> what counts as correct.
        """
        self._averaging = averaging
        self._counter = RowCounter(folder_of, read, criterion, protocol)
        self._known: dict[tuple[object, ...], Places | None] = {}

    @property
    def problems(self) -> list[str]:
        """Why rows could not be tested, one line each."""
        return self._counter.problems

    def __call__(self, rows: Sequence[Row], columns: Sequence[Column]) -> Places | None:
        """The place of each row; None where data are missing, or fewer than two rows have predictions.

        A dataset that is needed and missing leaves no line in `problems`: a table can do without.
        """
        # Several tables of a page have the same rows: their predictions are read once.
        key = (*((row.own_localizer, *_cell_ids(row)) for row in rows), *columns)
        if key not in self._known:
            self._known[key] = self._find(rows, columns)
        return self._known[key]

    def _find(self, rows: Sequence[Row], columns: Sequence[Column]) -> Places | None:
        columns_of: dict[Split, list[Column]] = {}
        for column in ranking_columns(columns):
            columns_of.setdefault((column.dataset, column.split), []).append(column)
        counts = [self._count(rows, split, of_split) for split, of_split in columns_of.items()]
        tested = [number for number in range(len(rows)) if all(number in counted for counted in counts)]
        if len(tested) < 2:
            return None
        counts_of_tested = [[counted[number] for number in tested] for counted in counts]
        # Rows are ordered by the mean of their columns: a split weighs as much as it has of them.
        weights = [float(len(of_split)) for of_split in columns_of.values()]
        estimates = estimate_rows(counts_of_tested, self._averaging, weights)
        ranks = rank_estimates(estimates)
        # A row that cannot be tested keeps the place that its number gives it.
        best = list(range(1, len(rows) + 1))
        worst = list(best)
        for number, row in enumerate(tested):
            best[row] = tested[ranks.best[number] - 1] + 1
            worst[row] = tested[ranks.worst[number] - 1] + 1
        return Places(
            best,
            worst,
            frozenset(range(len(rows))).difference(tested),
            _differences(ranks, tested),
            sum(len(of_split[0].pair_ids) for of_split in counts_of_tested),
            int(estimates.image_counts.min()),
        )

    def _count(self, rows: Sequence[Row], split: Split, columns: Sequence[Column]) -> dict[int, RowCounts]:
        """Number of row -> what it has right on one split, of rows whose records say the same of it."""
        records = [row.cells[split] for row in rows]
        counts = self._counter.count_rows(records, rows, [column.alpha for column in columns])
        for number, of_row in list(counts.items()):
            recorded = sum(rows[number].values[column].pck for column in columns) / len(columns)
            # Rows stand in the order of recorded scores: the place of others would be that of another row.
            if abs(100 * average_counts(of_row, self._averaging) - recorded) > _ROUNDING:
                self._counter.tell_stale(records[number][0])
                del counts[number]
        return counts


def _cell_ids(row: Row) -> list[str]:
    return [record.cell.id for records in row.cells.values() for record in records]


def _differences(ranks: Ranks, tested: Sequence[int]) -> list[RowDifference]:
    """The differences of all couples of tested rows, the upper one's with all others first.

    Args:
        tested: the row behind each rank.
    """
    differences = []
    for first, second in itertools.combinations(range(len(tested)), 2):
        low, high = ranks.low[first, second], ranks.high[first, second]
        detectable = ranks.detectable[first, second]
        is_known = not np.isnan(low)
        differences.append(
            RowDifference(
                tested[first],
                tested[second],
                percent(float(ranks.difference[first, second])),
                # No two scores are further apart.
                percent(max(float(low), -1)) if is_known else None,
                percent(min(float(high), 1)) if is_known else None,
                # Rows of equal predictions leave no spread to tell it from.
                percent(float(detectable)) if is_known and detectable > 0 else None,
            )
        )
    return differences
