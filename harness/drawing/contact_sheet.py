"""Contact sheets: rows of pictures with a label each, on white, to be looked at side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from harness.errors import UserError
from harness.files import check_place, put_file
from harness.messages import first_line

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Suffix of a sheet's file -> format that Pillow writes."""

THUMB = 192
"""Side in pixels of the square that a picture is fitted into."""

_MARGIN, _GAP, _LABEL_WIDTH = 16, 8, 190

_TEXT_SIZE, _TITLE_SIZE = 16, 18

_INK, _PAPER = (20, 20, 20), (255, 255, 255)

SheetRow = tuple[str, Sequence[PIL.Image.Image]]
"""Label and pictures of a row."""

Font = PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont


def draw_sheet(
    rows: Sequence[SheetRow], *, columns: Sequence[str] = (), thumb: int = THUMB, title: str = ""
) -> PIL.Image.Image:
    """Draws rows of pictures beside their labels.

    Args:
        rows: they may differ in length. Pictures are scaled to fit a square, small ones up; their aspect is
            kept.
        columns: headings of the columns of pictures.
        thumb: side of that square in pixels.
        title: stands above everything.

    Returns:
        An RGB picture. Texts that are too long for their space are wrapped.
    """
    font = PIL.ImageFont.load_default(_TEXT_SIZE)
    title_font = PIL.ImageFont.load_default(_TITLE_SIZE)
    line_height = _line_height(font)
    most_pictures = max(len(columns), 1)
    for _, pictures in rows:
        most_pictures = max(most_pictures, len(pictures))
    width = 2 * _MARGIN + _LABEL_WIDTH + most_pictures * (thumb + _GAP)

    # All texts are wrapped before anything is drawn: the paper's height follows from them.
    title_lines = wrap_text(title, title_font, width - 2 * _MARGIN)
    heading_lines = [wrap_text(heading, font, thumb) for heading in columns]
    label_lines = [wrap_text(label, font, _LABEL_WIDTH - _GAP) for label, _ in rows]
    title_height = len(title_lines) * _line_height(title_font)
    if title_lines:
        title_height += _GAP
    heading_height = max(map(len, heading_lines), default=0) * line_height
    if columns:
        heading_height += _GAP
    row_heights = [max(thumb, len(lines) * line_height) for lines in label_lines]
    rows_height = sum(row_heights) + _GAP * len(rows)
    height = 2 * _MARGIN + title_height + heading_height + rows_height

    paper = PIL.Image.new("RGB", (width, height), _PAPER)
    draw = PIL.ImageDraw.Draw(paper)
    _write_lines(draw, title_lines, title_font, _MARGIN, _MARGIN)
    left = _MARGIN + _LABEL_WIDTH
    top = _MARGIN + title_height
    for column, lines in enumerate(heading_lines):
        _write_lines(draw, lines, font, left + column * (thumb + _GAP), top)
    top += heading_height
    for (_, pictures), lines, row_height in zip(rows, label_lines, row_heights, strict=True):
        # Label and pictures are centred in the row, whichever of them is higher.
        label_top = top + (row_height - len(lines) * line_height) // 2
        _write_lines(draw, lines, font, _MARGIN, label_top)
        square_top = top + (row_height - thumb) // 2
        for column, picture in enumerate(pictures):
            small = fit_image(picture, thumb)
            square_left = left + column * (thumb + _GAP)
            x = square_left + (thumb - small.width) // 2
            y = square_top + (thumb - small.height) // 2
            paper.paste(small, (x, y))
        top += row_height + _GAP
    return paper


def fit_image(image: PIL.Image.Image, side: int) -> PIL.Image.Image:
    """Scales an image to a longer side of `side` pixels, as RGB."""
    scale = side / max(image.size)
    # A long, thin image keeps at least one pixel of its shorter side.
    width, height = (max(1, round(length * scale)) for length in image.size)
    # Lanczos rings at the hard edges of a picture that is made larger.
    resampling = PIL.Image.Resampling.BICUBIC if scale > 1 else PIL.Image.Resampling.LANCZOS
    return image.convert("RGB").resize((width, height), resampling)


def wrap_text(text: str, font: Font, width: int) -> list[str]:
    """Breaks a text into lines that are not wider than `width` pixels.

    Lines break between words, and within a word where the word alone is too long.
    """
    lines: list[str] = []
    for word in text.split():
        if lines:
            longer = f"{lines[-1]} {word}"
            if font.getlength(longer) <= width:
                lines[-1] = longer
                continue
        lines.append("")
        for letter in word:
            # A line has at least one letter, however small the width.
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def check_sheet_path(path: Path) -> Path:
    """Checks, before the work begins, that a sheet can be written to a path.

    Returns:
        The path itself or, of a link, the path that it leads to.

    Raises:
        UserError: it cannot be written; the message says why.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: a sheet is written as {', '.join(FORMATS)}; the suffix says which")
    return check_place(path)


def write_sheet(picture: PIL.Image.Image, path: Path) -> None:
    """Writes a sheet, whole or not at all, in the format of the path's suffix. Raises `UserError`."""
    check_sheet_path(path)
    # In memory: Pillow writes through a file's number and forgets why the system refused it.
    content = io.BytesIO()
    try:
        picture.save(content, format=FORMATS[path.suffix.lower()])
    except (OSError, ValueError) as error:  # larger than the format's largest picture
        raise UserError(f"{path}: not written: {first_line(error)}; choose another format") from error
    put_file(path, content.getvalue())


def _write_lines(
    draw: PIL.ImageDraw.ImageDraw, lines: Sequence[str], font: Font, left: int, top: int
) -> None:
    for number, line in enumerate(lines):
        draw.text((left, top + number * _line_height(font)), line, fill=_INK, font=font)


def _line_height(font: Font) -> int:
    """Height of a line of text in pixels."""
    # Pillow without FreeType has only a font of pixels, without a size.
    size = font.size if isinstance(font, PIL.ImageFont.FreeTypeFont) else _TEXT_SIZE
    return round(1.3 * size)
