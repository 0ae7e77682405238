"""Pictures of matched points: two images side by side, lines between them, a painted grid, a heat map."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
import PIL.ImageFont
import PIL.ImageOps

from harness.drawing.colours import OKABE_ITO, position_colours, viridis
from harness.drawing.paper import GAP, PANEL, Colour, Paper
from harness.frames import Size
from harness.matching.match import Match
from harness.specs import NO_PROMPT

NUMBERED = 30
"""Most points that are numbered and listed one by one."""

_OUTLINE_BLUR = 1.5
"""Standard deviation, in pixels of a panel, of the blur before outlines are looked for: noise has none."""

_OUTLINE_INK = 0.75
"""Share of ink in the colour of the sharpest outlines."""


@dataclass(frozen=True, eq=False)
class Heat:
    """Similarity of one point of A to the whole of B.

    Attributes:
        values: (h, w) cosines; B is seen as an image of (w, h) pixels.
        cells: number of positions across and down of B's feature map.
    """

    values: np.ndarray
    cells: Size


def panel_size(image: Size) -> Size:
    """Size in pixels at which an image is drawn, and at which a `Heat` of it is best computed."""
    scale = PANEL / max(image)
    # As `harness.drawing.contact_sheet.fit_image` rounds it.
    width, height = (max(1, round(side * scale)) for side in image)
    return Size(width, height)


def picture(
    images: Sequence[PIL.Image.Image],
    points: Match | None,
    *,
    dense: Match | None = None,
    heat: Heat | None = None,
) -> PIL.Image.Image:
    """One picture of a match.

    Args:
        images: A and B.
        points: points to be numbered and joined by lines.
        dense: the points of a grid, to be painted in the colours of their positions in A.
        heat: similarity of B to the first of `points`.

    Returns:
        An RGB picture on white, with the sizes of both images, n and units in it.
    """
    match = points or dense
    if match is None:
        raise ValueError("nothing to draw")
    # A, B and, beside them, B as a heat map.
    columns = 3 if points and heat else 2
    paper = Paper(columns)
    paper.add_text(_heading(match), size=18)
    if points:
        _draw_points(paper, images, points, heat)
    if points and dense:
        paper.add_space(GAP // 2)
    if dense:
        _draw_dense(paper, images, dense)
    return paper.to_image()


def _heading(match: Match) -> str:
    recipe = match.method
    if match.prompt != NO_PROMPT:
        recipe += f", prompt {match.prompt}"
    if match.category:
        recipe += f", category {match.category}"
    return f"{recipe}, localizer {match.localizer}, backbone {match.backbone}"


def _title(letter: str, name: str, size: Size) -> str:
    return f"{letter}: {name}, {size.width} x {size.height} px"


def _draw_points(paper: Paper, images: Sequence[PIL.Image.Image], match: Match, heat: Heat | None) -> None:
    panel_images = list(images)
    titles = [_title("A", match.a.name, match.a_size), _title("B", match.b.name, match.b_size)]
    if heat:
        panel_images.append(_with_outlines(viridis(_share(heat.values)), images[1]))
        titles.append("B: cosine similarity to the point of A, and B's outlines")
    panels = paper.add_images(panel_images, titles)
    # There are more points than colours that differ: neighbours in the list have different ones.
    palette = itertools.cycle([_colour(values) for values in OKABE_ITO])
    colours = list(itertools.islice(palette, len(match)))
    starts = [panels[0].position(point, match.a_size) for point in match.points]
    # A point that was found outside B, in the margin of a padded picture, is drawn at B's edge.
    ends = [panels[1].position(point, match.b_size) for point in _clamp(match)]
    for start, end, colour in zip(starts, ends, colours, strict=True):
        paper.draw_line(start, end, colour)
    if heat:
        paper.draw_ring(panels[2].position(_clamp(match)[0], match.b_size))
    # Discs over all lines, and numbers over all discs.
    for panel_positions in (starts, ends):
        for position, colour in zip(panel_positions, colours, strict=True):
            paper.draw_disc(position, 6, colour)
    if len(match) <= NUMBERED:
        for panel, panel_positions in zip(panels[:2], (starts, ends), strict=True):
            for number, position in enumerate(panel_positions, start=1):
                paper.draw_number(position, number, panel)
    _add_caption(paper, match, colours)
    if heat:
        low, high = float(heat.values.min()), float(heat.values.max())
        cells = f"{heat.cells.width} x {heat.cells.height} cells of B"
        label = f"cosine similarity; n = 1 point of A, {cells}; the ring is the place found"
        paper.add_scale(low, high, label)


def _with_outlines(colours: np.ndarray, image: PIL.Image.Image) -> PIL.Image.Image:
    """A heat map with the outlines of the picture that it is of: a peak is seen on what it lies.

    The rest keeps its colour, so that it can be read off the scale.

    Args:
        colours: (height, width, 3) uint8.
    """
    height, width = colours.shape[:2]
    grey = image.convert("L").resize((width, height), PIL.Image.Resampling.BICUBIC)
    smooth = np.asarray(grey.filter(PIL.ImageFilter.GaussianBlur(_OUTLINE_BLUR)), dtype=np.float64)
    steepness = np.hypot(*np.gradient(smooth)) if min(smooth.shape) > 1 else np.zeros_like(smooth)
    steepest = np.quantile(steepness, 0.99)
    # Nothing stands out of a picture of one colour.
    strength = np.clip(steepness / max(steepest, 1.0), 0, 1) ** 1.5 * _OUTLINE_INK
    # White on dark colours and black on light ones.
    ink = np.where(colours.mean(axis=2, keepdims=True) < 128, 255.0, 0.0)
    mixed = colours + (ink - colours) * strength[..., np.newaxis]
    return PIL.Image.fromarray(mixed.round().astype(np.uint8))


def _add_caption(paper: Paper, match: Match, colours: Sequence[Colour]) -> None:
    """Adds the number of points and their positions, or a summary of similarity where there are many."""
    points = "point" if len(match) == 1 else "points"
    paper.add_text(
        f"n = {len(match)} {points}; (x, y) in pixels of A and of B; "
        "similarity: cosine of the features at both places, from -1 to 1"
    )
    if len(match) > NUMBERED:
        low, high = match.similarity.min(), match.similarity.max()
        mean = match.similarity.mean()
        paper.add_text(f"similarity from {low:.2f} to {high:.2f}, mean {mean:.2f}")
        return
    entries = []
    for number, (line, colour) in enumerate(zip(_lines(match), colours, strict=True), start=1):
        entries.append((f"{number}: {line}", colour))
    paper.add_list(entries)


def _clamp(match: Match) -> np.ndarray:
    """The points found (N, 2), those outside B moved to its edge."""
    clamped: np.ndarray = np.clip(match.found, 0, match.b_size)
    return clamped


def _lines(match: Match) -> Iterator[str]:
    for (x, y), (u, v), similarity in zip(match.points, match.found, match.similarity, strict=True):
        yield f"({x:.1f}, {y:.1f}) to ({u:.1f}, {v:.1f}), similarity {similarity:.2f}"


def _draw_dense(paper: Paper, images: Sequence[PIL.Image.Image], match: Match) -> None:
    title_a = _title("A", match.a.name, match.a_size)
    title_b = _title("B", match.b.name, match.b_size)
    titles = [f"{title_a}, grid", f"{title_b}, the same points found"]
    panel_a, panel_b = paper.add_images([_fade(image) for image in images], titles)
    columns = len(np.unique(match.points[:, 0]))
    rows = len(np.unique(match.points[:, 1]))
    # Discs half as wide as the step to the next one: the image is seen between them.
    panel_step = min(panel_a.size.width / columns, panel_a.size.height / rows)
    radius = max(2.0, 0.28 * panel_step)
    colours = [_colour(values) for values in position_colours(match.points / match.a_size)]
    for point, colour in zip(match.points, colours, strict=True):
        paper.draw_disc(panel_a.position(point, match.a_size), radius, colour, edge=1)
    for point, colour in zip(_clamp(match), colours, strict=True):
        paper.draw_disc(panel_b.position(point, match.b_size), radius, colour, edge=1)
    step_x, step_y = match.a_size.width / columns, match.a_size.height / rows
    paper.add_text(
        f"n = {len(match)} points ({columns} x {rows}), every {step_x:.1f} px in x and {step_y:.1f} px in "
        "y of A; a point has one colour in both images, that of its place in A; "
        f"mean similarity (cosine) {match.similarity.mean():.2f}"
    )
    paper.add_position_colours(match.a_size)


def _fade(image: PIL.Image.Image) -> PIL.Image.Image:
    """Makes an image grey and pale, so that only the points have colours."""
    grey = PIL.ImageOps.grayscale(image)
    return grey.point(lambda value: 110 + value * 130 // 255).convert("RGB")


def _share(values: np.ndarray) -> np.ndarray:
    """Values as shares of their own range; zeros where all are alike."""
    low, high = values.min(), values.max()
    if not high > low:
        return np.zeros_like(values)
    shares: np.ndarray = (values - low) / (high - low)
    return shares


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue
