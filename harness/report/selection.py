"""The choice of pairs for a gallery: extremes of each method and of each two, overall and per category."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np


def choose_pairs(
    correct: np.ndarray, total: np.ndarray, pair_ids: Sequence[str], categories: Sequence[str], depth: int
) -> list[int]:
    """Chooses pairs, each once, in the order in which a gallery needs them.

    There is a list for each of: best of a method, worst of a method, most different between two; over all
    pairs and within each category. The lists are dealt from in turn, one pair of each a round; those over all
    pairs and of the methods that come first go first, so that wherever the result is cut, every question has
    some answer. Ties go to the pair with more points, then by id.

    Args:
        correct: (M, P) correct points of each method, NaN where it predicted nothing.
        total: (P) points.
        pair_ids: P ids.
        categories: P categories.
        depth: number of rounds.

    Returns:
        Indices of pairs.
    """
    extremes = _Extremes(total, pair_ids, depth)
    share = correct / total
    everything = np.arange(len(pair_ids))
    lists: list[list[int]] = []
    for method in range(len(share)):
        lists += extremes.of_method(share, method, everything)
    names = sorted(set(categories))
    # The lists of an only category would be those over all pairs again.
    if len(names) > 1:
        category_of_pair = np.array(categories)
        subsets = [np.flatnonzero(category_of_pair == name) for name in names]
        # A method before the next one, within it a category before the next one.
        for method in range(len(share)):
            for subset in subsets:
                lists += extremes.of_method(share, method, subset)
    return list(dict.fromkeys(_deal(lists)))


class _Extremes:
    """Lists of pairs at the ends of an order, `depth` pairs each."""

    def __init__(self, total: np.ndarray, pair_ids: Sequence[str], depth: int) -> None:
        self._total = total
        self._pair_ids = pair_ids
        self._depth = depth

    def of_method(self, share: np.ndarray, method: int, subset: np.ndarray) -> list[list[int]]:
        """Worst and best pairs of a method, and those that differ most from each method before it.

        Args:
            share: (M, P) share of correct points.
            subset: indices of the pairs to choose from.
        """
        lists = [self._lowest(share[method], subset), self._lowest(-share[method], subset)]
        for earlier in range(method):
            lists.append(self._lowest(-abs(share[method] - share[earlier]), subset))
        return lists

    def _lowest(self, values: np.ndarray, subset: np.ndarray) -> list[int]:
        """Indices of the lowest values; NaN is not among them."""
        indices = [int(index) for index in subset[~np.isnan(values[subset])]]
        # Ties are frequent, shares being those of few points: without the rest the order would be by chance.
        indices.sort(key=lambda index: (values[index], -self._total[index], self._pair_ids[index]))
        return indices[: self._depth]


def _deal(lists: Sequence[Sequence[int]]) -> Iterator[int]:
    """The first item of each list, then the second of each, and so on."""
    for round_items in zip_longest(*lists):
        # None: a list that has no items left.
        for item in round_items:
            if item is not None:
                yield item
