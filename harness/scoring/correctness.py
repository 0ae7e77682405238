"""The one way from stored predictions to correct keypoints: scores, comparisons, ties and galleries take
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.datasets.images import MIRRORED
from harness.datasets.splits import SplitIndex
from harness.errors import UserError
from harness.frames import Size
from harness.records.predictions import PREDICTIONS, read_predictions
from harness.records.schema import Record
from harness.scoring.criteria import Criterion
from harness.scoring.pck import count_per_pair, is_correct, relative_errors
from harness.scoring.thresholds import kind_of, lacking_pairs

if TYPE_CHECKING:
    import pyarrow as pa

Points = Mapping[str, np.ndarray]
"""Pair -> (N, 2) predicted points in original pixels of the target image, one row per valid keypoint, in the
order of `SplitIndex.keypoint_ids`. The pairs are in the split's order; those without predictions are left
out."""


def read_points(index: SplitIndex, folder: Path, record: Record, localizer: str) -> Points:
    """Reads the points that one localizer predicted from a cell's folder.

    Raises:
        UserError: if the predictions are damaged, or not those of the record or of the split.
    """
    return select_points(index, read_cell(folder, record), localizer, folder / PREDICTIONS)


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
    pairs: dict[str, set[str]] = {}
    keypoints: Counter[str] = Counter()
    columns = (predictions["pair_id"].to_pylist(), predictions["localizer"].to_pylist())
    for pair_id, localizer in zip(*columns, strict=True):
        pairs.setdefault(localizer, set()).add(pair_id)
        keypoints[localizer] += 1
    return {name: (len(pairs[name]), keypoints[name]) for name in sorted(pairs)}


def foreign_pairs(index: SplitIndex, predictions: pa.Table) -> dict[str, str]:
    """Pair -> what is wrong with its predictions, of those that do not fit the split.

    A run predicts every valid point of a pair and nothing else: where a part is missing, or there is more,
    the file is damaged or was made of other data.
    """
    names: dict[tuple[str, str], list[str]] = {}
    columns = (predictions[name].to_pylist() for name in ("localizer", "pair_id", "keypoint_id"))
    for localizer, pair_id, keypoint in zip(*columns, strict=True):
        names.setdefault((localizer, pair_id), []).append(keypoint)
    foreign: dict[str, str] = {}
    for (_, pair_id), keypoints in names.items():
        if pair_id not in index.pairs:
            foreign[pair_id] = "is none of the split"
            continue
        expected = index.keypoint_ids(pair_id)
        missing = [name for name in expected if name not in keypoints]
        unknown = [name for name in keypoints if name not in expected]
        if missing:
            foreign[pair_id] = f"has no keypoint {missing[0]}"
        elif unknown:
            foreign[pair_id] = f"has a keypoint {unknown[0]}, which the split does not have"
    return foreign


def select_points(
    index: SplitIndex,
    predictions: pa.Table,
    localizer: str,
    path: Path,
) -> Points:
    """Selects the points that one localizer predicted.

    Args:
        predictions: of finite points, each once.
        path: file of the predictions, for the message of an error.

    Raises:
        UserError: if a pair has predictions of some keypoints only, or of others than the split has.
    """
    import pyarrow.compute as pc

    rows = predictions.filter(pc.equal(predictions["localizer"], localizer))
    for pair_id, problem in foreign_pairs(index, rows).items():
        raise UserError(f"{path}: pair {pair_id} {problem}; run the cell again")
    row_of: dict[tuple[str, str], int] = {}
    keys = zip(rows["pair_id"].to_pylist(), rows["keypoint_id"].to_pylist(), strict=True)
    for row, key in enumerate(keys):
        row_of[key] = row
    coordinates = np.column_stack([rows["x"].to_numpy(), rows["y"].to_numpy()])
    predicted_pairs = {pair_id for pair_id, _ in row_of}
    points: dict[str, np.ndarray] = {}
    for pair_id in index.pair_ids:
        if pair_id in predicted_pairs:
            chosen_rows = [row_of[pair_id, name] for name in index.keypoint_ids(pair_id)]
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
        points: of pairs that can be scored; see `scorable_points`.
        fed: size in pixels of the image the extractor was fed.

    Raises:
        DataError: if a pair lacks the protocol's threshold.
    """
    protocol = criterion.protocol
    threshold = kind_of(criterion, index)
    errors_of_pairs: list[np.ndarray] = []
    for pair_id, predicted in points.items():
        target = index.target(pair_id)
        errors_of_pairs.append(relative_errors(protocol, threshold, target, fed, predicted))
    # A relative error does not depend on alpha: measured once, compared with each.
    errors = np.concatenate(errors_of_pairs)
    columns = [is_correct(errors, alpha, protocol.strict) for alpha in criterion.alphas]
    return np.stack(columns, axis=1)


def scorable_points(index: SplitIndex, points: Points, criterion: Criterion) -> Points:
    """The points of those pairs that can be scored under a criterion."""
    lacking = lacking_pairs(index, kind_of(criterion, index))
    return {pair_id: predicted for pair_id, predicted in points.items() if pair_id not in lacking}


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
