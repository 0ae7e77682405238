"""Which keypoints of stored predictions are right, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.datasets.index import SplitIndex
from harness.errors import UserError
from harness.frames import Size
from harness.images import MIRRORED
from harness.measures import Measure
from harness.pck import correct, relative_errors
from harness.records import PREDICTIONS, Record, read_predictions
from harness.scoring import predicted_points

Points = Mapping[str, Mapping[str, tuple[float, float]]]
"""Pair -> keypoint -> (x, y) in original pixels of the target."""


def stored_points(place: Path, localizer: str) -> Points:
    """What a cell predicted by one localizer.

    Args:
        place: the cell's folder.

    Raises:
        UserError: if the predictions are damaged.
    """
    return predicted_points(read_predictions(place / PREDICTIONS), localizer)


def hits(place: Path, record: Record, measure: Measure, index: SplitIndex, points: Points, pair_ids: Sequence[str]) -> np.ndarray:
    """(keypoints of all pairs, alphas) bool: which are correct.

    Raises:
        UserError: if a keypoint has no prediction.
        DataError: if the protocol's threshold does not exist for the dataset.
    """
    fed = Size(*record.cell.fed) if record.cell.fed else Size(0, 0)
    errors = []
    for pair_id in pair_ids:
        names = index.keypoint_ids(pair_id)
        missing = [name for name in names if name not in points[pair_id]]
        if missing:
            raise UserError(f"{place / PREDICTIONS}: pair {pair_id} has no keypoint {missing[0]}; remove the file and run the cell again")
        predicted = np.array([points[pair_id][name] for name in names])
        errors.append(relative_errors(measure.protocol, measure.threshold or index.threshold, index.target(pair_id), fed, predicted))
    together = np.concatenate(errors)
    return np.stack([correct(together, alpha, measure.protocol.strict) for alpha in measure.alphas], axis=1)


def pair_numbers(index: SplitIndex, pair_ids: Sequence[str]) -> np.ndarray:
    """(keypoints of all pairs) number of the pair that each belongs to: `pair_of` of `harness.pck.per_pair`."""
    return np.repeat(np.arange(len(pair_ids)), [len(index.keypoint_ids(pair_id)) for pair_id in pair_ids])


def pictures(index: SplitIndex, pair_ids: Sequence[str]) -> np.ndarray:
    """(P, 2) numbers of each pair's source and target picture, from 0; a picture and its mirror image are one."""
    names = [
        [image.identity().removesuffix(MIRRORED) for image in (pair.source, pair.target)] for pair in (index.pairs[one] for one in pair_ids)
    ]
    return np.unique(names, return_inverse=True)[1].reshape(-1, 2)
