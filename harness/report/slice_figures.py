"""Figures of one dataset's split: PCK against alpha, per category, and per value of a difficulty label."""

from __future__ import annotations

from collections.abc import Sequence

from harness.messages import counted, listed
from harness.report import charts
from harness.report.chart_style import MOST_SERIES, Curve
from harness.report.figure import (
    INTERVALS,
    NUMBERS_BELOW,
    Figure,
    chart_value,
    count_series,
    figure_caption,
    figure_legend,
    numbers_table,
    slice_curves,
    slice_table,
)
from harness.report.redact import plain
from harness.report.series import SplitSeries
from harness.tables.text import alpha_text, number_text
from harness.tables.view import View

MOST_BARS = 4
"""Most series of a chart with bars for each category: with more it is too tall to be seen at once."""

MOST_ROWS = 24
"""Most series of a heat map."""

MOST_VALUES = 12
"""Most values of a difficulty label that are drawn."""


def alpha_figure(split: SplitSeries, view: View, key: str) -> Figure:
    """Curves of PCK against alpha, one for each series."""
    alphas = sorted({alpha for series in split.series for alpha in series.alphas})
    drawn = split.series[:MOST_SERIES]
    curves = []
    for style, series in enumerate(drawn):
        curves.append(Curve(style, [chart_value(series.score("all", alpha)) for alpha in alphas]))
    texts = [alpha_text(alpha) for alpha in alphas]
    axis = f"alpha (share of {split.threshold})" if split.threshold else "alpha"
    summary = f"Line chart, PCK against alpha on {split.title}, {count_series(drawn)}."
    best = drawn[0].score("all", split.alpha)
    if best:
        at_alpha = f"First at {alpha_text(split.alpha)}"
        summary += f" {at_alpha}: {drawn[0].title}, {number_text(best)} percent."
    columns = [(text, "all", alpha) for text, alpha in zip(texts, alphas, strict=True)]
    return Figure(
        key=key,
        title=split.short_title,
        svg=charts.curve_chart(alphas, curves, axis, texts, key),
        caption=figure_caption(split, view, None, drawn=len(drawn), details=f"Error bars: {INTERVALS}."),
        summary=summary,
        numbers=numbers_table(split.series, columns, "PCK in percent at alpha"),
        legend=figure_legend(drawn, key, "line"),
    )


def heat_figure(split: SplitSeries, view: View, key: str) -> Figure:
    """A heat map of PCK with a row for each series and a column for each category."""
    categories = categories_of(split)
    slices = ["all", *(f"category={name}" for name in categories)]
    drawn = split.series[:MOST_ROWS]
    values: list[list[float | None]] = []
    for series in drawn:
        scores = [series.score(slice_name, split.alpha) for slice_name in slices]
        values.append([score.pck if score else None for score in scores])
    details = "Whole percent; the numbers below have the intervals."
    caption = figure_caption(split, view, split.alpha, drawn=len(drawn), details=details)
    return Figure(
        key=key,
        title=split.short_title,
        svg=charts.heat_map(
            [series.axis_label for series in drawn], ["all", *map(plain, categories)], values, key
        ),
        caption=f"{caption} {_category_sizes(split, categories)}",
        summary=f"Heat map, PCK of {count_series(drawn)} on "
        f"{counted(len(categories), 'category', 'categories')} of {split.title}; {NUMBERS_BELOW}",
        numbers=slice_table(split, slices),
        is_wide=True,
    )


def category_figure(split: SplitSeries, view: View, key: str) -> Figure:
    """Bars of PCK for each category."""
    categories = categories_of(split)
    slices = [f"category={name}" for name in categories]
    drawn = split.series[:MOST_BARS]
    curves = slice_curves(drawn, slices, split.alpha)
    details = f"Error bars: {INTERVALS}."
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
        label_slices = [f"{name}={value}" for value in values]
        slices += label_slices
        curves.append(slice_curves(drawn, label_slices[:MOST_VALUES], split.alpha))
        tick_texts = []
        for value, slice_name in zip(values[:MOST_VALUES], label_slices, strict=False):
            tick_texts.append(f"{plain(value)}\nn={_pairs_text(split, slice_name)}")
        ticks.append(tick_texts)
        if len(values) > MOST_VALUES:
            sentences.append(
                f"{plain(name)}: the first {MOST_VALUES} of {len(values)} values are drawn; "
                "the numbers below have all."
            )
    titles = [plain(name) for name in labels]
    details = f"Across: the dataset's own labels, with n in pairs. Bars: {INTERVALS}."
    caption = figure_caption(split, view, split.alpha, drawn=len(drawn), details=details)
    return Figure(
        key=key,
        title=split.short_title,
        svg=charts.panel_chart(titles, ticks, curves, key),
        caption=" ".join([caption, *sentences]),
        summary=f"Chart with {counted(len(labels), 'panel')} ({', '.join(titles)}), "
        f"PCK of {count_series(drawn)} on {split.title}; {NUMBERS_BELOW}",
        numbers=slice_table(split, slices),
        legend=figure_legend(drawn, key, "marker"),
    )


def categories_of(split: SplitSeries) -> list[str]:
    """Names of the categories; empty where there are fewer than two."""
    names = set()
    for series in split.series:
        for slice_name in series.slices:
            label, _, value = slice_name.partition("=")
            if label == "category":
                names.add(value)
    return sorted(names) if len(names) > 1 else []


def labels_of(split: SplitSeries) -> dict[str, list[str]]:
    """Difficulty label -> its values, numbers in their order and before words."""
    values: dict[str, set[str]] = {}
    for series in split.series:
        for slice_name in series.slices:
            label, equals, value = slice_name.partition("=")
            if equals and label != "category":
                values.setdefault(label, set()).add(value)
    return {label: sorted(values[label], key=_numbers_first) for label in sorted(values)}


def _numbers_first(value: str) -> tuple[bool, float, str]:
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


def _pairs_text(split: SplitSeries, slice_name: str) -> str:
    """Pairs of a slice: `120`, or a range where series differ."""
    numbers = [score.pairs for score in split.slice_scores(slice_name)]
    if not numbers:
        return "–"
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _category_sizes(split: SplitSeries, categories: Sequence[str]) -> str:
    """A sentence: `n per category: 60 pairs each.`, or every category's number."""
    sizes = {name: _pairs_text(split, f"category={name}") for name in categories}
    if len(set(sizes.values())) == 1:
        return f"n per category: {sizes[categories[0]]} pairs each."
    return f"n per category: {listed([f'{plain(name)} {size}' for name, size in sizes.items()])} pairs."
