"""Charts as SVG: static, the same bytes each time, in the page's own text colour.

Everything that is not a series is drawn in one marker colour, which becomes `currentColor`: charts follow the page into dark mode.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.drawing.colours import OKABE_ITO, viridis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SERIES = 8
"""Most series of one chart: as many as there are colours, markers and line styles that can be told apart."""

WIDTH = 374.0
"""Points (SVG units) that a chart is wide: about a phone's width, so that its text is as large as it says there."""

_INK = "#010203"
_FONT = 9.0
_ORDER = (4, 3, 2, 5, 0, 1)
# The palette's black is the page's ink; its yellow cannot be seen on white, so grey takes its place.
_COLOURS = (*("#{:02x}{:02x}{:02x}".format(*OKABE_ITO[number]) for number in _ORDER), _INK, "#808080")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.5)),
    (0, (6, 2, 1, 2)),
    "-",
    (0, (5, 2)),
    (0, (1, 1.5)),
    (0, (6, 2, 1, 2)),
)
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "----", "", "++++")


@dataclass(frozen=True)
class Value:
    """A number with its interval: PCK in percent, ends None where there is none."""

    pck: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Line:
    """A series in style number `style`: a value, or None, at each place of its chart."""

    style: int
    values: Sequence[Value | None]


def curves(x: Sequence[float], lines: Sequence[Line], label: str, ticks: Sequence[str], key: str) -> str:
    """PCK against a quantity; error bars are the intervals.

    Args:
        x: (N) places of the values.
        label: the x axis, with its unit.
        ticks: (N) texts at those places.
        key: begins the ids within the SVG; unique in the page.
    """
    with _figure(WIDTH, 240) as figure:
        axes = figure.subplots()
        span = max(x) - min(x) or 1.0
        for number, line in enumerate(lines):
            # Side by side where they would hide each other's interval.
            shift = (number - (len(lines) - 1) / 2) * 0.006 * span
            _draw_line(axes, [place + shift for place in x], line, joined=True)
        axes.set_xticks(list(x), list(ticks))
        if len(x) > 8:
            axes.tick_params(axis="x", rotation=90 if max(map(len, ticks)) > 4 else 45)
        axes.set_xlabel(label)
        _percent_axis(axes, lines)
        return _svg(figure, key)


def bars(names: Sequence[str], lines: Sequence[Line], key: str) -> str:
    """Horizontal bars from 0, for each name one of each series; error bars are the intervals."""
    thick = 11.0 if len(lines) > 2 else 14.0
    labels = [_cut(name, 30) for name in names]
    # Room for a label of two lines.
    gap = 14.0 if len(lines) == 1 and any("\n" in label for label in labels) else 8.0
    with _figure(WIDTH, 46 + len(names) * (len(lines) * thick + gap)) as figure:
        axes = figure.subplots()
        each = 1 / (len(lines) + gap / thick)
        for number, line in enumerate(lines):
            there = [(place, value) for place, value in enumerate(line.values) if value is not None]
            at = [place + (number - (len(lines) - 1) / 2) * each for place, _ in there]
            axes.barh(
                at,
                [value.pck for _, value in there],
                height=each,
                color=_COLOURS[line.style],
                edgecolor=_INK,
                linewidth=0.5,
                hatch=_HATCHES[line.style],
                xerr=_ends([value for _, value in there]),
                error_kw={"ecolor": _INK, "elinewidth": 1, "capsize": 2},
            )
        axes.set_yticks(range(len(names)), labels)
        axes.set_ylim(len(names) - 0.45, -0.55)
        axes.set_xlim(0, _ceiling(lines))
        axes.set_xlabel("PCK (%)")
        axes.grid(axis="x", linewidth=0.4, alpha=0.35, color=_INK)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        return _svg(figure, key)


