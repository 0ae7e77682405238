"""Matplotlib figures as SVG: static, the same bytes each time, in the page's own text colour."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""Colour of everything that is not a series.

It marks what becomes `currentColor`, so that charts follow the page into dark mode.
"""

FONT_SIZE = 9.0
"""Points of every text but the smallest."""

_INK_SETTINGS = (
    "text.color",
    "axes.edgecolor",
    "axes.labelcolor",
    "xtick.color",
    "ytick.color",
    "hatch.color",
)

_SETTINGS: dict[str, Any] = {
    # Texts as text, which can be selected and searched, instead of outlines of letters.
    "svg.fonttype": "none",
    # Ids within the SVG are the same each time.
    "svg.hashsalt": "bench",
    # A name with dollar signs is not a formula.
    "text.parse_math": False,
    "font.size": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "axes.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(_INK_SETTINGS, INK),
}

# The date would make other bytes of the same chart.
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@contextmanager
def new_figure(width: float, height: float, *, constrained: bool = True) -> Iterator[Figure]:
    """A figure of a size in points, under settings that no file of the user's changes.

    Args:
        constrained: whether matplotlib finds room for labels and titles by itself.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The type of matplotlib's settings is a literal of all their names.
    settings: Any = _SETTINGS
    layout: Literal["constrained"] | None = "constrained" if constrained else None
    # 72 points are an inch, in which matplotlib measures figures.
    size = (width / 72, height / 72)
    with mpl.rc_context(), warnings.catch_warnings():
        # The viewer's browser has its own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield Figure(figsize=size, layout=layout)


def svg_text(figure: Figure, key: str) -> str:
    """The figure as an `<svg>` element that can stand in a page beside others.

    Args:
        key: begins the ids within the element; unique in the page.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=_NO_METADATA)
    text = file.getvalue()
    # An element of a page has neither an XML declaration nor a document type.
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = _prefix_ids(text, key)
    text = text.replace(INK, "currentColor")
    # Within HTML the namespaces of SVG are understood.
    text = re.sub(r' xmlns(:xlink)?="[^"]*"| version="1.1"', "", text)
    start = re.match(r'<svg width="([\d.]+)pt" height="([\d.]+)pt"', text)
    if start is None:
        raise ValueError("matplotlib wrote an SVG without a size")
    # A point is 4/3 of a browser's pixel.
    width, height = (round(float(side) * 4 / 3) for side in start.groups())
    # Hidden from screen readers: the figure's accessible name and its numbers stand beside it.
    size = f'<svg width="{width}" height="{height}" aria-hidden="true" focusable="false"'
    return re.sub(r"\n\s*", "\n", size + text[start.end() :]).strip()


def _prefix_ids(text: str, key: str) -> str:
    """Ids that are unique in a page: they begin with the key, and those that nothing refers to go."""
    referenced = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text))

    def rename(match: re.Match[str]) -> str:
        if match[1] not in referenced:
            return ""
        return f' id="{key}-{match[1]}"'

    text = re.sub(r' id="([^"]*)"', rename, text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{key}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", text)
