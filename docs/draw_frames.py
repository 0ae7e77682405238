"""Draws the pictures of `explanation/frames.md`: `python docs/draw_frames.py [FOLDER]`.

Every place and length comes from `harness.frames` and `harness.scoring`; nothing is put down by hand. They
are SVG, equal to the byte each time, on a ground of their own, so that they can be read in light and dark.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.frames import Frame, GridConvention, PatchGrid, Size, cells_to_pixels, pixels_to_cells
from harness.scoring.protocols import ORIGINAL as IN_ORIGINAL
from harness.scoring.protocols import PADDED, SD4MATCH, frame_of

IMAGES = Path(__file__).parent / "images"

PICTURE = Size(300, 200)
FED = Size(240, 240)
"""What the drawn extractor is fed; the side of `padded` is the same here, and 840 in the protocol."""

BOX = (60.0, 40.0, 220.0, 160.0)
TRUE = (150.0, 100.0)
PREDICTED = {"A": (167.0, 100.0), "B": (150.0, 86.0)}
ALPHA = 0.1

INK, PAPER, SOFT, RIGHT, WRONG, SKY = "#1f2937", "#ffffff", "#9ca3af", "#0072b2", "#d55e00", "#dbeafe"


def frames_by_protocol() -> dict[str, Frame]:
    """Protocol -> the frame of the drawn picture."""
    protocols = (IN_ORIGINAL, SD4MATCH, replace(PADDED, side=FED.width))
    return {protocol.name: frame_of(protocol, PICTURE, FED) for protocol in protocols}


def threshold(frame: Frame) -> float:
    """Alpha times the longer side of the box, in pixels of the frame."""
    corners = frame.from_original(np.array(BOX).reshape(2, 2))
    return float(ALPHA * (corners[1] - corners[0]).max())


def distance(frame: Frame, point: Sequence[float]) -> float:
    """Distance of a predicted point from the true one, in pixels of the frame."""
    ends = frame.from_original(np.array([point, TRUE]))
    return float(np.linalg.norm(ends[0] - ends[1]))


def is_right(frame: Frame, point: Sequence[float]) -> bool:
    """Whether a predicted point is within the threshold; no drawn one lies on it."""
    return distance(frame, point) < threshold(frame)


def draw_frames() -> str:
    """The same picture and points in three frames, and the thresholds as they lie on the original."""
    parts = []
    left = 20.0
    for name, frame in frames_by_protocol().items():
        parts.append(_panel(name, frame, left))
        left += PICTURE.width + 40
    return _svg(left - 20, 440, parts)


def _panel(name: str, frame: Frame, left: float) -> str:
    radius = threshold(frame)
    (sx, sy), (ox, oy) = frame.scale, frame.offset
    x, y = frame.from_original(np.array(TRUE))
    width, height = frame.size
    lines = [
        _text(left, 24, name, 15, weight="bold"),
        _text(left, 42, f"{width} x {height} pixels, threshold {radius:.1f}"),
        f'<g transform="translate({left:g} 56)">',
        f'<rect width="{width}" height="{height}" fill="{INK}"/>',
        f'<g transform="translate({ox:g} {oy:g}) scale({sx:g} {sy:g})">{_picture()}</g>',
        _circle(x, y, radius, RIGHT),
        *_points(frame),
        "</g>",
        f'<g transform="translate({left:g} 320)">',
        _text(0, 0, "the same threshold in the original picture:"),
        f'<g transform="translate(70 56) scale(2.2)">{_near(frame)}</g>',
        *_verdicts(frame),
        "</g>",
    ]
    return "\n".join(lines)


def _picture() -> str:
    """A house with a door, and its box, in original pixels."""
    x1, y1, x2, y2 = BOX
    return (
        f'<rect width="{PICTURE.width}" height="{PICTURE.height}" fill="{SKY}"/>'
        f'<path d="M{x1} {y1 + 50} L{(x1 + x2) / 2} {y1} L{x2} {y1 + 50}Z" fill="#b45309" opacity="0.6"/>'
        f'<rect x="{x1}" y="{y1 + 50}" width="{x2 - x1}" height="{y2 - y1 - 50}" fill="#fde68a"/>'
        f'<circle cx="{x1 + 36}" cy="{y1 + 84}" r="16" fill="{SOFT}"/>'
        f'<rect x="{x1}" y="{y1}" width="{x2 - x1}" height="{y2 - y1}" fill="none" stroke="{INK}" '
        'stroke-dasharray="5 4"/>'
    )


def _near(frame: Frame) -> str:
    """The threshold around the true point, in original pixels: an ellipse where a frame stretches."""
    (sx, sy), radius = frame.scale, threshold(frame)
    parts = [
        f'<ellipse rx="{radius / sx:g}" ry="{radius / sy:g}" fill="{SKY}" stroke="{RIGHT}"/>',
        f'<path d="M-3 0H3M0 -3V3" stroke="{INK}"/>',
    ]
    for name, point in PREDICTED.items():
        x, y = np.array(point) - np.array(TRUE)
        colour = RIGHT if is_right(frame, point) else WRONG
        parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="1.6" fill="{colour}"/>')
        parts.append(_text(x + 3, y + 2, name, 7, colour))
    return "".join(parts)


def _verdicts(frame: Frame) -> list[str]:
    (sx, sy), radius = frame.scale, threshold(frame)
    lines = [_text(132, 24, f"{radius / sx:.1f} across, {radius / sy:.1f} down")]
    for number, (name, point) in enumerate(PREDICTED.items()):
        right = is_right(frame, point)
        text = f"{name}: {distance(frame, point):.1f} away, {'right' if right else 'wrong'}"
        lines.append(_text(132, 46 + 20 * number, text, colour=RIGHT if right else WRONG))
    return lines


def _points(frame: Frame) -> list[str]:
    parts = []
    for name, point in PREDICTED.items():
        x, y = frame.from_original(np.array(point))
        colour = RIGHT if is_right(frame, point) else WRONG
        parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="3" fill="{colour}"/>')
        parts.append(_text(x + 5, y + (4 if name == "A" else -4), name, 12, colour))
    return parts


SIDE = 16
"""Pixels of the drawn frame of the grids."""

GRIDS: tuple[tuple[str, GridConvention, int], ...] = (
    ("corner", "corner", 4),
    ("half-pixel", "half-pixel", 4),
    ("patch-centre", "patch-centre", 4),
    ("PatchGrid(8, 4)", PatchGrid(8, 4), 3),
)
"""Convention, and cells across."""

QUERY = (11.0, 5.0)


def centres(convention: GridConvention, cells: int) -> list[float]:
    """Places of a row's cells in pixels of the frame."""
    across = np.arange(cells, dtype=float)
    places = cells_to_pixels(
        np.stack([across, across], axis=-1), Size(SIDE, SIDE), Size(cells, cells), convention
    )
    return [float(place) for place in places[:, 0]]


