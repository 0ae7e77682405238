"""Kinds of chart, each as the text of an SVG element."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.drawing.colours import viridis
from harness.report.chart_style import (
    Curve,
    Value,
    abbreviate,
    colour,
    draw_colour_scale,
    draw_curve,
    hatch,
    hide_frame,
    interval_lengths,
    luminance,
    offset_from_middle,
    percent_limit,
    style_percent_axis,
)
from harness.report.svg import FONT_SIZE, INK, new_figure, svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 374.0
"""Points (SVG units) that a chart is wide: about a phone's width, so that its text has its own size there."""

_HEAT_WIDTH = 25.0
"""Points that a rectangle of a heat map is wide."""


def curve_chart(
    x: Sequence[float], curves: Sequence[Curve], label: str, ticks: Sequence[str], key: str
) -> str:
    """PCK against a quantity; error bars are the intervals.

    Args:
        x: (N) positions of the values.
        label: the x axis, with its unit.
        ticks: (N) texts at those positions.
        key: begins the ids within the SVG; unique in the page.
    """
    with new_figure(WIDTH, 240) as figure:
        axes = figure.subplots()
        # 1 where there is a single position, which has no width.
        span = max(x) - min(x) or 1.0
        for index, curve in enumerate(curves):
            # Side by side where they would hide each other's interval.
            shift = offset_from_middle(index, len(curves)) * 0.006 * span
            positions = [position + shift for position in x]
            draw_curve(axes, positions, curve, joined=True)
        axes.set_xticks(list(x), list(ticks))
        if len(x) > 8:
            # So many texts would run into each other; long ones do so at 45 degrees, too.
            rotation = 90 if max(map(len, ticks)) > 4 else 45
            axes.tick_params(axis="x", rotation=rotation)
        axes.set_xlabel(label)
        style_percent_axis(axes, curves)
        return svg_text(figure, key)


def bar_chart(names: Sequence[str], curves: Sequence[Curve], key: str) -> str:
    """Horizontal bars from 0, for each name one of each series; error bars are the intervals."""
    thickness = 11.0 if len(curves) > 2 else 14.0
    labels = [abbreviate(name, 30) for name in names]
    has_tall_labels = any("\n" in label for label in labels)
    # Room for a label of two lines.
    gap = 14.0 if len(curves) == 1 and has_tall_labels else 8.0
    # 46 points for the axis and its label.
    height = 46 + len(names) * (len(curves) * thickness + gap)
    with new_figure(WIDTH, height) as figure:
        axes = figure.subplots()
        # In units of the y axis, where a name and its gap are 1 high.
        bar_height = 1 / (len(curves) + gap / thickness)
        for index, curve in enumerate(curves):
            shift = offset_from_middle(index, len(curves)) * bar_height
            _draw_bars(axes, curve, shift, bar_height)
        axes.set_yticks(range(len(names)), labels)
        # From high to low: the first name stands at the top.
        axes.set_ylim(len(names) - 0.45, -0.55)
        axes.set_xlim(0, percent_limit(curves))
        axes.set_xlabel("PCK (%)")
        axes.grid(axis="x", linewidth=0.4, alpha=0.35, color=INK)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        return svg_text(figure, key)


def _draw_bars(axes: Axes, curve: Curve, shift: float, bar_height: float) -> None:
    indices, values = curve.points()
    positions = [index + shift for index in indices]
    lengths = [value.pck for value in values]
    axes.barh(
        positions,
        lengths,
        height=bar_height,
        color=colour(curve.style),
        edgecolor=INK,
        linewidth=0.5,
        hatch=hatch(curve.style),
        xerr=interval_lengths(values),
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
    )


