"""From stored predictions to the numbers of a record."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.frames import Size
from harness.records.schema import Score
from harness.records.slices import CATEGORY, shown_labels, slice_name
from harness.scoring.correctness import count_correct, scorable_points
from harness.scoring.criteria import Criterion
from harness.scoring.intervals import bootstrap_ratios
from harness.scoring.pck import percent
from harness.scoring.points import Points, select_points
from harness.scoring.thresholds import kind_of
from harness.scoring.truth import Truth
from harness.specs import Averaging

if TYPE_CHECKING:
    import pyarrow as pa

# Those of AVERAGINGS that are ratios of two sums over pairs.
_AVERAGINGS: tuple[Averaging, ...] = ("image", "point")


def slices_of(truth: Truth, pair_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Slices of a split's pairs: name -> (pairs,) bool.

    `all` comes first, then each category and each value of each difficulty label, in order of name.
    """
    numbers = truth.numbers(pair_ids)
    slices = {"all": np.ones(len(numbers), dtype=bool)}
    _add_slices(slices, CATEGORY, [truth.categories[number] for number in numbers])
    pair_labels = [truth.labels[number] for number in numbers]
    labels: set[str] = set()
    for values in pair_labels:
        labels.update(values)
    for label, shown in sorted(shown_labels(labels).items()):
        _add_slices(slices, shown, [str(values.get(label, "")) for values in pair_labels])
    return slices


def _add_slices(slices: dict[str, np.ndarray], label: str, values: Sequence[str]) -> None:
    # Pairs without this label are in none of its slices.
    for value in sorted(set(values) - {""}):
        slices[slice_name(label, value)] = np.array([pair_value == value for pair_value in values])


def score_points(
    truth: Truth, points: Points, localizer: str, criterion: Criterion, fed: Size
) -> list[Score]:
    """PCK of one localizer under one protocol: every alpha, averaging and slice, with intervals.

    Pairs that lack the protocol's threshold are left out.

    Args:
        points: those that the localizer predicted.
        fed: size in pixels of the image the extractor was fed.
    """
    points = scorable_points(truth, points, criterion)
    if not points:
        return []
    right, total = count_correct(truth, points, criterion, fed)
    return _scores(localizer, criterion, slices_of(truth, list(points)), right, total)


def score_all(
    truth: Truth,
    predictions: pa.Table,
    criteria: Sequence[Criterion],
    fed: Size,
    path: Path,
) -> tuple[list[Score], dict[str, str]]:
    """Scores every localizer under every criterion, in order of protocol.

    Args:
        criteria: those that apply to the split.
        path: file of the predictions, for the message of an error.

    Returns:
        The scores, and for each protocol what its alpha multiplies.

    Raises:
        UserError: if the predictions are not those of the split.
    """
    criteria = sorted(criteria, key=lambda criterion: criterion.protocol.name)
    points: dict[str, Points] = {}
    for localizer in sorted(set(predictions["localizer"].to_pylist())):
        points[localizer] = select_points(truth, predictions, localizer, path)
    scores: list[Score] = []
    for criterion in criteria:
        for localizer, localizer_points in points.items():
            scores += score_points(truth, localizer_points, localizer, criterion, fed)
    thresholds: dict[str, str] = {}
    for criterion in criteria:
        thresholds[criterion.protocol.name] = kind_of(criterion, truth)
    return scores, thresholds


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
    numerators, denominators = [], []
    for is_inside in slices.values():
        for averaging in _AVERAGINGS:
            # Mean of the pairs' shares, or correct points of all over points of all: both are ratios of sums.
            divisor, weight = (total, 1.0) if averaging == "image" else (1.0, total)
            for column in range(len(criterion.alphas)):
                numerators.append(is_inside * (right[:, column] / divisor))
                denominators.append(is_inside * weight)
    top = np.stack(numerators, axis=1)
    bottom = np.stack(denominators, axis=1)
    values = top.sum(axis=0) / bottom.sum(axis=0)
    # One bootstrap for every column, so that all share one set of draws.
    interval = bootstrap_ratios(top, bottom)
    scores: list[Score] = []
    # In the order in which the columns were made.
    keys = itertools.product(slices, _AVERAGINGS, criterion.alphas)
    for column, (name, averaging, alpha) in enumerate(keys):
        # Undefined with fewer than two pairs.
        is_known = not np.isnan(interval.low[column])
        scores.append(
            Score(
                localizer=localizer,
                protocol=criterion.protocol.name,
                averaging=averaging,
                alpha=alpha,
                slice=name,
                pck=percent(values[column]),
                low=percent(interval.low[column]) if is_known else None,
                high=percent(interval.high[column]) if is_known else None,
                pairs=int(slices[name].sum()),
                keypoints=int(total[slices[name]].sum()),
            )
        )
    return scores
