"""The differences between rows of a leaderboard, with intervals that hold for all of them together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from harness.errors import UserError
from harness.messages import counted
from harness.records.schema import Record
from harness.tables.captions import text_or_dash
from harness.tables.columns import ranking_columns
from harness.tables.leaderboard import mean_text, ranking_of, tested_places
from harness.tables.place_captions import are_known, compared_text, place_text, unknown_text
from harness.tables.ranking import Ranking
from harness.tables.row import Places, Row, RowDifference
from harness.tables.table import Table, TidyRow
from harness.tables.text import NOTHING, averaging_text, difference_text, split_name
from harness.tables.view import Selection, View, named

_SIDE_KEYS = ("method", "prompt", "localizer", "backbone", "trained_on", "best", "worst")

KEYS = (
    *("data", "protocol", "averaging", "alpha"),
    *(f"{key}_{side}" for side in ("above", "below") for key in _SIDE_KEYS),
    *("difference", "low", "high", "detectable", "is_found", "pairs", "images"),
)
"""Columns of the CSV and keys of the JSON differences: `best` and `worst` are the ends of a row's place,
`difference`, `low`, `high` and `detectable` points."""

_MOST_WHOLE = 5
"""Rows up to which a table for people has all couples."""

_HEADER = ("above", "below", "difference", "95 %", "finds", "told apart", "note")


def row_differences(records: Sequence[Record], view: View) -> Table:
    """A row for each couple of rows with places: their difference, and whether they are told apart.

    Of many rows, a table for people has the couples of neighbours and those with the first; CSV and JSON have
    all.

    Raises:
        UserError: no two rows can be tested.
    """
    records, view, names = named(records, view)
    ranking = ranking_of(records, view, names)
    places = tested_places(ranking, view)
    if places is None:
        raise UserError(
            "--table differences: no two rows can be tested; it needs two complete rows with predictions, "
            "and for those of earlier versions their dataset (--data-root, --datasets NAME=PATH)"
        )
    shown = _shown(places)
    labels = _labels(ranking.ranked)
    rows = [_texts(each, labels, places) for each in shown]
    return Table(
        caption=" ".join(_caption(records, view, ranking, places, len(shown))),
        header=_HEADER,
        rows=tuple(rows),
        tidy=tuple(_tidy_row(each, ranking, places, view) for each in places.differences),
        names=2,
        columns=KEYS,
    )


def difference_selections(records: Sequence[Record], view: View) -> list[Selection]:
    """For a page: all records, where two rows can be tested and there are images enough to do so."""
    records, view, names = named(records, view)
    places = tested_places(ranking_of(records, view, names), view)
    return [Selection(records, view)] if places and are_known(places) else []


def _shown(places: Places) -> list[RowDifference]:
    """The couples that a table for people has."""
    tested = sorted({each.above for each in places.differences} | {each.below for each in places.differences})
    if len(tested) <= _MOST_WHOLE:
        return list(places.differences)
    following = dict(itertools.pairwise(tested))
    return [
        each
        for each in places.differences
        if each.above == tested[0] or following.get(each.above) == each.below
    ]


def _caption(
    records: Sequence[Record], view: View, ranking: Ranking, places: Places, shown: int
) -> list[str]:
    number = mean_text(ranking.columns, view.columns(records))
    sentences = [
        f"Differences of {number} in percentage points, protocol {view.protocol}, mean "
        f"{averaging_text(view.averaging)}; behind each row its place."
    ]
    couples = len(places.differences)
    if are_known(places):
        found = sum(each.is_found for each in places.differences)
        sentences.append(
            "95 %: intervals that hold for all differences together (maximum statistic of a bootstrap over "
            f"images, {compared_text(places)}). {found} of {counted(couples, 'couple')} of rows told apart. "
            "finds: the least true difference that four of five such comparisons tell apart."
        )
    else:
        sentences.append(f"No intervals of {compared_text(places)}: {unknown_text(places)}.")
    if shown < couples:
        sentences.append(
            f"Shown: {shown} of {couples} couples, those of neighbours and those with the first row; "
            "--format csv and json have all."
        )
    if places.untested:
        untested = counted(len(places.untested), "row")
        sentences.append(f"Left out: {untested} whose predictions cannot be scored here.")
    return sentences


def _labels(rows: Sequence[Row]) -> list[str]:
    """Names of rows: the method, and what sets it apart from others of its name."""
    labels = []
    for row in rows:
        namesakes = [each for each in rows if each.method == row.method]
        texts = []
        # In the order of `Row.key`, behind the method.
        for number, text in enumerate(row.key[1:], start=1):
            if len({each.key[number] for each in namesakes}) > 1:
                texts.append(text_or_dash(text))
        labels.append(f"{row.method} ({', '.join(texts)})" if texts else row.method)
    return labels


def _texts(difference: RowDifference, labels: Sequence[str], places: Places) -> tuple[str, ...]:
    interval, answer = NOTHING, NOTHING
    if difference.low is not None and difference.high is not None:
        interval = f"{difference_text(difference.low)} to {difference_text(difference.high)}"
        answer = "yes" if difference.is_found else "no"
    finds = NOTHING if difference.detectable is None else f"{difference.detectable:.1f}"
    names = []
    for row in (difference.above, difference.below):
        names.append(f"{labels[row]}, {place_text(places.best[row], places.worst[row])}")
    return (*names, difference_text(difference.points), interval, finds, answer, "")


def _tidy_row(difference: RowDifference, ranking: Ranking, places: Places, view: View) -> TidyRow:
    columns = ranking_columns(ranking.columns)
    data = dict.fromkeys(split_name(column.dataset, column.split) for column in columns)
    alphas = list(dict.fromkeys(column.alpha for column in columns))
    tidy: TidyRow = {
        "data": ", ".join(data),
        "protocol": view.protocol,
        "averaging": view.averaging,
        # The mean over several has none of its own.
        "alpha": alphas[0] if len(alphas) == 1 else None,
    }
    for side, number in (("above", difference.above), ("below", difference.below)):
        row = ranking.ranked[number]
        values = (*row.key, places.best[number], places.worst[number])
        tidy |= {f"{key}_{side}": value for key, value in zip(_SIDE_KEYS, values, strict=True)}
    return tidy | {
        "difference": difference.points,
        "low": difference.low,
        "high": difference.high,
        "detectable": difference.detectable,
        "is_found": difference.is_found,
        "pairs": places.pairs,
        "images": places.images,
    }