def heat_map(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]], key: str
) -> str:
    """A rectangle for each row and column in viridis from 0 to 100, with its number.

    A dash stands where there is no value.
    """
    headings = [abbreviate(name, 18) for name in columns]
    labels = [abbreviate(name, 64) for name in rows]
    label_lines = "\n".join(labels).split("\n")
    longest_line = max(map(len, label_lines))
    # matplotlib cannot find room for rotated headings: all lengths are counted here, in points.
    left = 12 + 5.0 * longest_line
    above = 16 + 4.6 * max(map(len, headings))
    # The scale of the colours is below the map; the last heading leans out to the right.
    below, right = 34, 24
    has_tall_labels = len(label_lines) > len(labels)
    row_height = 28.0 if has_tall_labels else 20.0
    map_width = _HEAT_WIDTH * len(columns)
    map_height = row_height * len(rows)
    width = left + map_width + right
    height = above + map_height + below
    with new_figure(width, height, constrained=False) as figure:
        map_area = (left / width, below / height, map_width / width, map_height / height)
        axes = figure.add_axes(map_area)
        for row, row_values in enumerate(values):
            for column, value in enumerate(row_values):
                _draw_heat_value(axes, column, row, value)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        # From high to low: the first row stands at the top.
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), labels)
        axes.set_xticks(range(len(columns)), headings, rotation=60, ha="left", rotation_mode="anchor")
        axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
        hide_frame(axes)
        draw_colour_scale(figure, left / width, 22 / height, 100 / width, 8 / height)
        return svg_text(figure, key)


def _draw_heat_value(axes: Axes, column: int, row: int, value: float | None) -> None:
    from matplotlib.patches import Rectangle

    if value is None:
        axes.text(column, row, "–", ha="center", va="center")
        return
    shade = viridis(np.array(value / 100)) / 255
    # A little smaller than its field of 1 x 1: the page shows between neighbours.
    corner = (column - 0.49, row - 0.48)
    axes.add_patch(Rectangle(corner, 0.98, 0.96, facecolor=tuple(shade), linewidth=0))
    # Black and white text have equal contrast at this luminance.
    ink = "#000000" if luminance(shade) > 0.179 else "#ffffff"
    axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=8.5)


def panel_chart(
    titles: Sequence[str], ticks: Sequence[Sequence[str]], curves: Sequence[Sequence[Curve]], key: str
) -> str:
    """A panel for each difficulty label, on one y axis.

    The label's values are along x; the series stand beside each other with their intervals.
    """
    has_short_panels = all(len(panel_ticks) <= 4 for panel_ticks in ticks)
    columns = 2 if has_short_panels and len(titles) > 1 else 1
    rows = math.ceil(len(titles) / columns)
    # One scale for all panels, so that they can be compared.
    all_curves = list(itertools.chain.from_iterable(curves))
    with new_figure(WIDTH, 34 + 165 * rows) as figure:
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for index, axes in enumerate(grid.flat):
            # Of an odd number of panels the last row has an empty one.
            if index >= len(titles):
                axes.set_axis_off()
                continue
            _draw_panel(axes, ticks[index], curves[index])
            axes.set_title(titles[index], fontsize=FONT_SIZE, fontweight="bold")
            style_percent_axis(axes, all_curves, label=index % columns == 0)
        return svg_text(figure, key)


def _draw_panel(axes: Axes, ticks: Sequence[str], curves: Sequence[Curve]) -> None:
    count = len(curves)
    # All series of a tick stay within 0.7 of the way to the next tick.
    step = min(0.12, 0.7 / count)
    for index, curve in enumerate(curves):
        shift = offset_from_middle(index, count) * step
        positions = [position + shift for position in range(len(ticks))]
        draw_curve(axes, positions, curve, joined=False)
    axes.set_xticks(range(len(ticks)), list(ticks))
    axes.set_xlim(-0.55, len(ticks) - 0.45)


def legend_sample(style: int, kind: Literal["line", "marker", "bar"], key: str) -> str:
    """A legend's sample of a series, as its chart draws it."""
    with new_figure(30, 12, constrained=False) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, 30)
        axes.set_ylim(0, 12)
        if kind == "bar":
            axes.barh(
                [6],
                [26],
                left=2,
                height=9,
                color=colour(style),
                edgecolor=INK,
                linewidth=0.5,
                hatch=hatch(style),
            )
        else:
            # A line from end to end, with one marker in its middle.
            middle = Curve(style, [Value(6, None, None)] * 3)
            draw_curve(axes, [2, 15, 28], middle, joined=kind == "line", marked=1)
        return svg_text(figure, key)
