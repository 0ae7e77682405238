"""Small photo collections."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image


def draw(path: Path, seed: int, size: tuple[int, int] = (60, 48)) -> None:
    """A picture of smooth colour noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC).save(path)


def photo_list(images: int = 4) -> dict:
    """All ordered pairs of a few pictures, five points each."""
    points = np.array([[10, 10], [50, 10], [30, 24], [10, 40], [50, 40]], dtype=float)
    names = [f"photo{i}.png" for i in range(images)]
    pairs = [
        {
            "source": a,
            "target": b,
            "category": "blob",
            "source_points": points.tolist(),
            "target_points": (points + (i % 3, i % 2)).tolist(),
            "target_box": [5, 5, 55, 45],
            "labels": {"viewpoint_variation": i % 3},
        }
        for i, (a, b) in enumerate((a, b) for a in names for b in names if a != b)
    ]
    return {"name": "photos", "pairs": pairs}


def make_photos(folder: Path, images: int = 4) -> Path:
    for number in range(images):
        draw(folder / f"photo{number}.png", number)
    write_list(folder, photo_list(images))
    return folder


def write_list(folder: Path, content: object) -> None:
    (folder / "pairs.json").write_text(json.dumps(content))


def read_list(folder: Path) -> dict:
    return json.loads((folder / "pairs.json").read_text())
