"""The ranked leaderboard: methods as rows, datasets and thresholds as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.messages import listed
from harness.records.schema import Record
from harness.tables.averages import order_sentence
from harness.tables.captions import (
    PAIRS_ORDER,
    numbers_caption,
    pairs_text,
    reported_sentences,
    row_scores,
    seconds_sentences,
    text_or_dash,
    trust_sentences,
)
from harness.tables.columns import Column, ranking_columns
from harness.tables.marks import mark_best
from harness.tables.names import Names
from harness.tables.pair_counts import pair_count_sentences
from harness.tables.place_captions import place_sentences, place_text
from harness.tables.ranking import Ranking, rank_rows
from harness.tables.reported import all_tidy_rows, measured_rows, reported_columns, reported_rows
from harness.tables.row import Places, Row
from harness.tables.seeds import DRAWN_TOGETHER, seeds_text, tell_seeds
from harness.tables.table import Mark, Table
from harness.tables.text import NOTHING, alpha_text, split_name
from harness.tables.tuning import tuned_on_text
from harness.tables.view import View, named

_NAMES = ("#", "method", "prompt", "localizer", "backbone")

_DETAILS = ("sup.", "t", "ensemble", "trained on", "tuned on", "seeds", "pairs", "s/pair")

_NO_PLACES = "No places: rows lack columns, as their notes say, and no two methods have all of them."

_ALL_NOTED = "No places: every row has a note, which says why it is not ranked."

_ON_ONE_DATASET = "`bench leaderboard --datasets NAME` gives places on one dataset."

_ON_ONE_ALPHA = (
    "`bench leaderboard --alphas A` gives places at one threshold; `bench rescore` adds thresholds."
)

_LACKING = "Rows without a place that lack columns may be better than those above them."


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
    ranking = ranking_of(records, view, names)
    seeds = ""
    if not view.has_details:
        # There is no column of seeds.
        ranking, seeds = _with_seeds(ranking)
    places = tested_places(ranking, view)
    if places:
        ranking = _with_test_remarks(ranking, places)
    rows = ranking.rows
    placed = len(ranking.ranked)
    numbers = [str(number) for number in range(1, placed + 1)]
    if places:
        numbers = [place_text(*ends) for ends in zip(places.best, places.worst, strict=True)]
    numbers += [""] * (len(rows) - placed)
    texts = []
    for number, row in zip(numbers, rows, strict=True):
        texts.append(_texts(number, row, columns, view))
    table = Table(
        caption=" ".join(_caption(records, view, ranking, seeds, places)),
        header=_header(columns, view),
        rows=tuple(texts),
        tidy=all_tidy_rows(records, view),
        names=len(_NAMES),
        settings=len(_DETAILS) if view.has_details else 0,
        conditional=_conditional(records, view, ranking, places),
    )
    if not view.has_details:
        # Without the column of supervision, a reader could not see which rows a mark compares.
        return table
    return replace(
        table,
        marks=_marks(ranking, columns, view),
        breaks=frozenset({placed, placed + len(ranking.unranked)}),
    )


def _with_test_remarks(ranking: Ranking, places: Places) -> Ranking:
    """The ranking; a row that was not tested says so."""
    ranked = list(ranking.ranked)
    for number in places.untested:
        remarks = (*ranked[number].remarks, "place by value: its predictions cannot be scored here")
        ranked[number] = replace(ranked[number], remarks=remarks)
    return replace(ranking, ranked=ranked)


def _with_seeds(ranking: Ranking) -> tuple[Ranking, str]:
    """The ranking whose rows say their seeds where they differ in it, and a sentence for the caption."""
    rows, sentence = tell_seeds(ranking.rows)
    placed, measured = len(ranking.ranked), len(ranking.ranked) + len(ranking.unranked)
    told = replace(ranking, ranked=rows[:placed], unranked=rows[placed:measured], reported=rows[measured:])
    return told, sentence


def _marks(ranking: Ranking, columns: Sequence[Column], view: View) -> dict[tuple[int, int], Mark]:
    """Best and second among the rows with places, and among reported ones: (row, column) -> mark."""
    rows = ranking.rows
    measured = len(ranking.ranked) + len(ranking.unranked)
    marked = [*range(len(ranking.ranked)), *range(measured, len(rows))]
    marks = mark_best([rows[row] for row in marked], columns, len(_NAMES), is_mixed=view.ranks_reported)
    return {(marked[row], column): mark for (row, column), mark in marks.items()}


def ranking_of(records: Sequence[Record], view: View, names: Names) -> Ranking:
    """The rows of named records and of papers, in order.

    Args:
        names: those of the records.
    """
    columns = view.columns(records)
    return rank_rows(
        measured_rows(records, view),
        reported_rows([*columns, *reported_columns(columns, view)], view),
        columns,
        names.aside,
        ranks_reported=view.ranks_reported,
    )


def tested_places(ranking: Ranking, view: View) -> Places | None:
    """The places of ranked rows; None where they are not asked for or cannot be tested."""
    if view.find_places is None or len(ranking.ranked) < 2:
        return None
    # Papers print no predictions, and a difference to a printed number cannot be tested.
    if any(row.is_reported for row in ranking.ranked):
        return None
    return view.find_places(ranking.ranked, ranking.columns)


def _caption(
    records: Sequence[Record], view: View, ranking: Ranking, seeds: str, places: Places | None
) -> list[str]:
    """The caption's sentences; `seeds`: the one on these; `places` are None where rows were not tested."""
    scores = row_scores(ranking.rows, view.columns(records))
    sentences = [numbers_caption(records, view, scores), *filter(None, [seeds])]
    sentences += pair_count_sentences(records, view)
    sentences += _place_part(records, view, ranking, places)
    if sentence := order_sentence([ranking.ranked], ranking.columns, view):
        sentences.append(sentence)
    if ranking.ranked and ranking.lacking:
        sentences.append(_LACKING)
    if view.has_details:
        if any(count > 1 for row in ranking.rows for count in row.seeds.values()):
            sentences.append(f"Rows of several seeds are their mean; {DRAWN_TOGETHER}.")
        sentences += trust_sentences(records, ranking.rows)
    return [*sentences, *reported_sentences(ranking.rows, view)]


def _place_part(records: Sequence[Record], view: View, ranking: Ranking, places: Places | None) -> list[str]:
    """The caption's sentences on the column of places."""
    sentences = []
    if not ranking.ranked and ranking.lacking:
        splits = {(column.dataset, column.split) for column in ranking.columns}
        sentences += [_NO_PLACES, _ON_ONE_DATASET if len(splits) > 1 else _ON_ONE_ALPHA]
    elif not ranking.ranked and ranking.unranked and all(row.notes for row in ranking.unranked):
        sentences.append(_ALL_NOTED)
    if len(ranking.ranked) > 1:
        number = mean_text(ranking.columns, view.columns(records))
        if places:
            scores = row_scores(ranking.rows, view.columns(records))
            sentences += place_sentences(places, number, numbers_caption(records, view, scores))
        else:
            sentences.append(f"Places are by the value of {number} alone, not tested.")
    return sentences


def _conditional(
    records: Sequence[Record], view: View, ranking: Ranking, places: Places | None
) -> tuple[tuple[frozenset[str], str], ...]:
    """The caption's sentences that mean nothing without some column (`Table.conditional`)."""
    on_places = frozenset({"#"})
    conditional = [(on_places, sentence) for sentence in _place_part(records, view, ranking, places)]
    conditional.append((on_places, _LACKING))
    conditional.append((frozenset({"pairs", "s/pair"}), PAIRS_ORDER))
    on_seconds = frozenset({"s/pair"})
    conditional += [(on_seconds, sentence) for sentence in seconds_sentences(records, ranking.rows)]
    return tuple(conditional)


def mean_text(columns: Sequence[Column], all_columns: Sequence[Column]) -> str:
    """The number that rows are in order of: `the mean of PCK at alpha 0.10`, with the data where not all are.

    Args:
        columns: those that rows are ranked on.
        all_columns: the table's.
    """
    ranking = ranking_columns(columns)
    alphas = dict.fromkeys(alpha_text(column.alpha) for column in ranking)
    number = f"PCK at alpha {listed(list(alphas))}"
    if len(columns) < len(all_columns):
        data = dict.fromkeys(split_name(column.dataset, column.split) for column in ranking)
        number = f"{number} on {listed(list(data))}"
    if len(ranking) > 1:
        return f"the mean of {number}"
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
    runs = (seeds_text(row.seeds), pairs_text(row), _seconds_text(row))
    return (*map(text_or_dash, texts), tuned_on_text(row.tuned_on), *runs)


def _seconds_text(row: Row) -> str:
    """`0.750`, or `0.750 / 0.812` on several datasets."""
    texts = []
    # Over the splits of pairs, not of seconds: a gap keeps both columns in one order.
    for split in sorted(row.pairs):
        seconds = row.seconds.get(split)
        texts.append(NOTHING if seconds is None else f"{seconds:.3f}")
    return " / ".join(texts) or NOTHING
