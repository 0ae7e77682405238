"""Pairs of the user's own pictures with points at random: for time and memory, not for scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from workloads import Extent

from harness.datasets.decoding import decode_rgb
from harness.errors import DataError, UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
POINTS = 10
"""Of a pair; SPair-71k's pairs have nine on average."""


def find_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, sorted by name. Raises `UserError` where there are fewer than two."""
    if not folder.is_dir():
        raise UserError(f"--pictures {folder}: is no folder; name one with pictures")
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if len(pictures) < 2:
        raise UserError(
            f"--pictures {folder}: has {len(pictures)} of the two pictures that a pair needs "
            f"({', '.join(SUFFIXES)}); name another folder, or leave --pictures out"
        )
    return pictures


def write_pairs(pictures: list[Path], folder: Path, extent: Extent, seed: int = 0) -> Path:
    """Writes `pairs.json` about at most as many pictures and pairs as an extent has, and returns the folder.

    The pictures stay where they are.

    Raises:
        UserError: a picture cannot be read.
    """
    dice = np.random.default_rng(seed)
    chosen = [path.resolve() for path in pictures[: extent.categories * extent.images]]
    sizes = [_size(path) for path in chosen]
    pairs: list[dict[str, Any]] = []
    for number in dice.permutation(len(chosen) ** 2).tolist():
        source, target = divmod(number, len(chosen))
        if source == target:
            continue
        pairs.append(
            {
                "id": f"pair-{len(pairs):04d}",
                "source": str(chosen[source]),
                "target": str(chosen[target]),
                "category": "picture",
                "source_points": (dice.random((POINTS, 2)) * sizes[source]).tolist(),
                "target_points": (dice.random((POINTS, 2)) * sizes[target]).tolist(),
            }
        )
        if len(pairs) == extent.categories * extent.pairs:
            break
    folder.mkdir(parents=True, exist_ok=True)
    content = {"name": "own-pictures", "threshold": "image", "pairs": pairs}
    (folder / "pairs.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _size(path: Path) -> tuple[int, int]:
    try:
        return decode_rgb(path).size
    except DataError as error:
        raise UserError(f"--pictures: {error}") from error
