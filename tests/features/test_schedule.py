"""The order of pairs: each once, its maps at hand, and few maps computed again."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from harness.features.schedule import steps

BATCH = 8


def sorted_by_category(categories=9, images=28, pairs=340):
    """Pairs of pictures of one category, categories one after another: SPair-71k's lists."""
    dice = random.Random(0)
    found = []
    for first in range(0, categories * images, images):
        every = [(a, b) for a in range(first, first + images) for b in range(first, first + images) if a != b]
        found += sorted(dice.sample(every, pairs))
    return found


def at_random(images, pairs):
    dice = random.Random(1)
    return [tuple(dice.sample(range(images), 2)) for _ in range(pairs)]


def numbered(pairs):
    """Maps in order of first use, as they are batched."""
    numbers = {}
    return [tuple(numbers.setdefault(image, len(numbers)) for image in pair) for pair in pairs]


def with_small_batches(pairs):
    """The same, but for a pair in every 300, whose maps have batches of their own."""
    numbers = {}
    for pair in pairs[::300]:
        start = BATCH * (len(numbers) and max(numbers.values()) // BATCH + 1)
        new = [image for image in pair if image not in numbers]
        numbers |= {image: start + place for place, image in enumerate(new)}
    start = BATCH * (max(numbers.values()) // BATCH + 1)
    rest = [image for image in numbered_images(pairs) if image not in numbers]
    numbers |= {image: start + place for place, image in enumerate(rest)}
    return [tuple(numbers[image] for image in pair) for pair in pairs]


def numbered_images(pairs):
    return dict.fromkeys(image for pair in pairs for image in pair)


def worked(needs, room, held=()):
    """Maps computed in the order of the steps, and most maps held; checks that every pair is done once."""
    left = Counter(number for need in needs for number in need)
    every = set(left)

    def batch(number):
        return [one for one in range(number * BATCH, (number + 1) * BATCH) if one in every]

    here, computed, most, done = {one for number in held for one in batch(number) if left[one]}, 0, 0, []
    for step in steps(needs, BATCH, room, held):
        here -= {one for number in step.dropped for one in batch(number)}
        assert list(step.pairs) == sorted(step.pairs)
        for pair in step.pairs:
            for number in needs[pair]:
                if number not in here:
                    computed += len(batch(number // BATCH))
                    here |= {one for one in batch(number // BATCH) if left[one]}
            most = max(most, len(here))
            left -= Counter(needs[pair])
            here = {one for one in here if left[one]}
            done.append(pair)
    assert sorted(done) == list(range(len(needs)))
    return computed, most


SORTED, FEW = numbered(sorted_by_category()), numbered(at_random(40, 600))

SMALL = with_small_batches(sorted_by_category())

MANY, SPARSE = numbered(at_random(500, 6000)), numbered(at_random(1500, 1500))


@pytest.mark.parametrize(
    ("needs", "share", "again"),
    [
        (SORTED, 0.1, 1.5),
        (SORTED, 0.2, 1),
        (MANY, 0.05, 16),
        (MANY, 0.2, 4),
        (SPARSE, 0.2, 1.2),
        (FEW, 0.4, 2.5),
        (FEW, 0.7, 1.7),
    ],
)
def test_few_maps_are_computed_again_within_the_room(needs, share, again):
    """In the given order, with the last used maps kept: 21, 1, 177, 146, 9, 138 and 73 times each map."""
    images = len({number for need in needs for number in need})
    computed, most = worked(needs, int(share * images))
    assert computed <= again * images
    assert most <= int(share * images)


def test_small_batches_are_not_left_behind():
    """Few pairs need them, but few maps are in them, too."""
    images = len({number for need in SMALL for number in need})
    computed, _ = worked(SMALL, int(0.2 * images))
    assert computed == images


@pytest.mark.parametrize("needs", [SORTED, MANY, FEW])
def test_where_everything_fits_the_order_is_the_one_given(needs):
    images = len({number for need in needs for number in need})
    (step,) = steps(needs, BATCH, images)
    assert step.pairs == tuple(range(len(needs)))
    assert not step.dropped


def test_two_batches_are_enough():
    computed, most = worked(FEW, 1)
    assert most <= 2 * BATCH
    assert computed <= 40 + 3 * 40


def test_what_is_held_is_used_first():
    first = next(steps(MANY, BATCH, 50, held=[4, 9]))
    second = list(steps(MANY, BATCH, 50, held=[4, 9]))[1]
    assert {number // BATCH for pair in first.pairs for number in MANY[pair]} == {4}
    assert {number // BATCH for pair in second.pairs for number in MANY[pair]} == {4, 9}


def test_pairs_with_one_map_or_none():
    needs = [(0, 30), (), (5,), (7, 7), (30, 16), (), (16, 0)]
    found = list(steps(needs, BATCH, 2))
    assert found[0].pairs == (1, 5)
    assert sorted(pair for step in found for pair in step.pairs) == list(range(7))
    assert not next(steps([], BATCH, 0)).pairs