def heat(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]], key: str
) -> str:
    """A cell for each row and column in viridis from 0 to 100, with its number; none where there is no value."""
    heads = [_cut(name, 18) for name in columns]
    labels = [_cut(name, 64) for name in rows]
    left = 12 + 5.0 * max(len(line) for label in labels for line in label.split("\n"))
    above = 16 + 4.6 * max(map(len, heads))
    cell, high = 25.0, 28.0 if any("\n" in label for label in labels) else 20.0
    width, height = left + cell * len(columns) + 24, above + high * len(rows) + 34
    with _figure(width, height, constrained=False) as figure:
        axes = figure.add_axes(
            (left / width, 34 / height, cell * len(columns) / width, high * len(rows) / height)
        )
        for down, row in enumerate(values):
            for across, value in enumerate(row):
                if value is None:
                    axes.text(across, down, "–", ha="center", va="center")
                    continue
                shade = viridis(np.array(value / 100)) / 255
                axes.add_patch(_cell(across, down, tuple(shade)))
                ink = "#000000" if _luminance(shade) > 0.179 else "#ffffff"
                axes.text(across, down, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=8.5)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), labels)
        axes.set_xticks(range(len(columns)), heads, rotation=60, ha="left", rotation_mode="anchor")
        axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
        _frame(axes, ())
        _scale(figure, left / width, 22 / height, 100 / width, 8 / height)
        return _svg(figure, key)


def panels(
    titles: Sequence[str], ticks: Sequence[Sequence[str]], lines: Sequence[Sequence[Line]], key: str
) -> str:
    """A panel for each difficulty label, on one y axis: its values across, the series beside each other with their intervals."""
    columns = 2 if all(len(one) <= 4 for one in ticks) and len(titles) > 1 else 1
    down = -(-len(titles) // columns)
    with _figure(WIDTH, 34 + 165 * down) as figure:
        grid = figure.subplots(down, columns, sharey=True, squeeze=False)
        everything = [line for panel in lines for line in panel]
        for number, axes in enumerate(grid.flat):
            if number >= len(titles):
                axes.set_axis_off()
                continue
            for place, line in enumerate(lines[number]):
                shift = (place - (len(lines[number]) - 1) / 2) * min(0.12, 0.7 / len(lines[number]))
                _draw_line(axes, [at + shift for at in range(len(ticks[number]))], line, joined=False)
            axes.set_xticks(range(len(ticks[number])), list(ticks[number]))
            axes.set_xlim(-0.55, len(ticks[number]) - 0.45)
            axes.set_title(titles[number], fontsize=_FONT, fontweight="bold")
            _percent_axis(axes, everything, label=number % columns == 0)
        return _svg(figure, key)


def swatch(style: int, kind: Literal["line", "marker", "bar"], key: str) -> str:
    """A legend's sample of a series, as its chart draws it."""
    with _figure(30, 12, constrained=False) as figure:
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
                color=_COLOURS[style],
                edgecolor=_INK,
                linewidth=0.5,
                hatch=_HATCHES[style],
            )
        else:
            _draw_line(
                axes, [2, 15, 28], Line(style, [Value(6, None, None)] * 3), joined=kind == "line", only=1
            )
        return _svg(figure, key)


# ------------------------------------------------------------------------------------------------------------------- parts


def _draw_line(axes: Axes, x: Sequence[float], line: Line, *, joined: bool, only: int | None = None) -> None:
    """
    Args:
        joined: whether values are joined by a line.
        only: number of the one place with a marker; all otherwise.
    """
    there = [(place, value) for place, value in zip(x, line.values, strict=True) if value is not None]
    colour = _COLOURS[line.style]
    if not there:
        return
    places, values = [place for place, _ in there], [value for _, value in there]
    axes.errorbar(
        places,
        [value.pck for value in values],
        yerr=_ends(values),
        color=colour,
        linestyle=_DASHES[line.style] if joined else "none",
        linewidth=1.6,
        marker=_MARKERS[line.style],
        markersize=7.5 if _MARKERS[line.style] == "*" else 5,
        markeredgecolor=_INK,
        markeredgewidth=0.5,
        markevery=None if only is None else [only],
        elinewidth=1,
        capsize=1.5,
        # A marker at 0 or 100 percent is seen whole.
        clip_on=False,
        zorder=3,
    )


