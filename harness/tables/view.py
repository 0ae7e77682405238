"""The choices of what a table shows: protocol, averaging, alphas, localizers, and the columns that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UserError
from harness.records.schema import Record, Score
from harness.specs import Averaging
from harness.tables.reported import ReportedNumbers
from harness.tables.rows import RANKING_ALPHA, Column


@dataclass(frozen=True)
class View:
    """Which of the records' numbers a page shows.

    Attributes:
        protocol: the one protocol of every chart.
        alphas: None for all that there are.
        localizers: None for all that there are.
    """

    protocol: str
    averaging: Averaging
    alphas: tuple[float, ...] | None = None
    localizers: tuple[str, ...] | None = None

    def shows(self, score: Score) -> bool:
        """Whether a number is one of the page's."""
        return (
            score.protocol == self.protocol
            and score.averaging == self.averaging
            and (self.alphas is None or score.alpha in self.alphas)
            and (self.localizers is None or score.localizer in self.localizers)
        )


def choose_protocol(records: Sequence[Record], asked: str | None) -> str:
    """The protocol asked for, or `main_protocol`. Raises `UserError` where no record has the one asked for."""
    if (
        asked
        and records
        and not any(score.protocol == asked for record in records for score in record.scores)
    ):
        known = sorted({score.protocol for record in records for score in record.scores})
        raise UserError(
            f"no record has protocol '{asked}'; they have {', '.join(known) or 'none'}; 'bench rescore' adds one"
        )
    return asked or main_protocol(records)


def reported_columns(
    reported: ReportedNumbers, measured: Sequence[Column], alphas: Sequence[float] | None
) -> list[Column]:
    """The columns of printed numbers that a table gets besides the measured ones.

    Those of datasets that were measured; where nobody printed a number for any of them, those of all datasets, so that what was asked for
    is there.
    """
    known = [column for column in reported.columns() if alphas is None or column.alpha in alphas]
    here = [column for column in known if column.dataset in {one.dataset for one in measured}]
    return [column for column in here or known if column not in measured]


def check_asked(
    records: Sequence[Record], alphas: Sequence[float] | None, localizers: Sequence[str] | None
) -> None:
    """Raises `UserError` where a threshold or localizer is asked for that no record has: the table would be empty."""
    for kind, asked, known in (
        ("alpha", alphas, {score.alpha for record in records for score in record.scores}),
        ("localizer", localizers, {name for record in records for name in record.localizers}),
    ):
        missing = [one for one in asked or () if one not in known]
        if missing and known:
            raise UserError(
                f"no record has {kind} {missing[0]}; they have {', '.join(map(str, sorted(known, key=str)))}"
            )


def one_alpha(records: Sequence[Record], asked: float | None) -> float:
    """The threshold of a table at one: the one asked for; else 0.10 or, where the records lack it, their smallest."""
    if asked is not None:
        return asked
    found = {score.alpha for record in records for score in record.scores}
    return RANKING_ALPHA if RANKING_ALPHA in found or not found else min(found)


def score_of(record: Record, localizer: str, averaging: str, protocol: str, alpha: float) -> Score | None:
    """A record's number over all pairs, if it has that one."""
    wanted = (localizer, "all", averaging, protocol, alpha)
    return next(
        (
            one
            for one in record.scores
            if (one.localizer, one.slice, one.averaging, one.protocol, one.alpha) == wanted
        ),
        None,
    )


def columns_of(
    records: Sequence[Record], protocol: str, averaging: Averaging, alphas: Sequence[float] | None
) -> list[Column]:
    """Datasets and alphas that records have numbers of; of another protocol where a record has no other."""
    found: set[Column] = set()
    for record in records:
        protocols = {score.protocol for score in record.scores}
        for score in record.scores:
            if (
                score.slice == "all" and score.averaging == averaging and score.protocol == protocol
            ) or protocol not in protocols:
                found.add(Column(record.cell.dataset, record.cell.split, score.alpha))
    return sorted(column for column in found if alphas is None or column.alpha in alphas)


def main_protocol(records: Sequence[Record]) -> str:
    """The protocol that a table is of where none was asked for: `sd4match`, or the one that most records have."""
    counts: dict[str, int] = {}
    for record in records:
        for name in {score.protocol for score in record.scores}:
            counts[name] = counts.get(name, 0) + 1
    if "sd4match" in counts or not counts:
        return "sd4match"
    return min(counts, key=lambda name: (-counts[name], name))
