"""A chart with its caption, legend and numbers, and the pieces that every kind of figure has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.messages import counted
from harness.records.schema import Score
from harness.records.slices import category_of
from harness.report.chart_style import Curve, Value
from harness.report.charts import legend_sample
from harness.report.redact import plain
from harness.report.series import Series, SplitSeries, measure_text, sample_size_text
from harness.tables.intervals import OLD_SENTENCE, has_old, interval_sentences, number_text, size_text
from harness.tables.seeds import DRAWN_TOGETHER
from harness.tables.table import Table
from harness.tables.text import alpha_text
from harness.tables.view import View

INTERVALS = "the 95 % interval by bootstrap over images"
"""The meaning of error bars."""

SLICE_INTERVALS = f"{INTERVALS}; none below ten images"
"""The same of slices, which may be small."""

NUMBERS_BELOW = "the numbers are in the table below."
"""End of an accessible name."""


@dataclass(frozen=True)
class LegendEntry:
    """An entry of a legend: the sample as SVG, and the series' title."""

    sample: str
    title: str


@dataclass(frozen=True)
class Figure:
    """A chart ready for the page.

    Attributes:
        key: unique in the page; begins the ids within.
        title: a heading.
        svg: the chart.
        caption: dataset, split, protocol, unit, n, intervals, and anything that is left out.
        summary: its accessible name.
        numbers: everything drawn, and everything left out for lack of room.
        is_wide: whether it may be wider than a phone.
    """

    key: str
    title: str
    svg: str
    caption: str
    summary: str
    numbers: Table
    legend: tuple[LegendEntry, ...] = ()
    is_wide: bool = False


def chart_value(score: Score | None) -> Value | None:
    """A score as charts draw it."""
    if score is None:
        return None
    return Value(score.pck, score.low, score.high)


def chart_curve(style: int, scores: Sequence[Score | None]) -> Curve:
    """Scores as a curve of a style, with a gap for each that is missing."""
    return Curve(style, [chart_value(score) for score in scores])


def slice_curves(series_list: Sequence[Series], slices: Sequence[str], alpha: float) -> list[Curve]:
    """One curve of each series, with a value for each slice."""
    curves = []
    for series in series_list:
        scores = [series.score(slice_name, alpha) for slice_name in slices]
        curves.append(chart_curve(series.style, scores))
    return curves


def count_series(series_list: Sequence[Series]) -> str:
    """`1 series`, `8 series`."""
    return counted(len(series_list), "series", "series")


def figure_caption(
    split: SplitSeries,
    view: View,
    alpha: float | None,
    *,
    drawn: int,
    details: str,
    scores: Sequence[Score] | None = None,
    seeds: Sequence[int] | None = None,
) -> str:
    """Sentences below a chart.

    Args:
        alpha: the one alpha of the chart; None where there are several.
        drawn: number of series in the chart; they are the first of the split's.
        details: sentences about this kind of chart.
        scores: numbers whose n is given; those over all pairs by default.
        seeds: number of seeds of each; those of the series by default.
    """
    if scores is None:
        scores = split.slice_scores()
    if seeds is None:
        seeds = [len(series.seeds) for series in split.series]
    size = sample_size_text(scores, seeds)
    sentences = [f"{measure_text(split, view, alpha)}. {size}. {details}"]
    if max(seeds, default=1) > 1:
        sentences.append(f"Of several seeds, the mean is drawn; for its interval, {DRAWN_TOGETHER}.")
    if len(split.series) > drawn:
        selection = f"The first {drawn} of {len(split.series)} series are drawn"
        sentences.append(f"{selection}; the numbers below have all.")
    drawn_scores = [score for series in split.series[:drawn] for score in series.scores.values()]
    if has_old([*scores, *drawn_scores]):
        sentences.append(f"But {OLD_SENTENCE}")
    if split.left_out:
        sentences.append(f"Not drawn: {'; '.join(split.left_out)}.")
    if split.differences:
        sentences.append(f"{'; '.join(split.differences)}.")
    return " ".join(sentences)


def figure_legend(
    series_list: Sequence[Series], key: str, kind: Literal["line", "marker", "bar"]
) -> tuple[LegendEntry, ...]:
    """A legend of series in their styles."""
    entries = []
    for number, series in enumerate(series_list):
        sample = legend_sample(series.style, kind, f"{key}-key{number}")
        entries.append(LegendEntry(sample, series.legend_title))
    return tuple(entries)


def slice_table(split: SplitSeries, slices: Sequence[str], heading: str = "series") -> Table:
    """Numbers of every series for each slice, at the split's one alpha.

    Args:
        heading: title of the first column.
    """
    columns = []
    for slice_name in slices:
        # A category is headed by its name alone, as in the chart.
        title = plain(category_of(slice_name) or slice_name)
        columns.append((title, slice_name, split.alpha))
    caption = f"PCK in percent at alpha {alpha_text(split.alpha)}"
    return numbers_table(split.series, columns, caption, heading)


def numbers_table(
    series_list: Sequence[Series],
    columns: Sequence[tuple[str, str, float]],
    caption: str,
    heading: str = "series",
) -> Table:
    """Numbers of every series, with n and notes.

    Args:
        columns: title, slice and alpha of each.
        heading: title of the first column.
    """
    rows = []
    shown: list[Score] = []
    for series in series_list:
        scores = [series.score(slice_name, alpha) for _, slice_name, alpha in columns]
        numbers = [number_text(score) for score in scores]
        shown += filter(None, scores)
        rows.append((series.name, *numbers, _sample_size(series), series.note))
    titles = [title for title, _, _ in columns]
    caption = numbers_table_caption(caption, shown)
    return Table(caption=caption, header=(heading, *titles, "n", "note"), rows=tuple(rows), names=1)


def numbers_table_caption(caption: str, scores: Sequence[Score]) -> str:
    """The caption of a figure's numbers with sentences on their intervals."""
    return " ".join([f"{caption}.", *interval_sentences({"": scores})])


def _sample_size(series: Series) -> str:
    """`600 pairs of 298 images, 5,739 keypoints, 1 seed` of the first number over all pairs, or a dash."""
    for (slice_name, _), score in series.scores.items():
        if slice_name == "all":
            size = f"{size_text([score])}, {counted(score.keypoints, 'keypoint')}"
            return f"{size}, {counted(len(series.seeds), 'seed')}"
    return "–"
