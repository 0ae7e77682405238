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


@dataclass(frozen=True)
class PaddedPictures:
    """The same pictures as DINOv2's recipe sees them.

    Attributes:
        pixels: (n, side, side, 3) uint8, mapped from disk; the longer side resized to the square's, on black.
        sizes: (n, 2) widths and heights in original pixels.
    """

    pixels: np.ndarray
    sizes: np.ndarray


def padded_pictures(folder: Path, per_category: int, side: int, workers: int) -> PaddedPictures:
    """The pictures of `training_pictures`, in its order; drawn when not there."""
    from tqdm import tqdm

    array, sizes = (folder / f"padded{VERSION}-{side}-{per_category}{part}.npy" for part in ("", "-sizes"))
    if not sizes.is_file():
        keys = [(category, index, side) for index in range(per_category) for category in KINDS]
        pixels = np.lib.format.open_memmap(array, mode="w+", dtype=np.uint8, shape=(len(keys), side, side, 3))
        found = np.zeros((len(keys), 2), dtype=np.int64)
        with ProcessPoolExecutor(workers) as pool:
            drawn = pool.map(_padded, keys, chunksize=64)
            for number, (picture, size) in enumerate(
                tqdm(drawn, total=len(keys), desc="drawing", disable=None)
            ):
                pixels[number], found[number] = picture, size
        pixels.flush()
        with replacing(sizes) as file:
            np.save(file, found)
    return PaddedPictures(np.load(array, mmap_mode="r"), np.load(sizes))


def _padded(key: tuple[str, int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    category, index, side = key
    image = ShapesImage(SPLIT, category, index).open()
    inner, (left, top) = padded_content(Size(*image.size), side), Frame.padded(Size(*image.size), side).offset
    square = np.zeros((side, side, 3), dtype=np.uint8)
    square[int(top) :, int(left) :][: inner.height, : inner.width] = np.asarray(
        image.resize(inner, PIL.Image.Resampling.LANCZOS)
    )
    return square, image.size


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
        file.write(
            json.dumps({"captions": captions, "categories": [category for category, _ in keys]}).encode()
        )


def _picture(key: tuple[str, int]) -> tuple[np.ndarray, str]:
    category, index = key
    small = ShapesImage(SPLIT, category, index).open().resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR)
    return np.asarray(small), caption(
        category, draw_looks(SPLIT, category, index)[1], KeyedRandom("caption", SPLIT, category, index)
    )
