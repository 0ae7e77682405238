"""Pictures and pairs of `shapes`, made when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import PIL.Image

from harness.datasets.shapes.annotations import Annotation, annotation_of, kept_annotation
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.keyed_random import VERSION, KeyedRandom
from harness.datasets.shapes.masks import draw_object
from harness.datasets.shapes.render import render
from harness.datasets.shapes.scene import Scene, draw_scene
from harness.errors import UserError
from harness.specs import ImagePair, Scalar


@dataclass(frozen=True)
class SplitSize:
    """Number of pictures and of pairs that each category has in a split."""

    images: int
    pairs: int


SPLITS: Mapping[str, SplitSize] = MappingProxyType(
    {"test": SplitSize(30, 60), "val": SplitSize(15, 25), "train": SplitSize(500, 600)}
)
"""The splits. A split's name is part of every seed, so that no two share a picture."""


@dataclass(frozen=True)
class ShapesImage:
    """Picture `index` of a category, drawn when it is opened (an `ImageSource`)."""

    split: str
    category: str
    index: int

    @property
    def name(self) -> str:
        """Its name, such as `cat-test_0007`."""
        return f"{self.category}-{self.stem}"

    @property
    def stem(self) -> str:
        """The name without its category: that of the exported file, without the suffix."""
        return f"{self.split}_{self.index:04d}"

    def identity(self) -> str:
        """sha256 of everything that determines the picture: nothing is painted to know it."""
        recipe = f"shapes {VERSION} {self.split} {self.category} {self.index}"
        return hashlib.sha256(recipe.encode()).hexdigest()

    def open(self) -> PIL.Image.Image:
        """Draws the picture: RGB, 96 to 128 pixels wide and high."""
        # A copy: the cached picture must survive what a caller does with it.
        return _render_image(self.split, self.category, self.index).copy()

    def scene(self) -> Scene:
        """The picture's geometry."""
        return draw_scene(self.split, self.category, self.index)


@lru_cache(maxsize=512)
def _render_image(split: str, category: str, index: int) -> PIL.Image.Image:
    # Painting takes 8 ms, and a picture is in several pairs: 25 MB keep those of an evaluation.
    return render(draw_scene(split, category, index), split, category, index)


class Shapes:
    """One split (a `PairDataset`).

    Pairs run through the categories in alphabetical order. A pair's keypoints are those visible in both
    pictures, at least three; `keypoint_ids` are positions in `keypoint_names(category)`, as in SPair-71k.
    """

    def __init__(self, split: str) -> None:
        if split not in SPLITS:
            raise UserError(f"dataset shapes: no split {split!r}; it has {', '.join(SPLITS)}")
        self._split = split
        self._choices: list[tuple[str, int, int]] = []
        pair_ids: list[str] = []
        for category in KINDS:
            for source, target in _draw_pairs(split, category):
                # In the form of SPair-71k's names: number, source, target, category.
                number = len(self._choices)
                pair_ids.append(f"{number:06d}-{split}_{source:04d}-{split}_{target:04d}:{category}")
                self._choices.append((category, source, target))
        self.pair_ids: Sequence[str] = tuple(pair_ids)

    def __len__(self) -> int:
        return len(self._choices)

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`; the geometry of its pictures is drawn, nothing is painted."""
        category, source_index, target_index = self._choices[index]
        source = ShapesImage(self._split, category, source_index)
        target = ShapesImage(self._split, category, target_index)
        in_source = self.annotation(source)
        in_target = self.annotation(target)
        is_in_source = np.isfinite(in_source.points).all(axis=1)
        is_in_target = np.isfinite(in_target.points).all(axis=1)
        is_shared = is_in_source & is_in_target
        return ImagePair(
            pair_id=self.pair_ids[index],
            source=source,
            target=target,
            source_size=in_source.size,
            target_size=in_target.size,
            category=category,
            source_points=in_source.points[is_shared],
            target_points=in_target.points[is_shared],
            keypoint_ids=_numbers(is_shared),
            source_keypoints=_numbers(is_in_source),
            target_keypoints=_numbers(is_in_target),
            source_box=in_source.box,
            target_box=in_target.box,
            labels=_labels(in_source, in_target),
        )

    def masks(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of the objects in pair number `index` (a `MaskedDataset`)."""
        category, source, target = self._choices[index]
        source_mask, target_mask = (
            draw_object(ShapesImage(self._split, category, number).scene()) for number in (source, target)
        )
        return source_mask, target_mask

    def images(self) -> list[ShapesImage]:
        """All pictures of the split, also those in no pair."""
        images: list[ShapesImage] = []
        for category in KINDS:
            for index in range(SPLITS[self._split].images):
                images.append(ShapesImage(self._split, category, index))
        return images

    def annotation(self, image: ShapesImage) -> Annotation:
        """A picture's size, keypoints and box."""
        return _annotate(image)


# Without outlines: a split's scenes would take far more memory than what pairs need of them. Those of every
# split fit, so that one that is read again in a process is not drawn again.
@lru_cache(maxsize=10_000)
def _annotate(image: ShapesImage) -> Annotation:
    return kept_annotation(image.split, image.name) or annotation_of(image.scene())


def open_shapes(folder: Path, split: str) -> Shapes:
    """Returns the pairs of a split; `folder` is not used. Raises `UserError` for an unknown split."""
    return Shapes(split)


def keypoint_names(category: str) -> tuple[str, ...]:
    """Names of a category's keypoints, by number."""
    return KINDS[category].keypoints


def _numbers(is_there: np.ndarray) -> tuple[str, ...]:
    """Numbers of the keypoints that are there, as texts."""
    return tuple(map(str, np.flatnonzero(is_there)))


def _draw_pairs(split: str, category: str) -> list[tuple[int, int]]:
    """Draws ordered pairs of different pictures, without repetition."""
    size = SPLITS[split]
    rng = KeyedRandom("pairs", split, category)
    # A dict, since a set would not keep the order in which pairs are drawn.
    pairs: dict[tuple[int, int], None] = {}
    while len(pairs) < size.pairs:
        source = rng.integer(0, size.images - 1)
        target = rng.integer(0, size.images - 1)
        if source != target:
            pairs[source, target] = None
    return list(pairs)


def _labels(source: Annotation, target: Annotation) -> dict[str, Scalar]:
    """SPair-71k's difficulty labels, from the geometry.

    `viewpoint_variation` and `scale_variation`: 0 small, 1 medium, 2 large.
    `truncation` and `occlusion`: 0 in neither picture, 1 in the source, 2 in the target, 3 in both.
    `mirror`: 1 where the two show opposite sides.
    """
    # Rolling counts half: it hides no part.
    turn = abs(source.yaw - target.yaw) + abs(source.roll - target.roll) / 2
    sides: list[float] = []
    for x1, y1, x2, y2 in (source.box, target.box):
        sides.append(max(x2 - x1, y2 - y1))
    scale = max(sides) / min(sides)
    return {
        "viewpoint_variation": _level(turn, 25, 55),
        "scale_variation": _level(scale, 1.25, 1.6),
        "truncation": source.is_truncated + 2 * target.is_truncated,
        "occlusion": source.is_occluded + 2 * target.is_occluded,
        "mirror": int(source.mirrored != target.mirrored),
    }


def _level(value: float, medium: float, large: float) -> int:
    """0, 1 from `medium` on, 2 from `large` on."""
    return int(value >= medium) + int(value >= large)
