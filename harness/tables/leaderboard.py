"""The ranked leaderboard: methods as rows, datasets and thresholds as columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from harness.records.schema import Record
from harness.tables.captions import (
    numbers_caption,
    pairs_text,
    reported_sentences,
    text_or_dash,
    trust_sentences,
)
from harness.tables.columns import Column, Split, ranking_columns
from harness.tables.data_names import plain_dataset
from harness.tables.marks import mark_best
from harness.tables.reported import all_tidy_rows, measured_rows, reported_columns, reported_rows
from harness.tables.row import Places, Row
from harness.tables.table import Table
from harness.tables.text import NOTHING, alpha_text
from harness.tables.view import View, named

_NAMES = ("#", "method", "prompt", "localizer", "backbone")

_DETAILS = ("sup.", "t", "ensemble", "trained on", "pairs", "s/pair")

_TIES = (
    "Rows of one number are tied: not told apart from the first of them "
    "(paired bootstrap over images, 95 %, Holm's correction). "
    "± takes pairs as independent: since they share images, it is too narrow to tell rows apart."
)

_NO_TIES = "They are by value alone, not tested for ties."


def leaderboard(records: Sequence[Record], view: View) -> Table:
    """Methods as rows, datasets and alphas as columns.

    Complete rows of the view's protocol are ranked by their mean over datasets at alpha 0.10 (over all alphas
    where that is not among them); limited, failed and foreign-protocol rows follow, marked, and then what
    papers printed. Where `view.ranks_reported`, reported rows that have all of the ranking columns are ranked
    among the measured ones.
    """
    records, view, names = named(records, view)
    measured = view.columns(records)
    columns = [*measured, *reported_columns(measured, view)]
    measured_list = measured_rows(records, view)
    compared = _compared_columns(measured_list, measured, names.aside)
    ranked, unranked, reported = _order(measured_list, reported_rows(columns, view), compared, view)
    unranked = [_with_data_remark(row, compared, names.aside) for row in unranked]
    places = _tied_places(ranked, compared, view)
    if places:
        ranked = [_with_test_remark(row, number in places.untested) for number, row in enumerate(ranked)]
    rows = [*ranked, *unranked, *reported]
    ranks = places.ranks if places else range(1, len(ranked) + 1)
    numbers = [str(rank) for rank in ranks]
    numbers += [""] * (len(rows) - len(ranked))
    texts = []
    for number, row in zip(numbers, rows, strict=True):
        texts.append(_texts(number, row, columns, view))
    table = Table(
        caption=" ".join(_caption(records, view, ranked, rows, compared, has_ranks=places is not None)),
        header=_header(columns, view),
        rows=tuple(texts),
        tidy=all_tidy_rows(records, view),
        names=len(_NAMES),
    )
    if not view.has_details:
        # Without the column of supervision, a reader could not see which rows a mark compares.
        return table
    return replace(
        table,
        marks=mark_best(rows, columns, len(_NAMES), is_mixed=view.ranks_reported),
        breaks=frozenset({len(ranked), len(ranked) + len(unranked)}),
    )


def _compared_columns(
    rows: Sequence[Row], columns: Sequence[Column], aside: Collection[Split]
) -> Sequence[Column]:
    """The columns that rows must have to be ranked: without those of other data under a dataset's name.

    Other data count as a dataset of their own where every row that would be ranked has them.
    """
    main = [column for column in columns if (column.dataset, column.split) not in aside]
    complete, _ = _split_complete(rows, main)
    _, incomplete = _split_complete(complete, columns)
    return main if incomplete else columns


def _with_data_remark(row: Row, compared: Sequence[Column], aside: Collection[Split]) -> Row:
    """A row without rank; one that has a dataset in other data alone says so."""
    remarks = []
    for split in sorted(row.pairs):
        name = plain_dataset(split[0])
        has_main = any(plain_dataset(column.dataset) == name and column in row.values for column in compared)
        if split in aside and not has_main:
            remarks.append(f"{name}: other data than those that rows are ranked on")
    return replace(row, remarks=(*row.remarks, *remarks))


def _with_test_remark(row: Row, is_untested: bool) -> Row:
    """A ranked row; one that was not tested for ties says so."""
    if not is_untested:
        return row
    return replace(row, remarks=(*row.remarks, "place by value: its predictions cannot be read"))


def _tied_places(ranked: Sequence[Row], columns: Sequence[Column], view: View) -> Places | None:
    """The places of rows; None where ties are not asked for or cannot be decided."""
    if view.ties is None or len(ranked) < 2:
        return None
    # Papers print no predictions, and a difference to a printed number cannot be tested.
    if any(row.is_reported for row in ranked):
        return None
    return view.ties(ranked, columns)


def _order(
    measured: Sequence[Row], reported: Sequence[Row], columns: Sequence[Column], view: View
) -> tuple[list[Row], list[Row], list[Row]]:
    """Ranked rows, measured rows without a rank, reported rows without a rank: each in the table's order."""
    # Every column, not only the ranking ones: a row that lacks a dataset has no mean over all of them.
    ranked, unranked = _split_complete(measured, columns)
    unranked_reported = list(reported)
    if view.ranks_reported:
        # Papers print few thresholds: those that rows are ranked by are enough.
        ranked_reported, unranked_reported = _split_complete(reported, ranking_columns(columns))
        ranked += ranked_reported
    ranked.sort(key=lambda row: (-row.mean(columns), row.key))
    unranked.sort(key=lambda row: row.key)
    return ranked, unranked, unranked_reported


