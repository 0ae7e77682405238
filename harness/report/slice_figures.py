"""Figures of one dataset's split: PCK against alpha, per category, and per value of a difficulty label."""

from __future__ import annotations

from collections.abc import Sequence

from harness.messages import counted, listed
from harness.records.slices import ALL, CATEGORY, POINT_SLICES, category_of, slice_name, split_slice
from harness.report import charts
from harness.report.chart_style import MOST_SERIES
from harness.report.figure import (
    INTERVALS,
    NUMBERS_BELOW,
    SLICE_INTERVALS,
    Figure,
    chart_curve,
    count_series,
    figure_caption,
    figure_legend,
    numbers_table,
    slice_curves,
    slice_table,
)
from harness.report.redact import plain
from harness.report.series import SplitSeries
from harness.tables.intervals import number_text
from harness.tables.text import alpha_text
from harness.tables.view import View

MOST_BARS = 4
"""Most series of a chart with bars for each category: with more it is too tall to be seen at once."""

MOST_ROWS = 24
"""Most series of a heat map."""

MOST_VALUES = 12
"""Most values of a difficulty label that are drawn."""


def alpha_figure(split: SplitSeries, view: View, key: str) -> Figure:
    """Curves of PCK against alpha, one for each series."""
    # Series may have been scored at different alphas: a curve has gaps where it has no number.
    all_alphas: set[float] = set()
    for series in split.series:
        all_alphas.update(series.alphas)
    alphas = sorted(all_alphas)
    drawn = split.series[:MOST_SERIES]
    curves = []
    for series in drawn:
        scores = [series.score("all", alpha) for alpha in alphas]
        curves.append(chart_curve(series.style, scores))
    texts, columns = [], []
    for alpha in alphas:
        text = alpha_text(alpha)
        texts.append(text)
        columns.append((text, "all", alpha))
    axis = "alpha"
    if split.threshold:
        axis += f" (share of {split.threshold})"
    summary = f"Line chart, PCK against alpha on {split.title}, {count_series(drawn)}."
    best = drawn[0].score("all", split.alpha)
    if best:
        at_alpha = f"First at {alpha_text(split.alpha)}"
        summary += f" {at_alpha}: {drawn[0].title}, {number_text(best)} percent."
    details = f"Error bars: {INTERVALS}."
    return Figure(
        key=key,
        title=split.short_title,
        svg=charts.curve_chart(alphas, curves, axis, texts, key),
        caption=figure_caption(split, view, None, drawn=len(drawn), details=details),
        summary=summary,
        numbers=numbers_table(split.series, columns, "PCK in percent at alpha"),
        legend=figure_legend(drawn, key, "line"),
    )


def heat_figure(split: SplitSeries, view: View, key: str) -> Figure:
    """A heat map of PCK with a row for each series and a column for each category."""
    categories = categories_of(split)
    # Of all pairs first, to the left of the categories.
    slices = ["all", *_category_slices(categories)]
    columns = ["all", *map(plain, categories)]
    drawn = split.series[:MOST_ROWS]
    rows = [series.axis_label for series in drawn]
    values: list[list[float | None]] = []
    for series in drawn:
        row_values = []
        for name in slices:
            score = series.score(name, split.alpha)
            row_values.append(score.pck if score else None)
        values.append(row_values)
    details = "Whole percent; the numbers below have the intervals."
    caption = figure_caption(split, view, split.alpha, drawn=len(drawn), details=details)
    size = counted(len(categories), "category", "categories")
    return Figure(
        key=key,
        title=split.short_title,
        svg=charts.heat_map(rows, columns, values, key),
        caption=f"{caption} {_category_sizes(split, categories)}",
        summary=f"Heat map, PCK of {count_series(drawn)} on {size} of {split.title}; {NUMBERS_BELOW}",
        numbers=slice_table(split, slices),
        is_wide=True,
    )


