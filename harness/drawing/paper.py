"""Paper that images, points and text are drawn on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import PIL.ImageOps

from harness.drawing.colours import position_colours, viridis
from harness.drawing.contact_sheet import Font, fit_image, wrap_text
from harness.frames import Size

PANEL = 540
"""Side in pixels of the square that an image is fitted into."""

GAP = 24
"""Pixels between two images that stand beside each other."""

_FINE = 2
"""Everything is drawn larger by this factor and reduced at the end: Pillow draws jagged edges."""

_MARGIN, _TEXT_SIZE, _SMALL_TEXT_SIZE = 20, 16, 14

_INK, _PAPER = (20, 20, 20), (255, 255, 255)

_SCALE_SIZE, _COLOUR_FIELD_SIZE = Size(300, 16), Size(140, 90)

Colour = tuple[int, int, int]
"""Red, green and blue, each from 0 to 255."""


@dataclass(frozen=True)
class Panel:
    """The rectangle of the paper that shows an image, in pixels of the finished picture."""

    left: float
    top: int
    size: Size

    def position(self, point: np.ndarray, image: Size) -> tuple[float, float]:
        """Position on the paper of a point (x, y) in original pixels of an image of size `image`."""
        x = self.left + float(point[0]) / image.width * self.size.width
        y = self.top + float(point[1]) / image.height * self.size.height
        return x, y


class Paper:
    """A picture that grows downwards. Lengths and positions are in pixels of the finished picture."""

    def __init__(self, columns: int) -> None:
        self._width = 2 * _MARGIN + columns * PANEL + (columns - 1) * GAP
        self._height = _MARGIN
        self._picture = PIL.Image.new("RGB", (self._width * _FINE, 1), _PAPER)
        self._draw = PIL.ImageDraw.Draw(self._picture)

    def to_image(self) -> PIL.Image.Image:
        """Ends the paper with a margin and returns the picture at its own size."""
        self._grow(_MARGIN)
        return self._picture.resize((self._width, self._height), PIL.Image.Resampling.BOX)

    def add_space(self, height: int) -> None:
        """Adds a blank strip."""
        self._grow(height)

    def add_text(self, text: str, size: int = _TEXT_SIZE) -> None:
        """Adds a paragraph as wide as the paper."""
        font = _font(size)
        line_height = round(1.35 * size)
        # The font is already larger by `_FINE`, and so is the width that it is wrapped to.
        lines = wrap_text(text, font, (self._width - 2 * _MARGIN) * _FINE)
        top = self._grow(len(lines) * line_height + 8)
        for number, line in enumerate(lines):
            self._write(_MARGIN, top + number * line_height, line, font)

    def add_images(self, images: Sequence[PIL.Image.Image], titles: Sequence[str]) -> list[Panel]:
        """Adds images beside each other, each under its title."""
        font = _font(_TEXT_SIZE)
        line_height = round(1.35 * _TEXT_SIZE)
        titles_in_lines = [wrap_text(title, font, PANEL * _FINE) for title in titles]
        title_height = max(map(len, titles_in_lines)) * line_height
        fine_images = [fit_image(image, PANEL * _FINE) for image in images]
        height = max(math.ceil(image.height / _FINE) for image in fine_images)
        top = self._grow(title_height + height + 16)
        image_top = top + title_height + 6
        panels = []
        for column, (image, lines) in enumerate(zip(fine_images, titles_in_lines, strict=True)):
            left = _MARGIN + column * (PANEL + GAP)
            # The last line of every title stands directly above its image.
            line_top = top + title_height - len(lines) * line_height
            for line in lines:
                self._write(left, line_top, line, font)
                line_top += line_height
            size = Size(image.width // _FINE, image.height // _FINE)
            image_left = left + (PANEL - image.width / _FINE) / 2
            self._picture.paste(image, (round(image_left * _FINE), image_top * _FINE))
            panels.append(Panel(image_left, image_top, size))
        return panels

    def add_list(self, items: Sequence[tuple[str, Colour]]) -> None:
        """Adds a list in columns, each item after a disc of its colour."""
        font = _font(_TEXT_SIZE)
        row_height = round(1.45 * _TEXT_SIZE)
        # 20 for the disc before the text, 20 between two columns.
        column_width = max(font.getlength(text) for text, _ in items) / _FINE + 40
        columns = max(1, int((self._width - 2 * _MARGIN) // column_width))
        rows = math.ceil(len(items) / columns)
        top = self._grow(rows * row_height + 8)
        for number, (text, colour) in enumerate(items):
            # Down the first column, then down the next one.
            column, row = divmod(number, rows)
            left = _MARGIN + column * column_width
            row_top = top + row * row_height
            self.draw_disc((left + 8, row_top + row_height / 2 - 2), 6, colour)
            self._write(left + 20, row_top, text, font)

    def add_scale(self, low: float, high: float, label: str) -> None:
        """Adds the colour scale of a heat map, from `low` to `high`."""
        width, height = _SCALE_SIZE
        top = self._grow(height + 30)
        shades = viridis(np.linspace(0, 1, width * _FINE))
        self._paste_pixels(shades[None].repeat(height * _FINE, axis=0), _MARGIN, top)
        small_font = _font(_SMALL_TEXT_SIZE)
        for share in (0.0, 0.5, 1.0):
            number = f"{low + share * (high - low):.2f}"
            # The first number begins with the scale, the last one ends with it.
            self._write(_MARGIN + share * width, top + height + 3, number, small_font, share)
        self._write(_MARGIN + width + 20, top - 2, label, _font(_TEXT_SIZE))

    def add_position_colours(self, image: Size) -> None:
        """Adds the colours of the positions of image A, with axes in its pixels."""
        font = _font(_SMALL_TEXT_SIZE)
        width, height = _COLOUR_FIELD_SIZE
        # Room for the y axis on the left.
        left = _MARGIN + 90
        top = self._grow(height + 24)
        self._paste_pixels(position_colours(_positions(_COLOUR_FIELD_SIZE)), left, top)
        below = top + height + 3
        self._write(left, below, "0", font)
        self._write(left + width, below, str(image.width), font, 1)
        self._write(left + width + 10, below, "x in A (px)", font)
        # Against the field's left side: all of each text's width lies left of it.
        self._write(left - 6, top, "0", font, 1)
        self._write(left - 6, top + height / 2 - 9, "y in A (px)", font, 1)
        self._write(left - 6, top + height - 17, str(image.height), font, 1)

    def draw_line(self, start: tuple[float, float], end: tuple[float, float], colour: Colour) -> None:
        """Draws a line with dark edges, which is seen on any photo and on white."""
        ends = [(x * _FINE, y * _FINE) for x, y in (start, end)]
        # The wide line first: the narrow one leaves its edges.
        self._draw.line(ends, fill=_INK, width=round(4 * _FINE))
        self._draw.line(ends, fill=colour, width=round(2.2 * _FINE))

    def draw_disc(self, centre: tuple[float, float], radius: float, colour: Colour, edge: int = 2) -> None:
        """Draws a disc within a white and a dark ring."""
        # From the largest to the smallest, each over the one before.
        self._draw.ellipse(_square_around(centre, radius + edge), fill=_INK)
        self._draw.ellipse(_square_around(centre, radius + edge / 2), fill=_PAPER)
        self._draw.ellipse(_square_around(centre, radius), fill=colour)

    def draw_ring(self, centre: tuple[float, float]) -> None:
        """Draws an open ring: what lies under it stays visible."""
        # Dark edges on both sides of the white, so that it is seen on any photo.
        self._draw.ellipse(_square_around(centre, 11), outline=_INK, width=5 * _FINE)
        self._draw.ellipse(_square_around(centre, 10), outline=_PAPER, width=3 * _FINE)

    def draw_number(self, point: tuple[float, float], number: int, panel: Panel) -> None:
        """Writes a point's number beside it, on the side on which the image goes on."""
        left, top, anchor = _number_corner(point, panel)
        self._draw.text(
            (left * _FINE, top * _FINE),
            str(number),
            fill=_PAPER,
            font=_font(15),
            anchor=anchor,
            stroke_width=2 * _FINE,
            stroke_fill=_INK,
        )

    def _grow(self, height: int) -> int:
        """Adds a strip below everything and returns its top."""
        top = self._height
        self._height += height
        longer = PIL.Image.new("RGB", (self._picture.width, self._height * _FINE), _PAPER)
        longer.paste(self._picture)
        self._picture = longer
        self._draw = PIL.ImageDraw.Draw(longer)
        return top

    def _paste_pixels(self, pixels: np.ndarray, left: int, top: int) -> None:
        """Pastes colours (h, w, 3), already larger by `_FINE`."""
        self._picture.paste(PIL.Image.fromarray(pixels), (left * _FINE, top * _FINE))

    def _write(self, left: float, top: float, text: str, font: Font, share: float = 0) -> None:
        """Writes a line of text; `share` of its width lies left of `left`."""
        corner = (left * _FINE - share * font.getlength(text), top * _FINE)
        self._draw.text(corner, text, fill=_INK, font=font)


def _positions(size: Size) -> np.ndarray:
    """Positions (h, w, 2) of a field's fine pixels, (x, y) as shares of its width and height."""
    x, y = (np.arange(count * _FINE) / (count * _FINE) for count in size)
    return np.stack(np.meshgrid(x, y), axis=-1)


def _number_corner(point: tuple[float, float], panel: Panel) -> tuple[float, float, str]:
    """Left or right end of a point's number, its top, and Pillow's name of that corner."""
    x, y = point
    # Right of the point and above it, unless the image ends there.
    left, anchor = x + 10, "la"
    if x >= panel.left + panel.size.width - 40:
        left, anchor = x - 10, "ra"
    top = y - 22
    if y <= panel.top + 24:
        top = y + 6
    return left, top, anchor


def _font(size: int) -> Font:
    return PIL.ImageFont.load_default(size * _FINE)


def _square_around(centre: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a square, larger by `_FINE`."""
    x, y = centre
    left, top = (x - radius) * _FINE, (y - radius) * _FINE
    right, bottom = (x + radius) * _FINE, (y + radius) * _FINE
    return left, top, right, bottom