def _split_complete(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[list[Row], list[Row]]:
    """Rows that can be compared in all of the columns, and the others."""
    complete: list[Row] = []
    incomplete: list[Row] = []
    for row in rows:
        if row.is_complete(columns):
            complete.append(row)
        else:
            incomplete.append(row)
    return complete, incomplete


def _caption(
    records: Sequence[Record],
    view: View,
    ranked: Sequence[Row],
    rows: Sequence[Row],
    columns: Sequence[Column],
    *,
    has_ranks: bool,
) -> list[str]:
    """The caption's sentences; `has_ranks`: whether ties were found."""
    sentences = [numbers_caption(records, view)]
    if view.has_details and ranked:
        sentences.append(f"Places: {_ranking_text(columns)}.")
    if has_ranks:
        sentences.append(_TIES)
    elif view.ties and len(ranked) > 1:
        sentences.append(_NO_TIES)
    if view.has_details:
        sentences += trust_sentences(records, rows)
    return [*sentences, *reported_sentences(rows, view)]


def _ranking_text(columns: Sequence[Column]) -> str:
    """The number that rows are in order of: `mean of PCK at alpha 0.10`."""
    ranking = ranking_columns(columns)
    alphas = dict.fromkeys(alpha_text(column.alpha) for column in ranking)
    number = f"PCK at alpha {', '.join(alphas)}"
    if len(ranking) > 1:
        return f"mean of {number}"
    return number


def _header(columns: Sequence[Column], view: View) -> tuple[str, ...]:
    titles = [column.title for column in columns]
    details = _DETAILS if view.has_details else ()
    return (*_NAMES, *titles, *details, "note")


def _texts(number: str, row: Row, columns: Sequence[Column], view: View) -> tuple[str, ...]:
    """A row of the table; `number` is its rank, or empty."""
    names = (number, row.method, row.prompt, row.localizer, row.backbone)
    texts = [row.text(column) for column in columns]
    details = _details(row) if view.has_details else ()
    return (*names, *texts, *details, row.note)


def _details(row: Row) -> tuple[str, ...]:
    parameters = [str(row.params.get(name, "")) for name in ("timestep", "ensemble")]
    texts = (row.supervision, *parameters, row.trained_on)
    return (*map(text_or_dash, texts), pairs_text(row), _seconds_text(row))


def _seconds_text(row: Row) -> str:
    """`0.750`, or `0.750 / 0.812` on several datasets."""
    texts = []
    # Over the splits of pairs, not of seconds: a gap keeps both columns in one order.
    for split in sorted(row.pairs):
        seconds = row.seconds.get(split)
        texts.append(NOTHING if seconds is None else f"{seconds:.3f}")
    return " / ".join(texts) or NOTHING
