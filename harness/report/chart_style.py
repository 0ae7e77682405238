"""The look of charts: colours and markers of series, axes, and labels of limited length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.drawing.colours import OKABE_ITO, viridis
from harness.report.svg import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SERIES = 8
"""Most series of one chart: there are as many colours, markers and line styles that differ clearly."""

# Blue, vermilion, green, purple, orange, sky blue: the darker ones, which stand out on white, come first.
_PALETTE_ORDER = (4, 3, 2, 5, 0, 1)

_GREY = "#808080"


def _palette_colour(index: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*OKABE_ITO[index])


# The palette's black is the page's ink; its yellow cannot be seen on white, so grey takes its place.
COLOURS = (*map(_palette_colour, _PALETTE_ORDER), INK, _GREY)
"""Colour of each style."""

HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "----", "", "++++")
"""Pattern of each style's bars."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

# Four kinds twice: two curves of one kind differ in colour and marker.
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2))) * 2


def colour(style: int) -> str:
    """Colour of a style; styles of one colour differ in marker, line and hatching."""
    return COLOURS[style % MOST_SERIES]


def marker(style: int) -> str:
    """Marker of a style."""
    return _MARKERS[_turned(style)]


def dashes(style: int) -> Any:
    """Line of a style."""
    return _DASHES[_turned(style)]


def hatch(style: int) -> str:
    """Hatching of a style's bars."""
    return HATCHES[_turned(style)]


def _turned(style: int) -> int:
    """The number of a style's form: another in each round through the colours."""
    return (style + style // MOST_SERIES) % MOST_SERIES


@dataclass(frozen=True)
class Value:
    """A number with its interval: PCK in percent; `low` and `high` are None where there is no interval."""

    pck: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Curve:
    """A series in style number `style`: a value, or None, at each position of its chart."""

    style: int
    values: Sequence[Value | None]

    def points(self) -> tuple[list[int], list[Value]]:
        """Indices of the positions that have a value, and those values."""
        indices, values = [], []
        for index, value in enumerate(self.values):
            if value is not None:
                indices.append(index)
                values.append(value)
        return indices, values


def draw_curve(
    axes: Axes, x: Sequence[float], curve: Curve, *, joined: bool, marked: int | None = None
) -> None:
    """Draws a curve's values with markers and intervals.

    Args:
        x: (N) positions of the values.
        joined: whether values are joined by a line.
        marked: index of the only value with a marker; None for a marker at every value.
    """
    indices, values = curve.points()
    if not values:
        return
    shape = marker(curve.style)
    # The star is drawn smaller than other markers of its size.
    marker_size = 7.5 if shape == "*" else 5
    line_style = dashes(curve.style) if joined else "none"
    marked_indices = None if marked is None else [marked]
    axes.errorbar(
        [x[index] for index in indices],
        [value.pck for value in values],
        yerr=interval_lengths(values),
        color=colour(curve.style),
        linestyle=line_style,
        linewidth=1.6,
        marker=shape,
        markersize=marker_size,
        markeredgecolor=INK,
        markeredgewidth=0.5,
        markevery=marked_indices,
        elinewidth=1,
        capsize=1.5,
        # A marker at 0 or 100 percent is seen whole.
        clip_on=False,
        zorder=3,
    )


def offset_from_middle(index: int, count: int) -> float:
    """Steps from the middle of `count` neighbours to neighbour number `index`."""
    return index - (count - 1) / 2


def interval_lengths(values: Sequence[Value]) -> list[list[float]] | None:
    """Lengths (2, N) of intervals below and above their values.

    Returns:
        NaN where a value has no interval, so that nothing is drawn: ends without a line would look like one
        that is known to the point. None where no value has one.
    """
    if all(value.low is None for value in values):
        return None
    below, above = [], []
    for value in values:
        if value.low is None or value.high is None:
            below.append(nan)
            above.append(nan)
            continue
        # matplotlib refuses negative lengths.
        below.append(max(0.0, value.pck - value.low))
        above.append(max(0.0, value.high - value.pck))
    return [below, above]


def percent_limit(curves: Sequence[Curve]) -> float:
    """The end of a percent axis: the next multiple of ten above all values and intervals, 100 at most."""
    top = 0.0
    for curve in curves:
        for value in curve.points()[1]:
            top = max(top, value.high or value.pck)
    return min(100.0, 10.0 * (int(top // 10) + 1))


def style_percent_axis(axes: Axes, curves: Sequence[Curve], *, label: bool = True) -> None:
    """Sets limits, grid and label of a y axis in percent."""
    top = percent_limit(curves)
    # A little room above the grid's line at 100 percent.
    margin = 1.02 if top == 100 else 1
    axes.set_ylim(0, top * margin)
    if label:
        axes.set_ylabel("PCK (%)")
    axes.grid(axis="y", linewidth=0.4, alpha=0.35, color=INK)
    axes.set_axisbelow(True)


def hide_frame(axes: Axes) -> None:
    """Hides all four sides of a chart's frame."""
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_colour_scale(figure: Figure, left: float, bottom: float, width: float, height: float) -> None:
    """Draws the scale of a heat map's colours; lengths are shares of the figure."""
    steps = 24
    axes = figure.add_axes((left, bottom, width, height))
    for index, shade in enumerate(viridis(np.linspace(0, 1, steps)) / 255):
        # Each step overlaps the next one: no seams between neighbours.
        axes.axvspan(index, min(steps, index + 1.3), color=tuple(shade), linewidth=0)
    axes.set_xlim(0, steps)
    axes.set_yticks([])
    axes.set_xticks([0, steps // 2, steps], ["0", "50", "100 % PCK"])
    axes.tick_params(length=2, pad=2, labelsize=8)
    hide_frame(axes)


def luminance(shade: np.ndarray) -> float:
    """Relative luminance (WCAG 2) of an sRGB colour with channels in [0, 1]."""
    linear = np.where(shade <= 0.04045, shade / 12.92, ((shade + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def abbreviate(text: str, limit: int) -> str:
    """Shortens each line of a text to `limit` characters.

    Letters go from the middle of a line: names that differ often differ at one end.
    """
    lines = [_abbreviate_line(line, limit) for line in text.split("\n")]
    return "\n".join(lines)


def _abbreviate_line(line: str, limit: int) -> str:
    if len(line) <= limit:
        return line
    end = limit // 2
    return f"{line[: limit - end - 1]}…{line[-end:]}"
