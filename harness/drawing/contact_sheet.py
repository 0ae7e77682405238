"""Contact sheets: rows of pictures with a label each, on white, to be looked at side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from harness.errors import UserError
from harness.files import check_place, replacing

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Suffix of a sheet's file -> how Pillow writes it."""

THUMB = 192
"""Side in pixels of the square that a picture is fitted into."""

_MARGIN, _GAP, _LABEL = 16, 8, 190

_TEXT, _TITLE = 16, 18

_INK, _PAPER = (20, 20, 20), (255, 255, 255)

Row = tuple[str, Sequence[PIL.Image.Image]]

Font = PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont


def sheet(
    rows: Sequence[Row], *, columns: Sequence[str] = (), thumb: int = THUMB, title: str = ""
) -> PIL.Image.Image:
    """Rows of pictures beside their labels.

    Args:
        rows: label, pictures; rows may differ in length. Pictures are scaled to fit a square, small ones up, with their aspect kept.
        columns: headings of the columns of pictures.
        thumb: side of that square in pixels.
        title: stands above everything.

    Returns:
        An RGB picture. Texts that are too long for their place are wrapped.
    """
    text, heading = PIL.ImageFont.load_default(_TEXT), PIL.ImageFont.load_default(_TITLE)
    across = max([len(columns), 1, *(len(pictures) for _, pictures in rows)])
    width = 2 * _MARGIN + _LABEL + across * (thumb + _GAP)
    titles = wrapped(title, heading, width - 2 * _MARGIN)
    heads = [wrapped(name, text, thumb) for name in columns]
    labels = [wrapped(label, text, _LABEL - _GAP) for label, _ in rows]
    heights = [max(thumb, len(lines) * _line(text)) for lines in labels]
    above = len(titles) * _line(heading) + (_GAP if titles else 0)
    head = max((len(lines) for lines in heads), default=0) * _line(text) + (_GAP if heads else 0)
    size = (width, 2 * _MARGIN + above + head + sum(height + _GAP for height in heights))
    paper = PIL.Image.new("RGB", size, _PAPER)
    draw = PIL.ImageDraw.Draw(paper)
    _write(draw, titles, heading, _MARGIN, _MARGIN)
    top, left = _MARGIN + above, _MARGIN + _LABEL
    for place, lines in enumerate(heads):
        _write(draw, lines, text, left + place * (thumb + _GAP), top)
    top += head
    for (_, pictures), lines, height in zip(rows, labels, heights, strict=True):
        _write(draw, lines, text, _MARGIN, top + (height - len(lines) * _line(text)) // 2)
        for place, picture in enumerate(pictures):
            small = fitted(picture, thumb)
            x, y = left + place * (thumb + _GAP), top + (height - thumb) // 2
            paper.paste(small, (x + (thumb - small.width) // 2, y + (thumb - small.height) // 2))
        top += height + _GAP
    return paper


def fitted(picture: PIL.Image.Image, side: int) -> PIL.Image.Image:
    """RGB, its longer side `side` pixels."""
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    # Lanczos rings at the hard edges of a picture that is made larger.
    how = PIL.Image.Resampling.BICUBIC if scale > 1 else PIL.Image.Resampling.LANCZOS
    return picture.convert("RGB").resize((width, height), how)


def wrapped(text: str, font: Font, width: int) -> list[str]:
    """The lines of a text, none wider than `width` pixels: broken between words, and within a word where it alone is too long."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] = f"{lines[-1]} {word}"
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def check_sheet(path: Path) -> Path:
    """Where a sheet is to be written, to be asked before the work. Raises `UserError` that says why it cannot be."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: a sheet is written as {', '.join(FORMATS)}; the suffix says which")
    return check_place(path)


def write_sheet(picture: PIL.Image.Image, path: Path) -> None:
    """Writes a sheet, whole or not at all, in the format of the suffix. Raises `UserError`."""
    place = check_sheet(path)
    try:
        with replacing(place) as file:
            picture.save(file, format=FORMATS[path.suffix.lower()])
    except (OSError, ValueError) as error:  # ValueError: larger than the format's largest picture
        raise UserError(f"{path}: not written: {getattr(error, 'strerror', None) or error}") from error


def _write(draw: PIL.ImageDraw.ImageDraw, lines: Sequence[str], font: Font, left: int, top: int) -> None:
    for number, line in enumerate(lines):
        draw.text((left, top + number * _line(font)), line, fill=_INK, font=font)


def _line(font: Font) -> int:
    """Height of a line of text in pixels."""
    return round(1.3 * (font.size if isinstance(font, PIL.ImageFont.FreeTypeFont) else _TEXT))
