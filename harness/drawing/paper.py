"""Paper that panels, points and text are drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import PIL.ImageOps

from harness.drawing.colours import place_colours, viridis
from harness.drawing.contact_sheet import Font, fitted, wrapped
from harness.frames import Size

PANEL = 540
"""Side in pixels of the square that an image is fitted into."""

_FINE = 2
"""Everything is drawn this much larger and reduced at the end, since Pillow draws lines and discs with jagged edges."""

_MARGIN, _GAP, _TEXT = 20, 24, 16

_INK, _PAPER = (20, 20, 20), (255, 255, 255)

_BAR, _FIELD = Size(300, 16), Size(140, 90)

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class _Panel:
    """Where an image stands on the paper, in pixels of the finished picture."""

    left: float
    top: int
    size: Size

    def at(self, place: np.ndarray, image: Size) -> tuple[float, float]:
        """Original pixels (x, y) of an image of size `image` -> the paper."""
        return self.left + float(place[0]) / image.width * self.size.width, self.top + float(
            place[1]
        ) / image.height * self.size.height


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
            panel = _Panel(
                left + (PANEL - one.width / _FINE) / 2,
                top + head,
                Size(one.width // _FINE, one.height // _FINE),
            )
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
        self._made.paste(
            PIL.Image.fromarray(shades[None].repeat(_BAR.height * _FINE, axis=0)),
            (_MARGIN * _FINE, top * _FINE),
        )
        for share in (0.0, 0.5, 1.0):
            self._write(
                _MARGIN + share * _BAR.width,
                top + _BAR.height + 3,
                f"{low + share * (high - low):.2f}",
                _font(14),
                share,
            )
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
        self._draw.text(
            at, str(number), fill=_PAPER, font=font, stroke_width=2 * _FINE, stroke_fill=_INK, anchor=anchor
        )

    def _write(self, left: float, top: float, text: str, font: Font, share: float = 0) -> None:
        """A line of text; `share` of its width lies left of `left`."""
        self._draw.text(
            (left * _FINE - share * font.getlength(text), top * _FINE), text, fill=_INK, font=font
        )


def _font(size: int) -> Font:
    return PIL.ImageFont.load_default(size * _FINE)


def _around(place: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    (x, y), r = place, radius
    return (x - r) * _FINE, (y - r) * _FINE, (x + r) * _FINE, (y + r) * _FINE