def _ends(values: Sequence[Value]) -> list[list[float]] | None:
    """(2, N) lengths below and above, zero where there is no interval; None where none has one."""
    if all(value.low is None for value in values):
        return None
    below = [0.0 if value.low is None else max(0.0, value.pck - value.low) for value in values]
    above = [0.0 if value.high is None else max(0.0, value.high - value.pck) for value in values]
    return [below, above]


def _ceiling(lines: Sequence[Line]) -> float:
    """The end of a percent axis: the next ten above everything, 100 at most."""
    top = max(
        (value.high or value.pck for line in lines for value in line.values if value is not None), default=0.0
    )
    return min(100.0, 10.0 * (int(top // 10) + 1))


def _percent_axis(axes: Axes, lines: Sequence[Line], *, label: bool = True) -> None:
    top = _ceiling(lines)
    axes.set_ylim(0, top * (1.02 if top == 100 else 1))
    if label:
        axes.set_ylabel("PCK (%)")
    axes.grid(axis="y", linewidth=0.4, alpha=0.35, color=_INK)
    axes.set_axisbelow(True)


def _cell(across: int, down: int, shade: tuple[float, ...]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((across - 0.49, down - 0.48), 0.98, 0.96, facecolor=shade, linewidth=0)


def _scale(figure: Figure, left: float, below: float, wide: float, high: float) -> None:
    """The colours' scale."""
    axes = figure.add_axes((left, below, wide, high))
    for number, shade in enumerate(viridis(np.linspace(0, 1, 24)) / 255):
        # One step wider than its place: no seams between neighbours.
        axes.axvspan(number, min(24, number + 1.3), color=tuple(shade), linewidth=0)
    axes.set_xlim(0, 24)
    axes.set_yticks([])
    axes.set_xticks([0, 12, 24], ["0", "50", "100 % PCK"])
    axes.tick_params(length=2, pad=2, labelsize=8)
    _frame(axes, ())


def _luminance(shade: np.ndarray) -> float:
    """Relative luminance (WCAG 2) of an sRGB colour with channels in [0, 1]."""
    linear = np.where(shade <= 0.04045, shade / 12.92, ((shade + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def _frame(axes: Axes, sides: Sequence[str]) -> None:
    for name, spine in axes.spines.items():
        spine.set_visible(name in sides)


def _cut(text: str, most: int) -> str:
    """A text whose lines are shortened in their middle: names that differ often differ at one end."""
    return "\n".join(_cut_line(line, most) for line in text.split("\n"))


def _cut_line(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - most // 2 - 1]}…{text[-(most // 2) :]}"


@contextmanager
def _figure(width: float, height: float, *, constrained: bool = True) -> Iterator[Figure]:
    """A figure of a size in points, under settings that no file of the user's changes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "bench",
        "text.parse_math": False,
        "font.size": _FONT,
        "xtick.labelsize": _FONT,
        "ytick.labelsize": _FONT,
        "axes.linewidth": 0.6,
        "hatch.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(
            ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "hatch.color"),
            _INK,
        ),
    }
    with mpl.rc_context(), warnings.catch_warnings():
        # The viewer's browser has its own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield Figure(figsize=(width / 72, height / 72), layout="constrained" if constrained else None)


def _svg(figure: Figure, key: str) -> str:
    """The figure as an `<svg>` element that can stand in a page beside others."""
    file = io.StringIO()
    figure.savefig(
        file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text))
    # Ids are unique in a page: those that nothing refers to go, the others begin with the chart's key.
    text = re.sub(r' id="([^"]*)"', lambda found: f' id="{key}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{key}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", text)
    text = text.replace(_INK, "currentColor")
    text = re.sub(r' xmlns(:xlink)?="[^"]*"| version="1.1"', "", text)
    head = re.match(r'<svg width="([\d.]+)pt" height="([\d.]+)pt"', text)
    if head is None:
        raise ValueError("matplotlib wrote an SVG without a size")
    # A point is 4/3 of a browser's pixel.
    width, height = (round(float(side) * 4 / 3) for side in head.groups())
    size = f'<svg width="{width}" height="{height}" aria-hidden="true" focusable="false"'
    return re.sub(r"\n\s*", "\n", size + text[head.end() :]).strip()
