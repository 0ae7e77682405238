"""Predicted points in the order of the truth that they are compared with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import UserError
from harness.records.predictions import PREDICTIONS, read_predictions
from harness.records.schema import Record
from harness.scoring.truth import Truth

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Points(Mapping[str, np.ndarray]):
    """Pair -> (N, 2) predicted points in original pixels of the target image, in the order of `Truth.names`.

    Attributes:
        pair_ids: P pairs, sorted.
        counts: (P,) number of points of each.
        coordinates: (N of all pairs, 2) the first pair's points, then the second pair's, and so on.
    """

    pair_ids: tuple[str, ...]
    counts: np.ndarray
    coordinates: np.ndarray

    def __getitem__(self, pair_id: str) -> np.ndarray:
        end = self._ends[pair_id]
        points: np.ndarray = self.coordinates[end - self.counts[self._numbers[pair_id]] : end]
        return points

    def __iter__(self) -> Iterator[str]:
        return iter(self.pair_ids)

    def __len__(self) -> int:
        return len(self.pair_ids)

    @cached_property
    def pair_of(self) -> np.ndarray:
        """(N of all pairs,) the number of the pair that each point belongs to, from 0."""
        return np.repeat(np.arange(len(self.pair_ids)), self.counts)

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {pair_id: number for number, pair_id in enumerate(self.pair_ids)}

    @cached_property
    def _ends(self) -> Mapping[str, int]:
        return dict(zip(self.pair_ids, np.cumsum(self.counts).tolist(), strict=True))

    def of_pairs(self, pair_ids: Collection[str]) -> Points:
        """The points of some of the pairs."""
        wanted = frozenset(pair_ids)
        is_wanted = np.array([pair_id in wanted for pair_id in self.pair_ids], dtype=bool)
        if is_wanted.all():
            return self
        return Points(
            tuple(pair_id for pair_id in self.pair_ids if pair_id in wanted),
            self.counts[is_wanted],
            self.coordinates[np.repeat(is_wanted, self.counts)],
        )


def read_points(truth: Truth, folder: Path, record: Record, localizer: str) -> Points:
    """Reads the points that one localizer predicted from a cell's folder.

    Raises:
        UserError: if the predictions are damaged, or not those of the record or of the truth.
    """
    return select_points(truth, read_cell(folder, record), localizer, folder / PREDICTIONS)


def read_cell(folder: Path, record: Record) -> pa.Table:
    """Reads all predictions of a cell, and checks that they are those that its record speaks of.

    Raises:
        UserError: if they are damaged, or the record has another number of them.
    """
    path = folder / PREDICTIONS
    predictions = read_predictions(path, sha256=record.predictions_sha256)
    numbers = count_predictions(predictions)
    for localizer in sorted(numbers.keys() | record.localizers.keys()):
        info = record.localizers.get(localizer)
        expected = (info.pairs, info.keypoints) if info else (0, 0)
        # Records without a checksum have these numbers, too.
        if numbers.get(localizer, (0, 0)) != expected:
            pairs, keypoints = numbers.get(localizer, (0, 0))
            raise UserError(
                f"{path}: has {pairs} pairs and {keypoints} keypoints by localizer {localizer}, "
                f"and the record beside it {expected[0]} and {expected[1]}; run the cell again"
            )
    return predictions


def count_predictions(predictions: pa.Table) -> dict[str, tuple[int, int]]:
    """Localizer -> its numbers of pairs and of keypoints, in order of name."""
    keys = ["localizer", "pair_id"]
    # One row for each pair and localizer, in place of one for each point.
    pairs = predictions.select(keys).group_by(keys).aggregate([([], "count_all")])
    numbers = pairs.group_by("localizer").aggregate([([], "count_all"), ("count_all", "sum")])
    columns = (numbers[name].to_pylist() for name in ("localizer", "count_all", "count_all_sum"))
    return {name: (pair_count, points) for name, pair_count, points in sorted(zip(*columns, strict=True))}


def foreign_pairs(truth: Truth, predictions: pa.Table) -> dict[str, str]:
    """Pair -> what is wrong with its predictions, of those that do not fit the truth.

    A run predicts every valid point of a pair and nothing else: where a part is missing, or there is more,
    the file is damaged or was made of other data.
    """
    foreign: dict[str, str] = {}
    for localizer in sorted(predictions["localizer"].unique().to_pylist()):
        rows = _Rows(truth, predictions, localizer)
        if not rows.are_whole:
            foreign |= rows.problems()
    return foreign


def select_points(truth: Truth, predictions: pa.Table, localizer: str, path: Path) -> Points:
    """Selects the points that one localizer predicted.

    Args:
        predictions: of finite points, each once.
        path: file of the predictions, for the message of an error.

    Raises:
        UserError: if a pair has predictions of some keypoints only, or of others than the truth has.
    """
    rows = _Rows(truth, predictions, localizer)
    if not rows.are_whole:
        for pair_id, problem in rows.problems().items():
            raise UserError(f"{path}: pair {pair_id} {problem}; run the cell again")
    coordinates = np.column_stack([rows.table["x"].to_numpy(), rows.table["y"].to_numpy()])
    numbers = np.flatnonzero(rows.has_rows)
    pair_ids = tuple(truth.pair_ids[number] for number in numbers)
    return Points(pair_ids, truth.counts[numbers], coordinates[rows.order])


class _Rows:
    """The rows of one localizer, and which points of the truth they are predictions of.

    Attributes:
        table: the rows.
        order: (rows,) their numbers in the order of the truth; those that are not in it come first.
        has_rows: (P,) bool: pairs of the truth with a row.
        are_whole: whether each of these pairs has a row for each point, and nothing else is there.
    """

    def __init__(self, truth: Truth, predictions: pa.Table, localizer: str) -> None:
        import pyarrow.compute as pc

        self._truth = truth
        # The other columns would be copied for nothing.
        columns = predictions.select(["pair_id", "keypoint_id", "x", "y"])
        self.table = columns.filter(pc.equal(predictions["localizer"], localizer))
        pairs, keys = pairs_and_keys(truth, self.table)
        self.order = np.argsort(keys, kind="stable")
        self.has_rows = np.zeros(len(truth.pair_ids), dtype=bool)
        self.has_rows[pairs[pairs >= 0]] = True
        self._keys, self._pairs = keys, pairs
        self._expected = truth.keys[np.repeat(self.has_rows, truth.counts)]
        self.are_whole = np.array_equal(keys[self.order], self._expected)

    def problems(self) -> dict[str, str]:
        """Pair -> what is wrong with its rows, in order of pair."""
        truth, problems = self._truth, {}
        pair_ids, names = (self.table[name].to_pylist() for name in ("pair_id", "keypoint_id"))
        for row in np.flatnonzero(self._keys < 0):
            problems[pair_ids[row]] = f"has a keypoint {names[row]}, which the split does not have"
        for key in np.setdiff1d(self._expected, self._keys)[::-1]:
            point = int(np.searchsorted(truth.keys, key))
            pair_id = truth.pair_ids[np.searchsorted(truth.starts, point, side="right") - 1]
            problems[pair_id] = f"has no keypoint {truth.keypoint_ids[point]}"
        for row in np.flatnonzero(self._pairs < 0):
            problems[pair_ids[row]] = "is none of the split"
        return dict(sorted(problems.items()))


def pairs_and_keys(truth: Truth, rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Returns (rows,) the number of each row's pair, and its point's number in `Truth.keys`; -1 where the
    truth has no such pair or point name.
    """
    pairs = _numbers_in(rows["pair_id"], truth.number_of)
    names = _numbers_in(rows["keypoint_id"], truth.number_of_name)
    return pairs, np.where((pairs < 0) | (names < 0), -1, pairs * len(truth.number_of_name) + names)


def _numbers_in(column: pa.ChunkedArray, numbers: Mapping[str, int]) -> np.ndarray:
    """Returns (rows,) the number of each row's text; -1 where it has none."""
    import pyarrow.compute as pc

    encoded = pc.dictionary_encode(column.combine_chunks())
    of_texts = np.array([numbers.get(text, -1) for text in encoded.dictionary.to_pylist()], dtype=np.int64)
    rows: np.ndarray = of_texts[encoded.indices.to_numpy()]
    return rows