def category_figure(split: SplitSeries, view: View, key: str) -> Figure:
    """Bars of PCK for each category."""
    categories = categories_of(split)
    slices = _category_slices(categories)
    drawn = split.series[:MOST_BARS]
    curves = slice_curves(drawn, slices, split.alpha)
    details = f"Error bars: {SLICE_INTERVALS}."
    caption = figure_caption(split, view, split.alpha, drawn=len(drawn), details=details)
    return Figure(
        key=key,
        title=split.short_title,
        svg=charts.bar_chart([plain(name) for name in categories], curves, key),
        caption=f"{caption} {_category_sizes(split, categories)}",
        summary=f"Bar chart, PCK of {count_series(drawn)} on each category of {split.title}; {NUMBERS_BELOW}",
        numbers=slice_table(split, slices),
        legend=figure_legend(drawn, key, "bar"),
    )


def difficulty_figure(split: SplitSeries, view: View, key: str) -> Figure:
    """A panel for each difficulty label, with PCK for each of its values."""
    labels = labels_of(split)
    drawn = split.series[:MOST_SERIES]
    curves, ticks = [], []
    slices: list[str] = []
    sentences: list[str] = []
    for name, values in labels.items():
        label_slices = [slice_name(name, value) for value in values]
        # The table of numbers has all values, the chart only those that it has room for.
        slices += label_slices
        drawn_slices = label_slices[:MOST_VALUES]
        curves.append(slice_curves(drawn, drawn_slices, split.alpha))
        tick_texts = []
        for value, name_of_slice in zip(values, drawn_slices, strict=False):
            tick_texts.append(f"{plain(value)}\nn={_pairs_text(split, name_of_slice)}")
        ticks.append(tick_texts)
        if len(values) > MOST_VALUES:
            selection = f"the first {MOST_VALUES} of {len(values)} values are drawn"
            sentences.append(f"{plain(name)}: {selection}; the numbers below have all.")
    titles = [plain(name) for name in labels]
    details = f"Across: the dataset's own labels, with n in pairs. Bars: {SLICE_INTERVALS}."
    caption = figure_caption(split, view, split.alpha, drawn=len(drawn), details=details)
    chart = f"Chart with {counted(len(labels), 'panel')} ({', '.join(titles)})"
    return Figure(
        key=key,
        title=split.short_title,
        svg=charts.panel_chart(titles, ticks, curves, key),
        caption=" ".join([caption, *sentences]),
        summary=f"{chart}, PCK of {count_series(drawn)} on {split.title}; {NUMBERS_BELOW}",
        numbers=slice_table(split, slices),
        legend=figure_legend(drawn, key, "marker"),
    )


def categories_of(split: SplitSeries) -> list[str]:
    """Names of the categories; empty where there are fewer than two."""
    names = set()
    for series in split.series:
        for name in series.slices:
            category = category_of(name)
            if category is not None:
                names.add(category)
    # The number of an only category is that of all pairs.
    if len(names) < 2:
        return []
    return sorted(names)


def _category_slices(categories: Sequence[str]) -> list[str]:
    return [slice_name(CATEGORY, name) for name in categories]


def labels_of(split: SplitSeries) -> dict[str, list[str]]:
    """Difficulty label -> its values, numbers in their order and before words."""
    values: dict[str, set[str]] = {}
    for series in split.series:
        for name in series.slices:
            label, value = split_slice(name)
            if label not in (ALL, CATEGORY, *POINT_SLICES):
                values.setdefault(label, set()).add(value)
    labels = {}
    for label in sorted(values):
        labels[label] = sorted(values[label], key=_numbers_first)
    return labels


def _numbers_first(value: str) -> tuple[bool, float, str]:
    # By number and not by letter: 10 comes after 2.
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


def _pairs_text(split: SplitSeries, name: str) -> str:
    """Pairs of a slice: `120`, or a range where series differ."""
    numbers = [score.pairs for score in split.slice_scores(name)]
    if not numbers:
        return "–"
    low, high = min(numbers), max(numbers)
    if low == high:
        return f"{low:,}"
    return f"{low:,}–{high:,}"


def _category_sizes(split: SplitSeries, categories: Sequence[str]) -> str:
    """A sentence: `n per category: 60 pairs each.`, or every category's number."""
    sizes = [_pairs_text(split, name) for name in _category_slices(categories)]
    # One number says it all where all are equal.
    if len(set(sizes)) == 1:
        return f"n per category: {sizes[0]} pairs each."
    phrases = []
    for name, size in zip(categories, sizes, strict=True):
        phrases.append(f"{plain(name)} {size}")
    return f"n per category: {listed(phrases)} pairs."
