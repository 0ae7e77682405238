"""The one argument of every table beside the records: which of their numbers it shows, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.records.schema import Record, Score
from harness.scoring.criteria import protocol_name
from harness.specs import AVERAGINGS, Averaging, ProtocolSpec
from harness.tables.columns import RANKING_ALPHA, Column, column_of
from harness.tables.names import Names, make_names

if TYPE_CHECKING:
    from harness.tables.papers import ReportedMethod, ReportedNumbers
    from harness.tables.row import FindPlaces

FindSeedIntervals = Callable[[Sequence[Record], str, Sequence[Score]], "list[Score] | str"]
"""(stored records of the seeds, localizer, mean scores of one protocol and average) -> the scores with
intervals over images and seeds, or the reason why there are none."""

MAIN_PROTOCOL = "sd4match"
"""The paper's protocol, and the default."""

TIMESTEP = "timestep"
"""The parameter of diffusion backbones that SD4Match's Fig. 3(b) sweeps."""


@dataclass(frozen=True)
class View:
    """A choice of the records' numbers that a table or a page shows, and of their form.

    Attributes:
        protocol: the protocol of every table and chart; `choose_protocol` gives one that the records have.
        averaging: the average that every number is; `choose_averaging` gives the protocol's own.
        alphas: thresholds; None for all that the records have.
        localizers: names; None for all that the records have.
        parameter: the one whose values are the rows of a sweep table; None for the only one that has several.
        prompts: order of the columns of prompt types, before those that it does not name.
        has_details: whether the leaderboard says what a reader needs to trust a row (supervision, timestep,
            ensemble, training data, pairs, seconds per pair), with the best of each group in bold and the
            second underlined.
        find_places: tells the rows of the leaderboard apart; None for the order by value alone.
        reported: numbers that papers printed, shown beside the measured ones; None for none.
        ranks_reported: whether reported numbers are ranked and marked among the measured ones.
        names: those of the records' methods, data and localizers; None to make them of the records shown.
        seed_intervals: finds the intervals of rows of several seeds; None for none.
    """

    protocol: str = MAIN_PROTOCOL
    averaging: Averaging = "image"
    alphas: Sequence[float] | None = None
    localizers: Sequence[str] | None = None
    parameter: str | None = None
    prompts: Sequence[str] = ()
    has_details: bool = False
    find_places: FindPlaces | None = None
    reported: ReportedNumbers | None = None
    ranks_reported: bool = False
    names: Names | None = None
    seed_intervals: FindSeedIntervals | None = None

    def check(self, records: Sequence[Record]) -> None:
        """Raises `UserError` for a threshold or localizer that no record has: the table would be empty."""
        localizers: set[str] = set()
        for record in records:
            localizers |= record.localizers.keys()
        _check_known("alpha", self.alphas or (), sorted(_stored_alphas(records)))
        _check_known("localizer", self.localizers or (), sorted(localizers))

    def shows(self, score: Score) -> bool:
        """Says whether a number is one of those to show."""
        return (
            score.protocol == self.protocol
            and score.averaging == self.averaging
            and self.shows_alpha(score.alpha)
            and self.shows_localizer(score.localizer)
        )

    def lacking(self, record: Record, localizer: str | None = None, protocol: str | None = None) -> list[str]:
        """A line where a record's numbers do not have the view's average; else nothing.

        Args:
            localizer: the numbers of this one alone; None for all.
            protocol: those under this one; None for the view's.
        """
        protocol = protocol or self.protocol
        averagings: set[Averaging] = set()
        for score in record.scores:
            if score.protocol == protocol and localizer in (None, score.localizer):
                averagings.add(score.averaging)
        if not averagings or self.averaging in averagings:
            return []
        return [f"{record.cell.dataset}: no {self.averaging} average; 'bench rescore' adds it"]

    def rule_notes(self, records: Sequence[Record]) -> list[str]:
        """Lines on the records of a cell's seeds that are by an earlier rule of the view's protocol."""
        rules = self.names.rules if self.names else {}
        notes: dict[str, None] = {}
        for record in records:
            if note := rules.get((record.cell.id, self.protocol)):
                notes[f"{record.cell.dataset}: {note}"] = None
        return list(notes)

    def has_measure_of(self, method: ReportedMethod) -> bool:
        """Says whether a method's reported numbers are of the view's protocol and averaging."""
        return (self.protocol, self.averaging) == (method.protocol, method.averaging)

    def shows_alpha(self, alpha: float) -> bool:
        """Says whether a threshold is one of those to show."""
        return self.alphas is None or alpha in self.alphas

    def shows_localizer(self, name: str) -> bool:
        """Says whether a localizer is one of those to show."""
        return self.localizers is None or name in self.localizers

    def one_alpha(self, records: Sequence[Record]) -> float:
        """The threshold of a table at one: 0.10 or, where that is not to be shown, the smallest."""
        alphas = set(filter(self.shows_alpha, _stored_alphas(records)))
        # Where no record has numbers, the caption says the threshold that was asked for.
        alphas = alphas or set(self.alphas or ())
        if RANKING_ALPHA in alphas or not alphas:
            return RANKING_ALPHA
        return min(alphas)

    def columns(self, records: Sequence[Record]) -> list[Column]:
        """Datasets and thresholds that records have numbers of.

        A record without the view's protocol counts with its numbers of other protocols.
        """
        columns: set[Column] = set()
        for record in records:
            if self.protocol in record.not_applicable:
                continue
            is_foreign = all(score.protocol != self.protocol for score in record.scores)
            for score in record.scores:
                if not self.shows_alpha(score.alpha):
                    continue
                is_over_all = score.slice == "all" and score.averaging == self.averaging
                if is_foreign or (is_over_all and score.protocol == self.protocol):
                    columns.add(column_of(record, score.alpha))
        return sorted(columns)

    def score_of(self, record: Record, localizer: str, alpha: float) -> Score | None:
        """A record's number over all pairs, None where it has none."""
        wanted = (localizer, "all", self.averaging, self.protocol, alpha)
        for score in record.scores:
            values = (score.localizer, score.slice, score.averaging, score.protocol, score.alpha)
            if values == wanted:
                return score
        return None


