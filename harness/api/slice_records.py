"""Records whose numbers are those of a slice of points, made of stored predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import BenchError, SeveralErrors
from harness.plugins.host import Host
from harness.records.copies import score_key
from harness.records.slices import points_in

if TYPE_CHECKING:
    from harness.records.joining import Results
    from harness.records.schema import Record
    from harness.scoring.sources import Predicted, Sources


@dataclass(frozen=True)
class Chosen:
    """Records of a table.

    Attributes:
        lines: on those that are left out.
        is_complete: whether none is left out that may have the slice.
    """

    records: Sequence[Record]
    lines: tuple[str, ...] = ()
    is_complete: bool = True


def choose_slice(
    host: Host, point_slice: str | None, records: Sequence[Record], results: Results, sources: Sources
) -> Chosen:
    """The records with the numbers that they have where only the points of a slice count.

    A cell without any numbers stays as it is.

    Args:
        point_slice: None for all points, and the records as they are.
        sources: of predictions in which only these points count.

    Raises:
        UserError: no cell has the slice.
    """
    from harness.scoring.sources import NoSuchSlice

    if point_slice is None:
        return Chosen(records)
    chosen: list[Record] = []
    absent: list[str] = []
    unreadable: list[str] = []
    for record in records:
        if not record.scores:
            chosen.append(record)
            continue
        try:
            predicted = sources.read(results.folder_of(record), record)
            chosen.append(_record_of_slice(host, predicted, record, point_slice))
        except NoSuchSlice as error:
            absent.append(str(error))
        except BenchError as error:
            unreadable.append(str(error))
    lines = tuple(dict.fromkeys([*absent, *unreadable]))
    if lines and not any(record.scores for record in chosen):
        raise SeveralErrors(lines)
    return Chosen(chosen, lines, not unreadable)


def _record_of_slice(host: Host, predicted: Predicted, record: Record, point_slice: str) -> Record:
    """The record with the numbers of the points that count. Raises `BenchError`."""
    from harness.scoring.criteria import criteria_of
    from harness.scoring.rescore import with_scores
    from harness.scoring.thresholds import applicable

    made = with_scores(predicted, record, applicable(predicted.truth, criteria_of(record, host)))
    stored = {score_key(score): score for score in record.scores if score.slice == point_slice}
    scores = []
    for score in made.scores:
        named = score.model_copy(update={"slice": points_in(point_slice, score.slice)})
        own = stored.get(score_key(named))
        # Another draw would give the number of the record another interval.
        is_same = own is not None and own.model_copy(update={"low": named.low, "high": named.high}) == named
        scores.append(own.model_copy(update={"slice": score.slice}) if own and is_same else score)
    counts = made.counts
    if counts:
        # Notes would count the slice's pairs in each category as if they were all that were run.
        counts = counts.model_copy(update={"categories": 1})
    return made.model_copy(update={"scores": scores, "counts": counts})
