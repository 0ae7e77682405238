"""Pictures of matched points: two images side by side, lines between them, a painted grid, a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import PIL.ImageOps

from harness.drawing.colours import OKABE_ITO, position_colours, viridis
from harness.drawing.paper import GAP, PANEL, Colour, Paper
from harness.frames import Size
from harness.matching.match import Match
from harness.specs import NO_PROMPT

NUMBERED = 30
"""Most points that are numbered and listed one by one."""


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
    return Size(*(max(1, round(side * scale)) for side in image))


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
    paper = Paper(columns=3 if points and heat else 2)
    paper.add_text(_heading(match), size=18)
    if points:
        _draw_points(paper, images, points, heat)
    if points and dense:
        paper.add_space(GAP // 2)
    if dense:
        _draw_dense(paper, images, dense)
    return paper.to_image()


def _heading(match: Match) -> str:
    category = f", category {match.category}" if match.category else ""
    prompt = f", prompt {match.prompt}" if match.prompt != NO_PROMPT else ""
    return f"{match.method}{prompt}{category}, localizer {match.localizer}, backbone {match.backbone}"


def _title(letter: str, name: str, size: Size) -> str:
    return f"{letter}: {name}, {size.width} x {size.height} px"


def _draw_points(paper: Paper, images: Sequence[PIL.Image.Image], match: Match, heat: Heat | None) -> None:
    panel_images = list(images)
    titles = [_title("A", match.a.name, match.a_size), _title("B", match.b.name, match.b_size)]
    if heat:
        panel_images.append(PIL.Image.fromarray(viridis(_share(heat.values))))
        titles.append("B: cosine similarity to the point of A")
    panels = paper.add_images(panel_images, titles)
    sizes = (match.a_size, match.b_size)
    colours = [_colour(OKABE_ITO[number % len(OKABE_ITO)]) for number in range(len(match))]
    ends = [
        [panel.position(point, size) for point in points]
        for panel, size, points in zip(panels, sizes, (match.points, match.found), strict=False)
    ]
    for start, end, colour in zip(*ends, colours, strict=True):
        paper.draw_line(start, end, colour)
    if heat:
        paper.draw_ring(panels[2].position(match.found[0], match.b_size))
    # Discs over all lines, and numbers over all discs.
    for panel_positions in ends:
        for position, colour in zip(panel_positions, colours, strict=True):
            paper.draw_disc(position, 6, colour)
    if len(match) <= NUMBERED:
        for panel, panel_positions in zip(panels, ends, strict=False):
            for number, position in enumerate(panel_positions, start=1):
                paper.draw_number(position, number, panel)
    _add_caption(paper, match, colours)
    if heat:
        low, high = float(heat.values.min()), float(heat.values.max())
        paper.add_scale(
            low,
            high,
            f"cosine similarity; n = 1 point of A, {heat.cells.width} x {heat.cells.height} cells of B; "
            "the ring is the place found",
        )


def _add_caption(paper: Paper, match: Match, colours: Sequence[Colour]) -> None:
    """Adds the number of points and their positions, or a summary of similarity where there are many."""
    paper.add_text(
        f"n = {len(match)} {'point' if len(match) == 1 else 'points'}; (x, y) in pixels of A and of B; "
        "similarity: cosine of the features at both places, from -1 to 1"
    )
    if len(match) <= NUMBERED:
        entries = [f"{number}: {line}" for number, line in enumerate(_lines(match), start=1)]
        paper.add_list(list(zip(entries, colours, strict=True)))
    else:
        paper.add_text(
            f"similarity from {match.similarity.min():.2f} to {match.similarity.max():.2f}, "
            f"mean {match.similarity.mean():.2f}"
        )


def _lines(match: Match) -> Iterator[str]:
    for (x, y), (u, v), similarity in zip(match.points, match.found, match.similarity, strict=True):
        yield f"({x:.1f}, {y:.1f}) to ({u:.1f}, {v:.1f}), similarity {similarity:.2f}"


def _draw_dense(paper: Paper, images: Sequence[PIL.Image.Image], match: Match) -> None:
    sizes = (match.a_size, match.b_size)
    panels = paper.add_images(
        [_fade(image) for image in images],
        [
            _title("A", match.a.name, sizes[0]) + ", grid",
            _title("B", match.b.name, sizes[1]) + ", the same points found",
        ],
    )
    columns, rows = (len(np.unique(match.points[:, axis])) for axis in (0, 1))
    radius = max(2.0, 0.28 * min(panels[0].size.width / columns, panels[0].size.height / rows))
    colours = [_colour(values) for values in position_colours(match.points / match.a_size)]
    for panel, size, points in zip(panels, sizes, (match.points, match.found), strict=True):
        for point, colour in zip(points, colours, strict=True):
            paper.draw_disc(panel.position(point, size), radius, colour, edge=1)
    step = match.a_size.width / columns, match.a_size.height / rows
    paper.add_text(
        f"n = {len(match)} points ({columns} x {rows}), every {step[0]:.1f} px in x and {step[1]:.1f} px in "
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
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue
