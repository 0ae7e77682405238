"""From records to tables: tidy rows, and the ranked leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.records.schema import Record
from harness.specs import Averaging
from harness.tables.captions import (
    numbers_caption,
    pairs_text,
    reported_caption,
    text_or_dash,
    trust_sentences,
)
from harness.tables.marks import mark_best
from harness.tables.reported import ReportedNumbers
from harness.tables.rows import Column, Row, ranking_columns, rows_of
from harness.tables.table import Table
from harness.tables.text import NOTHING, alpha_text, split_name
from harness.tables.tidy import distinguish_labels, tidy
from harness.tables.view import choose_protocol, columns_of, reported_columns

Places = Callable[[Sequence[Row], Sequence[Column]], Sequence[int] | None]
"""(rows in order, columns) -> the place of each, rows that are tied having the same one; None where that cannot be told."""


def leaderboard(
    records: Sequence[Record],
    *,
    protocol: str | None = None,
    averaging: Averaging = "image",
    alphas: Sequence[float] | None = None,
    localizers: Sequence[str] | None = None,
    full: bool = False,
    places: Places | None = None,
    reported: ReportedNumbers | None = None,
    rank_reported: bool = False,
) -> Table:
    """Methods as rows, datasets and alphas as columns.

    Complete rows of the table's protocol are ranked by their mean over datasets at alpha 0.10 (over all alphas where that is not among
    them); limited, failed and foreign-protocol rows follow, marked, and then what papers printed.

    Args:
        protocol: the table's protocol; None for the one most records have, `sd4match` first.
        alphas: None for all that the records have.
        localizers: keep only these.
        full: with what a reader needs to trust a row (supervision, timestep, ensemble, training data, pairs, seconds per pair), the best
            of each group in bold and the second underlined.
        places: finds ties; None for the order alone.
        reported: numbers that papers printed, to stand beside the measured ones.
        rank_reported: ranks those that have all of the ranking columns among the measured ones.
    """
    chosen = choose_protocol(records, protocol)
    records, differs = distinguish_labels(records)
    measured = columns_of(records, chosen, averaging, alphas)
    columns = [*measured, *(reported_columns(reported, measured, alphas) if reported else [])]
    lines = rows_of(records, chosen, averaging, localizers, differs)
    printed: list[Row] = []
    if reported:
        lines = [reported.claimed(line, chosen, averaging) for line in lines]
        printed = reported.lines(columns, chosen, averaging)
    ranking = [line for line in lines if line.complete(measured)]
    if rank_reported:
        ruling = ranking_columns(measured)
        ranking += [line for line in printed if line.complete(ruling)]
        printed = [line for line in printed if not line.complete(ruling)]
    ranked = sorted(ranking, key=lambda line: (-line.mean(measured), line.key))
    tested = len(ranked) > 1 and not any(line.reported for line in ranked)
    found = places(ranked, measured) if places and tested else None
    others = sorted((line for line in lines if not line.complete(measured)), key=lambda line: line.key)
    shown = [*ranked, *others, *printed]
    numbers = [str(place) for place in found or range(1, len(ranked) + 1)] + [""] * (len(shown) - len(ranked))
    caption = [numbers_caption(records, chosen, averaging)]
    if full and ranked:
        caption.append(f"Places: {_ruling(measured)}.")
    if found:
        caption.append(_TIES)
    elif places and len(ranked) > 1:
        caption.append(_NO_TIES)
    if full:
        caption += trust_sentences(records, shown)
    if reported:
        caption.append(
            reported_caption(
                any(line.claims for line in lines), any(line.reported for line in shown), rank_reported
            )
        )
    titles = tuple(
        f"{split_name(column.dataset, column.split)} @{alpha_text(column.alpha)}" for column in columns
    )
    return Table(
        caption=" ".join(caption),
        header=(*_NAMED, *titles, *(_DETAILS if full else ()), "note"),
        rows=tuple(
            (
                *(number, line.method, line.prompt, line.localizer, line.backbone),
                *(line.text(column) for column in columns),
                *(_details(line) if full else ()),
                "; ".join((*line.notes, *line.remarks)),
            )
            for number, line in zip(numbers, shown, strict=True)
        ),
        tidy=(*tidy(records, localizers), *(reported.tidy() if reported else ())),
        names=len(_NAMED),
        marks=mark_best(shown, columns, len(_NAMED), mixed=rank_reported) if full else {},
        breaks=frozenset({len(ranked), len(ranked) + len(others)}) if full else frozenset(),
    )


_NAMED = ("#", "method", "prompt", "localizer", "backbone")

_DETAILS = ("sup.", "t", "ensemble", "trained on", "pairs", "s/pair")

_TIES = (
    "Rows of one number are tied: not told apart from the first of them (paired bootstrap over images, 95 %, Holm's correction). "
    "± takes pairs as independent: since they share images, it is too narrow to tell rows apart."
)

_NO_TIES = "They are by value alone, not tested for ties."


def _ruling(columns: Sequence[Column]) -> str:
    """What rows are in order of."""
    ruling = ranking_columns(columns)
    what = f"PCK at alpha {', '.join(dict.fromkeys(alpha_text(column.alpha) for column in ruling))}"
    return f"mean of {what}" if len(ruling) > 1 else what


def _details(line: Row) -> tuple[str, ...]:
    texts = (line.supervision, line.timestep, line.ensemble, line.trained_on)
    return (*map(text_or_dash, texts), pairs_text(line), _seconds(line))


def _seconds(line: Row) -> str:
    found = [
        f"{line.seconds[split]:.3f}" if split in line.seconds else NOTHING for split in sorted(line.pairs)
    ]
    return " / ".join(found) or NOTHING
