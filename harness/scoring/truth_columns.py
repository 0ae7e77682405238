"""The truth in a file of predictions: put there when the file is written, and read and checked from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from harness.datasets.checks import LEAST_LENGTH, check_labels, check_text
from harness.errors import DataError, UserError
from harness.files import parse_json
from harness.frames import FARTHEST
from harness.messages import listed
from harness.records.slices import POINT_SLICES
from harness.records.truth_columns import (
    BOX_COLUMNS,
    PICTURE_COLUMNS,
    POINT_COLUMNS,
    POINT_SLICE,
    SIZE_COLUMNS,
    TEXT_COLUMNS,
    TRUTH,
    has_truth,
    with_truth,
)
from harness.scoring.points import pairs_and_keys
from harness.scoring.truth import Truth, labels_text, parse_labels
from harness.specs import Threshold

if TYPE_CHECKING:
    import pyarrow as pa


def add_truth(predictions: pa.Table, truth: Truth) -> pa.Table:
    """Predictions with the truth of their rows.

    Args:
        predictions: of points that the truth has; see `harness.scoring.points.foreign_pairs`.

    Raises:
        DataError: a picture is missing, so that its identity is not known.
    """
    import pyarrow as pa

    pairs, keys = pairs_and_keys(truth, predictions)
    points = truth.points[np.searchsorted(truth.keys, keys)]
    used, pair_of = np.unique(pairs, return_inverse=True)
    images = [truth.identify(number) for number in used.tolist()]
    texts = {
        "category": [truth.categories[number] for number in used],
        "labels": [labels_text(truth.labels[number]) for number in used],
    }
    for side, name in enumerate(PICTURE_COLUMNS):
        texts[name] = [identities[side] for identities in images]
    columns = {name: pa.array(values, pa.string()).take(pa.array(pair_of)) for name, values in texts.items()}
    for axis, name in enumerate(POINT_COLUMNS):
        columns[name] = pa.array(points[:, axis], pa.float64())
    for axis, name in enumerate(SIZE_COLUMNS):
        columns[name] = pa.array(truth.sizes[pairs, axis], pa.int64())
    for corner, name in enumerate(BOX_COLUMNS):
        values = truth.boxes[pairs, corner]
        columns[name] = pa.array(values, pa.float64(), mask=np.isnan(values))
    if truth.point_slices is not None:
        of_points = np.full(len(truth.keypoint_ids), "", dtype=object)
        for name, is_inside in truth.point_slices.items():
            of_points[is_inside] = name
        rows = of_points[np.searchsorted(truth.keys, keys)]
        columns[POINT_SLICE] = pa.array(rows.tolist(), pa.string())
    facts = {
        "dataset": truth.dataset,
        "split": truth.split,
        "threshold": truth.threshold,
        "lacks": sorted(truth.lacks),
    }
    return with_truth(predictions, columns, json.dumps(facts))


def truth_in(predictions: pa.Table, path: Path) -> Truth | None:
    """The truth of a file's pairs; None where the file is of an earlier version, without it.

    Args:
        predictions: all rows of the file, of one kind in each column.
        path: the file, for the message of an error.

    Raises:
        UserError: the truth is damaged.
    """
    if not has_truth(predictions):
        return None
    try:
        return _read(predictions)
    except (DataError, ValueError) as error:
        raise UserError(
            f"{path}: the truth beside the predictions is damaged: {error}; run the cell again"
        ) from error


def _read(predictions: pa.Table) -> Truth:
    """The truth in a file. Raises `DataError` or `ValueError` where it contradicts itself or a rule."""
    facts = _read_facts(predictions.schema.metadata[TRUTH])
    rows = _Rows(predictions)
    texts = {name: rows.texts(name) for name in TEXT_COLUMNS}
    points = np.column_stack([rows.point_numbers(name) for name in POINT_COLUMNS])
    sizes = np.column_stack([rows.pair_numbers(name) for name in SIZE_COLUMNS])
    boxes = np.column_stack([rows.pair_numbers(name) for name in BOX_COLUMNS])
    _check_numbers(rows, sizes, boxes)
    _check_texts(rows, texts)
    images = list(zip(*(texts[name] for name in PICTURE_COLUMNS), strict=True))
    truth = Truth(
        **facts,
        pair_ids=rows.pair_ids,
        keypoint_ids=rows.keypoint_ids,
        starts=rows.starts,
        points=points,
        sizes=sizes,
        boxes=boxes,
        categories=texts["category"],
        labels=tuple(map(parse_labels, texts["labels"])),
        identify=images.__getitem__,
        point_slices=_read_point_slices(rows) if POINT_SLICE in predictions.column_names else None,
    )
    if "box" in truth.lacks and not np.isnan(boxes).all():
        raise ValueError("it says that no pair has a box, and some have")
    if "points" in truth.lacks and truth.counts.max() > 1:
        raise ValueError("it says that no pair has two points, and some have")
    return truth


def _read_point_slices(rows: _Rows) -> dict[str, np.ndarray]:
    """The slices of points. Raises `ValueError` for an unknown one, or where rows of a point differ."""
    texts = np.array(rows.point_texts(POINT_SLICE), dtype=object)
    unknown = sorted(set(texts.tolist()) - {"", *POINT_SLICES})
    if unknown:
        raise ValueError(f"{POINT_SLICE} {unknown[0]!a:.40} is none of {listed(POINT_SLICES)}")
    return {name: texts == name for name in sorted(set(texts.tolist()) - {""})}


def _read_facts(text: bytes) -> dict[str, Any]:
    """What a file says of its split as a whole, as `Truth` has it. Raises `DataError` or `ValueError`."""
    facts = parse_json(text)
    names = ("dataset", "split", "threshold", "lacks")
    if not isinstance(facts, dict) or facts.keys() != set(names):
        raise ValueError(f"what it says of the split is not {listed(names)}")
    for name in ("dataset", "split"):
        check_text("the split", name, facts[name])
    kinds = get_args(Threshold)
    lacks = facts["lacks"]
    if facts["threshold"] not in kinds or not isinstance(lacks, list) or not {*map(str, lacks)} <= {*kinds}:
        raise ValueError(f"a threshold of the split is none of {listed(kinds)}")
    return {**facts, "lacks": frozenset(lacks)}


class _Rows:
    """The rows of a file, by pair and by point.

    Attributes:
        pair_ids, keypoint_ids, starts: as in `Truth`.
    """

    def __init__(self, predictions: pa.Table) -> None:
        self._predictions = predictions
        pair_ids, self._pair_of = _ranks(predictions["pair_id"])
        names, name_of = _ranks(predictions["keypoint_id"])
        keys, first_rows, self._point_of = np.unique(
            self._pair_of * len(names) + name_of, return_index=True, return_inverse=True
        )
        pair_of_points = keys // len(names)
        starts = np.searchsorted(pair_of_points, np.arange(len(pair_ids) + 1))
        self.pair_ids, self.starts = tuple(pair_ids), starts
        self.keypoint_ids = tuple(names[number] for number in keys % len(names))
        # One row of each point, and one of each pair: their values stand for those of the others.
        self._point_rows, self._pair_rows = first_rows, first_rows[starts[:-1]]

    def texts(self, column: str) -> tuple[str, ...]:
        """The text of each pair. Raises `ValueError` where the rows of one differ."""
        texts, numbers = self._encoded(column)
        return tuple(texts[number] for number in self._of_pairs(column, numbers))

    def point_texts(self, column: str) -> tuple[str, ...]:
        """The text of each point. Raises like `texts`."""
        texts, numbers = self._encoded(column)
        chosen = self._checked(column, numbers, self._point_rows, self._point_of)
        return tuple(texts[number] for number in chosen)

    def _encoded(self, column: str) -> tuple[list[str], np.ndarray]:
        """The different texts of a column, and (rows,) the number of each row's."""
        import pyarrow.compute as pc

        encoded = pc.dictionary_encode(self._predictions[column].combine_chunks())
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()

    def pair_numbers(self, column: str) -> np.ndarray:
        """Returns (P,) the number of each pair; NaN where it has none. Raises like `texts`.

        Raises:
            ValueError: also where a number is not finite, or beyond any picture.
        """
        return self._of_pairs(column, self._numbers(column))

    def point_numbers(self, column: str) -> np.ndarray:
        """Returns (N,) the number of each point. Raises like `pair_numbers`."""
        return self._checked(column, self._numbers(column), self._point_rows, self._point_of)

    def _of_pairs(self, column: str, values: np.ndarray) -> np.ndarray:
        return self._checked(column, values, self._pair_rows, self._pair_of)

    def _numbers(self, column: str) -> np.ndarray:
        numbers: np.ndarray = self._predictions[column].to_numpy()
        is_wrong = self._predictions[column].is_valid().to_numpy() & ~np.isfinite(numbers)
        self._refuse(is_wrong, f"its {column} is not finite")
        self._refuse(np.abs(numbers) > FARTHEST, f"its {column} is far beyond any picture")
        return numbers

    def _checked(self, column: str, values: np.ndarray, rows: np.ndarray, owners: np.ndarray) -> np.ndarray:
        """The values of the rows that stand for all, checked that they do."""
        chosen: np.ndarray = values[rows]
        of_rows = chosen[owners]
        # Neither of two absent numbers equals itself.
        is_wrong = (values != of_rows) & ~(np.isnan(values) & np.isnan(of_rows))
        self._refuse(is_wrong, f"its rows differ in {column}")
        return chosen

    def _refuse(self, is_wrong: np.ndarray, problem: str) -> None:
        """Raises `ValueError` that names the pair of the first row that is wrong, if there is one."""
        if is_wrong.any():
            raise ValueError(f"pair {self.pair_ids[self._pair_of[is_wrong.argmax()]]}: {problem}")


