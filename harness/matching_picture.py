"""Pictures of matched points: two images side by side, lines between them, a painted grid, a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import PIL.ImageOps

from harness.colours import OKABE_ITO, place_colours, viridis
from harness.frames import Size
from harness.matching import Match
from harness.sheet import Font, fitted, wrapped

PANEL = 540
"""Side in pixels of the square that an image is fitted into."""

NUMBERED = 30
"""Most points that are numbered and listed one by one."""

_FINE = 2
"""Everything is drawn this much larger and reduced at the end, since Pillow draws lines and discs with jagged edges."""

_MARGIN, _GAP, _TEXT = 20, 24, 16
_INK, _PAPER = (20, 20, 20), (255, 255, 255)
_BAR, _FIELD = Size(300, 16), Size(140, 90)

Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Heat:
    """Cosines (h, w) of one point of A with B, seen as an image of (w, h) pixels, and the number of cells of B's feature map."""

    values: np.ndarray
    cells: Size


def panel_size(image: Size) -> Size:
    """Size in pixels at which an image is drawn, and at which a `Heat` of it is best computed."""
    scale = PANEL / max(image)
    return Size(*(max(1, round(side * scale)) for side in image))


def picture(
    images: Sequence[PIL.Image.Image], points: Match | None, *, dense: Match | None = None, heat: Heat | None = None
) -> PIL.Image.Image:
    """One picture of a match.

    Args:
        images: A and B.
        points: points to be numbered and joined by lines.
        dense: the points of a grid, to be painted in the colours of their places in A.
        heat: how similar B is to the first of `points`.

    Returns:
        An RGB picture on white, with the sizes of both images, n and units in it.
    """
    shown = points or dense
    if shown is None:
        raise ValueError("nothing to draw")
    paper = _Paper(columns=3 if points and heat else 2)
    paper.text(_heading(shown), size=18)
    if points:
        _draw_points(paper, images, points, heat)
    if points and dense:
        paper.space(_GAP // 2)
    if dense:
        _draw_dense(paper, images, dense)
    return paper.finished()


def _heading(one: Match) -> str:
    category = f", category {one.category}" if one.category else ""
    prompt = f", prompt {one.prompt}" if one.prompt != "none" else ""
    return f"{one.method}{prompt}{category}, localizer {one.localizer}, backbone {one.backbone}"


def _title(letter: str, name: str, size: Size) -> str:
    return f"{letter}: {name}, {size.width} x {size.height} px"


# ------------------------------------------------------------------------------------------------------------------- sections


def _draw_points(paper: _Paper, images: Sequence[PIL.Image.Image], match: Match, heat: Heat | None) -> None:
    shown = list(images)
    titles = [_title("A", match.a.name, match.a_size), _title("B", match.b.name, match.b_size)]
    if heat:
        shown.append(PIL.Image.fromarray(viridis(_share(heat.values))))
        titles.append("B: cosine similarity to the point of A")
    panels = paper.row(shown, titles)
    sizes = (match.a_size, match.b_size)
    colours = [_colour(OKABE_ITO[number % len(OKABE_ITO)]) for number in range(len(match))]
    ends = [
        [panel.at(place, size) for place in places] for panel, size, places in zip(panels, sizes, (match.points, match.found), strict=False)
    ]
    for start, end, colour in zip(*ends, colours, strict=True):
        paper.line(start, end, colour)
    if heat:
        paper.ring(panels[2].at(match.found[0], match.b_size))
    for start, end, colour in zip(*ends, colours, strict=True):
        for place in (start, end):
            paper.disc(place, 6, colour)
    if len(match) <= NUMBERED:
        for number, both in enumerate(zip(*ends, strict=True), start=1):
            for place, panel in zip(both, panels, strict=False):
                paper.number(place, number, panel)
    paper.text(
        f"n = {len(match)} {'point' if len(match) == 1 else 'points'}; (x, y) in pixels of A and of B; "
        "similarity: cosine of the features at both places, from -1 to 1"
    )
    if len(match) <= NUMBERED:
        paper.entries(
            [(f"{number}: {line}", colour) for (number, line), colour in zip(enumerate(_lines(match), start=1), colours, strict=True)]
        )
    else:
        paper.text(f"similarity from {match.similarity.min():.2f} to {match.similarity.max():.2f}, mean {match.similarity.mean():.2f}")
    if heat:
        low, high = float(heat.values.min()), float(heat.values.max())
        paper.bar(
            low,
            high,
            f"cosine similarity; n = 1 point of A, {heat.cells.width} x {heat.cells.height} cells of B; the ring is the place found",
        )


def _lines(match: Match) -> Iterator[str]:
    for (x, y), (u, v), similarity in zip(match.points, match.found, match.similarity, strict=True):
        yield f"({x:.1f}, {y:.1f}) to ({u:.1f}, {v:.1f}), similarity {similarity:.2f}"


def _draw_dense(paper: _Paper, images: Sequence[PIL.Image.Image], match: Match) -> None:
    sizes = (match.a_size, match.b_size)
    panels = paper.row(
        [_faded(image) for image in images],
        [_title("A", match.a.name, sizes[0]) + ", grid", _title("B", match.b.name, sizes[1]) + ", the same points found"],
    )
    columns, rows = (len(np.unique(match.points[:, axis])) for axis in (0, 1))
    radius = max(2.0, 0.28 * min(panels[0].size.width / columns, panels[0].size.height / rows))
    colours = [_colour(one) for one in place_colours(match.points / match.a_size)]
    for panel, size, places in zip(panels, sizes, (match.points, match.found), strict=True):
        for place, colour in zip(places, colours, strict=True):
            paper.disc(panel.at(place, size), radius, colour, edge=1)
    step = match.a_size.width / columns, match.a_size.height / rows
    paper.text(
        f"n = {len(match)} points ({columns} x {rows}), every {step[0]:.1f} px in x and {step[1]:.1f} px in y of A; "
        f"a point has one colour in both images, that of its place in A; mean similarity (cosine) {match.similarity.mean():.2f}"
    )
    paper.field(match.a_size)


def _faded(image: PIL.Image.Image) -> PIL.Image.Image:
    """Grey and pale: colours are then those of the points alone."""
    grey = PIL.ImageOps.grayscale(image)
    return grey.point(lambda value: 110 + value * 130 // 255).convert("RGB")


def _share(values: np.ndarray) -> np.ndarray:
    """Values as shares of their own range; zeros where all are alike."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


# ---------------------------------------------------------------------------------------------------------------------- paper


@dataclass(frozen=True)
class _Panel:
    """Where an image stands on the paper, in pixels of the finished picture."""

    left: float
    top: int
    size: Size

    def at(self, place: np.ndarray, image: Size) -> tuple[float, float]:
        """Original pixels (x, y) of an image of size `image` -> the paper."""
        return self.left + float(place[0]) / image.width * self.size.width, self.top + float(place[1]) / image.height * self.size.height


class _Paper:
    """A picture that grows downwards. Lengths are in pixels of the finished picture."""

    def __init__(self, columns: int) -> None:
        self._width = 2 * _MARGIN + columns * PANEL + (columns - 1) * _GAP
        self._made = PIL.Image.new("RGB", (self._width * _FINE, 1), _PAPER)
        self._draw = PIL.ImageDraw.Draw(self._made)
        self._below = _MARGIN

    def finished(self) -> PIL.Image.Image:
        """The picture at its own size."""
        self._grow(_MARGIN)
        return self._made.resize((self._width, self._below), PIL.Image.Resampling.BOX)

    def space(self, height: int) -> None:
        """A blank strip."""
        self._grow(height)

    def _grow(self, height: int) -> int:
        """Adds a strip below; its top."""
        top = self._below
        self._below += height
        longer = PIL.Image.new("RGB", (self._made.width, self._below * _FINE), _PAPER)
        longer.paste(self._made)
        self._made, self._draw = longer, PIL.ImageDraw.Draw(longer)
        return top

    # -------------------------------------------------------------------------------------------------------------- in flow

    def text(self, text: str, size: int = _TEXT) -> None:
        """A paragraph as wide as the paper."""
        font, step = _font(size), round(1.35 * size)
        lines = wrapped(text, font, (self._width - 2 * _MARGIN) * _FINE)
        top = self._grow(len(lines) * step + 8)
        for number, line in enumerate(lines):
            self._write(_MARGIN, top + number * step, line, font)

    def row(self, images: Sequence[PIL.Image.Image], titles: Sequence[str]) -> list[_Panel]:
        """Images beside each other, each under its title."""
        font, step = _font(_TEXT), round(1.35 * _TEXT)
        lines = [wrapped(title, font, PANEL * _FINE) for title in titles]
        head = max(map(len, lines)) * step + 6
        small = [fitted(image, PANEL * _FINE) for image in images]
        height = max(-(-one.height // _FINE) for one in small)
        top = self._grow(head + height + 10)
        panels = []
        for number, (one, title) in enumerate(zip(small, lines, strict=True)):
            left = _MARGIN + number * (PANEL + _GAP)
            for line_number, line in enumerate(title):
                self._write(left, top + head - 6 - (len(title) - line_number) * step, line, font)
            panel = _Panel(left + (PANEL - one.width / _FINE) / 2, top + head, Size(one.width // _FINE, one.height // _FINE))
            self._made.paste(one, (round(panel.left * _FINE), panel.top * _FINE))
            panels.append(panel)
        return panels

    def entries(self, items: Sequence[tuple[str, Colour]]) -> None:
        """A list in columns, each item after a disc of its colour."""
        font, step = _font(_TEXT), round(1.45 * _TEXT)
        widest = max(font.getlength(text) for text, _ in items) / _FINE + 40
        columns = max(1, int((self._width - 2 * _MARGIN) // widest))
        rows = -(-len(items) // columns)
        top = self._grow(rows * step + 8)
        for number, (text, colour) in enumerate(items):
            left, at = _MARGIN + number // rows * widest, top + number % rows * step
            self.disc((left + 8, at + step / 2 - 2), 6, colour)
            self._write(left + 20, at, text, font)

    def bar(self, low: float, high: float, label: str) -> None:
        """The scale of a heat map."""
        top = self._grow(_BAR.height + 30)
        shades = viridis(np.linspace(0, 1, _BAR.width * _FINE))
        self._made.paste(PIL.Image.fromarray(shades[None].repeat(_BAR.height * _FINE, axis=0)), (_MARGIN * _FINE, top * _FINE))
        for share in (0.0, 0.5, 1.0):
            self._write(_MARGIN + share * _BAR.width, top + _BAR.height + 3, f"{low + share * (high - low):.2f}", _font(14), share)
        self._write(_MARGIN + _BAR.width + 20, top - 2, label, _font(_TEXT))

    def field(self, image: Size) -> None:
        """The colours of the places of an image, with its axes."""
        font, (width, height) = _font(14), _FIELD
        x, y = (np.arange(count * _FINE) / (count * _FINE) for count in _FIELD)
        colours = place_colours(np.stack(np.meshgrid(x, y), axis=-1))
        top, left = self._grow(height + 24), _MARGIN + 90
        self._made.paste(PIL.Image.fromarray(colours), (left * _FINE, top * _FINE))
        below = top + height + 3
        for number, share in ((0, 0.0), (image.width, 1.0)):
            self._write(left + share * width, below, str(number), font, share)
        self._write(left + width + 10, below, "x in A (px)", font)
        for text, down in (("0", 0), ("y in A (px)", height / 2 - 9), (str(image.height), height - 17)):
            self._write(left - 6, top + down, text, font, 1)

    # --------------------------------------------------------------------------------------------------------------- marks

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: Colour) -> None:
        """A line with dark edges: it is seen on any photo and on white."""
        ends = [(x * _FINE, y * _FINE) for x, y in (start, end)]
        for width, shade in ((4, _INK), (2.2, colour)):
            self._draw.line(ends, fill=shade, width=round(width * _FINE))

    def disc(self, place: tuple[float, float], radius: float, colour: Colour, edge: int = 2) -> None:
        """A disc within a white and a dark ring."""
        for wide, shade in ((radius + edge, _INK), (radius + edge / 2, _PAPER), (radius, colour)):
            self._draw.ellipse(_around(place, wide), fill=shade)

    def ring(self, place: tuple[float, float]) -> None:
        """An open ring: what lies under it stays visible."""
        for radius, width, shade in ((11, 5, _INK), (10, 3, _PAPER)):
            self._draw.ellipse(_around(place, radius), outline=shade, width=width * _FINE)

    def number(self, place: tuple[float, float], number: int, panel: _Panel) -> None:
        """A point's number beside it, on the side where the image goes on."""
        font = _font(15)
        left = 10 if place[0] < panel.left + panel.size.width - 40 else -10
        down = -22 if place[1] > panel.top + 24 else 6
        at = ((place[0] + left) * _FINE, (place[1] + down) * _FINE)
        anchor = "la" if left > 0 else "ra"
        self._draw.text(at, str(number), fill=_PAPER, font=font, stroke_width=2 * _FINE, stroke_fill=_INK, anchor=anchor)

    def _write(self, left: float, top: float, text: str, font: Font, share: float = 0) -> None:
        """A line of text; `share` of its width lies left of `left`."""
        self._draw.text((left * _FINE - share * font.getlength(text), top * _FINE), text, fill=_INK, font=font)


def _font(size: int) -> Font:
    return PIL.ImageFont.load_default(size * _FINE)


def _around(place: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    (x, y), r = place, radius
    return (x - r) * _FINE, (y - r) * _FINE, (x + r) * _FINE, (y + r) * _FINE