def query_cell(convention: GridConvention, cells: int) -> tuple[float, float]:
    """Where the query lies among the cells."""
    place = pixels_to_cells(np.array(QUERY), Size(SIDE, SIDE), Size(cells, cells), convention)
    return float(place[0]), float(place[1])


def draw_grids() -> str:
    """The cells of one frame under each convention, and one query."""
    scale, parts = 12.0, []
    left = 30.0
    for name, convention, cells in GRIDS:
        places = centres(convention, cells)
        across, down = query_cell(convention, cells)
        side = SIDE * scale
        lines = [
            _text(left, 24, name, 14, weight="bold"),
            _text(left, 44, "cells at " + ", ".join(f"{place:g}" for place in places)),
            _text(left, 62, f"the query is cell ({across:.2f}, {down:.2f})"),
            f'<g transform="translate({left:g} 80)">',
            f'<rect width="{side:g}" height="{side:g}" fill="{SKY}" stroke="{INK}"/>',
        ]
        # Pixels' centres are whole numbers in the first two conventions, their edges in the others.
        shift = 0.5 if convention in ("corner", "half-pixel") else 0.0
        for x in places:
            for y in places:
                lines.append(_circle((x + shift) * scale, (y + shift) * scale, 5, RIGHT, filled=True))
        x, y = ((value + shift) * scale for value in QUERY)
        cross = f"M{x - 6:g} {y:g}H{x + 6:g}M{x:g} {y - 6:g}V{y + 6:g}"
        lines += [f'<path d="{cross}" stroke="{WRONG}" stroke-width="2.5"/>', "</g>"]
        parts.append("\n".join(lines))
        left += side + 44
    return _svg(left - 14, 292, parts)


def _circle(x: float, y: float, radius: float, colour: str, filled: bool = False) -> str:
    fill = colour if filled else "none"
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill}" stroke="{colour}" stroke-width="2"/>'


def _text(x: float, y: float, text: str, size: float = 13, colour: str = INK, weight: str = "normal") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="{weight}" fill="{colour}">{text}</text>'
    )


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="sans-serif">'
    )
    ground = f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


DRAWINGS = {"frames.svg": draw_frames, "grids.svg": draw_grids}
"""File -> what draws it."""


def main(folder: Path = IMAGES) -> None:
    """Writes the pictures."""
    for name, draw in DRAWINGS.items():
        (folder / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
