"""Which keypoints of stored predictions are right, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.datasets.images import MIRRORED
from harness.datasets.splits import SplitIndex
from harness.errors import UserError
from harness.frames import Size
from harness.records.predictions import PREDICTIONS, Points
from harness.records.schema import Record
from harness.scoring.criteria import Criterion
from harness.scoring.pck import correct, relative_errors


def correct_keypoints(
    place: Path,
    record: Record,
    criterion: Criterion,
    index: SplitIndex,
    points: Points,
    pair_ids: Sequence[str],
) -> np.ndarray:
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
            raise UserError(
                f"{place / PREDICTIONS}: pair {pair_id} has no keypoint {missing[0]}; remove the file and run the cell again"
            )
        predicted = np.array([points[pair_id][name] for name in names])
        errors.append(
            relative_errors(
                criterion.protocol,
                criterion.threshold or index.threshold,
                index.target(pair_id),
                fed,
                predicted,
            )
        )
    together = np.concatenate(errors)
    return np.stack(
        [correct(together, alpha, criterion.protocol.strict) for alpha in criterion.alphas], axis=1
    )


def pair_numbers(index: SplitIndex, pair_ids: Sequence[str]) -> np.ndarray:
    """(keypoints of all pairs) number of the pair that each belongs to: `pair_of` of `harness.scoring.pck.per_pair`."""
    return np.repeat(np.arange(len(pair_ids)), [len(index.keypoint_ids(pair_id)) for pair_id in pair_ids])


def image_numbers(index: SplitIndex, pair_ids: Sequence[str]) -> np.ndarray:
    """(P, 2) numbers of each pair's source and target picture, from 0; a picture and its mirror image are one."""
    names = [
        [image.identity().removesuffix(MIRRORED) for image in (pair.source, pair.target)]
        for pair in (index.pairs[one] for one in pair_ids)
    ]
    return np.unique(names, return_inverse=True)[1].reshape(-1, 2)
