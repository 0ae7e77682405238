"""Writes data of the shape of SPair-71k's test split, drawn from `shapes`, as a folder of one's own photos.

SPair-71k has 12,234 test pairs of 18 categories on some 27 pictures each: 680 pairs a category, so that a
picture is used 50 times, and pictures of about 500 x 375 pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from harness.datasets.shapes.pairs import Shapes, ShapesImage

POINTS = 3
"""A pair's keypoints at least, as in `shapes`."""


@dataclass(frozen=True)
class Extent:
    """Numbers and sizes of pictures and pairs.

    Attributes:
        images: pictures of each category.
        pairs: ordered pairs of each category, as far as so many share enough points.
        longer, shorter: sides of a picture in pixels.
    """

    categories: int
    images: int
    pairs: int
    longer: int = 500
    shorter: int = 375


SPAIR_SHAPED = Extent(2, 27, 680)
TRUE_SIZE = Extent(8, 25, 63)
"""Two hundred pictures and five hundred pairs, for networks whose features take seconds."""

SMALL = Extent(2, 6, 24, 160, 120)


def write_folder(folder: Path, extent: Extent, seed: int = 0) -> Path:
    """Writes pictures and `pairs.json`; the same bytes for the same arguments. Returns the folder."""
    dataset = Shapes("test")
    pictures: dict[str, list[ShapesImage]] = {}
    for image in dataset.images():
        pictures.setdefault(image.category, []).append(image)
    dice = np.random.default_rng(seed)
    pairs: list[Mapping[str, Any]] = []
    folder.mkdir(parents=True, exist_ok=True)
    for category in sorted(pictures)[: extent.categories]:
        placed = []
        for image in pictures[category][: extent.images]:
            placed.append(_write_picture(dataset, image, folder, extent))
        pairs += _pairs(category, placed, extent.pairs, dice)
    content = {"name": "spair-shaped", "threshold": "box", "pairs": pairs}
    (folder / "pairs.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@dataclass(frozen=True, eq=False)
class _Placed:
    """A picture that is written, with its points and box in its own pixels."""

    file: str
    points: np.ndarray
    box: np.ndarray


def _write_picture(dataset: Shapes, image: ShapesImage, folder: Path, extent: Extent) -> _Placed:
    """Enlarges a picture; its aspect ratio becomes the extent's, lying or upright."""
    annotation = dataset.annotation(image)
    width, height = annotation.size
    size = (extent.longer, extent.shorter)
    if width < height:
        size = (extent.shorter, extent.longer)
    scale = np.array(size) / (width, height)
    picture = image.open().resize(size, PIL.Image.Resampling.BICUBIC)
    picture.save(folder / f"{image.name}.jpg", quality=90)
    # A box is two corners.
    corners = np.array(annotation.box).reshape(2, 2)
    box = (corners * scale).ravel()
    return _Placed(f"{image.name}.jpg", annotation.points * scale, box)


def _pairs(
    category: str, placed: list[_Placed], count: int, dice: np.random.Generator
) -> list[Mapping[str, Any]]:
    """The first `count` of a random order of all ordered pairs that share enough points."""
    entries: list[Mapping[str, Any]] = []
    for number in dice.permutation(len(placed) ** 2).tolist():
        source = placed[number // len(placed)]
        target = placed[number % len(placed)]
        # A point that is not in the picture is NaN.
        is_finite = np.isfinite(source.points) & np.isfinite(target.points)
        shared = is_finite.all(axis=1)
        if source is target or shared.sum() < POINTS:
            continue
        entries.append(
            {
                "id": f"{category}-{len(entries):04d}",
                "source": source.file,
                "target": target.file,
                "category": category,
                "source_points": source.points[shared].tolist(),
                "target_points": target.points[shared].tolist(),
                "target_box": target.box.tolist(),
            }
        )
        if len(entries) == count:
            break
    return entries


def shorten(folder: Path, shortened: Path, pairs: int) -> Path:
    """Writes a list of a folder's first pairs, whose pictures stay where they are. Returns its folder.

    A run with a large `--limit` computes features of pairs beside those it is limited to: batches are those
    of the whole list.
    """
    content = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))
    content["pairs"] = content["pairs"][:pairs]
    for pair in content["pairs"]:
        for side in ("source", "target"):
            pair[side] = str((folder / pair[side]).resolve())
    shortened.mkdir(parents=True, exist_ok=True)
    (shortened / "pairs.json").write_text(json.dumps(content), encoding="utf-8")
    return shortened
