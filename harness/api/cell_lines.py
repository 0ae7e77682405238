"""What is to be said of a cell that is done, line by line, on a terminal and in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.messages import counted, failed_pairs

if TYPE_CHECKING:
    from harness.records.schema import Record

SHOWN_FAILURES = 5
"""Different failures of one cell that are shown; the record has all."""


class Line(NamedTuple):
    """A line, or the traceback of an error, which is of interest to who mends it."""

    text: str
    is_traceback: bool = False


def cell_lines(record: Record) -> Iterator[Line]:
    """Lines on how a cell ended, one for each kind of failure; none where all went well."""
    cell_id = record.cell.id
    if record.error:
        yield Line(f"{cell_id}: failed: {record.error.message}")
        yield Line(record.error.traceback, is_traceback=True)
    if record.status == "not-applicable":
        yield Line(f"{cell_id}: not applicable: {record.reason}")
    yield from _failure_lines(record)
    if record.counts and (record.counts.excluded or record.counts.absent_points):
        absent = _are(record.counts.absent_points, "point")
        message = f"{cell_id}: {absent} NaN or missing and not counted"
        if record.counts.excluded:
            message += f"; {_are(record.counts.excluded, 'pair')} without a valid point and left out"
        yield Line(message)


def _failure_lines(record: Record) -> Iterator[Line]:
    """Lines on pairs that failed."""
    cell_id = record.cell.id
    # One cause often fails hundreds of pairs: each message is shown once, with its number of pairs.
    causes = dict.fromkeys((failure.pair_id, failure.error) for failure in record.failures)
    kinds = Counter(error for _, error in causes)
    for message, count in kinds.most_common(SHOWN_FAILURES):
        pair_ids = [pair_id for pair_id, error in causes if error == message]
        yield Line(f"{cell_id}: {failed_pairs(count)}: {message}{_first_pair(message, pair_ids)}")
    for traceback in record.tracebacks.values():
        yield Line(traceback, is_traceback=True)
    more = len(kinds) - SHOWN_FAILURES
    if more > 0:
        yield Line(f"{cell_id}: and {more} more kinds of failure; its record.json has all")


def _first_pair(message: str, pair_ids: Sequence[str]) -> str:
    """The pair that failed, or the first of several, for a message that does not name it."""
    first = pair_ids[0]
    if first in message:
        return ""
    return f" (pair {first})" if len(pair_ids) == 1 else f" (the first: pair {first})"


def _are(number: int, noun: str) -> str:
    """`1 pair is`, `2 pairs are`."""
    verb = "is" if number == 1 else "are"
    return f"{counted(number, noun)} {verb}"
