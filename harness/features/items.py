"""Items, from which feature maps are computed, and the batches that they share.

Which items share a batch follows from the dataset, the feature scope and the batch size alone. The pairs
that a small limit chooses have batches of their own: whoever tries a method waits for no other pictures. All
other items of the split, in order of first use, are cut into whole batches. Whatever is cached, limited or
resumed, an image is always computed beside the same others, so that its features are the same to the byte.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from harness.datasets.selection import first_pairs
from harness.datasets.splits import SplitIndex
from harness.errors import DataError
from harness.frames import Size
from harness.specs import ImagePair, ImageSource, Scope

TRIAL_PAIRS: Mapping[Scope, int] = {"dataset": 20, "image": 20, "category": 20, "pair": 100}
"""Scope -> number of pairs that have batches of their own. A run limited to as many computes features of no
other pair.

Where pairs share pictures, each small batch more is one more that may have to be computed again when memory
is short. Where each pair is computed for itself there is nothing to lose but a few large batches.
"""


@dataclass(frozen=True)
class Item:
    """The images from which one feature map is computed, or the two maps of a pair.

    Attributes:
        key: the same for items whose maps are the same.
        images: one image, or source and target.
        sizes: the images' sizes as annotated.
        category: the word that prompts use for the object.
    """

    key: Hashable
    images: tuple[ImageSource, ...]
    sizes: tuple[Size, ...]
    category: str


class ItemPlan:
    """The items of a split, cut into batches.

    With scope `image` there is one item per image, with `category` one per image and category, and with
    `pair` one per pair. Item n is in batch n // `batch_size`; where a batch has fewer, numbers are left out.
    """

    def __init__(self, index: SplitIndex, scope: Scope, batch_size: int) -> None:
        self._index, self._scope, self.batch_size = index, scope, batch_size
        self._batches: list[list[Item]] = []
        self._numbers: dict[Hashable, int] = {}
        for pair_id in first_pairs(index, TRIAL_PAIRS[scope]):
            if pair_id in index.pairs:
                self._add_batches(self._items_of(index.pairs[pair_id]))
        self._add_batches(self._all_items())

    def keys(self, pair: ImagePair) -> Iterator[Hashable]:
        """Yields the key of a pair, or those of source and target.

        Raises:
            DataError: an image is missing; raised when its key is asked for.
        """
        if self._scope == "pair":
            yield _pair_key(pair)
            return
        for image in (pair.source, pair.target):
            yield self._image_key(pair, image)

    def key(self, number: int) -> Hashable:
        """Key of the item of a number."""
        batch, place = divmod(number, self.batch_size)
        return self._batches[batch][place].key

    def number(self, key: Hashable) -> int:
        """Number of an item."""
        return self._numbers[key]

    def numbers(self, pair: ImagePair) -> list[int]:
        """Numbers of the items of a pair, up to an image that is missing."""
        numbers: list[int] = []
        with suppress(DataError):
            for key in self.keys(pair):
                # Not a comprehension: those before an error stay.
                numbers.append(self._numbers[key])
        return numbers

    def batch_number(self, key: Hashable) -> int:
        """Number of the batch that holds an item."""
        return self._numbers[key] // self.batch_size

    def batch(self, number: int) -> Sequence[Item]:
        """The items of a batch."""
        return self._batches[number]

    def items_of(self, batches: Iterable[int]) -> Iterator[Item]:
        """Yields the items of several batches, one batch after the other."""
        for number in batches:
            yield from self.batch(number)

    def items_beside(self, numbers: Iterable[int]) -> Iterator[Item]:
        """Yields the items of the batches that hold items of these numbers, batches in order of first use."""
        batches = dict.fromkeys(number // self.batch_size for number in numbers)
        return self.items_of(batches)

    def _add_batches(self, items: Iterable[Item]) -> None:
        """Adds items that are in no batch yet, beginning with a new batch."""
        number = len(self._batches) * self.batch_size
        for item in items:
            if item.key not in self._numbers:
                if number % self.batch_size == 0:
                    self._batches.append([])
                self._batches[-1].append(item)
                self._numbers[item.key] = number
                number += 1

    def _all_items(self) -> Iterator[Item]:
        """Yields the items of each pair, in the dataset's order."""
        for pair in self._index.pairs.values():
            # Pairs without a point are never predicted; their images would fill batches for nothing.
            if pair.pair_id not in self._index.excluded:
                yield from self._items_of(pair)

    def _items_of(self, pair: ImagePair) -> Iterator[Item]:
        category = self._index.prompt_category(pair)
        images = (pair.source, pair.target)
        sizes = (pair.source_size, pair.target_size)
        if self._scope == "pair":
            yield Item(_pair_key(pair), images, sizes, category)
            return
        for image, size in zip(images, sizes, strict=True):
            try:
                key = self._image_key(pair, image)
            except DataError:
                # Whoever asks for a missing image gets the same error from `keys`.
                continue
            yield Item(key, (image,), (size,), category)

    def _image_key(self, pair: ImagePair, image: ImageSource) -> Hashable:
        category = self._index.prompt_category(pair) if self._scope == "category" else ""
        return image.identity(), category


def _pair_key(pair: ImagePair) -> Hashable:
    return "pair", pair.pair_id
