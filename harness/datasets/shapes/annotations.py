"""What pairs need of a picture's geometry.

That of the test split's pictures is kept in a file, since every run of `shapes` would draw it anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from harness.datasets.shapes.keyed_random import VERSION
from harness.datasets.shapes.scene import Scene
from harness.frames import Size

KEPT_SPLIT = "test"
"""The split whose annotations are kept."""

FILE = Path(__file__).parent / "test.json"
"""The annotations of the test split, which `python -m tools.shapes_annotations` writes."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """The part of a picture's `Scene` that pairs need, without its outlines.

    Attributes:
        points, box: as of the scene; `points` cannot be written to.
        yaw, roll: degrees, of the scene's camera.
        mirrored: whether the drawing is flipped.
    """

    size: Size
    points: np.ndarray
    box: tuple[float, float, float, float]
    yaw: float
    roll: float
    mirrored: bool
    is_truncated: bool
    is_occluded: bool


def annotation_of(scene: Scene) -> Annotation:
    """The annotation of a scene."""
    scene.points.setflags(write=False)
    return Annotation(
        scene.size,
        scene.points,
        scene.box,
        scene.camera.yaw,
        scene.camera.roll,
        scene.camera.mirrored,
        scene.is_truncated,
        scene.is_occluded,
    )


def kept_annotation(split: str, name: str) -> Annotation | None:
    """The annotation of a picture; None where it is to be drawn.

    Args:
        name: of the picture.
    """
    return _read().get(name) if split == KEPT_SPLIT else None


@cache
def _read() -> dict[str, Annotation]:
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    if kept["version"] != VERSION:  # the file of another drawing
        return {}
    annotations = {}
    for name, values in kept["pictures"].items():
        # In JSON nothing stands for NaN, the row of a keypoint that is not visible.
        points = np.array([point or (np.nan, np.nan) for point in values["points"]])
        points.setflags(write=False)
        shape = {"size": Size(*values["size"]), "points": points, "box": tuple(values["box"])}
        annotations[name] = Annotation(**{**values, **shape})
    return annotations


def to_json(annotations: Iterable[tuple[str, Annotation]]) -> str:
    """The content of the file, a line for each picture.

    Args:
        annotations: of all pictures of the test split, with their names.
    """
    lines = []
    for name, annotation in annotations:
        points = [point.tolist() if np.isfinite(point).all() else None for point in annotation.points]
        values = json.dumps({**asdict(annotation), "points": points})
        lines.append(f"{json.dumps(name)}: {values}")
    pictures = ",\n".join(lines)
    return f'{{"version": {json.dumps(VERSION)}, "pictures": {{\n{pictures}\n}}}}\n'
