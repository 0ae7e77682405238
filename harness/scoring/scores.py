"""From stored predictions to the numbers of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.datasets.splits import SplitIndex
from harness.frames import Size
from harness.records.predictions import predicted_points
from harness.records.schema import Score
from harness.scoring.criteria import Criterion
from harness.scoring.intervals import bootstrap_ratios
from harness.scoring.pck import correct, per_pair, relative_errors
from harness.specs import AVERAGINGS

if TYPE_CHECKING:
    import pyarrow as pa


def slices_of(index: SplitIndex, pair_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Name -> (pairs,) bool: all pairs, each category, each value of each difficulty label, in order of name after `all`."""
    values: dict[str, list[str]] = {"category": [index.pairs[pair_id].category for pair_id in pair_ids]}
    labels = sorted({label for pair_id in pair_ids for label in index.pairs[pair_id].labels})
    for label in labels:
        values[label.removesuffix("_variation")] = [
            str(index.pairs[pair_id].labels.get(label, "")) for pair_id in pair_ids
        ]
    found = {"all": np.ones(len(pair_ids), dtype=bool)}
    for name, column in values.items():
        for value in sorted(set(column) - {""}):
            found[f"{name}={value}"] = np.array([one == value for one in column])
    return found


def score(
    index: SplitIndex, predictions: pa.Table, localizer: str, criterion: Criterion, fed: Size
) -> list[Score]:
    """PCK of one localizer under one protocol: every alpha, averaging and slice, with intervals.

    Args:
        fed: size in pixels of the image the extractor was fed.

    Raises:
        DataError: if the protocol's threshold does not exist for the dataset.
    """
    points = predicted_points(predictions, localizer)
    pair_ids = [pair_id for pair_id in index.pair_ids if pair_id in points]
    if not pair_ids:
        return []
    errors = [_errors(index, pair_id, points[pair_id], criterion, fed) for pair_id in pair_ids]
    pair_of = np.repeat(np.arange(len(pair_ids)), [len(one) for one in errors])
    hits = np.stack(
        [correct(np.concatenate(errors), alpha, criterion.protocol.strict) for alpha in criterion.alphas],
        axis=1,
    )
    right, total = per_pair(hits, pair_of, len(pair_ids))
    return _scores(localizer, criterion, slices_of(index, pair_ids), right, total)


def score_all(
    index: SplitIndex, predictions: pa.Table, criteria: Sequence[Criterion], fed: Size
) -> tuple[list[Score], dict[str, str]]:
    """Scores of every localizer under every measure, in order of protocol, and what each protocol's alpha multiplies."""
    criteria = sorted(criteria, key=lambda one: one.protocol.name)
    localizers = sorted(set(predictions["localizer"].to_pylist()))
    scores = [
        one
        for criterion in criteria
        for name in localizers
        for one in score(index, predictions, name, criterion, fed)
    ]
    return scores, {criterion.protocol.name: criterion.threshold or index.threshold for criterion in criteria}


def _errors(
    index: SplitIndex,
    pair_id: str,
    points: Mapping[str, tuple[float, float]],
    criterion: Criterion,
    fed: Size,
) -> np.ndarray:
    predicted = np.array([points[keypoint_id] for keypoint_id in index.keypoint_ids(pair_id)])
    return relative_errors(
        criterion.protocol, criterion.threshold or index.threshold, index.target(pair_id), fed, predicted
    )


def _scores(
    localizer: str,
    criterion: Criterion,
    slices: Mapping[str, np.ndarray],
    right: np.ndarray,
    total: np.ndarray,
) -> list[Score]:
    """
    Args:
        right, total: (pairs, alphas) correct points and (pairs,) points of each pair.
    """
    keys: list[tuple[str, str, int]] = []
    numerators, denominators = [], []
    for name, inside in slices.items():
        for averaging in AVERAGINGS:
            weight = inside * (total if averaging == "point" else 1.0)
            for number in range(len(criterion.alphas)):
                keys.append((name, averaging, number))
                numerators.append(inside * (right[:, number] / (1.0 if averaging == "point" else total)))
                denominators.append(weight)
    top, bottom = np.stack(numerators, axis=1), np.stack(denominators, axis=1)
    values = top.sum(axis=0) / bottom.sum(axis=0)
    interval = bootstrap_ratios(top, bottom)
    return [
        Score(
            localizer=localizer,
            protocol=criterion.protocol.name,
            averaging="point" if averaging == "point" else "image",
            alpha=criterion.alphas[number],
            slice=name,
            pck=_percent(value),
            low=None if np.isnan(low) else _percent(low),
            high=None if np.isnan(high) else _percent(high),
            pairs=int(slices[name].sum()),
            keypoints=int(total[slices[name]].sum()),
        )
        for (name, averaging, number), value, low, high in zip(
            keys, values, interval.low, interval.high, strict=True
        )
    ]


def _percent(fraction: float) -> float:
    # Ten digits: the last bits of a sum depend on the order of adding, and are no part of a result.
    return round(100 * float(fraction), 10)
