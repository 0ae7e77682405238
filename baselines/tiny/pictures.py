"""The training pictures, drawn once and kept on disk."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from baselines.tiny.captions import caption
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.keyed_random import VERSION, KeyedRandom
from harness.datasets.shapes.pairs import ShapesImage
from harness.datasets.shapes.render import draw_looks
from harness.files import replacing
from harness.frames import Frame, Size, padded_content

SIDE = 96
"""Width and height in pixels that the tiny networks see; pictures are stretched to it."""

SPLIT = "train"


@dataclass(frozen=True)
class Pictures:
    """Training pictures with their captions.

    Attributes:
        pixels: (n, 96, 96, 3) uint8, mapped from disk.
        captions, categories: one for each picture.
    """

    pixels: np.ndarray
    captions: list[str]
    categories: list[str]


def training_pictures(folder: Path, per_category: int, workers: int) -> Pictures:
    """Pictures of `shapes`' training seeds, in an order that mixes categories.

    They are drawn if the folder does not hold them yet.

    Args:
        per_category: number of pictures of each category.
        workers: processes that draw.
    """
    name = f"shapes{VERSION}-{SIDE}-{per_category}"
    array = folder / f"{name}.npy"
    listing = folder / f"{name}.json"
    # The listing is written last: where it is, the array is whole.
    if not listing.is_file():
        _draw_pictures(array, listing, per_category, workers)
    labels = json.loads(listing.read_text(encoding="utf-8"))
    return Pictures(np.load(array, mmap_mode="r"), labels["captions"], labels["categories"])


@dataclass(frozen=True)
class PaddedPictures:
    """Training pictures as DINOv2's recipe sees them.

    Attributes:
        pixels: (n, side, side, 3) uint8, mapped from disk; the longer side resized to the square's, on black.
        sizes: (n, 2) widths and heights in original pixels.
    """

    pixels: np.ndarray
    sizes: np.ndarray


def pad_pictures(
    folder: Path,
    per_category: int,
    side: int,
    workers: int,
) -> PaddedPictures:
    """Pads the pictures of `training_pictures`, in its order, unless the folder holds them already."""
    from tqdm import tqdm

    name = f"padded{VERSION}-{side}-{per_category}"
    array = folder / f"{name}.npy"
    sizes_path = folder / f"{name}-sizes.npy"
    # The sizes are written last: where they are, the array is whole.
    if not sizes_path.is_file():
        keys = [(category, index, side) for category, index in _picture_keys(per_category)]
        shape = (len(keys), side, side, 3)
        pixels = np.lib.format.open_memmap(array, mode="w+", dtype=np.uint8, shape=shape)
        sizes = np.zeros((len(keys), 2), dtype=np.int64)
        with ProcessPoolExecutor(workers) as pool:
            drawn = pool.map(_draw_padded, keys, chunksize=64)
            results = tqdm(drawn, total=len(keys), desc="drawing", disable=None)
            for number, (picture, size) in enumerate(results):
                pixels[number], sizes[number] = picture, size
        pixels.flush()
        with replacing(sizes_path) as file:
            np.save(file, sizes)
    return PaddedPictures(np.load(array, mmap_mode="r"), np.load(sizes_path))


def _picture_keys(per_category: int) -> list[tuple[str, int]]:
    """(category, index) of all training pictures; categories alternate."""
    keys = []
    for index in range(per_category):
        keys += [(category, index) for category in KINDS]
    return keys


def _draw_padded(key: tuple[str, int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Draws the picture of (category, index) padded to a square side; its pixels and original size."""
    category, index, side = key
    image = ShapesImage(SPLIT, category, index).open()
    size = Size(*image.size)
    inner = padded_content(size, side)
    left, top = map(int, Frame.padded(size, side).offset)
    resized = image.resize(inner, PIL.Image.Resampling.LANCZOS)
    square = np.zeros((side, side, 3), dtype=np.uint8)
    square[top : top + inner.height, left : left + inner.width] = np.asarray(resized)
    return square, image.size


def _draw_pictures(
    array: Path,
    listing: Path,
    per_category: int,
    workers: int,
) -> None:
    """Draws all training pictures into an array and a listing of their captions and categories."""
    from tqdm import tqdm

    keys = _picture_keys(per_category)
    array.parent.mkdir(parents=True, exist_ok=True)
    # Mapped, since all pictures together may be larger than the memory.
    shape = (len(keys), SIDE, SIDE, 3)
    pixels = np.lib.format.open_memmap(array, mode="w+", dtype=np.uint8, shape=shape)
    captions: list[str] = []
    with ProcessPoolExecutor(workers) as pool:
        drawn = pool.map(_draw_picture, keys, chunksize=64)
        results = tqdm(drawn, total=len(keys), desc="drawing", disable=None)
        for number, (picture, text) in enumerate(results):
            pixels[number] = picture
            captions.append(text)
    pixels.flush()
    labels = {"captions": captions, "categories": [category for category, _ in keys]}
    with replacing(listing) as file:
        file.write(json.dumps(labels).encode())


def _draw_picture(key: tuple[str, int]) -> tuple[np.ndarray, str]:
    """Draws the picture of (category, index): its pixels and caption."""
    category, index = key
    image = ShapesImage(SPLIT, category, index).open()
    small = image.resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR)
    looks = draw_looks(SPLIT, category, index)[1]
    text = caption(category, looks, KeyedRandom("caption", SPLIT, category, index))
    return np.asarray(small), text
