"""Splits of pictures that are made when they are opened."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch

from harness.datasets.splits import SplitIndex
from harness.frames import Frame, Size
from harness.specs import FeatureMap, ImagePair, ImageRequest

SIDE = Size(32, 24)


@dataclass(frozen=True)
class Made:
    """A picture that is made when it is opened."""

    number: int

    @property
    def name(self) -> str:
        return f"made-{self.number}"

    def identity(self) -> str:
        return f"{self.number:064x}"

    def open(self) -> PIL.Image.Image:
        return PIL.Image.new("RGB", SIDE, (self.number % 256, self.number // 256, 0))


def a_split(pairs: list[tuple[int, int]], made_of: type[Made] = Made) -> SplitIndex:
    points = np.array([[1.0, 2.0]])
    made = {
        f"{number:05d}": ImagePair(
            f"{number:05d}", made_of(a), made_of(b), SIDE, SIDE, "thing", points, points, ("eye",)
        )
        for number, (a, b) in enumerate(pairs)
    }
    return SplitIndex("made", "test", tuple(made), made, {}, "image")


class Watched:
    """An extractor that knows which of its maps are still held by someone."""

    def __init__(self) -> None:
        self.alive: weakref.WeakSet[FeatureMap] = weakref.WeakSet()
        self.peak = self.computed = 0

    def extract(self, requests: list[ImageRequest]) -> list[FeatureMap]:
        maps = []
        for request in requests:
            generator = torch.Generator().manual_seed(int(request.identity, 16))
            maps.append(
                FeatureMap(
                    torch.randn(16, 12, 16, generator=generator), Frame.stretched(request.size, Size(64, 48))
                )
            )
        self.alive.update(maps)
        self.computed += len(maps)
        self.peak = max(self.peak, sum(one.data.nbytes for one in self.alive))
        return maps


def in_order(images: int, uses: int) -> list[tuple[int, int]]:
    """Each picture as the source of `uses` pairs with the next pictures: the order of SPair-71k's lists."""
    return [(number, (number + step) % images) for number in range(images) for step in range(1, uses + 1)]
