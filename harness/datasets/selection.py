"""The pairs of a limited run: few, of every category, and the same ones for every method."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

from harness.datasets.splits import SplitIndex


def predictable_pairs(index: SplitIndex, limit: int | None = None) -> list[str]:
    """Identifiers of the pairs of a split that have a valid point, in the dataset's order; with a limit, so
    many of them, spread over the categories.

    Pairs that could not be read are among them, for the report of their failure. Their category is unknown,
    and they take their turn as a category of their own, so that a short run meets them, too.
    """
    return choose_spread(_predictable_categories(index), limit)


def first_pairs(index: SplitIndex, count: int) -> list[str]:
    """Identifiers of the pairs that limits up to `count` choose: those of each limit come before those that
    the next one adds."""
    return _spread(_predictable_categories(index))[:count]


def choose_spread(categories: Mapping[str, str | None], limit: int | None) -> list[str]:
    """Chooses up to `limit` pairs, as many of each category as can be, in the order of the mapping.

    The choice depends on the pairs alone, and a smaller one is a part of every larger one: a rerun with a
    larger limit adds to it.

    Args:
        categories: pair -> its category.
        limit: None for all pairs.
    """
    if limit is None or limit >= len(categories):
        return list(categories)
    chosen = set(_spread(categories)[:limit])
    return [pair_id for pair_id in categories if pair_id in chosen]


def _predictable_categories(index: SplitIndex) -> dict[str, str | None]:
    """Pairs that have a valid point -> their category, None where it is unknown."""
    categories: dict[str, str | None] = {}
    for pair_id in index.pair_ids:
        if pair_id not in index.excluded:
            pair = index.pairs.get(pair_id)
            categories[pair_id] = pair.category if pair else None
    return categories


def _spread(categories: Mapping[str, str | None]) -> list[str]:
    """All pairs, in the order in which growing limits add them."""
    # By a hash, and not in the dataset's order, in which the first pairs of a category share their pictures.
    digests = {pair_id: hashlib.sha256(pair_id.encode()).digest() for pair_id in categories}
    turns: list[tuple[int, bytes, str]] = []
    taken: Counter[str | None] = Counter()
    for pair_id in sorted(categories, key=digests.__getitem__):
        category = categories[pair_id]
        turns.append((taken[category], digests[pair_id], pair_id))
        taken[category] += 1
    # A pair of each category, then a second one of each, and so on.
    return [pair_id for _, _, pair_id in sorted(turns)]
