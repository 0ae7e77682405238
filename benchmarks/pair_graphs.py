"""Which images the pairs of a dataset are made of: the graphs that coverage is simulated on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.datasets.shapes.pairs import Shapes

PF_PASCAL = (15, 30, 10, 6, 8, 32, 19, 27, 13, 3, 8, 24, 9, 27, 12, 7, 1, 13, 20, 15)
"""Test pairs of each category, in the order of PASCAL VOC."""

PF_PASCAL_BOTH_WAYS = 44
"""Test pairs whose images are a pair the other way round, too."""

SPAIR_71K = (690, 650, 702, 702, 870, 644, 564, 600, 646, 640, 600, 600, 702, 650, 862, 664, 756, 692)
"""Test pairs of each category, in alphabetical order."""

FEWEST, MOST = 3, 15
"""Keypoints of a pair."""


@dataclass(frozen=True, eq=False)
class Graph:
    """P pairs.

    Attributes:
        images: (P, 2) numbers of the source and the target image, from 0.
        categories: (P,) numbers, from 0.
        keypoints: (P,)
        image_categories: number of an image -> its category; of several, the first.
    """

    name: str
    images: np.ndarray
    categories: np.ndarray
    keypoints: np.ndarray

    @property
    def image_count(self) -> int:
        """Number of different images."""
        return len(np.unique(self.images))

    def describe(self) -> str:
        """Says how many there are of everything."""
        kinds = len(np.unique(self.categories))
        return f"{self.name}: {len(self.images):,} pairs of {self.image_count} images, {kinds} categories"


def shapes() -> Graph:
    """The test split of `shapes` as it is."""
    dataset = Shapes("test")
    pairs = [dataset[number] for number in range(len(dataset))]
    names = [(pair.source.identity(), pair.target.identity()) for pair in pairs]
    return Graph(
        "shapes",
        np.unique(names, return_inverse=True)[1].reshape(-1, 2),
        np.unique([pair.category for pair in pairs], return_inverse=True)[1],
        np.array([len(pair.keypoint_ids) for pair in pairs]),
    )


def pf_pascal() -> Graph:
    """PF-PASCAL's numbers of pairs: nearly all images are in one pair, or in a pair and its reverse."""
    random = np.random.default_rng(1)
    pairs: list[tuple[int, int]] = []
    categories: list[int] = []
    first = 0
    reversible = np.array(PF_PASCAL) // 2
    both_ways = random.multivariate_hypergeometric(reversible, PF_PASCAL_BOTH_WAYS // 2)
    for category, (count, backward) in enumerate(zip(PF_PASCAL, both_ways.tolist(), strict=True)):
        forward = count - backward
        # A tenth fewer images than would be needed if no two pairs shared any: 506 of 554 in the dataset.
        images = max(2, round(1.83 * forward))
        chosen = _cover(random, images, forward)
        chosen += [(target, source) for source, target in chosen[:backward]]
        pairs += [(first + source, first + target) for source, target in chosen]
        categories += [category] * count
        first += images
    return _graph("PF-PASCAL", random, pairs, categories)


def _cover(random: np.random.Generator, images: int, pairs: int) -> list[tuple[int, int]]:
    """Pairs of different images, each image in one at least: those left over are drawn."""
    order = random.permutation(images).tolist()
    slots = order + random.integers(0, images, 2 * pairs - images).tolist()
    chosen = []
    for source, target in zip(slots[:pairs], slots[pairs:], strict=True):
        chosen.append((source, target if source != target else (target + 1) % images))
    return chosen


def pf_willow() -> Graph:
    """PF-WILLOW's 900 pairs: all couples of ten pictures in ten groups, a hundred names of 70 pictures.

    Three kinds of car, motorbike and bottle share half of their pictures, the ducks none.
    """
    pairs: list[tuple[int, int]] = []
    categories: list[int] = []
    for category in range(10):
        thing, kind = divmod(category, 3)
        # Of twenty pictures of a thing: 0 to 9, 10 to 19, and five of each.
        members = (range(10), range(10, 20), range(5, 15))[kind]
        couples = _couples([20 * thing + member for member in members])
        pairs += couples
        categories += [category] * len(couples)
    return _graph("PF-WILLOW", np.random.default_rng(2), pairs, categories, range(10, 11))


def spair_71k() -> Graph:
    """SPair-71k's numbers of pairs: of as few images as have so many couples, as 870 are those of 30."""
    random = np.random.default_rng(3)
    pairs: list[tuple[int, int]] = []
    categories: list[int] = []
    first = 0
    for category, count in enumerate(SPAIR_71K):
        images = next(number for number in range(100) if number * (number - 1) >= count)
        couples = _couples(range(first, first + images))
        chosen = random.permutation(len(couples))[:count].tolist()
        pairs += [couples[number] for number in chosen]
        categories += [category] * count
        first += images
    return _graph("SPair-71k", random, pairs, categories)


def drawn_from_mixed(images: int, pairs: int, categories: int, random: np.random.Generator) -> Graph:
    """Images whose category is drawn with them, and pairs drawn from all couples of one category."""
    of_image = random.integers(0, categories, images)
    couples = np.concatenate(
        [np.array(_couples(np.flatnonzero(of_image == category).tolist())) for category in range(categories)]
    )
    chosen = couples[random.permutation(len(couples))[:pairs]]
    return _graph("", random, chosen.tolist(), of_image[chosen[:, 0]].tolist())


def _couples(images: Sequence[int]) -> list[tuple[int, int]]:
    """All ordered pairs of different images."""
    return [(source, target) for source in images for target in images if source != target]


def _graph(
    name: str,
    random: np.random.Generator,
    pairs: Sequence[tuple[int, int]],
    categories: Sequence[int],
    counts: range = range(FEWEST, MOST + 1),
) -> Graph:
    keypoints = random.integers(counts.start, counts.stop, len(pairs))
    return Graph(name, np.array(pairs), np.array(categories), keypoints)


def star() -> Graph:
    """200 pairs, one image in half of them: what the intervals are not made for."""
    random = np.random.default_rng(5)
    others = np.arange(1, 81)
    with_center = [(0, int(image)) for image in random.permutation(np.tile(others, 2))[:100]]
    without = [tuple(random.choice(others, 2, replace=False).tolist()) for _ in range(100)]
    return _of_one_category("star", with_center + without, random)


def few_sources() -> Graph:
    """40 pairs of four source images, each target in one: as few as decide, though 44 images are counted."""
    random = np.random.default_rng(6)
    return _of_one_category("few-sources", [(number % 4, 4 + number) for number in range(40)], random)


def _of_one_category(name: str, pairs: Sequence[tuple[int, ...]], random: np.random.Generator) -> Graph:
    keypoints = random.integers(FEWEST, MOST + 1, len(pairs))
    return Graph(name, np.array(pairs), np.zeros(len(pairs), dtype=np.int64), keypoints)


def parts_of(graph: Graph) -> Iterator[tuple[str, np.ndarray]]:
    """Yields slices of a graph, (P,) bool: a category of the usual size, and its pairs up to ten images."""
    counts = np.bincount(graph.categories)
    category = int(np.argsort(counts, kind="stable")[len(counts) // 2])
    is_inside = graph.categories == category
    yield "one category", is_inside
    ten = np.zeros_like(is_inside)
    kept: set[int] = set()
    for pair in np.flatnonzero(is_inside).tolist():
        grown = kept | set(graph.images[pair].tolist())
        if len(grown) <= TEN:
            kept = grown
            ten[pair] = True
    yield "ten images", ten


TEN = 10
