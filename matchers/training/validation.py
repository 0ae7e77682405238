"""PCK of a file that a training wrote, by the method's own extractor, matcher and localizer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from harness.datasets.splits import SplitIndex
from harness.errors import BenchError
from harness.plugins.host import Host
from harness.running.asked import asked_pairs
from harness.running.plan import plan
from harness.running.predict import Prediction, Predictor
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.scoring.criteria import make_criterion
from harness.scoring.pck import is_correct, relative_errors
from harness.scoring.protocols import SD4MATCH
from harness.sweep import DatasetChoice, Sweep
from harness.weights.choice import WeightChoice

ALPHA = 0.1


@dataclass(frozen=True, eq=False)
class Measured:
    """What is measured: a method on a split, with the weights that a training writes.

    Attributes:
        weights: the file of the training among them.
        out: folder of the training; nothing is written to it.
        limit: only so many pairs.
    """

    method: str
    dataset: DatasetChoice
    split: str
    data_root: Path
    weights: WeightChoice
    out: Path
    device: str
    limit: int | None


class Validation:
    """The PCK of the pairs of a split, as `bench run` computes it (alpha 0.1, per image, `sd4match`)."""

    def __init__(self, host: Host, measured: Measured) -> None:
        self._host, self._measured = host, measured
        self._resolved: ResolvedCell | None = None

    def pck(self) -> float:
        """PCK in percent of the file as it is now.

        Raises:
            BenchError: a pair could not be predicted.
        """
        # The cell's data are found once; networks are made of the file's content anew each time.
        self._resolved = self._resolved or self._resolve()
        resolved = self._resolved
        (localizer,) = resolved.localizers
        wanted = {pair_id: [localizer] for pair_id in _asked(resolved)}
        predictor = Predictor(resolved)
        predictions: list[Prediction] = []
        for part in predictor.predict(wanted):
            predictions += part
        predictions += predictor.fetch()
        failures = predictor.account().failures
        if failures:
            raise BenchError(f"validation: {failures[0].pair_id}: {failures[0].error}")
        shares = [_correct_share(resolved, prediction) for prediction in predictions]
        return 100 * math.fsum(shares) / len(shares)

    def _resolve(self) -> ResolvedCell:
        measured = self._measured
        options = RunOptions(
            data_root=measured.data_root,
            out=measured.out,
            criteria=(make_criterion(self._host, SD4MATCH.name),),
            device=measured.device,
            limit=measured.limit,
            weights=measured.weights,
        )
        sweep = Sweep(methods=(measured.method,), datasets=(measured.dataset,), split=measured.split)
        (cell,) = plan(sweep, self._host)
        if cell.not_applicable:
            raise BenchError(f"validation: {cell.not_applicable}")
        return resolve_cell(Resources(self._host, options), cell)


def _asked(resolved: ResolvedCell) -> list[str]:
    index: SplitIndex = resolved.index
    lacking = index.lacking(index.threshold)
    return [pair_id for pair_id in asked_pairs(index, resolved.options) if pair_id not in lacking]


def _correct_share(resolved: ResolvedCell, prediction: Prediction) -> float:
    """Share of a pair's points that are predicted within the threshold."""
    index = resolved.index
    truth = index.target(prediction.pair_id)
    assert resolved.fed is not None
    predicted = prediction.located.points.double().cpu().numpy()
    errors = relative_errors(SD4MATCH, index.threshold, truth, resolved.fed, predicted)
    return float(is_correct(errors, ALPHA, SD4MATCH.strict).mean())