def _ranks(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The texts of a column, sorted, and (rows,) the number of each row's text."""
    import pyarrow.compute as pc

    encoded = pc.dictionary_encode(column.combine_chunks())
    texts = encoded.dictionary.to_pylist()
    order = sorted(range(len(texts)), key=texts.__getitem__)
    rank_of = np.empty(len(texts), dtype=np.int64)
    rank_of[order] = np.arange(len(texts))
    return [texts[number] for number in order], rank_of[encoded.indices.to_numpy()]


def _check_texts(rows: _Rows, texts: Mapping[str, Sequence[str]]) -> None:
    """Raises `DataError` or `ValueError` for a text that no pair can have.

    Args:
        texts: column -> text of each pair.
    """
    for name, of_pairs in texts.items():
        # Most pairs share theirs with others: the first that has it is named.
        first = {text: number for number, text in reversed(list(enumerate(of_pairs)))}
        for text in sorted(first):
            where = f"pair {rows.pair_ids[first[text]]}"
            if name != "labels":
                check_text(where, name, text)
                continue
            try:
                labels = check_labels(where, parse_json(text))
            except ValueError as error:
                raise ValueError(f"{where}: labels {text!a:.40} are {error}") from error
            if labels_text(labels) != text:
                raise ValueError(f"{where}: labels {text!a:.40} are not sorted, or not of this layout")


def _check_numbers(rows: _Rows, sizes: np.ndarray, boxes: np.ndarray) -> None:
    """Raises `ValueError` for a size or a box that no pair can have.

    Args:
        sizes: (P, 2).
        boxes: (P, 4), NaN where a corner is null.
    """
    is_empty = (sizes <= 0).any(axis=1)
    is_part = np.isnan(boxes).any(axis=1) & ~np.isnan(boxes).all(axis=1)
    is_flat = ((boxes[:, 2:] - boxes[:, :2]) < LEAST_LENGTH).any(axis=1)
    for is_wrong, problem in (
        (is_empty, "the size of its target image is not positive"),
        (is_part, "its box lacks a corner"),
        (is_flat, "its box is empty"),
    ):
        if is_wrong.any():
            raise ValueError(f"pair {rows.pair_ids[is_wrong.argmax()]}: {problem}")