def named(records: Sequence[Record], view: View) -> tuple[list[Record], View, Names]:
    """The records with the names that tables print, the view with those names, and the names.

    Whoever shows a part of a folder makes the view's names from the whole of it before.
    """
    names = view.names or make_names(records)
    return names.rename(records), replace(view, names=names), names


class Selection(NamedTuple):
    """The records and the view of a table on a page.

    Attributes:
        subject: the dataset or parameter that sets it apart from other tables of its kind; empty where there
            is one.
    """

    records: Sequence[Record]
    view: View
    subject: str = ""


def choose_protocol(records: Sequence[Record], asked: str | None) -> str:
    """Returns the protocol asked for, or `main_protocol`.

    Raises:
        UserError: there are records, and none has the protocol asked for.
    """
    protocols = _count_protocols(records)
    if asked and records and asked not in protocols:
        names = ", ".join(sorted(protocols)) or "none"
        raise UserError(f"no record has protocol '{asked}'; they have {names}; 'bench rescore' adds one")
    return asked or main_protocol(records)


def choose_averaging(
    records: Sequence[Record],
    protocol: str,
    asked: Averaging | None,
    protocols: Mapping[str, ProtocolSpec],
) -> Averaging:
    """Returns the average asked for, or the protocol's own.

    Args:
        protocols: those that are installed, by name.

    Raises:
        UserError: records have numbers under the protocol, and none has the average asked for.
    """
    if asked is None:
        return own_averaging(records, protocol, protocols)
    scores = (score for record in records for score in record.scores)
    averagings = {score.averaging for score in scores if score.protocol == protocol}
    if averagings and asked not in averagings:
        names = ", ".join(averaging for averaging in AVERAGINGS if averaging in averagings)
        raise UserError(
            f"--averaging {asked}: no record has this average under protocol {protocol}; they have {names}; "
            "'bench rescore' adds it"
        )
    return asked


def own_averaging(
    records: Sequence[Record], protocol: str, protocols: Mapping[str, ProtocolSpec]
) -> Averaging:
    """The average that a protocol's authors print; as records say it where the protocol is not installed."""
    name = protocol_name(protocol)
    if name in protocols:
        return protocols[name].averaging
    for record in records:
        if protocol in record.averagings:
            return record.averagings[protocol]
    return "image"


def main_protocol(records: Sequence[Record]) -> str:
    """`MAIN_PROTOCOL` if some record has it, else the protocol that most records have."""
    counts = _count_protocols(records)
    if MAIN_PROTOCOL in counts or not counts:
        return MAIN_PROTOCOL
    # The name decides between equal ones: the choice does not depend on the order of the records.
    return min(counts, key=lambda name: (-counts[name], name))


def _count_protocols(records: Sequence[Record]) -> dict[str, int]:
    """Protocol -> number of records that have it."""
    counts: dict[str, int] = {}
    for record in records:
        for name in {score.protocol for score in record.scores}:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _stored_alphas(records: Sequence[Record]) -> set[float]:
    alphas: set[float] = set()
    for record in records:
        alphas |= {score.alpha for score in record.scores}
    return alphas


def _check_known(kind: str, asked: Sequence[object], values: Sequence[object]) -> None:
    missing = [value for value in asked if value not in values]
    # Records without any number have a table of the reasons, whatever was asked for.
    if missing and values:
        names = ", ".join(sorted(map(str, values)))
        raise UserError(f"no record has {kind} {missing[0]}; they have {names}")
