"""The training pictures, drawn once and kept on disk."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from baselines.tiny.captions import caption
from harness.atomic import replacing
from harness.datasets.shapes import ShapesImage
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.dice import VERSION, Dice
from harness.datasets.shapes.render import draw_looks

SIDE = 96
"""Width and height in pixels that the tiny networks see; pictures are stretched to it."""

SPLIT = "train"


@dataclass(frozen=True)
class Pictures:
    """Attributes:
    pixels: (n, 96, 96, 3) uint8, mapped from disk.
    captions, categories: one for each.
    """

    pixels: np.ndarray
    captions: list[str]
    categories: list[str]


def training_pictures(folder: Path, per_category: int, workers: int) -> Pictures:
    """`per_category` pictures of each category of `shapes`' training seeds, in an order that mixes categories; drawn when not there."""
    name = f"shapes{VERSION}-{SIDE}-{per_category}"
    array, listing = folder / f"{name}.npy", folder / f"{name}.json"
    if not listing.is_file():
        _draw(array, listing, per_category, workers)
    lines = json.loads(listing.read_text(encoding="utf-8"))
    return Pictures(np.load(array, mmap_mode="r"), lines["captions"], lines["categories"])


def _draw(array: Path, listing: Path, per_category: int, workers: int) -> None:
    from tqdm import tqdm

    keys = [(category, index) for index in range(per_category) for category in KINDS]
    array.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.lib.format.open_memmap(array, mode="w+", dtype=np.uint8, shape=(len(keys), SIDE, SIDE, 3))
    captions: list[str] = []
    with ProcessPoolExecutor(workers) as pool:
        drawn = pool.map(_picture, keys, chunksize=64)
        for number, (picture, words) in enumerate(tqdm(drawn, total=len(keys), desc="drawing", disable=None)):
            pixels[number] = picture
            captions.append(words)
    pixels.flush()
    with replacing(listing) as file:
        file.write(json.dumps({"captions": captions, "categories": [category for category, _ in keys]}).encode())


def _picture(key: tuple[str, int]) -> tuple[np.ndarray, str]:
    category, index = key
    small = ShapesImage(SPLIT, category, index).open().resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR)
    return np.asarray(small), caption(category, draw_looks(SPLIT, category, index)[1], Dice("caption", SPLIT, category, index))
