"""The one way from stored predictions to correct keypoints: scores, comparisons, ties and galleries take
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.datasets.images import MIRRORED
from harness.datasets.splits import SplitIndex
from harness.errors import UserError
from harness.frames import Size
from harness.records.predictions import PREDICTIONS, read_predictions
from harness.scoring.criteria import Criterion
from harness.scoring.pck import count_per_pair, is_correct, relative_errors

if TYPE_CHECKING:
    import pyarrow as pa

Points = Mapping[str, np.ndarray]
"""Pair -> (N, 2) predicted points in original pixels of the target image, one row per valid keypoint, in the
order of `SplitIndex.keypoint_ids`. The pairs are in the split's order; those without predictions are left
out."""


def read_points(index: SplitIndex, folder: Path, localizer: str) -> Points:
    """Reads the points that one localizer predicted from a cell's folder.

    Raises:
        UserError: if the predictions are damaged or lack a keypoint.
    """
    path = folder / PREDICTIONS
    return select_points(index, read_predictions(path), localizer, path)


def select_points(
    index: SplitIndex,
    predictions: pa.Table,
    localizer: str,
    path: Path,
) -> Points:
    """Selects the points that one localizer predicted.

    Args:
        path: file of the predictions, for the message of an error.

    Raises:
        UserError: if a pair has predictions of some keypoints only.
    """
    import pyarrow.compute as pc

    rows = predictions.filter(pc.equal(predictions["localizer"], localizer))
    pair_column = rows["pair_id"].to_pylist()
    keypoint_column = rows["keypoint_id"].to_pylist()
    row_of: dict[tuple[str, str], int] = {}
    for row, key in enumerate(zip(pair_column, keypoint_column, strict=True)):
        row_of[key] = row
    coordinates = np.column_stack([rows["x"].to_numpy(), rows["y"].to_numpy()])
    predicted_pairs = set(pair_column)
    points: dict[str, np.ndarray] = {}
    for pair_id in index.pair_ids:
        if pair_id not in predicted_pairs:
            continue
        chosen_rows: list[int] = []
        for name in index.keypoint_ids(pair_id):
            # A run predicts every valid point of a pair: where only a part is there, the file is damaged.
            if (pair_id, name) not in row_of:
                raise UserError(
                    f"{path}: pair {pair_id} has no keypoint {name}; remove the file and run the cell again"
                )
            chosen_rows.append(row_of[pair_id, name])
        points[pair_id] = coordinates[chosen_rows]
    return points


def correct_keypoints(
    index: SplitIndex,
    points: Points,
    criterion: Criterion,
    fed: Size,
) -> np.ndarray:
    """Returns (keypoints of all pairs, alphas) bool: the keypoints that are correct.

    Args:
        fed: size in pixels of the image the extractor was fed.

    Raises:
        DataError: if the protocol's threshold does not exist for the dataset.
    """
    protocol = criterion.protocol
    threshold = criterion.threshold or index.threshold
    errors_of_pairs: list[np.ndarray] = []
    for pair_id, predicted in points.items():
        target = index.target(pair_id)
        errors_of_pairs.append(relative_errors(protocol, threshold, target, fed, predicted))
    # A relative error does not depend on alpha: measured once, compared with each.
    errors = np.concatenate(errors_of_pairs)
    columns = [is_correct(errors, alpha, protocol.strict) for alpha in criterion.alphas]
    return np.stack(columns, axis=1)


def count_correct(
    index: SplitIndex, points: Points, criterion: Criterion, fed: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Counts correct keypoints in each pair: (P, alphas) correct ones and (P,) all of them. See
    `correct_keypoints`.
    """
    is_right = correct_keypoints(index, points, criterion, fed)
    return count_per_pair(is_right, pair_numbers(points), len(points))


def pair_numbers(points: Points) -> np.ndarray:
    """Returns (keypoints of all pairs,) the number of the pair that each keypoint belongs to, from 0."""
    lengths = [len(predicted) for predicted in points.values()]
    return np.repeat(np.arange(len(points)), lengths)


def image_numbers(index: SplitIndex, pair_ids: Sequence[str]) -> np.ndarray:
    """Returns (P, 2) numbers of each pair's source and target image, from 0; an image and its mirror image
    are one.
    """
    identities = []
    for pair_id in pair_ids:
        pair = index.pairs[pair_id]
        # By content, not by name: PF-WILLOW has a hundred names of seventy pictures.
        source = pair.source.identity().removesuffix(MIRRORED)
        target = pair.target.identity().removesuffix(MIRRORED)
        identities.append([source, target])
    _, numbers = np.unique(identities, return_inverse=True)
    return numbers.reshape(-1, 2)
