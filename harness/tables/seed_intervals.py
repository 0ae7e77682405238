"""Finds the intervals of rows of several seeds, from their predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from harness.errors import BenchError
from harness.records.folders import FindFolder
from harness.records.schema import Record, Score
from harness.records.slices import POINT_SLICES
from harness.scoring.criteria import Criterion
from harness.scoring.pck import percent
from harness.scoring.seeds import SeedScore, score_seeds
from harness.scoring.sources import Predicted

_ROUNDING = 1e-6
"""Percent by which the mean of recorded scores may differ from that of predictions."""


class SeedIntervals:
    """Finds intervals over images and seeds together: a `harness.tables.view.FindSeedIntervals`."""

    def __init__(
        self,
        folder_of: FindFolder,
        read: Callable[[Path, Record], Predicted],
        criterion: Callable[[str, Sequence[float]], Criterion],
    ) -> None:
        """
        Args:
            folder_of: finds the folder of a cell.
            read: (a cell's folder, record) -> its predictions with the truth. Raises `BenchError` where it
                cannot.
            criterion: (protocol, alphas) -> what counts as correct.
        """
        self._folder_of, self._read, self._criterion = folder_of, read, criterion
        # Tables and charts of a page ask for the same rows again and again.
        self._known: dict[tuple[object, ...], dict[tuple[str, float], SeedScore] | str] = {}

    def __call__(
        self, records: Sequence[Record], localizer: str, scores: Sequence[Score]
    ) -> list[Score] | str:
        """The scores with intervals, or the reason why there are none.

        Args:
            records: of each seed, as they are stored.
            scores: means over the seeds, of one protocol and average.
        """
        slices = tuple(dict.fromkeys(score.slice for score in scores))
        alphas = tuple(sorted({score.alpha for score in scores}))
        protocol, averaging = scores[0].protocol, scores[0].averaging
        ids = tuple(record.cell.id for record in records)
        key = (ids, localizer, protocol, averaging, alphas, slices)
        if key not in self._known:
            try:
                cells = [self._read(self._folder_of(record), record) for record in records]
                runs = [(predicted.truth, predicted.points(localizer)) for predicted in cells]
                criterion = self._criterion(protocol, alphas)
                fed = records[0].cell.input_size
                self._known[key] = score_seeds(runs, criterion, fed, averaging, slices)
            except BenchError as error:
                self._known[key] = str(error)
        known = self._known[key]
        if isinstance(known, str):
            return known
        if not _agree(scores, known):
            return "scores are not those of the predictions; 'bench rescore' makes them anew"
        return [_with_interval(score, known.get((score.slice, score.alpha))) for score in scores]


def _with_interval(score: Score, known: SeedScore | None) -> Score:
    if known is None:
        return score
    is_known = not np.isnan(known.low)
    changes = {
        "low": percent(known.low) if is_known else None,
        "high": percent(known.high) if is_known else None,
        "images": known.images,
    }
    return score.model_copy(update=changes)


def _agree(scores: Sequence[Score], known: dict[tuple[str, float], SeedScore]) -> bool:
    """Says whether recorded means are those of the predictions."""
    for score in scores:
        computed = known.get((score.slice, score.alpha))
        # Predictions of earlier versions do not say which points are in a slice; their records may.
        if computed is None and score.slice in POINT_SLICES:
            continue
        if computed is None or abs(100 * computed.value - score.pck) > _ROUNDING:
            return False
    return True
