"""Writes pairs of `shapes` in their own size as a folder of photos: those that peers were timed on.

`workloads` enlarges pictures to a photograph's size; here they stay as they are drawn, 96 to 128 pixels.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.datasets.shapes.pairs import Shapes, ShapesImage

POINTS = 3
"""A pair's keypoints at least, as in `shapes`."""


class Couple(NamedTuple):
    """A pair to be: two pictures of one category."""

    source: ShapesImage
    target: ShapesImage


def every(step: int, first: int = 0) -> list[Couple]:
    """Every so many of the test list's 600 pairs: nearly every picture is new."""
    dataset = Shapes("test")
    couples = []
    for number in range(first, len(dataset), step):
        pair = dataset[number]
        couples.append(Couple(_picture(pair.source), _picture(pair.target)))
    return couples


def among(images: int, pairs: int | None = None) -> list[Couple]:
    """Pairs of the first pictures of the first category, each picture in as many as the others.

    Args:
        pairs: a multiple of `images`; None for all ordered pairs.

    Raises:
        ValueError: `pairs` is no multiple of `images`, or there are not so many.
    """
    steps = images - 1 if pairs is None else pairs // images
    if not 0 < steps < images or (pairs is not None and pairs % images):
        raise ValueError(f"{pairs} pairs of {images} pictures: no picture can be in as many as the others")
    dataset = Shapes("test")
    pictures: dict[str, list[ShapesImage]] = {}
    for image in dataset.images():
        pictures.setdefault(image.category, []).append(image)
    chosen = pictures[min(pictures)][:images]
    if len(chosen) < images:
        raise ValueError(f"{images} pictures: a category of shapes has {len(chosen)}")
    # With its next neighbour, the one after it, and so on, around a circle.
    around = itertools.product(range(1, steps + 1), range(images))
    return [Couple(chosen[first], chosen[(first + step) % images]) for step, first in around]


def write_couples(folder: Path, couples: Iterable[Couple]) -> Path:
    """Writes the pictures and `pairs.json`; the same bytes every time. Returns the folder."""
    dataset = Shapes("test")
    folder.mkdir(parents=True, exist_ok=True)
    written: set[str] = set()
    pairs = []
    for number, couple in enumerate(couples):
        for image in couple:
            if image.name not in written:
                image.open().save(folder / f"{image.name}.png")
                written.add(image.name)
        pairs.append(_entry(dataset, number, couple))
    content = {"name": "shape-pairs", "threshold": "box", "pairs": pairs}
    (folder / "pairs.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _entry(dataset: Shapes, number: int, couple: Couple) -> Mapping[str, Any]:
    source, target = dataset.annotation(couple.source), dataset.annotation(couple.target)
    # A point that is not in the picture is NaN.
    is_shared = (np.isfinite(source.points) & np.isfinite(target.points)).all(axis=1)
    return {
        "id": f"{number:04d}",
        "source": f"{couple.source.name}.png",
        "target": f"{couple.target.name}.png",
        "category": couple.source.category,
        "source_points": source.points[is_shared].tolist(),
        "target_points": target.points[is_shared].tolist(),
        "target_box": list(target.box),
    }


def pictures_of(couples: Iterable[Couple]) -> Iterator[ShapesImage]:
    """Yields each picture once."""
    seen = set()
    for image in itertools.chain.from_iterable(couples):
        if image.name not in seen:
            seen.add(image.name)
            yield image


def _picture(source: Any) -> ShapesImage:
    if not isinstance(source, ShapesImage):
        raise TypeError(f"{source!r} is no picture of shapes")
    return source
