"""Failed pairs of a cell over all of its runs: what was asked for is predicted, or fails by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.datasets.splits import SplitIndex
from harness.errors import ExtractionError
from harness.messages import failed_pairs
from harness.records.schema import Failure, Record
from harness.running.predict import Work
from harness.scoring.criteria import Criterion
from harness.scoring.thresholds import in_order, protocol_failures
from harness.scoring.truth import truth_of

Tasks = set[tuple[str, str]]
"""Pairs and localizers."""


def all_failures(
    index: SplitIndex, work: Work, earlier: Record | None, predicted: Tasks, criteria: Sequence[Criterion]
) -> list[Failure]:
    """Failures of this run, those of earlier runs that still stand, and pairs that a protocol cannot score.

    Args:
        predicted: pairs and localizers with predictions.
        criteria: those that the cell is scored under.
    """
    failures: list[Failure] = []
    for failure in work.failures:
        failures.append(_with_localizers(failure, work))
    failures += standing_failures(index, work, earlier, predicted)
    by_pair: dict[str, list[str]] = {}
    for pair_id, localizer in sorted(predicted):
        by_pair.setdefault(pair_id, []).append(localizer)
    failures = [*_merged(failures), *protocol_failures(truth_of(index), by_pair, criteria)]
    return in_order(failures)


def standing_failures(
    index: SplitIndex, work: Work, earlier: Record | None, predicted: Tasks
) -> list[Failure]:
    """Failures of the earlier record for those localizers that this run has not tried the pair with again."""
    if earlier is None:
        return []
    pair_ids = set(index.pair_ids) - index.excluded
    standing: list[Failure] = []
    for failure in earlier.failures:
        # Those of single protocols follow from the predictions, and are found anew.
        if failure.protocol or failure.pair_id not in pair_ids:
            continue
        names = [failure.localizer] if failure.localizer else failure.localizers or list(earlier.localizers)
        settled = predicted | work.attempted
        left = [name for name in names if (failure.pair_id, name) not in settled]
        if left and failure.localizer:
            standing.append(failure)
        elif left:
            standing.append(failure.model_copy(update={"localizers": left}))
    return standing


class AllFailed(ExtractionError):
    """Every pair of a cell failed.

    Attributes:
        failures: of all runs of the cell.
        tracebacks: kind and place of an error -> one traceback.
    """

    def __init__(self, failures: Sequence[Failure], tracebacks: Mapping[str, str]) -> None:
        super().__init__(all_failed_text(failures))
        self.failures, self.tracebacks = failures, tracebacks


def all_failed_text(failures: Sequence[Failure]) -> str:
    """`all 12 pairs failed; the first: ...`, of a cell without a prediction."""
    ordered = in_order(failures)
    pairs = len({failure.pair_id for failure in ordered})
    return f"all {failed_pairs(pairs)}; the first: {ordered[0].error}"


def _with_localizers(failure: Failure, work: Work) -> Failure:
    """A failure of this run, with the localizers that were to predict the pair."""
    if failure.localizer or failure.localizers:
        return failure
    names = sorted(name for pair_id, name in work.attempted if pair_id == failure.pair_id)
    return failure.model_copy(update={"localizers": names})


def _merged(failures: Sequence[Failure]) -> list[Failure]:
    """Failures of one pair for one reason as one, for the localizers of all of them."""
    merged: dict[tuple[str, str | None, str], Failure] = {}
    for failure in failures:
        key = (failure.pair_id, failure.localizer, failure.error)
        names = {*failure.localizers, *(merged[key].localizers if key in merged else ())}
        merged[key] = failure.model_copy(update={"localizers": sorted(names)})
    return list(merged.values())
